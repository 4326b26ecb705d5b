/** A plain thread that runs the turns without end, and tells of each. */
import { parentPort, workerData } from 'node:worker_threads';
import { burn } from './burn.ts';

const turn = (): void => {
  burn(Number(workerData));
  parentPort?.postMessage('done');
  setImmediate(turn);
};
turn();
