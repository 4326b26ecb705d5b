/** Opens new database files from several threads at once, as a host does at its first start, until their ways have crossed. */
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../support/temporary.ts';

const THREADS = 3;
/** Of a hundred rounds, two to ten went wrong while threads read the file's kind piece by piece. */
const ROUNDS = 200;

test('database - a new file is opened by all threads that come at once, and none takes it for a foreign one', async () => {
  using dir = temporaryDirectory();
  const fixture = new URL('../fixtures/open-database.ts', import.meta.url);
  const workers = Array.from({ length: THREADS }, () => new Worker(fixture));
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const answers = workers.map((worker) => once(worker, 'message'));
      for (const worker of workers) worker.postMessage(join(dir.path, `${round}.db`));
      expect((await Promise.all(answers)).flat()).toEqual(workers.map(() => 'opened'));
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
});
