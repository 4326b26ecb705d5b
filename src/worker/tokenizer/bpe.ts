/**
 * Owns byte-pair encoding of one piece in linear time. It knows nothing of pieces' borders or of caches.
 *
 * A sequence of tokens is what merging by rank gives exactly when each neighbouring pair is: merging the bytes of just
 * those two gives the two back. So the encoder takes the longest token that fits, checks it against the token before it,
 * takes a shorter one where they do not go together, and steps back where none does. For each prefix of a piece there is
 * one such sequence, so a position that was left is never entered again, and the whole is linear.
 */
import { FINGERPRINT_MASK, ID_MASK, PAIR_SHIFT, hashPair } from './hash.ts';
import { type Image, LINK_BITS, LINK_MASK } from './image.ts';

/** Ids below it are single bytes, in both vocabularies. */
export const SINGLE_BYTES = 256;

/** Gives the token that `left` and `right` merge to, or -1. */
export function mergeOf(image: Image, left: number, right: number): number {
  const { pairs, pairBits, records } = image;
  const hash = hashPair(left, right);
  const bit = hash >>> PAIR_SHIFT;
  if ((pairBits[bit >>> 5]! & (1 << (bit & 31))) === 0) return -1;
  const mask = pairs.length - 1;
  for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
    const entry = pairs[slot]!;
    if (entry === 0) return -1;
    if (((entry ^ hash) & FINGERPRINT_MASK) === 0) {
      const id = (entry & ID_MASK) - 1;
      if (records[3 * id + 1] === left && records[3 * id + 2] === right) return id;
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
    if (merged >= 0 && merged < before) return false;
    if (a > b) {
      before = a;
      a = records[3 * a + 2]!;
      if (a < 0) return true;
    } else {
      before = b + 1;
      b = records[3 * b + 1]!;
      if (b < 0) return true;
    }
  }
  return true;
}

/** Gives the longest token that the bytes in `[at, end)` begin with; there always is one, since every byte is a token. */
export function longestToken(image: Image, bytes: Uint8Array, at: number, end: number): number {
  const { trie } = image;
  let base = image.root;
  let token = 0;
  for (let i = at; i < end; i++) {
    const byte = bytes[i]!;
    const slot = 2 * (base + byte);
    const word = trie[slot + 1]!;
    if (word >>> LINK_BITS !== byte) break;
    if ((word & LINK_MASK) !== 0) token = word & LINK_MASK;
    base = trie[slot]!;
  }
  return token - 1;
}

/**
 * Encodes the bytes in `[start, end)` as one piece into `out` from `from` on, and returns where it ended. `dead` marks
 * byte positions that lead nowhere: it has an entry for each position up to `end`, all zero before and after.
 */
export function encodePiece(
  image: Image,
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Uint32Array,
  from: number,
  dead: Uint8Array,
): number {
  const { records } = image;
  let top = from;
  let at = start;
  let marked = false;
  let token = longestToken(image, bytes, at, end);
  for (;;) {
    const link = records[3 * token]!;
    const next = at + (link >>> LINK_BITS);
    if (
      dead[next] === 0 &&
      (top === from || isStablePair(image, out[top - 1]!, token, (bytes[at - 1]! << 8) | bytes[at]!))
    ) {
      out[top++] = token;
      at = next;
      if (at === end) break;
      token = longestToken(image, bytes, at, end);
    } else if ((link & LINK_MASK) !== 0) {
      token = (link & LINK_MASK) - 1;
    } else {
      dead[at] = 1;
      marked = true;
      token = out[--top]!;
      at -= records[3 * token]! >>> LINK_BITS;
    }
  }
  if (marked) dead.fill(0, start, end);
  return top;
}
