/** Owns what the vocabulary knows of two neighbouring tokens: what they merge to, and whether they can stand side by side. */
import { FINGERPRINT_MASK, ID_MASK, PAIR_SHIFT, hashPair } from './hash.ts';
import { type Image, isMergedFrom, leftOf, rightOf } from './image.ts';

/** Ids below it are single bytes, in both vocabularies. */
export const SINGLE_BYTES = 256;

/** Above every id: two tokens that merge to nothing. */
export const NO_MERGE: number = 1 << 30;

/** Gives the token that `left` and `right` merge to, or {@link NO_MERGE}. */
export function mergeOf(image: Image, left: number, right: number): number {
  const { pairs, pairBits, records } = image;
  const hash = hashPair(left, right);
  const bit = hash >>> PAIR_SHIFT;
  if ((pairBits[bit >>> 5]! & (1 << (bit & 31))) === 0) return NO_MERGE;
  const mask = pairs.length - 1;
  for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
    const entry = pairs[slot]!;
    if (entry === 0) return NO_MERGE;
    if (((entry ^ hash) & FINGERPRINT_MASK) === 0) {
      const id = (entry & ID_MASK) - 1;
      if (isMergedFrom(records, id, left, right)) return id;
    }
  }
}

/**
 * Tells whether merging the bytes of `left` and `right` by rank ends with just these two. `border` is the last byte of the
 * one, times 256, and the first byte of the other.
 *
 * It undoes the merges of both backwards in time (a token's rank is its time, and its parts are older than itself), and
 * looks at each moment whether the two tokens that then met at the border would have merged before the next thing that
 * happened to either. Of equal ranks the left one goes first. It may stop at a time before any merge over such a border.
 */
export function isStablePair(image: Image, left: number, right: number, border: number): boolean {
  const { records } = image;
  const first = image.borders[border]!;
  let a = left;
  let b = right;
  let before = ID_MASK;
  while (before > first) {
    const merged = mergeOf(image, a, b);
    if (merged < before) return false;
    if (a > b) {
      if (a < SINGLE_BYTES) return true;
      before = a;
      a = rightOf(records, a);
    } else {
      if (b < SINGLE_BYTES) return true;
      before = b + 1;
      b = leftOf(records, b);
    }
  }
  return true;
}
