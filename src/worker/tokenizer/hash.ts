/** Owns the two hashes of the vocabulary image. The builder and the encoder must agree on them, so they stand alone. */

/** Hashes `length` bytes at `at`, four at a time; the view must have three readable bytes beyond them. */
export function hashBytes(view: DataView, at: number, length: number): number {
  let hash = Math.imul(length, 0x9e3779b1 | 0);
  const words = at + (length & ~3);
  let i = at;
  for (; i < words; i += 4) {
    hash = Math.imul(hash ^ view.getInt32(i, true), 0x85ebca6b | 0);
    hash ^= hash >>> 15;
  }
  const rest = length & 3;
  if (rest !== 0) {
    hash = Math.imul(hash ^ (view.getInt32(i, true) & ((1 << (rest << 3)) - 1)), 0x85ebca6b | 0);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, 0xc2b2ae35 | 0);
  return hash ^ (hash >>> 16);
}

/** Hashes an ordered pair of token ids. */
export function hashPair(left: number, right: number): number {
  const hash = Math.imul(left, 0x9e3779b1 | 0) ^ Math.imul(right, 0x85ebca6b | 0);
  const mixed = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35 | 0);
  return mixed ^ (mixed >>> 16);
}

/** Slots of both tables hold `id + 1` in the low bits and a fingerprint, the hash's top bits, in the rest. */
export const ID_BITS = 18;
export const ID_MASK: number = (1 << ID_BITS) - 1;
export const FINGERPRINT_MASK: number = ~ID_MASK;

/** The pair filter has 2^21 bits, taken by a hash's top bits: at most one in ten is set. */
export const PAIR_SHIFT = 11;
export const PAIR_BITS_BYTES: number = 2 ** (32 - PAIR_SHIFT) / 8;
