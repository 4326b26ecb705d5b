/**
 * A fresh process that starts as many built-in agents as it is told, half of them `echo` and half `eliza`, has each answer
 * once, and tells its memory at each step.
 *
 * host.ts AGENTS THREADS
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type OrreryConfig, type Supervisor, createSupervisor } from '../../src/main/index.ts';
import { benchLog } from '../lib/host.ts';
import { serve } from '../lib/process.ts';
import { type HeapFigures, heapAfterCollection } from './heap.ts';

export interface DensityFigures {
  /** Milliseconds from `createSupervisor` to the end of `start()`: every agent runs. */
  readonly startMs: number;
  /** The part of it that checks the configuration and makes the supervisor. */
  readonly createMs: number;
  /** Milliseconds until each has answered once, after the start. */
  readonly answersMs: number;
  /** Resident bytes once all run, once all answered, and after a garbage collection in every thread. */
  readonly rssStarted: number;
  readonly rssAnswered: number;
  readonly rssCollected: number;
  readonly mainHeap: HeapFigures;
  readonly workerHeaps: readonly HeapFigures[];
}

const [count, threads] = [Number(process.argv[2]), Number(process.argv[3])];
const LANES = 256;
/** Memory is read when the heaps had this long to settle, in milliseconds. */
const SETTLE_MS = 1_500;

let n = 0;
async function ask(supervisor: Supervisor, agent: string): Promise<string> {
  n += 1;
  const { message } = await supervisor.inject({
    id: `m${n}`,
    channel: 'bench',
    namespace: `bench:${n}`,
    agent,
    message: { role: 'user', content: 'I am a little worried about my exam next week.' },
    metadata: {},
    receivedAt: Date.now(),
  });
  return message.content;
}

async function measure(): Promise<DensityFigures> {
  const names = Array.from({ length: count }, (_, i) => `agent-${i}`);
  const agents: NonNullable<OrreryConfig['agents']> = {};
  agents['probe'] = { use: './probe-agent.ts', replicas: threads };
  for (const [i, name] of names.entries()) agents[name] = { use: i % 2 === 0 ? 'builtin:echo' : 'builtin:eliza' };
  const began = performance.now();
  const supervisor = await createSupervisor(
    {
      agents,
      defaultAgent: 'probe',
      workers: { threads },
      delivery: { journal: 'memory' },
      sessions: { store: 'memory' },
    },
    { dir: import.meta.dirname, log: benchLog() },
  );
  const createMs = performance.now() - began;
  await supervisor.start();
  const startMs = performance.now() - began;
  const running = supervisor.status().agents.filter(({ replicas }) => replicas.every((r) => r.state.status === 'idle'));
  if (running.length !== count + 1) throw new Error(`${running.length} of ${count + 1} agents run`);
  await sleep(SETTLE_MS);
  const rssStarted = process.memoryUsage.rss();

  const asked = performance.now();
  const waiting = names.values();
  const lane = async (): Promise<void> => {
    for (const name of waiting) if ((await ask(supervisor, name)) === '') throw new Error(`${name} said nothing`);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const answersMs = performance.now() - asked;
  await sleep(SETTLE_MS);
  const rssAnswered = process.memoryUsage.rss();

  const workerHeaps = await probe(supervisor);
  const mainHeap = heapAfterCollection();
  await sleep(SETTLE_MS);
  const rssCollected = process.memoryUsage.rss();
  await supervisor.close();
  return { startMs, createMs, answersMs, rssStarted, rssAnswered, rssCollected, mainHeap, workerHeaps };
}

/** Asks until each thread has told of itself: which replica answers follows from the session. */
async function probe(supervisor: Supervisor): Promise<readonly HeapFigures[]> {
  const byThread = new Map<number, HeapFigures>();
  while (byThread.size < threads) {
    const { threadId, ...heap } = JSON.parse(await ask(supervisor, 'probe')) as HeapFigures & { threadId: number };
    byThread.set(threadId, heap);
  }
  return [...byThread.values()];
}

serve({ measure });
