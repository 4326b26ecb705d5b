/**
 * What does durable acceptance cost? First the whole host: messages that were accepted and answered in a second, on the SQLite journal
 * and on the one in memory (sessions are in memory in both: what they cost on disk is `bench/sessions`). Then the journals alone:
 * messages are appended as intake does it and go through three later states each, beside a thread that writes one
 * transaction a message, and a journal that does nothing (what the load itself costs on main). Beside them the disk: a plain loop of write
 * and fsync. Contestants alternate, each round with a new file and new threads; figures are medians of rounds, and ratios medians of the ratios of one round: a machine that is slower for
 * a while is so for both.
 *
 * node bench/durable.ts [--seconds 1] [--rounds 5] [--dir PATH]
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { createLogger } from '../src/lib/log.ts';
import type { Admission, Journal } from '../src/main/delivery/journal.ts';
import { MemoryJournal } from '../src/main/delivery/memory-journal.ts';
import { SqliteJournal } from '../src/main/delivery/sqlite-journal/sqlite-journal.ts';
import { createSupervisor } from '../src/main/index.ts';
import {
  type Accepted,
  type DeliveryId,
  type DeliveryState,
  type InboundMessage,
  NO_USAGE,
} from '../src/protocol/index.ts';
import type { SingleRequest } from './durable/single-writer.ts';
import { median, option, percentile, printJson, printTable, printTarget, rounded } from './lib/stats.ts';

const SECONDS = option('seconds', 1);
const ROUNDS = option('rounds', 5);
const THREADS = 2;
const IN_FLIGHT = [1, 64, 256];
const SESSIONS = 1_000;
const TEXT = 'What is the weather like in the mountains tomorrow, and should I take a coat with me? '.repeat(3);
const RETENTION = { dedupeRetentionMs: 600_000, replyRetentionMs: 600_000 };
const FSYNCS = 300;
/** New threads compile what they do in their first second. */
const WARM_UP_MS = 1_000;

const at = process.argv.indexOf('--dir');
const PARENT = at < 0 ? tmpdir() : (process.argv[at + 1] ?? tmpdir());

type Contestant = Pick<Journal, 'append' | 'mark' | 'close'>;

const CONTESTANTS: Readonly<Record<string, (dir: string) => Contestant | Promise<Contestant>>> = {
  'SQLite journal': (dir) =>
    SqliteJournal.open({ file: join(dir, 'journal.db'), idPrefix: 'b', maxDeadLetters: 1_000, ...RETENTION }),
  'journal in memory': () => new MemoryJournal({ idPrefix: 'b', maxDeadLetters: 1_000, ...RETENTION }),
  'one transaction a message': (dir) => singleWriter(join(dir, 'single.db')),
  'no journal': () => nothing(),
};

interface Round {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of the main thread for a message, with what the load itself takes. */
  readonly mainUs: number;
  readonly loopP99Ms: number;
}

function nothing(): Contestant {
  let next = 0;
  return {
    append: (batch) =>
      new Promise((resolve) => {
        const answers = batch.map(({ agent }): Accepted => ({ status: 'accepted', id: `b-${(next += 1)}`, agent }));
        setImmediate(resolve, answers);
      }),
    mark: () => undefined,
    close: () => Promise.resolve(),
  };
}

function singleWriter(file: string): Contestant {
  const worker = new Worker(new URL('./durable/single-writer.ts', import.meta.url), { workerData: file });
  const waiting = new Map<number, (answer: Accepted) => void>();
  let next = 0;
  worker.on('message', (seq: number) => {
    waiting.get(seq)?.({ status: 'accepted', id: String(seq), agent: 'echo' });
    waiting.delete(seq);
  });
  const post = (request: SingleRequest): void => worker.postMessage(request);
  return {
    append: (batch) =>
      Promise.all(
        batch.map(({ inbound }) => {
          const seq = (next += 1);
          post([seq, JSON.stringify(inbound)]);
          return new Promise<Accepted>((resolve) => waiting.set(seq, resolve));
        }),
      ),
    // The states between are left out: they would only cost it more.
    mark: (id, { status }) => (status === 'answered' ? post([Number(id)]) : undefined),
    close: async () => {
      await worker.terminate();
    },
  };
}

const DISPATCHED: DeliveryState = { status: 'dispatched', slot: 0, generation: 1, attempt: 1 };
const reply = { message: { role: 'assistant', content: TEXT }, usage: NO_USAGE, steps: 0 } as const;

