/**
 * What does a benchmark run cost beside the waiting that cannot be saved? Cases that each take a fixed time go through an agent that only
 * waits, beside the ideal (cases x latency / concurrency) and beside a plain p-limit loop that does nothing but wait and collect. Then the
 * same cases are put to a model behind HTTP that takes as long, in a process of its own: by `orrery bench`, by `promptfoo eval` and by a
 * p-limit loop with `fetch`. Contestants alternate; figures are medians of rounds. Starting is not part of the cases' time: that clock runs
 * from the first case's start to the last one's end, by each command's own account, and the whole command's time is shown beside.
 *
 * promptfoo is a peer when it is installed: `(cd bench/promptfoo && npm ci)`.
 *
 * node bench/eval.ts [--cases 1000] [--latency 50] [--concurrency 64] [--rounds 3]
 */
import { createRequire } from 'node:module';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { runBench } from '../src/main/bench/index.ts';
import {
  type Evaluation,
  type Took,
  casesMsOf,
  hasPromptfoo,
  orreryCommand,
  promptfooCommand,
} from './eval/commands.ts';
import { start } from './lib/process.ts';
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
  return { casesMs: await casesMsOf(out, CASES), wholeMs };
}

/** `npm install --prefix bench` installs it. */
const require = createRequire(import.meta.url);
const { default: pLimit } = require('p-limit') as {
  default: (concurrency: number) => <T>(run: () => Promise<T>) => Promise<T>;
};

async function plainLoop(ask: (input: string) => Promise<string>): Promise<number> {
  const limit = pLimit(CONCURRENCY);
  const outputs: string[] = [];
  const began = performance.now();
  await Promise.all(
    inputs.map((input) =>
      limit(async () => {
        outputs.push(await ask(input));
      }),
    ),
  );
  const tookMs = performance.now() - began;
  if (outputs.filter((output) => output !== '').length !== CASES) throw new Error('A case was not answered');
  return tookMs;
}

async function onlyWait(input: string): Promise<string> {
  await sleep(LATENCY_MS);
  return input;
}

async function fetched(modelUrl: string, input: string): Promise<string> {
  const response = await fetch(`${modelUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'practice', messages: [{ role: 'user', content: input }] }),
  });
  const { choices } = (await response.json()) as { choices: readonly { message: { content: string } }[] };
  return choices[0]?.message.content ?? '';
}

interface Row {
  readonly name: string;
  readonly key: string;
  readonly ms: number[];
}

const row = (key: string, name: string): Row => ({ key, name, ms: [] });
const ROWS = {
  plain: row('plainMs', 'a plain p-limit loop that waits'),
  cases: row('casesMs', 'orrery bench and an agent that waits: its cases'),
  whole: row('wholeMs', 'the same, with starting and stopping the host'),
  plainHttp: row('plainHttpMs', 'over HTTP: a plain p-limit loop with fetch'),
  httpCases: row('httpCasesMs', 'over HTTP: orrery bench, its cases'),
  httpWhole: row('httpWholeMs', 'over HTTP: orrery bench, the whole command'),
  promptfooCases: row('promptfooCasesMs', 'over HTTP: promptfoo eval, its cases'),
  promptfooWhole: row('promptfooWholeMs', 'over HTTP: promptfoo eval, the whole command'),
} as const;

function add(cases: Row, whole: Row, { casesMs, wholeMs }: Took): void {
  cases.ms.push(casesMs);
  whole.ms.push(wholeMs);
}

async function round(n: number, evaluation: Evaluation): Promise<void> {
  add(ROWS.cases, ROWS.whole, await orrery(n));
  ROWS.plain.ms.push(await plainLoop(onlyWait));
  add(ROWS.httpCases, ROWS.httpWhole, await orreryCommand(evaluation, n));
  ROWS.plainHttp.ms.push(await plainLoop((input) => fetched(evaluation.modelUrl, input)));
  if (hasPromptfoo) add(ROWS.promptfooCases, ROWS.promptfooWhole, await promptfooCommand(evaluation));
}

const model = await start(new URL('./eval/model.ts', import.meta.url), [String(LATENCY_MS)]);
try {
  process.env['EVAL_LATENCY_MS'] = String(LATENCY_MS);
  const modelUrl = await model.ask<string>('url');
  for (let n = 0; n < ROUNDS; n++) await round(n, { dir, inputs, concurrency: CONCURRENCY, modelUrl });
  const measured = Object.values(ROWS).filter(({ ms }) => ms.length > 0);
  printTable(
    ['what', 'ms', 'x ideal'],
    [
      ['ideal', idealMs.toFixed(0), '1.000'],
      ...measured.map(({ name, ms }) => [name, median(ms).toFixed(0), (median(ms) / idealMs).toFixed(3)]),
    ],
  );
  if (!hasPromptfoo) console.log('promptfoo is not installed: (cd bench/promptfoo && npm ci)');
  const share = median(ROWS.cases.ms) / idealMs;
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
    ...Object.fromEntries(measured.map(({ key, ms }) => [key, rounded(median(ms), 0)])),
    share: rounded(share, 3),
  });
} finally {
  await model.stop();
  rmSync(dir, { recursive: true, force: true });
}
