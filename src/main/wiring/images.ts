/** Owns the vocabulary images that the agents' threads share: loaded at start, off the main thread's loop. */
import type { Logger } from 'pino';
import type { Vocabulary } from '../../protocol/encodings.ts';
import { loadImage } from '../tokens/index.ts';

const VOCABULARIES: readonly Vocabulary[] = ['o200k_base', 'cl100k_base'];

/** Loads what can be loaded. A host whose agents never count runs without; one that counts then gets the error itself. */
export async function loadImages(log: Logger): Promise<Partial<Record<Vocabulary, SharedArrayBuffer>>> {
  const images: Partial<Record<Vocabulary, SharedArrayBuffer>> = {};
  await Promise.all(
    VOCABULARIES.map(async (vocabulary) => {
      try {
        images[vocabulary] = await loadImage(vocabulary);
      } catch (error) {
        log.warn({ err: error, vocabulary }, 'a vocabulary could not be loaded: agents cannot count tokens with it');
      }
    }),
  );
  return images;
}
