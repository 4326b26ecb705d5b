/**
 * What does the whole path cost? A 1 KB message goes through intake, router, mailbox, journal, worker, session and outbox
 * and comes back, beside `piscina.run` at its fastest settings, comlink call by call and raw `postMessage`, each on as many
 * threads. Contestants alternate in one process; figures are medians of rounds. Sessions are in memory here, as the peers write
 * nothing either; what a commit to disk adds is `bench/sessions`.
 *
 * node bench/roundtrip.ts [--threads 2] [--rounds 7] [--messages 30000]
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import { Piscina } from 'piscina';
import { createSupervisor } from '../src/main/index.ts';
import { createLogger } from '../src/lib/log.ts';
import { median, option, percentile, printJson, printTable } from './lib/stats.ts';
import type { Message } from './roundtrip/echo-worker.ts';

const THREADS = option('threads', 2);
const ROUNDS = option('rounds', 7);
const MESSAGES = option('messages', 30_000);
const IN_FLIGHT = [1, 64, 256];
const TEXT = 'x'.repeat(1024);
const WORKER = new URL('./roundtrip/echo-worker.ts', import.meta.url);

interface Contestant {
  readonly name: string;
  /** Sends one message and resolves with the reply's text; `lane` tells concurrent callers apart. */
  send(lane: number): Promise<string>;
  close(): Promise<void>;
}

let counter = 0;
const nextId = (): string => `m${(counter += 1)}`;
const message = (): Message => ({ id: nextId(), role: 'user', content: TEXT });

async function orrery(): Promise<Contestant> {
  const log = createLogger({ level: 'info', pretty: false }, {}, { write: () => undefined });
  const config = {
    agents: { echo: { use: 'builtin:echo', replicas: THREADS } },
    workers: { threads: THREADS },
    delivery: { journal: 'memory' },
    sessions: { store: 'memory' },
  } as const;
  const supervisor = await createSupervisor(config, { log });
  await supervisor.start();
  return {
    name: 'Orrery (whole path)',
    async send(lane) {
      const reply = await supervisor.inject({
        id: nextId(),
        channel: 'bench',
        namespace: `bench:${lane}`,
        message: { role: 'user', content: TEXT },
        metadata: {},
        receivedAt: Date.now(),
      });
      return reply.message.content;
    },
    close: () => supervisor.close(),
  };
}

function piscina(concurrentTasksPerWorker: number, atomics: 'sync' | 'async' | 'disabled'): Contestant {
  const pool = new Piscina({
    filename: WORKER.href,
    minThreads: THREADS,
    maxThreads: THREADS,
    concurrentTasksPerWorker,
    atomics,
    recordTiming: false,
    idleTimeout: Infinity,
  });
  return {
    name: `piscina.run (tasks ${concurrentTasksPerWorker}, atomics ${atomics})`,
    async send() {
      const reply = (await pool.run(message())) as { content: string };
      return reply.content;
    },
    close: () => pool.destroy(),
  };
}

function comlink(): Contestant {
  const threads = Array.from({ length: THREADS }, () => {
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(WORKER, { workerData: { kind: 'comlink', port: port2 }, transferList: [port2] });
    const remote = Comlink.wrap<{ echo(message: Message): { content: string } }>(nodeEndpoint(port1));
    return { worker, remote, port1 };
  });
  let turn = 0;
  return {
    name: 'comlink, call by call',
    async send() {
      const thread = threads[(turn += 1) % THREADS];
      const reply = await thread?.remote.echo(message());
      return reply?.content ?? '';
    },
    async close() {
      for (const { worker, port1 } of threads) {
        port1.close();
        await worker.terminate();
      }
    },
  };
}

function raw(): Contestant {
  const waiting = new Map<number, (text: string) => void>();
  const threads = Array.from({ length: THREADS }, () => {
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(WORKER, { workerData: { kind: 'raw', port: port2 }, transferList: [port2] });
    port1.on('message', ({ n, reply }: { n: number; reply: { content: string } }) => {
      waiting.get(n)?.(reply.content);
      waiting.delete(n);
    });
    return { worker, port1 };
  });
  let n = 0;
  return {
    name: 'raw postMessage',
    send() {
      n += 1;
      const id = n;
      return new Promise((resolve) => {
        waiting.set(id, resolve);
        threads[id % THREADS]?.port1.postMessage({ n: id, message: message() });
      });
    },
    async close() {
      for (const { worker, port1 } of threads) {
        port1.close();
        await worker.terminate();
      }
    },
  };
}

