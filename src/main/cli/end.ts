/**
 * Owns how a command ends its process when it has to end. `process.exit()` waits for every thread to come back from what it is in, and a thread that native code holds never
 * does: the process would stay for ever, deaf to all signals but SIGKILL, with its port and its code of exit untold.
 */
import { accessSync, constants } from 'node:fs';
import { subscribe } from 'node:diagnostics_channel';
import type { Worker } from 'node:worker_threads';

/** Milliseconds that threads which were told to end may take for it. */
const THREADS_END_MS = 500;

/** Of this process, and not ended. */
const threads = new Set<Worker>();

/** To be called before the first thread is made: it knows of those that come later. */
export function watchThreads(): void {
  subscribe('worker_threads', (message) => {
    const { worker } = message as { readonly worker: Worker };
    threads.add(worker);
    worker.once('exit', () => threads.delete(worker));
  });
}

/** Ends the process after all was closed. Threads that do not end by themselves are ended with it. */
export async function endClosed(code: number): Promise<never> {
  const ends = [...threads].map((worker) => worker.terminate());
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, THREADS_END_MS);
  await Promise.race([Promise.all(ends), late]);
  clearTimeout(timer);
  return endNow(code);
}

/** Ends the process at once, with that code, whatever its threads do. */
export function endNow(code: number): never {
  if (threads.size > 0) leaveThreads(code);
  process.exit(code);
}

/**
 * To have the process become another program is the one way out that asks no thread, and keeps a code of one's own. Where that cannot be (on Windows, or when the program was replaced
 * under it), it is killed, which every service manager counts as a failure.
 */
function leaveThreads(code: number): void {
  // As `process.exit()` does; what listens gives the data directory back.
  process.emit('exit', code);
  const program = process.execPath;
  if (process.execve && isThere(program)) {
    process.execve(program, [program, '-e', `process.exit(${code})`], { ...process.env, NODE_OPTIONS: '' });
  }
  process.kill(process.pid, 'SIGKILL');
}

function isThere(program: string): boolean {
  try {
    accessSync(program, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
