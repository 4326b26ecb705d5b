/**
 * What does a benchmark run cost beside the waiting that cannot be saved? Cases that each take a fixed time go through an agent that only
 * waits, beside the ideal (cases x latency / concurrency) and beside a plain p-limit loop that does nothing but wait and collect.
 * Contestants alternate; figures are medians of rounds. Starting the host is not part of it: the clock runs from the first
 * case's start to the last one's end, by the results' own times, and the whole command's time is shown beside.
 *
 * node bench/eval.ts [--cases 1000] [--latency 50] [--concurrency 64] [--rounds 3]
 */
import { createRequire } from 'node:module';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { runBench } from '../src/main/bench/index.ts';
import { median, option, printJson, printTable, printTarget, rounded } from './lib/stats.ts';

const CASES = option('cases', 1_000);
const LATENCY_MS = option('latency', 50);
const CONCURRENCY = option('concurrency', 64);
const ROUNDS = option('rounds', 3);
const AGENT = fileURLToPath(new URL('./eval/waiting-agent.ts', import.meta.url));
const MOST = 1.1;

const idealMs = (CASES * LATENCY_MS) / CONCURRENCY;
const dir = mkdtempSync(join(tmpdir(), 'orrery-eval-'));
const suite = join(dir, 'suite.jsonl');
const inputs = Array.from({ length: CASES }, (_, i) => `question ${i}`);
writeFileSync(suite, inputs.map((input) => `${JSON.stringify({ input, expected: 'waited' })}\n`).join(''));

/** Milliseconds from the first case's start to the last one's end, and of the whole call. */
async function orrery(round: number): Promise<{ casesMs: number; wholeMs: number }> {
  const out = join(dir, `run-${round}`);
  const began = performance.now();
  const report = await runBench({
    suite,
    out,
    agents: ['waits'],
    concurrency: CONCURRENCY,
    config: { agents: { waits: { use: AGENT, env: ['EVAL_LATENCY_MS'] } }, workers: { threads: 2 } },
  });
  const wholeMs = performance.now() - began;
  const { score, done, errors } = report.agents[0] ?? {};
  if (done !== CASES || errors !== 0 || score !== 1) throw new Error('A case was not answered');
  const lines = (await readFile(join(out, 'results.jsonl'), 'utf8')).trim().split('\n');
  let first = Infinity;
  let last = 0;
  for (const line of lines) {
    const { startedAt, latencyMs } = JSON.parse(line) as { startedAt: string; latencyMs: { total: number } };
    first = Math.min(first, Date.parse(startedAt));
    last = Math.max(last, Date.parse(startedAt) + latencyMs.total);
  }
  return { casesMs: last - first, wholeMs };
}

/** `npm install --prefix bench` installs it. */
const require = createRequire(import.meta.url);
const { default: pLimit } = require('p-limit') as {
  default: (concurrency: number) => <T>(run: () => Promise<T>) => Promise<T>;
};

async function plainLoop(): Promise<number> {
  const limit = pLimit(CONCURRENCY);
  const outputs: string[] = [];
  const began = performance.now();
  await Promise.all(
    inputs.map((input) =>
      limit(async () => {
        await sleep(LATENCY_MS);
        outputs.push(input);
      }),
    ),
  );
  return performance.now() - began;
}

try {
  process.env['EVAL_LATENCY_MS'] = String(LATENCY_MS);
  const figures = { cases: [] as number[], whole: [] as number[], plain: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    const { casesMs, wholeMs } = await orrery(round);
    figures.cases.push(casesMs);
    figures.whole.push(wholeMs);
    figures.plain.push(await plainLoop());
  }
  const [casesMs, wholeMs, plainMs] = [median(figures.cases), median(figures.whole), median(figures.plain)];
  const row = (name: string, ms: number): string[] => [name, ms.toFixed(0), (ms / idealMs).toFixed(3)];
  printTable(
    ['what', 'ms', 'x ideal'],
    [
      row('ideal', idealMs),
      row('a plain p-limit loop', plainMs),
      row('orrery bench, its cases', casesMs),
      row('orrery bench, with starting and stopping the host', wholeMs),
    ],
  );
  const share = casesMs / idealMs;
  printTarget(
    `${CASES} cases of ${LATENCY_MS} ms, ${CONCURRENCY} at once: at most ${MOST} x ideal`,
    share.toFixed(3),
    share <= MOST,
  );
  printJson('eval', {
    cases: CASES,
    latencyMs: LATENCY_MS,
    concurrency: CONCURRENCY,
    idealMs: rounded(idealMs, 0),
    plainMs: rounded(plainMs, 0),
    casesMs: rounded(casesMs, 0),
    wholeMs: rounded(wholeMs, 0),
    share: rounded(share, 3),
  });
} finally {
  rmSync(dir, { recursive: true, force: true });
}
