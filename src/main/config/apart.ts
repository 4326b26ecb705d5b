/**
 * Owns how a configuration module is read again. Node keeps a module, and what that imports, for the life of a thread: so it is
 * evaluated in a thread of its own, which sees the files as they are now and takes everything along when it ends.
 */
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type WireError, reviveError } from '../../protocol/index.ts';

/** What the thread found: the module's default export, or what its import threw. */
export type ApartAnswer = { readonly value: unknown } | { readonly error: WireError };

/** A module that has not been evaluated by then hangs, in milliseconds. */
export const EVALUATE_TIMEOUT_MS = 30_000;

const ENTRY = new URL(`./apart-entry${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/** Evaluates a module and returns its default export, which must be data. Rejects with what the import threw. */
export async function importApart(file: string, timeoutMs: number = EVALUATE_TIMEOUT_MS): Promise<unknown> {
  const answer = Promise.withResolvers<ApartAnswer>();
  const worker = new Worker(ENTRY, { workerData: pathToFileURL(file).href, name: 'configuration' });
  worker.once('message', answer.resolve);
  worker.once('messageerror', answer.reject);
  worker.once('error', answer.reject);
  worker.once('exit', () => answer.reject(new Error('the module ended its thread while it was loaded')));
  const timer = setTimeout(() => {
    answer.reject(new Error(`the module was not loaded within ${timeoutMs} ms`));
  }, timeoutMs);
  try {
    const found = await answer.promise;
    if ('error' in found) throw reviveError(found.error);
    return found.value;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
