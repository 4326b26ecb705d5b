/**
 * How many turns a second can be committed? Each turn loads its session, reads its last 20 messages, looks for its commit record
 * and commits a question and an answer of 400 characters, in one or two threads on one SQLite file, with `synchronous=NORMAL`
 * and `FULL`: one turn after the other, and 16 that end in one moment and share a transaction. Beside it one bare row a transaction in such a file, which is what any store there costs, and the store in memory.
 *
 * `FULL` is the disk's figure: so many syncs a second. Without `--dir` the file lies in the temporary directory.
 *
 * node bench/sessions.ts [--seconds 2] [--rounds 3] [--sessions 200] [--dir PATH]
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { writeGateWord } from '../src/lib/write-gate.ts';
import { median, option, percentile, printJson, printTable, rounded } from './lib/stats.ts';
import type { CommitterFigures, CommitterOptions } from './sessions/committer.ts';

const SECONDS = option('seconds', 2);
const ROUNDS = option('rounds', 3);
const SESSIONS = option('sessions', 200);
const COMMITTER = new URL('./sessions/committer.ts', import.meta.url);

const at = process.argv.indexOf('--dir');
const PARENT = at < 0 ? tmpdir() : (process.argv[at + 1] ?? tmpdir());

interface Contestant {
  readonly name: string;
  readonly kind: CommitterOptions['kind'];
  readonly synchronous: CommitterOptions['synchronous'];
  readonly threads: number;
  readonly together: number;
}

interface Round {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxMs: number;
  /** Share of the slower thread, 0 to 0.5 for two. */
  readonly leastShare: number;
  readonly bytesPerTurn: number;
}

const CONTESTANTS: readonly Contestant[] = (['normal', 'full'] as const)
  .flatMap((synchronous) =>
    [1, 2].flatMap((threads): Contestant[] => [
      { name: `sessions, ${synchronous}`, kind: 'sqlite', synchronous, threads, together: 1 },
      { name: `sessions, ${synchronous}, 16 together`, kind: 'sqlite', synchronous, threads, together: 16 },
      { name: `one bare row, ${synchronous}`, kind: 'bare', synchronous, threads, together: 1 },
    ]),
  )
  .concat({ name: 'sessions in memory', kind: 'memory', synchronous: 'normal', threads: 1, together: 1 });

async function round({ kind, synchronous, threads, together }: Contestant): Promise<Round> {
  const dir = mkdtempSync(join(PARENT, 'orrery-bench-'));
  const file = join(dir, 'sessions.db');
  try {
    const gate = writeGateWord();
    const workers = Array.from({ length: threads }, (_, thread) => {
      const workerData: CommitterOptions = {
        kind,
        file,
        synchronous,
        seconds: SECONDS,
        thread,
        sessions: SESSIONS,
        together,
        gate,
      };
      return new Worker(COMMITTER, { workerData });
    });
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    const told = workers.map((worker) => once(worker, 'message') as Promise<[CommitterFigures]>);
    for (const worker of workers) worker.postMessage('go');
    const figures = (await Promise.all(told)).map(([one]) => one);
    const bytes = kind === 'memory' ? 0 : statSync(file).size;
    await Promise.all(workers.map((worker) => worker.terminate()));
    const speeds = figures.map(({ turns, seconds }) => turns / seconds);
    const perSecond = speeds.reduce((sum, speed) => sum + speed, 0);
    const latencies = figures.flatMap((one) => [...one.latencies]).toSorted((a, b) => a - b);
    const turns = figures.reduce((sum, one) => sum + one.turns, 0);
    return {
      perSecond,
      p50Us: percentile(latencies, 0.5) * 1000,
      p99Us: percentile(latencies, 0.99) * 1000,
      maxMs: latencies.at(-1) ?? 0,
      leastShare: Math.min(...speeds) / perSecond,
      bytesPerTurn: bytes / turns,
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const rounds = new Map<Contestant, Round[]>(CONTESTANTS.map((contestant) => [contestant, []]));
for (let i = 0; i < ROUNDS; i++) for (const [contestant, list] of rounds) list.push(await round(contestant));

const results = [...rounds].map(([{ name, threads }, list]) => {
  const of = (key: keyof Round): number => median(list.map((one) => one[key]));
  return {
    name,
    threads,
    perSecond: Math.round(of('perSecond')),
    p50Us: rounded(of('p50Us'), 1),
    p99Us: rounded(of('p99Us'), 1),
    maxMs: rounded(of('maxMs'), 1),
    leastShare: rounded(of('leastShare')),
    bytesPerTurn: Math.round(of('bytesPerTurn')),
  };
});
printTable(
  ['contestant', 'threads', 'turns/s', 'p50 us', 'p99 us', 'longest ms', 'slower thread', 'bytes a turn'],
  results.map((r) => [
    r.name,
    String(r.threads),
    String(r.perSecond),
    r.p50Us.toFixed(0),
    r.p99Us.toFixed(0),
    r.maxMs.toFixed(0),
    `${(r.leastShare * 100).toFixed(0)} %`,
    r.bytesPerTurn === 0 ? '' : String(r.bytesPerTurn),
  ]),
);
printJson('sessions', { seconds: SECONDS, rounds: ROUNDS, results });
