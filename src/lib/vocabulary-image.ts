/** Owns reading a vocabulary image from its file, into memory that all threads of a process can share. */
import { type FileHandle, open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Vocabulary, isCurrentImage } from '../protocol/encodings.ts';

/** The package's own folder, from `src/lib` as from `dist/lib`. */
export const VOCABULARY_FOLDER: string = fileURLToPath(new URL('../../vocab/', import.meta.url));

/** Reads an image from a folder, by default the package's own; undefined when it is missing, unreadable, or of another version. */
export async function readImage(
  vocabulary: Vocabulary,
  folder: string = VOCABULARY_FOLDER,
): Promise<SharedArrayBuffer | undefined> {
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
    return undefined; // whoever asked says what that means
  } finally {
    await file?.close();
  }
}
