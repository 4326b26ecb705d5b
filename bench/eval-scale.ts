/**
 * Does a benchmark run stay small and fast at 100,000 cases? A suite goes through two built-in agents on two threads: memory over the
 * run, the delay of the main thread's loop, and the throughput beside the host's own round trip with the same scorers and token
 * counts, but without suite, channel, ledger and bounds. Both run in processes of their own, the round trip before and after.
 *
 * node bench/eval-scale.ts [--cases 100000] [--in-flight 128]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start } from './lib/process.ts';
import { median, option, printJson, printTable, printTarget, rounded } from './lib/stats.ts';
import type { RunFigures } from './eval/scale-host.ts';

const CASES = option('cases', 100_000);
const IN_FLIGHT = option('in-flight', 128);
const HOST = new URL('./eval/scale-host.ts', import.meta.url);
const MAX_GROWTH_MB = 48;
const MAX_P99_MS = 10;
const MIN_SHARE = 0.8;

const dir = mkdtempSync(join(tmpdir(), 'orrery-eval-'));
const suite = join(dir, 'suite.jsonl');
const lines = Array.from({ length: CASES }, (_, i) =>
  JSON.stringify({
    id: `case-${i}`,
    input: `What is ${i} plus ${i % 97}? Answer with the number.`,
    expected: `${i + (i % 97)}`,
  }),
);
writeFileSync(suite, `${lines.join('\n')}\n`);

async function roundTrip(): Promise<number> {
  const host = await start(HOST);
  try {
    return await host.ask<number>('roundTrip', { cases: Math.min(CASES, 50_000), inFlight: IN_FLIGHT });
  } finally {
    await host.stop();
  }
}

try {
  const before = await roundTrip();
  const host = await start(HOST);
  const out = join(dir, 'run');
  const run = await host.ask<RunFigures>('run', { suite, out, inFlight: IN_FLIGHT });
  await host.stop();
  const base = median([before, await roundTrip()]);
  const text = await readFile(join(out, 'results.jsonl'), 'utf8');
  const keys = new Set<string>();
  let results = 0;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const { caseId, agent, repeat } = JSON.parse(line) as { caseId: string; agent: string; repeat: number };
    keys.add(`${agent} ${caseId} ${repeat}`);
    results += 1;
  }
  const share = run.perSecond / base;
  // The first third is code that gets compiled and caches that fill; what grows with the cases goes on growing.
  const [early, late] = [run.memoryMb.slice(3, 6), run.memoryMb.slice(7)].map((part) => Math.max(...part));
  const growth = (late ?? Infinity) - (early ?? 0);
  printTable(
    ['what', 'figure'],
    [
      ['results', String(results)],
      ['results/s', Math.round(run.perSecond).toString()],
      ["the host's round trip with the same scorers, messages/s", Math.round(base).toString()],
      ['memory of the process after each tenth, MB', run.memoryMb.map((mb) => mb.toFixed(0)).join(' ')],
      ['loop delay on main, p50 ms', run.loopP50Ms.toFixed(2)],
      ['loop delay on main, p99 ms', run.loopP99Ms.toFixed(2)],
      ['loop delay on main, max ms', run.loopMaxMs.toFixed(2)],
    ],
  );
  printTarget(
    'every case exactly once',
    `${keys.size} of ${2 * CASES}`,
    keys.size === 2 * CASES && results === keys.size,
  );
  printTarget(
    `memory flat (the last three tenths at most ${MAX_GROWTH_MB} MB above the fourth to sixth)`,
    `${growth.toFixed(0)} MB`,
    growth <= MAX_GROWTH_MB,
  );
  printTarget(`loop delay p99 at most ${MAX_P99_MS} ms`, `${run.loopP99Ms.toFixed(2)} ms`, run.loopP99Ms <= MAX_P99_MS);
  printTarget(`throughput at least ${MIN_SHARE} x the round trip`, share.toFixed(2), share >= MIN_SHARE);
  printJson('eval-scale', {
    cases: CASES,
    inFlight: IN_FLIGHT,
    perSecond: rounded(run.perSecond, 0),
    roundTripPerSecond: rounded(base, 0),
    share: rounded(share),
    memoryMb: run.memoryMb.map((mb) => rounded(mb, 0)),
    loopP99Ms: rounded(run.loopP99Ms),
  });
} finally {
  rmSync(dir, { recursive: true, force: true });
}
