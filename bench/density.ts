/**
 * How many agents fit, and how soon is a lost thread back? Built-in agents (half `echo`, half `eliza`) on two threads, each
 * of which has answered once: start time, resident memory for each agent, and where the bytes lie. Then crash to ready of a
 * slot with ten agents on it, beside a plain `new Worker` with the same entry and an empty one, in turn.
 *
 * node bench/density.ts [--threads 2] [--runs 3] [--crashes 21]
 */
import type { HeapFigures } from './density/heap.ts';
import type { DensityFigures } from './density/host.ts';
import { type Crasher, type Restart, orrerySlot, plainThread } from './density/crashes.ts';
import { start } from './lib/process.ts';
import { median, option, percentile, printJson, printTable, printTarget, rounded } from './lib/stats.ts';

const THREADS = option('threads', 2);
const RUNS = option('runs', 3);
const CRASHES = option('crashes', 21);
const COUNTS = [1_000, 10_000];
const KB = 1024;
const MB = KB * KB;

type Key = { [K in keyof DensityFigures]: DensityFigures[K] extends number ? K : never }[keyof DensityFigures];

/** Every count in fresh processes, in turn; `0` is the same host without any of the agents. */
async function densities(): Promise<ReadonlyMap<number, readonly DensityFigures[]>> {
  const results = new Map<number, DensityFigures[]>([0, ...COUNTS].map((count) => [count, []]));
  for (let i = 0; i < RUNS; i++) {
    for (const [count, list] of results) {
      const child = await start(new URL('./density/host.ts', import.meta.url), [String(count), String(THREADS)]);
      list.push(await child.ask<DensityFigures>('measure'));
      await child.stop();
    }
  }
  return results;
}

const results = await densities();
const of = (count: number, key: Key): number => median((results.get(count) ?? []).map((r) => r[key]));
const heap = (count: number, side: 'main' | 'workers', what: keyof HeapFigures): number =>
  median(
    (results.get(count) ?? []).map(({ mainHeap, workerHeaps }) =>
      (side === 'main' ? [mainHeap] : workerHeaps).reduce((sum, h) => sum + h[what], 0),
    ),
  );
/** KB for each agent beyond the host without agents. */
const each = (count: number, read: (count: number) => number): number => (read(count) - read(0)) / count / KB;
const kbAnswered = (count: number): number => each(count, (c) => of(c, 'rssAnswered'));

console.log(`Built-in agents on ${THREADS} threads, medians of ${RUNS} fresh processes:`);
printTable(
  ['agents', 'start ms', 'of it config', 'answers ms', 'RSS MB', 'after GC MB'],
  [...results.keys()].map((count) => [
    String(count),
    of(count, 'startMs').toFixed(0),
    of(count, 'createMs').toFixed(0),
    of(count, 'answersMs').toFixed(0),
    (of(count, 'rssAnswered') / MB).toFixed(1),
    (of(count, 'rssCollected') / MB).toFixed(1),
  ]),
);
console.log('\nKB for each agent, beyond the host without agents; heaps after a garbage collection:');
printTable(
  ['agents', 'RSS started', 'RSS answered', 'main used', 'main held', 'workers used', 'workers held'],
  COUNTS.map((count) => [
    String(count),
    each(count, (c) => of(c, 'rssStarted')).toFixed(1),
    each(count, (c) => of(c, 'rssAnswered')).toFixed(1),
    each(count, (c) => heap(c, 'main', 'used')).toFixed(1),
    each(count, (c) => heap(c, 'main', 'committed')).toFixed(1),
    each(count, (c) => heap(c, 'workers', 'used')).toFixed(1),
    each(count, (c) => heap(c, 'workers', 'committed')).toFixed(1),
  ]),
);

const crashers: readonly Crasher[] = [
  await orrerySlot(10),
  await plainThread('new Worker, the same entry', new URL('./density/bare-thread.ts', import.meta.url)),
  await plainThread('new Worker, empty', new URL('./density/empty-thread.ts', import.meta.url)),
];
const restarts = crashers.map((): Restart[] => []);
for (let i = 0; i < CRASHES; i++) {
  for (const [k, crasher] of crashers.entries()) restarts[k]?.push(await crasher.crash(i % 2 === 0 ? 'exit' : 'throw'));
}
await Promise.all(crashers.map((crasher) => crasher.close()));
const ready = restarts.map((list) => list.map(({ readyMs }) => readyMs));
const answered = (restarts[0] ?? []).flatMap(({ answerMs }) => (answerMs === undefined ? [] : [answerMs]));
console.log(`\nCrash to ready in ms, ${CRASHES} crashes each (exit and uncaught error in turn):`);
printTable(
  ['thread', 'median', 'p90', 'max'],
  [
    ...crashers.map(({ name }, k) => [name, ready[k] ?? []] as const),
    ['Orrery, until a neighbour answers', answered] as const,
  ].map(([name, values]) => [
    name,
    median(values).toFixed(0),
    percentile(values, 0.9).toFixed(0),
    percentile(values, 1).toFixed(0),
  ]),
);

const largest = COUNTS.at(-1) ?? 0;
console.log();
for (const count of COUNTS) {
  const kb = kbAnswered(count);
  printTarget(`${count} agents: RSS for each at most 30 KB`, `${kb.toFixed(1)} KB`, kb <= 30);
}
printTarget(
  `${largest} agents start in 5 s`,
  `${of(largest, 'startMs').toFixed(0)} ms`,
  of(largest, 'startMs') <= 5_000,
);
printTarget(
  'crash to ready, median at most 150 ms',
  `${median(ready[0] ?? []).toFixed(0)} ms`,
  median(ready[0] ?? []) <= 150,
);
printJson('density', {
  threads: THREADS,
  runs: RUNS,
  results: [...results.keys()].map((agents) => ({
    agents,
    startMs: rounded(of(agents, 'startMs'), 0),
    answersMs: rounded(of(agents, 'answersMs'), 0),
    rssMb: rounded(of(agents, 'rssAnswered') / MB, 1),
    rssKbEach: agents === 0 ? undefined : rounded(kbAnswered(agents), 1),
  })),
  crashes: crashers.map(({ name }, k) => ({ name, readyMs: rounded(median(ready[k] ?? []), 1) })),
});