/** Gathers what is appended in one tick, as intake does. */
class Gatherer {
  readonly #journal: Contestant;
  #batch: { readonly admission: Admission; readonly resolve: (id: DeliveryId) => void }[] = [];

  constructor(journal: Contestant) {
    this.#journal = journal;
  }

  append(admission: Admission): Promise<DeliveryId> {
    return new Promise((resolve) => {
      this.#batch.push({ admission, resolve });
      if (this.#batch.length === 1) queueMicrotask(() => void this.#run());
    });
  }

  async #run(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    const answers = await this.#journal.append(batch.map(({ admission }) => admission));
    for (const [i, { resolve }] of batch.entries()) {
      const answer = answers[i];
      if (!answer || answer instanceof Error) throw new Error('A message was refused', { cause: answer });
      resolve(answer.id);
    }
  }
}

/** Sends messages in lanes, each the next when the last is done, for a while; first so for a moment that does not count. */
async function measure(inFlight: number, send: (n: number, latencies: number[]) => Promise<void>): Promise<Round> {
  const latencies: number[] = [];
  let n = 0;
  let stopAt = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() < stopAt) await send((n += 1), latencies);
  };
  const run = async (ms: number): Promise<void> => {
    stopAt = performance.now() + ms;
    await Promise.all(Array.from({ length: inFlight }, lane));
  };
  await run(WARM_UP_MS);
  latencies.length = 0;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = process.threadCpuUsage();
  const from = performance.now();
  await run(SECONDS * 1_000);
  const ms = performance.now() - from;
  const { user, system } = process.threadCpuUsage(cpu);
  delay.disable();
  return {
    perSecond: (latencies.length / ms) * 1_000,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    mainUs: (user + system) / latencies.length,
    // The histogram counts its own interval of a millisecond.
    loopP99Ms: Math.max(0, delay.percentile(99) / 1e6 - 1),
  };
}

function messageOf(n: number): InboundMessage {
  return {
    id: `m${n}`,
    channel: 'bench',
    namespace: `bench:user-${n % SESSIONS}`,
    message: { role: 'user', content: TEXT },
    metadata: {},
    receivedAt: Date.now(),
  };
}

