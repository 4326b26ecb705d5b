/**
 * Owns a child process from its start to its end: the agent host of one slot, which main calls over an inherited stream. It
 * ends when it was stopped as asked, and when main is gone; signals it leaves to main, which coordinates the shutdown.
 */
import { Socket } from 'node:net';
import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { registerErrorTransfer } from '../lib/comlink.ts';
import { FrameLink } from '../lib/frame-link.ts';
import { createWorkerLogger } from '../lib/log.ts';
import { resolveOwnPackage } from '../lib/own-package.ts';
import { readImage } from '../lib/vocabulary-image.ts';
import {
  CHILD_FD,
  CHILD_LINE,
  CHILD_LINES,
  CHILD_STOPPED,
  type HostTask,
  SLOT_WORD,
  toWire,
} from '../protocol/index.ts';
import { serveHost } from './resident.ts';
import { ThreadTokens } from './tokens.ts';
import { FileWords } from './words.ts';

// First of all: from here on this process cannot outlive main, whatever the agent does.
const watchdog = new Worker(
  new URL(`./child-watchdog${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
  // What Node was told on the command line (a heap limit, modules to preload) is for the agent.
  { env: {}, execArgv: [] },
);
watchdog.unref();
// A service manager tells every process of its group to stop; when the agents stop is main's to say.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

registerErrorTransfer();
// Agent modules import `orrery-host/agent`, wherever they lie.
resolveOwnPackage();

const words = new FileWords(CHILD_FD.words);
process.on('uncaughtExceptionMonitor', (error) => words.dieOf(toWire(error)));

const link = new FrameLink(new Socket({ fd: CHILD_FD.link, readable: true, writable: true }), CHILD_LINES);
let stopped = false;
// Nobody is left to work for, or to tell.
void link.closed.then(() => process.exit(stopped ? 0 : 1));
link.line(CHILD_LINE.control).on('message', (task) => void serve(task as HostTask));

async function serve(task: HostTask): Promise<void> {
  const { slot, generation } = task;
  let last: EventLoopUtilization | undefined;
  await serveHost(task, {
    calls: link.line(CHILD_LINE.calls),
    deltas: link.line(CHILD_LINE.deltas),
    words,
    tokens: new ThreadTokens({}, readImage),
    log: createWorkerLogger({ ...task.log, fd: CHILD_FD.log }, { slot, generation, pid: process.pid }),
    onBeat: () => {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, last);
      last = now;
      words.store(SLOT_WORD.utilization, Math.round(utilization * 1_000));
    },
  });
  stopped = true;
  link.line(CHILD_LINE.control).postMessage(CHILD_STOPPED);
  await link.end();
  // What an agent's library left open must not keep the process.
  process.exit(0);
}
