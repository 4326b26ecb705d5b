/**
 * Owns the vocabulary images of this process: each is loaded once, off the main thread, and shared by every worker that
 * counts. An image that is missing or of another version is built by a thread of its own.
 */
import { Worker } from 'node:worker_threads';
import { VOCABULARY_FOLDER, readImage } from '../../lib/vocabulary-image.ts';
import { ENCODINGS, type Encoding, type Vocabulary } from '../../protocol/encodings.ts';
import { OrreryError, type WireError, asOrreryError, fromWire } from '../../protocol/errors.ts';

const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

const images = new Map<Vocabulary, Promise<SharedArrayBuffer>>();

/** Gives the image that an encoding needs; throws `ORRERY_TOKENS_IMAGE` when it can neither be read nor built. */
export function loadImage(encoding: Encoding): Promise<SharedArrayBuffer> {
  const { vocabulary } = ENCODINGS[encoding];
  let image = images.get(vocabulary);
  if (image === undefined) {
    image = readOrBuild(vocabulary, VOCABULARY_FOLDER);
    images.set(vocabulary, image);
    // What failed is tried again by the next caller.
    image.catch(() => images.delete(vocabulary));
  }
  return image;
}

/** Reads an image from a folder, or builds it and writes it there. */
export async function readOrBuild(vocabulary: Vocabulary, folder: string): Promise<SharedArrayBuffer> {
  return (await readImage(vocabulary, folder)) ?? (await buildInThread(vocabulary, folder));
}

async function buildInThread(vocabulary: Vocabulary, folder: string): Promise<SharedArrayBuffer> {
  const { promise, resolve, reject } = Promise.withResolvers<SharedArrayBuffer>();
  const entry = new URL(`../../worker/tokenizer/build-entry.${EXTENSION}`, import.meta.url);
  const worker = new Worker(entry, { workerData: { vocabulary, folder } });
  worker.on('message', (answer: { image: SharedArrayBuffer } | { error: WireError }) => {
    if ('image' in answer) resolve(answer.image);
    else reject(fromWire(answer.error));
  });
  worker.on('error', (cause) => reject(asOrreryError(cause, 'ORRERY_TOKENS_IMAGE', `Building ${vocabulary} failed.`)));
  worker.on('exit', (code) =>
    reject(new OrreryError('ORRERY_TOKENS_IMAGE', `The thread that built ${vocabulary} exited with code ${code}.`)),
  );
  return promise;
}
