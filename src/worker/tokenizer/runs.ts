/**
 * Owns byte-pair encoding of long pieces that are a few runs of one byte each, such as a megabyte of dashes: merging by rank
 * over run lengths instead of over bytes, so that its time is that of writing the tokens down.
 *
 * Merging takes the pair of the lowest rank, the leftmost first. What a merge makes is part of younger tokens only, so no
 * pair that it creates has a lower rank: all pairs of one rank may be merged in one pass from left to right. In a run of one
 * token all neighbours are the same pair, so a pass halves the run, and what is odd stays behind it as a run of one.
 */
import { LINK_MASK, type Image } from './image.ts';
import { NO_MERGE, mergeOf } from './pairs.ts';
import { runEnd } from './run-end.ts';

/** The shortest piece, in bytes, that is looked at for runs. */
export const LEAST_RUNS_BYTES = 256;
/** Runs of bytes in a piece beyond which it is no piece of few runs. */
const MOST_RUNS = 16;

interface Run {
  readonly token: number;
  count: number;
}

export class RunMerger {
  readonly #image: Image;

  constructor(image: Image) {
    this.#image = image;
  }

  /** Encodes the bytes in `[start, end)` into `out` from `from` on and returns where it ended; -1 for a piece of many runs. */
  encode(bytes: Uint8Array, start: number, end: number, out: Uint32Array, from: number): number {
    let runs = this.#runsOf(bytes, start, end);
    if (!runs) return -1;
    for (let rank = this.#lowest(runs); rank !== NO_MERGE; rank = this.#lowest(runs)) runs = this.#merged(runs, rank);
    let top = from;
    for (const { token, count } of runs) {
      out.fill(token, top, top + count);
      top += count;
    }
    return top;
  }

  #runsOf(bytes: Uint8Array, start: number, end: number): Run[] | undefined {
    const runs: Run[] = [];
    for (let at = start; at < end;) {
      if (runs.length === MOST_RUNS) return undefined;
      const next = runEnd(bytes, at, end);
      runs.push({ token: this.#tokenOf(bytes[at]!), count: next - at });
      at = next;
    }
    return runs;
  }

  #tokenOf(byte: number): number {
    return (this.#image.trie[2 * (this.#image.root + byte) + 1]! & LINK_MASK) - 1;
  }

  /** The lowest rank that any two neighbours merge at. */
  #lowest(runs: readonly Run[]): number {
    let lowest = NO_MERGE;
    let before: Run | undefined;
    for (const run of runs) {
      if (before) lowest = Math.min(lowest, mergeOf(this.#image, before.token, run.token));
      if (run.count > 1) lowest = Math.min(lowest, mergeOf(this.#image, run.token, run.token));
      before = run;
    }
    return lowest;
  }

  /** Merges all pairs of one rank, from left to right. */
  #merged(runs: readonly Run[], rank: number): Run[] {
    const merged: Run[] = [];
    for (const { token, count } of runs) {
      let left = count;
      const last = merged.at(-1);
      if (last && mergeOf(this.#image, last.token, token) === rank) {
        last.count -= 1;
        if (last.count === 0) merged.pop();
        append(merged, rank, 1);
        left -= 1;
      }
      if (left > 1 && mergeOf(this.#image, token, token) === rank) {
        append(merged, rank, left >>> 1);
        left &= 1;
      }
      append(merged, token, left);
    }
    return merged;
  }
}

function append(runs: Run[], token: number, count: number): void {
  if (count === 0) return;
  const last = runs.at(-1);
  if (last?.token === token) last.count += count;
  else runs.push({ token, count });
}
