/**
 * Owns the resident task of a slot: piscina runs it once for each thread, and it ends when the agent host was stopped. Its
 * settling is how main hears of the thread's end.
 */
import { threadId } from 'node:worker_threads';
import { expose } from 'comlink';
import { resolveOwnPackage } from '../lib/own-package.ts';
import { createWorkerLogger } from '../lib/log.ts';
import { exposeEndpoint, registerErrorTransfer } from '../lib/comlink.ts';
import { type ResidentEnd, type ResidentTask, SLOT_WORD } from '../protocol/index.ts';
import { AgentHost } from './agent-host.ts';
import { installBlame } from './blame.ts';
import { DeltaSender } from './deltas.ts';
import { loadAgent } from './load.ts';
import { ThreadSessions } from './thread-sessions.ts';
import { ThreadTokens } from './tokens.ts';

registerErrorTransfer();
// Agent modules import `orrery-host/agent`, wherever they lie.
resolveOwnPackage();

export default async function resident(task: ResidentTask): Promise<ResidentEnd> {
  const { slot, generation, port, deltaPort } = task;
  const words = new Int32Array(task.words);
  installBlame(words);
  const log = createWorkerLogger(task.log, { slot, generation });
  const host = new AgentHost({
    sessions: new ThreadSessions(task.sessions, log),
    deltas: new DeltaSender(deltaPort),
    log,
    tokens: new ThreadTokens(task.images),
    load: loadAgent,
    words,
    turnTimeoutMs: task.turnTimeoutMs,
  });
  // A counter, not a time: main compares it with what it saw last, and no clock is shared.
  const heartbeat = setInterval(() => {
    Atomics.add(words, SLOT_WORD.beat, 1);
    host.expire(performance.now());
  }, task.heartbeatMs);
  Atomics.store(words, SLOT_WORD.threadId, threadId);
  Atomics.add(words, SLOT_WORD.beat, 1);
  expose(host, exposeEndpoint(port));
  try {
    await host.ended;
    return { slot, generation };
  } finally {
    clearInterval(heartbeat);
    port.close();
    deltaPort.close();
  }
}
