/**
 * The process whose main thread is measured: Orrery, a main thread with plain worker threads beside it, or a single-thread
 * host. Each keeps its turns going without a pause and answers JSON pings over WebSocket.
 *
 * host.ts KIND THREADS UNITS
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Worker } from 'node:worker_threads';
import { WebSocketServer } from 'ws';
import { type InboundMessage, createSupervisor } from '../../src/main/index.ts';
import { benchLog, gatewayUrl } from '../lib/host.ts';
import { serve } from '../lib/process.ts';
import { burn } from './burn.ts';
import { LoopDelay } from './loop-delay.ts';

interface Host {
  readonly url: string;
  close(): Promise<void>;
}

/** Messages under way for each slot: one runs, one waits, so that the slot never idles. */
const IN_FLIGHT = 2;

const [kind, threads, units] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
let turns = 0;
let lost = 0;

async function orrery(): Promise<Host> {
  const names = Array.from({ length: threads }, (_, i) => `busy-${i}`);
  const [first = ''] = names;
  const supervisor = await createSupervisor(
    {
      // The least loaded slot takes the next agent: one on each.
      agents: Object.fromEntries(names.map((name) => [name, { use: './busy-agent.ts' }])),
      defaultAgent: first,
      workers: { threads },
      channels: { web: { type: 'gateway', port: 0 } },
    },
    { dir: import.meta.dirname, log: benchLog() },
  );
  await supervisor.start();
  const closing = new AbortController();
  let n = 0;
  const keepBusy = async (agent: string, lane: number): Promise<void> => {
    while (!closing.signal.aborted) {
      n += 1;
      const message: InboundMessage = {
        id: `m${n}`,
        channel: 'bench',
        namespace: `bench:${agent}:${lane}`,
        agent,
        message: { role: 'user', content: String(units) },
        metadata: {},
        receivedAt: Date.now(),
      };
      await supervisor.inject(message).then(
        () => (turns += 1),
        () => (lost += 1),
      );
    }
  };
  const running = names.flatMap((name) => Array.from({ length: IN_FLIGHT }, (_, lane) => keepBusy(name, lane)));
  return {
    url: `${gatewayUrl(supervisor).replace('http', 'ws')}/ws`,
    async close() {
      closing.abort();
      await Promise.all(running);
      await supervisor.close();
    },
  };
}

async function pingServer(): Promise<{ url: string; server: WebSocketServer }> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  server.on('connection', (socket) => {
    socket.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as { id: number };
      socket.send(JSON.stringify({ type: 'pong', id: frame.id }));
    });
  });
  await once(server, 'listening');
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`, server };
}

async function plainThreads(): Promise<Host> {
  const { url, server } = await pingServer();
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL('./busy-thread.ts', import.meta.url), { workerData: units }),
  );
  for (const worker of workers) worker.on('message', () => (turns += 1));
  return {
    url,
    async close() {
      server.close();
      for (const worker of workers) await worker.terminate();
    },
  };
}

async function single(): Promise<Host> {
  const { url, server } = await pingServer();
  let open = true;
  const turn = (): void => {
    if (!open) return;
    burn(units);
    turns += 1;
    setImmediate(turn);
  };
  turn();
  return {
    url,
    async close() {
      open = false;
      server.close();
    },
  };
}

const hosts: Readonly<Record<string, () => Promise<Host>>> = { orrery, threads: plainThreads, single };
const make = hosts[kind ?? ''];
if (!make) throw new Error(`Expected orrery, threads or single, got ${kind}`);
const host = await make();
const loop = new LoopDelay();
serve(
  {
    url: () => host.url,
    begin: () => {
      turns = 0;
      lost = 0;
      loop.begin();
    },
    end: () => ({ ...loop.end(), turns, lost }),
  },
  () => host.close(),
);
