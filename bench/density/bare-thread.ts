/** The peer: a plain thread that loads the same entry as a slot, says that it is up, and ends as it is told. */
import { parentPort } from 'node:worker_threads';
import '../../src/worker/entry.ts';

parentPort?.on('message', (how: string) => {
  if (how === 'exit') process.exit(3);
  throw new Error('thrown where nobody catches it');
});
parentPort?.postMessage('up');
