/** Closes one database from several threads at once, as a host does at its end, until their ways have crossed. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { writeGateWord } from '../../src/lib/write-gate.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const THREADS = 3;
/** Of two hundred rounds some left their log behind while threads closed it side by side. */
const ROUNDS = 200;

test('sessions - the last of the threads that close the file at once leaves no log behind', async () => {
  using dir = temporaryDirectory();
  const start = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const rounds = new Int32Array(start);
  const workerData = { start, gate: writeGateWord() };
  const fixture = new URL('../fixtures/close-together.ts', import.meta.url);
  const workers = Array.from({ length: THREADS }, () => new Worker(fixture, { workerData }));
  const answers = (): Promise<unknown> => Promise.all(workers.map((worker) => once(worker, 'message')));
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const opened = answers();
      for (const worker of workers) worker.postMessage(join(dir.path, `${round}.db`));
      await opened;
      const closed = answers();
      for (const worker of workers) worker.postMessage(undefined);
      Atomics.store(rounds, 0, round + 1);
      Atomics.notify(rounds, 0);
      await closed;
      expect(readdirSync(dir.path)).toHaveLength(round + 1);
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
});
