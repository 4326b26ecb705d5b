/** Owns the restarts that are timed: a slot of Orrery with its agents, and plain threads. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type Supervisor, createSupervisor } from '../../src/main/index.ts';
import { benchLog } from '../lib/host.ts';

export type How = 'exit' | 'throw';

/** Milliseconds from the message that ends the thread. */
export interface Restart {
  /** Until the thread serves again, with every agent on it started. */
  readonly readyMs: number;
  /** Until an agent that lost its thread answers a message that was sent at the moment of the crash. */
  readonly answerMs?: number;
}

export interface Crasher {
  readonly name: string;
  crash(how: How): Promise<Restart>;
  close(): Promise<void>;
}

/** One shared slot with that many agents, of which one crashes. */
export async function orrerySlot(agents: number): Promise<Crasher> {
  const neighbours = Array.from({ length: agents - 1 }, (_, i) => `agent-${i}`);
  const supervisor = await createSupervisor(
    {
      agents: {
        crasher: { use: './crash-agent.ts' },
        ...Object.fromEntries(neighbours.map((name) => [name, { use: 'builtin:eliza' }])),
      },
      defaultAgent: 'crasher',
      workers: { threads: 1 },
      sessions: { store: 'memory' },
      // It crashes again and again: what is timed is the restart, not the wait that such an agent earns.
      restarts: { maxRestarts: 1_000_000, backoffMinMs: 0, backoffMaxMs: 0 },
      delivery: { journal: 'memory', maxAttempts: 1, retryMinMs: 0, retryMaxMs: 1 },
    },
    { dir: import.meta.dirname, log: benchLog() },
  );
  await supervisor.start();
  let n = 0;
  const ask = (agent: string, content: string): Promise<unknown> => {
    n += 1;
    const message = { role: 'user', content } as const;
    return supervisor.inject({
      id: `m${n}`,
      channel: 'bench',
      namespace: `bench:${n}`,
      agent,
      message,
      metadata: {},
      receivedAt: Date.now(),
    });
  };
  const [neighbour = ''] = neighbours;
  return {
    name: `Orrery, a slot with ${agents} agents`,
    async crash(how) {
      const before = generationOf(supervisor);
      const began = performance.now();
      const crashed = ask('crasher', how).then(
        () => {
          throw new Error('The agent that was to crash answered');
        },
        () => undefined,
      );
      while (isUp(supervisor, before)) await sleep(1);
      const answered = ask(neighbour, 'Are you there?').then(() => performance.now() - began);
      while (!isReady(supervisor, before)) await sleep(1);
      const readyMs = performance.now() - began;
      const answerMs = await answered;
      await crashed;
      return { readyMs, answerMs };
    },
    close: () => supervisor.close(),
  };
}

function generationOf(supervisor: Supervisor): number {
  const [slot] = supervisor.status().slots;
  return slot?.state.generation ?? 0;
}

/** Whether the old generation still stands. */
function isUp(supervisor: Supervisor, generation: number): boolean {
  const [slot] = supervisor.status().slots;
  return slot?.state.generation === generation && slot.state.status === 'ready';
}

function isReady(supervisor: Supervisor, before: number): boolean {
  const { slots, agents } = supervisor.status();
  const [slot] = slots;
  if (slot?.state.status !== 'ready' || slot.state.generation <= before) return false;
  return agents.every(({ replicas }) => replicas.every((r) => r.state.status === 'idle' || r.state.status === 'busy'));
}

/** A plain thread that is started again when it ends. */
export async function plainThread(name: string, entry: URL): Promise<Crasher> {
  let worker = await up(entry);
  return {
    name,
    async crash(how) {
      const began = performance.now();
      const ended = new Promise((resolve) => {
        worker.once('error', () => undefined);
        worker.once('exit', resolve);
      });
      worker.postMessage(how);
      await ended;
      worker = await up(entry);
      return { readyMs: performance.now() - began };
    },
    async close() {
      await worker.terminate();
    },
  };
}

async function up(entry: URL): Promise<Worker> {
  const worker = new Worker(entry);
  await once(worker, 'message');
  return worker;
}
