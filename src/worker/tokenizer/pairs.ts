/** Owns what the vocabulary knows of two neighbouring tokens: what they merge to, and whether they can stand side by side. */
import { ID_BITS, ID_MASK, PAIR_SHIFT, hashPair } from './hash.ts';
import { type Image, leftOf, rightOf } from './image.ts';

/** Ids below it are single bytes, in both vocabularies. */
export const SINGLE_BYTES = 256;

/** Above every id: two tokens that merge to nothing. */
export const NO_MERGE: number = 1 << 30;

/** Gives the token that `left` and `right` merge to, or {@link NO_MERGE}. */
export function mergeOf(image: Image, left: number, right: number): number {
  const { pairs, pairBits } = image;
  const hash = hashPair(left, right);
  const bit = hash >>> PAIR_SHIFT;
  if ((pairBits[bit >>> 5]! & (1 << (bit & 31))) === 0) return NO_MERGE;
  const mask = pairs.length - 1;
  const low = left | (right << ID_BITS);
  const high = right >>> PAIR_LOW_BITS;
  for (let slot = (hash << 1) & mask; ; slot = (slot + 2) & mask) {
    const entry = pairs[slot + 1]!;
    if (entry === 0) return NO_MERGE;
    if (pairs[slot] === low && (entry & PAIR_HIGH_MASK) === high) return entry >>> PAIR_HIGH_BITS;
  }
}

/** Adds a pair to `pairs` and to the filter before it. */
export function addPair(image: Image, left: number, right: number, id: number): void {
  const { pairs, pairBits } = image;
  const hash = hashPair(left, right);
  const bit = hash >>> PAIR_SHIFT;
  pairBits[bit >>> 5]! |= 1 << (bit & 31);
  const mask = pairs.length - 1;
  let slot = (hash << 1) & mask;
  while (pairs[slot + 1] !== 0) slot = (slot + 2) & mask;
  pairs[slot] = left | (right << ID_BITS);
  pairs[slot + 1] = (id << PAIR_HIGH_BITS) | (right >>> PAIR_LOW_BITS);
}

/** A slot's first word is the left token and the right one's low bits; its second one the high bits and what both merge to. */
const PAIR_LOW_BITS: number = 32 - ID_BITS;
const PAIR_HIGH_BITS: number = 2 * ID_BITS - 32;
const PAIR_HIGH_MASK: number = (1 << PAIR_HIGH_BITS) - 1;

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
