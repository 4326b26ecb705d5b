/** Owns which cases of a suite a run takes: by tag, by a sample of a seed, and the first so many. It holds nothing of them. */
import { type CaseBatch, type Suite, hasTag } from './suite.ts';
import type { SuiteCase } from './cases.ts';

export interface Selection {
  readonly tags: readonly string[];
  /** So many of those that have a tag, drawn with the seed; in the suite's order. */
  readonly sample?: number;
  readonly seed: number;
  /** The first so many of what is left. */
  readonly limit?: number;
}

/** How many cases a selection takes. */
export function selectedSize({ tagged }: Pick<Suite, 'tagged'>, { sample, limit }: Selection): number {
  return Math.min(tagged, sample ?? Infinity, limit ?? Infinity);
}

/**
 * Reads the selected cases, in the suite's order and in batches. The same seed always takes the same cases: each is taken with the
 * odds of those that are still wanted among those that still come (Knuth's algorithm S), so that no list is kept.
 */
export async function* select(suite: Suite, selection: Selection): AsyncGenerator<CaseBatch> {
  const { tags, sample, seed } = selection;
  const random = randomOf(seed);
  let coming = suite.tagged;
  let wanted = Math.min(sample ?? coming, coming);
  let left = selectedSize(suite, selection);
  for await (const { cases, chars } of suite.read()) {
    const taken: SuiteCase[] = [];
    for (const one of cases) {
      if (!hasTag(one, tags)) continue;
      const isTaken = random() * coming < wanted;
      coming -= 1;
      if (!isTaken) continue;
      wanted -= 1;
      if (left === 0) break;
      left -= 1;
      taken.push(one);
    }
    if (taken.length > 0) yield { cases: taken, chars };
    if (left === 0) return;
  }
}

/** Numbers from 0 to below 1 that follow from a seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
