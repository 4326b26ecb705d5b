/**
 * Keeps a supervisor under an even load and watches what it holds: memory, threads, open files, sockets, handles. After the warm-up
 * its memory may rise by 1 MB in 10 minutes, and nothing else at all. Every message is in the ledger, as in the chaos run.
 *
 * In the warm-up messages come faster: heaps and SQLite's page caches (16 MB for each thread) come to their level by the message,
 * which at the even pace took a quarter of an hour.
 *
 * node test/chaos/soak.ts [--minutes 20] [--per-second 150] [--kill-every SECONDS] [--short] [--seed N] [--keep]
 *
 * `--short`: 1 minute. In so little time memory is still coming to its level: main's heap is held to a bound instead.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { flag, option, printJson, printTable, printTarget, rounded } from '../../bench/lib/stats.ts';
import type { OrreryConfig } from '../../src/main/index.ts';
import { figuresOf } from './leftovers.ts';
import { Load } from './load.ts';
import { type PlannedSession, planOf } from './plan.ts';
import { Rig } from './rig.ts';
import { type Sample, lowestOf, slopeOf } from './slope.ts';
import { verify } from './verify.ts';

const SHORT = flag('short');
const MINUTES = option('minutes', SHORT ? 1 : 20);
const PER_SECOND = option('per-second', 150);
const KILL_EVERY = option('kill-every', 0);
const SEED = option('seed', 1);

const MINUTE = 60_000;
const MB = 1_048_576;
const WARM_UP = 0.5;
/** Times the even pace, in the warm-up. */
const WARM_UP_PACE = SHORT ? 1 : 6;
const SAMPLE_MS = SHORT ? 500 : 2_000;
/** Collections of garbage come more often than this. */
const STRETCH_MS = SHORT ? 5_000 : 30_000;
const FEED_MS = 50;
const SHUTDOWN_MS = 15_000;
/** Few in a short run, so that each has opened all its connections in the warm-up. */
const LANES = SHORT ? 12 : 64;

/** MB of the process in 10 minutes; and of main's heap in all, where the run is too short for the former. */
const MAX_SLOPE = 1;
const MAX_HEAP_RISE = 3;
/** Handles, files and sockets come and go with requests; so many are no rise. */
const LEEWAY = 6;

const CONFIG: OrreryConfig = {
  agents: {},
  workers: { threads: 2 },
  // Short retentions, so that what is kept for a while is at its level after the warm-up.
  delivery: { dedupeRetentionMs: 20_000, replyRetentionMs: 20_000, maxDeadLetters: 100 },
  sessions: { cacheBytes: MB },
  restarts: { maxRestarts: 1_000_000, backoffMinMs: 10, backoffMaxMs: 50 },
  shutdown: { timeoutMs: SHUTDOWN_MS },
  log: { level: 'info', pretty: false },
};

interface Look {
  readonly at: number;
  readonly rssMb: number;
  /** Of main, after a collection. */
  readonly heapMb: number;
  readonly threads: number;
  readonly files: number;
  readonly sockets: number;
  readonly handles: number;
  readonly ports: number;
}

let ending = false;
const used: PlannedSession[] = [];
const rig = await Rig.open({ config: CONFIG, execArgv: ['--expose-gc'] });
const { link, ledger } = rig;
await link.start();
const load = new Load({ sessions: endless(), lanes: LANES, ledger, client: (way) => rig.client(way) });
const began = performance.now();
const elapsed = (): number => performance.now() - began;
const feeding = setInterval(() => {
  const pace = elapsed() < WARM_UP * MINUTES * MINUTE ? WARM_UP_PACE : 1;
  load.budget.add((pace * PER_SECOND * FEED_MS) / 1_000);
}, FEED_MS);
const loading = load.run();

const looks: Look[] = [];
let kills = 0;
while (elapsed() < MINUTES * MINUTE) {
  await delay(SAMPLE_MS);
  if (KILL_EVERY > 0 && elapsed() > (kills + 1) * KILL_EVERY * 1_000) {
    kills += 1;
    ledger.excuseBegins();
    await link.ask('endThread', { end: 'terminate' });
    ledger.excuseEnds();
  }
  await look();
}
clearInterval(feeding);
ending = true;
load.budget.add(Number.MAX_SAFE_INTEGER);
await loading;
await verify(rig, used, { shutdownMs: SHUTDOWN_MS });
finish();