async function inFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(PARENT, 'orrery-bench-'));
  try {
    return await work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function journalRound(open: (dir: string) => Contestant | Promise<Contestant>, inFlight: number): Promise<Round> {
  return inFolder(async (dir) => {
    const journal = await open(dir);
    const intake = new Gatherer(journal);
    const result = await measure(inFlight, async (n, latencies) => {
      const from = performance.now();
      const id = await intake.append({ inbound: messageOf(n), agent: 'echo' });
      latencies.push(performance.now() - from);
      journal.mark(id, DISPATCHED, 1);
      // The turn comes back in a later round of the loop.
      await new Promise(setImmediate);
      journal.mark(id, { status: 'committed', reply }, 1);
      journal.mark(id, { status: 'answered', reply }, 1);
    });
    await journal.close();
    return result;
  });
}

function hostRound(journal: 'sqlite' | 'memory', inFlight: number): Promise<Round> {
  return inFolder(async (dir) => {
    const log = createLogger({ level: 'info', pretty: false }, {}, { write: () => undefined });
    const supervisor = await createSupervisor(
      {
        agents: { echo: { use: 'builtin:echo', replicas: THREADS } },
        workers: { threads: THREADS },
        sessions: { store: 'memory' },
        delivery: { journal },
        dataDir: dir,
      },
      { log },
    );
    await supervisor.start();
    const result = await measure(inFlight, async (n, latencies) => {
      const from = performance.now();
      await supervisor.inject(messageOf(n));
      latencies.push(performance.now() - from);
    });
    await supervisor.drain();
    return result;
  });
}

/** Milliseconds of a write of 4 KB with its fsync, each to a new place of one file. */
function fsyncMs(): number {
  const dir = mkdtempSync(join(PARENT, 'orrery-bench-'));
  const file = openSync(join(dir, 'fsync'), 'w');
  const page = Buffer.alloc(4_096, 1);
  const times: number[] = [];
  for (let i = 0; i < FSYNCS; i++) {
    const from = performance.now();
    writeSync(file, page, 0, page.length, i * page.length);
    fdatasyncSync(file);
    times.push(performance.now() - from);
  }
  closeSync(file);
  rmSync(dir, { recursive: true, force: true });
  return median(times);
}

const ON_DISK = 'Orrery, journal in SQLite';
const IN_MEMORY = 'Orrery, journal in memory';
const SINGLE = 'one transaction a message';
const runs: Readonly<Record<string, (inFlight: number) => Promise<Round>>> = {
  [ON_DISK]: (inFlight) => hostRound('sqlite', inFlight),
  [IN_MEMORY]: (inFlight) => hostRound('memory', inFlight),
  ...Object.fromEntries(
    Object.entries(CONTESTANTS).map(([name, open]) => [name, (inFlight: number) => journalRound(open, inFlight)]),
  ),
};

const rounds = new Map<string, Round[]>();
const fsyncs: number[] = [];
for (let i = 0; i < ROUNDS; i++) {
  for (const inFlight of IN_FLIGHT) {
    for (const [name, run] of Object.entries(runs)) {
      fsyncs.push(fsyncMs());
      const key = `${name}|${inFlight}`;
      rounds.set(key, [...(rounds.get(key) ?? []), await run(inFlight)]);
    }
  }
}

function figure(name: string, inFlight: number, key: keyof Round): number {
  return median((rounds.get(`${name}|${inFlight}`) ?? []).map((one) => one[key]));
}

/** How many times the messages of another in the same round. */
function ratio(name: string, other: string, inFlight: number): number {
  const others = rounds.get(`${other}|${inFlight}`) ?? [];
  return median(
    (rounds.get(`${name}|${inFlight}`) ?? []).map(({ perSecond }, i) => perSecond / (others[i]?.perSecond ?? 0)),
  );
}

const fsync = median(fsyncs);
const results = IN_FLIGHT.flatMap((inFlight) =>
  Object.keys(runs).map((name) => ({
    name,
    inFlight,
    perSecond: Math.round(figure(name, inFlight, 'perSecond')),
    p50Ms: rounded(figure(name, inFlight, 'p50Ms'), 3),
    p99Ms: rounded(figure(name, inFlight, 'p99Ms'), 3),
    mainUs: rounded(figure(name, inFlight, 'mainUs')),
    loopP99Ms: rounded(figure(name, inFlight, 'loopP99Ms')),
  })),
);
printTable(
  ['contestant', 'in flight', 'messages/s', 'p50 ms', 'p99 ms', 'main us a message', 'loop p99 ms'],
  results.map((r) => [
    r.name,
    String(r.inFlight),
    String(r.perSecond),
    r.p50Ms.toFixed(3),
    r.p99Ms.toFixed(3),
    r.mainUs.toFixed(1),
    r.loopP99Ms.toFixed(1),
  ]),
);
console.log('\nThe host is timed from a message to its answer, a journal alone from a message to its acceptance.');
console.log(`A write of 4 KB with its fsync on this disk: ${fsync.toFixed(3)} ms`);

const ofMemory = ratio(ON_DISK, IN_MEMORY, 256);
const overSingle = ratio(ON_DISK, SINGLE, 256);
const addedFsyncs = (figure(ON_DISK, 1, 'p50Ms') - figure(IN_MEMORY, 1, 'p50Ms')) / fsync;
const loopP99Ms = figure(ON_DISK, 256, 'loopP99Ms');
printTarget(
  '256 in flight, whole host, times the journal in memory, at least 0.5',
  ofMemory.toFixed(2),
  ofMemory >= 0.5,
);
printTarget(
  '256 in flight, whole host, times one transaction a message alone, at least 10',
  overSingle.toFixed(1),
  overSingle >= 10,
);
printTarget(
  '1 in flight, whole host, added fsyncs of latency, at most 1.5',
  addedFsyncs.toFixed(2),
  addedFsyncs <= 1.5,
);
printTarget(
  '256 in flight, whole host, event-loop p99 on main in ms, at most 10',
  loopP99Ms.toFixed(1),
  loopP99Ms <= 10,
);
printJson('durable', {
  seconds: SECONDS,
  rounds: ROUNDS,
  fsyncMs: rounded(fsync, 3),
  ofMemory: rounded(ofMemory),
  overSingle: rounded(overSingle),
  addedFsyncs: rounded(addedFsyncs),
  loopP99Ms: rounded(loopP99Ms),
  results,
});