/** One round: `inFlight` callers, each with one message under way at a time. */
async function round(
  contestant: Contestant,
  inFlight: number,
  messages: number,
): Promise<{ perSecond: number; p50: number; cpuUs: number }> {
  let left = messages;
  const latencies: number[] = [];
  const cpuBefore = process.cpuUsage();
  const began = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, async (_, lane) => {
      while (left > 0) {
        left -= 1;
        const sent = performance.now();
        const text = await contestant.send(lane);
        if (text !== TEXT) throw new Error(`${contestant.name} answered with another text`);
        latencies.push(performance.now() - sent);
      }
    }),
  );
  const seconds = (performance.now() - began) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  return { perSecond: messages / seconds, p50: median(latencies), cpuUs: (cpu.user + cpu.system) / messages };
}

const size = (inFlight: number): number => (inFlight === 1 ? Math.ceil(MESSAGES / 6) : MESSAGES);

/** piscina's fastest settings for each load, by a short sweep that is printed. */
async function sweep(): Promise<Map<number, Contestant>> {
  const best = new Map<number, { perSecond: number; tasks: number; atomics: 'sync' | 'async' | 'disabled' }>();
  const rows: string[][] = [];
  for (const atomics of ['sync', 'async', 'disabled'] as const) {
    for (const tasks of [1, 4, 16, 64, 128]) {
      const contestant = piscina(tasks, atomics);
      await round(contestant, 64, 2_000);
      const speeds: number[] = [];
      for (const inFlight of IN_FLIGHT) {
        const { perSecond } = await round(contestant, inFlight, Math.ceil(size(inFlight) / 3));
        speeds.push(perSecond);
        if (perSecond > (best.get(inFlight)?.perSecond ?? 0)) best.set(inFlight, { perSecond, tasks, atomics });
      }
      await contestant.close();
      rows.push([`tasks ${tasks}, atomics ${atomics}`, ...speeds.map((speed) => Math.round(speed).toString())]);
    }
  }
  console.log('piscina.run, the sweep (messages/s):');
  printTable(['settings', ...IN_FLIGHT.map((n) => `${n} in flight`)], rows);
  return new Map([...best].map(([inFlight, { tasks, atomics }]) => [inFlight, piscina(tasks, atomics)]));
}

const fastest = await sweep();
const others = [await orrery(), comlink(), raw()];
const figures: Record<string, unknown>[] = [];
for (const inFlight of IN_FLIGHT) {
  const peer = fastest.get(inFlight);
  const contestants = peer ? [...others, peer] : others;
  const results = contestants.map(() => ({ perSecond: [] as number[], p50: [] as number[], cpuUs: [] as number[] }));
  for (const contestant of contestants) await round(contestant, inFlight, size(inFlight) / 2);
  for (let i = 0; i < ROUNDS; i++) {
    for (const [k, contestant] of contestants.entries()) {
      const { perSecond, p50, cpuUs } = await round(contestant, inFlight, size(inFlight));
      results[k]?.perSecond.push(perSecond);
      results[k]?.p50.push(p50);
      results[k]?.cpuUs.push(cpuUs);
    }
  }
  const base = median(results.at(-1)?.perSecond ?? []);
  const rows = contestants.map((contestant, k) => {
    const { perSecond, p50, cpuUs } = results[k] ?? { perSecond: [], p50: [], cpuUs: [] };
    const speed = median(perSecond);
    figures.push({
      name: contestant.name,
      inFlight,
      perSecond: Math.round(speed),
      p50Us: Math.round(median(p50) * 1000),
      ofPiscina: Number((speed / base).toFixed(2)),
    });
    return [
      contestant.name,
      Math.round(speed).toString(),
      (speed / base).toFixed(2),
      (median(p50) * 1000).toFixed(0),
      median(cpuUs).toFixed(1),
      (percentile(perSecond, 0) / 1000).toFixed(1),
    ];
  });
  console.log(`\n${inFlight} in flight, ${THREADS} threads, 1 KB, ${ROUNDS} rounds:`);
  printTable(['contestant', 'messages/s', 'x piscina', 'p50 us', 'CPU us', 'slowest round k/s'], rows);
}
printJson('roundtrip', { threads: THREADS, results: figures });
await Promise.all([...others, ...fastest.values()].map((contestant) => contestant.close()));
