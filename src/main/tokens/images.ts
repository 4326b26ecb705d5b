/**
 * Owns the vocabulary images of this process: each is loaded once, off the main thread, and shared by every worker that
 * counts. An image that is missing or of another version is built by a thread of its own.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { ENCODINGS, type Encoding, type Vocabulary, isCurrentImage } from '../../protocol/encodings.ts';
import { OrreryError, type WireError, asOrreryError, fromWire } from '../../protocol/errors.ts';

/** The package's own folder, from `src/main/tokens` as from `dist/main/tokens`. */
const FOLDER = fileURLToPath(new URL('../../../vocab/', import.meta.url));
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

const images = new Map<Vocabulary, Promise<SharedArrayBuffer>>();

/** Gives the image that an encoding needs; throws `ORRERY_TOKENS_IMAGE` when it can neither be read nor built. */
export function loadImage(encoding: Encoding): Promise<SharedArrayBuffer> {
  const { vocabulary } = ENCODINGS[encoding];
  let image = images.get(vocabulary);
  if (image === undefined) {
    image = readOrBuild(vocabulary, FOLDER);
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

async function readImage(vocabulary: Vocabulary, folder: string): Promise<SharedArrayBuffer | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(`${folder}/${vocabulary}.img`);
    const { size } = await file.stat();
    const image = new SharedArrayBuffer(size);
    const bytes = new Uint8Array(image);
    for (let at = 0; at < size;) {
      const { bytesRead } = await file.read(bytes, at, size - at, at);
      if (bytesRead === 0) return undefined;
      at += bytesRead;
    }
    return isCurrentImage(image, vocabulary) ? image : undefined;
  } catch {
    return undefined; // missing or unreadable: it is built again, and that reports what is wrong
  } finally {
    await file?.close();
  }
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
