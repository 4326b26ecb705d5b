/** Owns counting a long text in slices that yield, so that the neighbours on a thread are not held up. */
import { setImmediate } from 'node:timers/promises';
import { safeCut } from '../../protocol/encodings.ts';
import { type Encoder, WINDOW_UNITS } from './encoder.ts';

/** How long a slice runs before it yields, in milliseconds; a stretch with no safe place to cut is not divided. */
export const DEFAULT_SLICE_MS = 5;

export interface SliceOptions {
  readonly sliceMs?: number;
  /** Ends the count between two slices, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Counts a text and lets the event loop run after each slice. */
export async function countInSlices(encoder: Encoder, text: string, options: SliceOptions = {}): Promise<number> {
  const sliceMs = options.sliceMs ?? DEFAULT_SLICE_MS;
  let total = 0;
  let started = performance.now();
  for (let at = 0; at < text.length;) {
    options.signal?.throwIfAborted();
    const end = safeCut(text, at, at + WINDOW_UNITS);
    total += encoder.countRange(text, at, end);
    at = end;
    if (at < text.length && performance.now() - started >= sliceMs) {
      await setImmediate();
      started = performance.now();
    }
  }
  return total;
}
