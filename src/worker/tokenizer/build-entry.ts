/** Is the entry of a thread that builds one image where none was shipped, hands it to its parent, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Vocabulary } from '../../protocol/encodings.ts';
import { toWire } from '../../protocol/errors.ts';
import { writeImage } from './build.ts';

const { vocabulary, folder } = workerData as { vocabulary: Vocabulary; folder: string };
try {
  parentPort?.postMessage({ image: writeImage(vocabulary, folder) });
} catch (error) {
  parentPort?.postMessage({ error: toWire(error) });
}
