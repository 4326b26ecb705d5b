/**
 * What does a process of its own cost an agent, beside a thread of its own? A restart (where the thread is used again), memory, and turns of `builtin:echo` one by one and 64 at once, with
 * journal and sessions in memory, so that nothing but the way there differs. Then both commit to one session file without a pause, 8 sessions each: the
 * thread and the process have no common gate, and wait for each other as SQLite does.
 *
 * node bench/carriers.ts [--turns 5000] [--rounds 3] [--seconds 5]
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Supervisor, createSupervisor } from '../src/main/index.ts';
import { median, option, percentile, printJson, printTable, rounded } from './lib/stats.ts';

const TURNS = option('turns', 5_000);
const ROUNDS = option('rounds', 3);
const SECONDS = option('seconds', 5);
const ISOLATIONS = ['dedicated', 'process'] as const;

type Isolation = (typeof ISOLATIONS)[number];

let sent = 0;

async function ask(supervisor: Supervisor, agent: string, session: string): Promise<void> {
  sent += 1;
  await supervisor.inject({
    id: `m${sent}`,
    channel: 'bench',
    namespace: `bench:${session}`,
    agent,
    message: { role: 'user', content: 'x'.repeat(100) },
    metadata: {},
    receivedAt: Date.now(),
  });
}

async function withHost<T>(
  agents: Readonly<Record<string, Isolation>>,
  store: 'memory' | 'sqlite',
  work: (supervisor: Supervisor) => Promise<T>,
): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), 'orrery-bench-'));
  const entries = Object.entries(agents).map(
    ([name, isolation]) => [name, { use: 'builtin:echo', isolation }] as const,
  );
  const supervisor = await createSupervisor({
    agents: Object.fromEntries(entries),
    defaultAgent: entries[0]?.[0] ?? '',
    workers: { threads: 1 },
    delivery: { journal: 'memory' },
    sessions: { store },
    dataDir,
  });
  try {
    await supervisor.start();
    return await work(supervisor);
  } finally {
    await supervisor.close();
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 });
  }
}

/** Turns a second with so many at once, each in a session of its own. */
async function speed(supervisor: Supervisor, atOnce: number): Promise<number> {
  const began = performance.now();
  let left = TURNS;
  await Promise.all(
    Array.from({ length: atOnce }, async (_, i) => {
      while (left-- > 0) await ask(supervisor, 'agent', `s${i}`);
    }),
  );
  return TURNS / ((performance.now() - began) / 1_000);
}

interface Cost {
  readonly startMs: number;
  readonly perSecond1: number;
  readonly perSecond64: number;
  /** Resident, and of it what is not shared with another process, in MB; a thread has no number of its own. */
  readonly residentMb?: number;
  readonly ownMb?: number;
}

function cost(isolation: Isolation): Promise<Cost> {
  return withHost({ agent: isolation }, 'memory', async (supervisor) => {
    // The first start compiles; the next ones find it compiled.
    await supervisor.agents.restart('agent');
    const began = performance.now();
    await supervisor.agents.restart('agent');
    const startMs = performance.now() - began;
    const pid = supervisor.status().slots.find(({ slot }) => slot === 'agent')?.pid;
    const memory = pid === undefined ? {} : { residentMb: memoryMb(pid, 'Rss'), ownMb: memoryMb(pid, 'Pss') };
    await speed(supervisor, 64);
    return { startMs, perSecond1: await speed(supervisor, 1), perSecond64: await speed(supervisor, 64), ...memory };
  });
}

function memoryMb(pid: number, what: 'Rss' | 'Pss'): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(new RegExp(`^${what}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1_024;
}

interface Share {
  readonly isolation: Isolation;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

function contention(): Promise<readonly Share[]> {
  return withHost({ dedicated: 'dedicated', process: 'process' }, 'sqlite', (supervisor) =>
    Promise.all(
      ISOLATIONS.map(async (isolation) => {
        const waits: number[] = [];
        const until = performance.now() + SECONDS * 1_000;
        await Promise.all(
          Array.from({ length: 8 }, async (_, i) => {
            while (performance.now() < until) {
              const began = performance.now();
              await ask(supervisor, isolation, `s${i}`);
              waits.push(performance.now() - began);
            }
          }),
        );
        return {
          isolation,
          perSecond: rounded(waits.length / SECONDS),
          p50Ms: rounded(percentile(waits, 0.5)),
          p99Ms: rounded(percentile(waits, 0.99)),
          maxMs: rounded(percentile(waits, 1)),
        };
      }),
    ),
  );
}

const rows = [];
for (const isolation of ISOLATIONS) {
  const rounds: Cost[] = [];
  for (let i = 0; i < ROUNDS; i++) rounds.push(await cost(isolation));
  const of = (key: keyof Cost): number => rounded(median(rounds.map((round) => round[key] ?? 0)));
  rows.push({
    isolation,
    startMs: of('startMs'),
    residentMb: of('residentMb'),
    ownMb: of('ownMb'),
    perSecond1: of('perSecond1'),
    perSecond64: of('perSecond64'),
  });
}
const shares = await contention();
printTable(
  ['an agent of its own', 'restart ms', 'RSS MB', 'PSS MB', 'turns/s, 1 at once', '64 at once'],
  rows.map((r) => [r.isolation, ...[r.startMs, r.residentMb, r.ownMb, r.perSecond1, r.perSecond64].map(String)]),
);
printTable(
  ['both commit at once', 'turns/s', 'p50 ms', 'p99 ms', 'max ms'],
  shares.map((s) => [s.isolation, ...[s.perSecond, s.p50Ms, s.p99Ms, s.maxMs].map(String)]),
);
printJson('carriers', { rows, shares });