/** Sessions without end, each with messages of its own, until the time is over. */
function* endless(): Iterable<PlannedSession> {
  const none = { killThreads: 0, killProcess: 0, drops: 0, stalls: 0, modelErrors: 0, disks: 0, journalThreads: 0 };
  const { sessions } = planOf({ seed: SEED, messages: Math.ceil(MINUTES * 60 * PER_SECOND * WARM_UP_PACE), ...none });
  for (const session of sessions) {
    if (ending) return;
    used.push(session);
    yield session;
  }
}

async function look(): Promise<void> {
  const at = elapsed();
  const { handles, heapBytes } = await link.ask('resources', { collect: true });
  const figures = figuresOf(link.pid);
  if (!figures) throw new Error('The host is gone');
  const { rssBytes, threads, files, sockets } = figures;
  const all = Object.values(handles).reduce((sum, count) => sum + count, 0);
  looks.push({
    at,
    rssMb: rssBytes / MB,
    heapMb: heapBytes / MB,
    threads,
    files,
    sockets,
    handles: all,
    ports: handles['MessagePort'] ?? 0,
  });
}

function finish(): never {
  const warm = looks.filter(({ at }) => at >= WARM_UP * MINUTES * MINUTE);
  const samples = (key: Exclude<keyof Look, 'at'>): readonly Sample[] =>
    warm.map((one) => ({ at: one.at, value: one[key] }));
  const memory = lowestOf(samples('rssMb'), STRETCH_MS);
  const slope = slopeOf(memory) * 10 * MINUTE;
  const heapRise = (warm.at(-1)?.heapMb ?? 0) - (warm[0]?.heapMb ?? 0);
  const rise = (memory.at(-1)?.value ?? 0) - (memory[0]?.value ?? 0);
  const step = Math.max(1, Math.floor(looks.length / 20));
  printTable(
    ['minute', 'RSS MB', "main's heap MB", 'threads', 'files', 'sockets', 'handles', 'ports'],
    looks
      .filter((_, i) => i % step === 0 || i === looks.length - 1)
      .map((one) => [
        (one.at / MINUTE).toFixed(1),
        one.rssMb.toFixed(1),
        one.heapMb.toFixed(1),
        String(one.threads),
        String(one.files),
        String(one.sockets),
        String(one.handles),
        String(one.ports),
      ]),
  );
  const targets: [what: string, measured: string, holds: boolean][] = [
    SHORT
      ? [
          `main's heap after the warm-up, at most ${MAX_HEAP_RISE} MB more`,
          `${heapRise.toFixed(2)} MB`,
          heapRise <= MAX_HEAP_RISE,
        ]
      : [
          `memory after the warm-up, at most ${MAX_SLOPE} MB in 10 minutes`,
          `${slope.toFixed(2)} MB`,
          slope <= MAX_SLOPE,
        ],
  ];
  for (const key of ['threads', 'files', 'sockets', 'handles', 'ports'] as const) {
    const third = Math.ceil(warm.length / 3);
    const most = (part: readonly Look[]): number => Math.max(...part.map((one) => one[key]));
    const [before, after] = [most(warm.slice(0, third)), most(warm.slice(-third))];
    const leeway = key === 'threads' ? 0 : LEEWAY;
    targets.push([
      `${key} at most what they were after the warm-up`,
      `${before} then ${after}`,
      after <= before + leeway,
    ]);
  }
  const { violations } = ledger;
  targets.push([
    'messages that the ledger finds something wrong with',
    String(violations.length),
    violations.length === 0,
  ]);
  for (const target of targets) printTarget(...target);
  for (const { kind, what } of violations.slice(0, 20)) console.log(`${kind}: ${what}`);
  const figures = ledger.figures();
  const holds = targets.every(([, , one]) => one);
  printJson('soak', {
    seed: SEED,
    holds,
    minutes: MINUTES,
    messages: figures.messages,
    answered: figures.answered,
    dead: figures.dead,
    threadKills: kills,
    slopeMbIn10Minutes: rounded(slope),
    riseMb: rounded(rise),
    heapRiseMb: rounded(heapRise),
    rssMb: rounded(looks.at(-1)?.rssMb ?? 0, 1),
    violations: violations.length,
  });
  const keep = !holds || flag('keep');
  if (keep) writeFileSync(join(rig.directory, 'looks.json'), JSON.stringify(looks));
  if (keep) console.log(`The run's files: ${rig.directory}`);
  rig.close({ keep });
  process.exit(holds ? 0 : 1);
}
