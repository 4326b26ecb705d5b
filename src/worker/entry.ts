/**
 * Owns the resident task of a slot: piscina runs it once for each thread, and it ends when the agent host was stopped. Its
 * settling is how main hears of the thread's end.
 */
import { threadId } from 'node:worker_threads';
import { registerErrorTransfer } from '../lib/comlink.ts';
import { createWorkerLogger } from '../lib/log.ts';
import { resolveOwnPackage } from '../lib/own-package.ts';
import { type ResidentEnd, type ResidentTask, SLOT_WORD } from '../protocol/index.ts';
import { serveHost } from './resident.ts';
import { ThreadTokens } from './tokens.ts';
import { SharedWords } from './words.ts';

registerErrorTransfer();
// Agent modules import `orrery-host/agent`, wherever they lie.
resolveOwnPackage();

export default async function resident(task: ResidentTask): Promise<ResidentEnd> {
  const { slot, generation, port, deltaPort } = task;
  const words = new SharedWords(task.words);
  words.store(SLOT_WORD.threadId, threadId);
  await serveHost(task, {
    calls: port,
    deltas: deltaPort,
    words,
    tokens: new ThreadTokens(task.images),
    log: createWorkerLogger(task.log, { slot, generation }),
  });
  return { slot, generation };
}
