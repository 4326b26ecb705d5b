/**
 * The process under test: `orrery serve` as it is, with two channels of its own, and with points at which it may be told to end
 * itself. Main's points are put around the journal's methods, the threads' around the session store's.
 *
 * host.ts CONFIG DIRECTORY [RECOVERY]     RECOVERY: at which recovered delivery it kills itself
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BroadcastChannel, type Worker } from 'node:worker_threads';
import type { Supervisor } from '../../src/main/api.ts';
import { ChannelManager } from '../../src/main/channels/index.ts';
import { createRealSupervisor } from '../../src/main/cli/host.ts';
import { serve } from '../../src/main/cli/serve.ts';
import type { InboundMessage } from '../../src/protocol/index.ts';
import { codeOf } from '../../src/protocol/index.ts';
import { around } from './around.ts';
import { InProcessChannel } from './in-process-channel.ts';
import { KillPoints } from './kill-points.ts';
import { leftInProcess } from './leftovers.ts';
import type { ThreadEnd } from './plan.ts';
import {
  type Asks,
  type FromHost,
  type FromThreads,
  IN_PROCESS,
  type InProcess,
  LEFT_FILE,
  type Resources,
  THREADS,
  type ToHost,
  type ToThreads,
} from './protocol.ts';

const [config = '', directory = '', recovery = '0'] = process.argv.slice(2);

/** How long a slot may take to come back, and a thread that has turns to be found, in milliseconds. */
const BACK_MS = 20_000;
const BUSY_MS = 1_000;
const LOOK_MS = 10;

const before = leftInProcess();
const workers = new Set<Worker>();
const byThread = new Map<number, string>();
const channels = new Map<string, InProcessChannel>();
const threads = new BroadcastChannel(THREADS);
const points = new KillPoints({
  directory,
  pending: () => supervisor?.status().messages.pending ?? 0,
  arms: (message) => threads.postMessage(message satisfies ToThreads),
});
let supervisor: Supervisor | undefined;

function tell(message: FromHost): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(message, undefined, {}, () => resolve());
    else resolve();
  });
}

threads.onmessage = (event: unknown) => {
  const message = (event as { readonly data: FromThreads }).data;
  if (message.type === 'here') byThread.set(message.thread, message.runtime);
  else {
    points.disarm();
    void tell({ type: 'hit', point: message.point, ending: message.ending });
    if (message.ending === 'terminate') void workerOf(message.thread)?.terminate();
  }
};
// The run's own, so that it is not what keeps the process.
threads.unref();

process.on('worker', (worker: Worker) => {
  workers.add(worker);
  worker.once('exit', () => workers.delete(worker));
});
// A file that may not grow is told by a signal first, whose default is the process's end.
process.on('SIGXFSZ', () => undefined);
process.once('disconnect', () => process.exit(3));
process.on('exit', (code) => {
  process.channel?.unref(); // the run's own
  const after = leftInProcess();
  writeFileSync(join(directory, LEFT_FILE), JSON.stringify({ code, workers: workers.size, before, after }));
});

/** The configuration knows no channels but the built-in ones: a manager that is given one of these names gets ours instead. */
function replaceChannels(): void {
  around(ChannelManager.prototype, 'start', (call, [channel, o]) => {
    const name = IN_PROCESS.find((one) => one === (o as { readonly name: string }).name);
    if (name === undefined) return call([channel, o]);
    const own = new InProcessChannel(name, tell);
    channels.set(name, own);
    return call([own, o]);
  });
}

async function take(message: ToHost): Promise<void> {
  if (message.type === 'message') {
    await accept(message.inbound);
    return;
  }
  const { n, what, argument } = message;
  try {
    const answer: (argument: never) => Promise<unknown> = ANSWERS[what];
    await tell({ type: 'answer', n, value: await answer(argument as never) });
  } catch (error) {
    await tell({ type: 'answer', n, error: String(error) });
  }
}

async function accept(inbound: InboundMessage): Promise<void> {
  const channel = inbound.channel as InProcess;
  const { id } = inbound;
  try {
    const accepted = await channels.get(channel)?.take(inbound);
    if (accepted) await tell({ type: 'accepted', channel, id, accepted });
  } catch (error) {
    await tell({ type: 'refused', channel, id, code: codeOf(error) ?? String(error) });
  }
}

type Answers = { readonly [K in keyof Asks]: (argument: Asks[K][0]) => Promise<Asks[K][1]> };

const ANSWERS: Answers = {
  endThread: async ({ end }) => endThread(end),
  async endJournalThread() {
    // Agents' threads said that they are here; what is left is the journal's.
    const journal = [...workers].find((worker) => worker.threadId > 0 && !byThread.has(worker.threadId));
    await journal?.terminate();
    return { ended: journal !== undefined };
  },
  async arm(arming) {
    points.arm(arming);
    return true;
  },
  async disarm() {
    points.disarm();
    return true;
  },
  async release() {
    threads.postMessage({ type: 'release' } satisfies ToThreads);
    return true;
  },
  async ready() {
    await until(() => running().slots.every(({ state }) => state.status === 'ready'));
    return true;
  },
  async resources({ collect }) {
    if (collect) Reflect.get(globalThis, 'gc')?.();
    return resources();
  },
};

async function endThread(end: ThreadEnd): Promise<{ running: number }> {
  const busy = (): number | undefined =>
    [...byThread.keys()].find((thread) => (slotOf(thread)?.running ?? 0) > 0 && workerOf(thread));
  const from = performance.now();
  while (busy() === undefined && performance.now() - from < BUSY_MS) await delay(LOOK_MS);
  const thread = busy() ?? [...byThread.keys()].find((one) => workerOf(one));
  if (thread === undefined) return { running: 0 };
  const slot = slotOf(thread);
  const running = slot?.running ?? 0;
  const worker = workerOf(thread);
  if (end === 'terminate') void worker?.terminate();
  else threads.postMessage({ type: 'end', thread, end } satisfies ToThreads);
  await until(() => worker === undefined || !workers.has(worker));
  byThread.delete(thread);
  await ANSWERS.ready({});
  return { running };
}

function running(): ReturnType<Supervisor['status']> {
  if (!supervisor) throw new Error('There is no supervisor yet');
  return supervisor.status();
}

function slotOf(thread: number): { readonly slot: string; readonly running: number } | undefined {
  const runtime = byThread.get(thread);
  const status = running();
  const replica = status.agents.flatMap(({ replicas }) => replicas).find((one) => one.runtime === runtime);
  return status.slots.find(({ slot }) => slot === replica?.slot);
}

function workerOf(thread: number): Worker | undefined {
  return [...workers].find(({ threadId }) => threadId === thread);
}

async function until(holds: () => boolean): Promise<void> {
  const from = performance.now();
  while (!holds()) {
    if (performance.now() - from > BACK_MS) throw new Error(`It did not come to be: ${holds.toString()}`);
    await delay(LOOK_MS);
  }
}

function resources(): Resources {
  const handles: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) handles[name] = (handles[name] ?? 0) + 1;
  return { workers: workers.size, handles, heapBytes: process.memoryUsage().heapUsed };
}

points.install(Number(recovery));
replaceChannels();
// It ends the process itself, so that nothing below it would come to be.
await serve({ config }, async (resolved, o) => {
  const created = await createRealSupervisor(resolved, o);
  supervisor = created;
  const start = created.start.bind(created);
  created.start = async () => {
    await start();
    process.on('message', (message: ToHost) => void take(message));
    const url = created.channels.get('web') && created.channels.list().find(({ name }) => name === 'web')?.url;
    await tell({ type: 'up', url: url ?? '' });
  };
  return created;
});
