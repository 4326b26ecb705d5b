/** Owns counting a file on a worker, read in parts, so that memory does not grow with it. Bytes that are no UTF-8 count as U+FFFD. */
import { closeSync, openSync, readSync } from 'node:fs';
import { safeCut } from '../../protocol/encodings.ts';
import { OrreryError } from '../../protocol/errors.ts';
import { type Encoder, WINDOW_UNITS } from './encoder.ts';

const READ_BYTES = 256 * 1024;

/** Shared words: [0] is set to end the count early, [1] grows by the KiB that were read. */
export type FileControl = Int32Array<SharedArrayBuffer>;
export const CANCEL = 0;
export const READ_KIB = 1;

/** Counts a file; throws `ORRERY_TOKENS_BAD_INPUT` when it cannot be read, `ORRERY_CANCELLED` when its control says so. */
export function countFile(encoder: Encoder, path: string, control: FileControl): { bytes: number; tokens: number } {
  const file = open(path);
  try {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    const buffer = new Uint8Array(READ_BYTES);
    let bytes = 0;
    let tokens = 0;
    let text = '';
    // A text without a safe place to cut is looked through again only when it has doubled: linear in all.
    let worth = 0;
    for (;;) {
      const read = readPart(file, buffer, path);
      bytes += read;
      Atomics.add(control, READ_KIB, read >> 10);
      text += decoder.decode(buffer.subarray(0, read), { stream: read > 0 });
      if (read === 0) break;
      if (text.length < worth) continue;
      const cut = safeCut(text, 0, text.length - 1);
      worth = cut === text.length ? 2 * text.length : 0;
      if (cut === text.length) continue;
      tokens += countWindows(encoder, text.slice(0, cut), control);
      text = text.slice(cut);
    }
    return { bytes, tokens: tokens + countWindows(encoder, text, control) };
  } finally {
    closeSync(file);
  }
}

function countWindows(encoder: Encoder, text: string, control: FileControl): number {
  let tokens = 0;
  for (let at = 0; at < text.length;) {
    if (Atomics.load(control, CANCEL) !== 0) throw new OrreryError('ORRERY_CANCELLED', 'The count was cancelled.');
    const end = safeCut(text, at, at + WINDOW_UNITS);
    tokens += encoder.countRange(text, at, end);
    at = end;
  }
  return tokens;
}

function open(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function readPart(file: number, buffer: Uint8Array, path: string): number {
  try {
    return readSync(file, buffer);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): OrreryError {
  return new OrreryError('ORRERY_TOKENS_BAD_INPUT', `${path} cannot be read.`, {
    cause,
    hint: 'Name readable files of text.',
  });
}
