/** Owns finding a whole piece in the vocabulary: open addressing, a fingerprint, and then always byte by byte. */
import { FINGERPRINT_MASK, ID_MASK } from './hash.ts';
import type { Image } from './image.ts';

/** Gives the token that a piece is as a whole, or -1; `first` is the table's entry in the slot that the hash gives. */
export function findPiece(
  image: Image,
  view: DataView,
  at: number,
  length: number,
  hash: number,
  first: number,
): number {
  const { pieces, offsets } = image;
  const mask = pieces.length - 1;
  let entry = first;
  for (let slot = hash & mask; entry !== 0; entry = pieces[slot]!) {
    if (((entry ^ hash) & FINGERPRINT_MASK) === 0) {
      const id = (entry & ID_MASK) - 1;
      const offset = offsets[id]!;
      if (offsets[id + 1]! - offset === length && sameBytes(image.arenaView, offset, view, at, length)) return id;
    }
    slot = (slot + 1) & mask;
  }
  return -1;
}

function sameBytes(a: DataView, aAt: number, b: DataView, bAt: number, length: number): boolean {
  let i = 0;
  for (; i + 4 <= length; i += 4) if (a.getInt32(aAt + i, true) !== b.getInt32(bAt + i, true)) return false;
  const rest = length & 3;
  if (rest === 0) return true;
  return ((a.getInt32(aAt + i, true) ^ b.getInt32(bAt + i, true)) & ((1 << (rest << 3)) - 1)) === 0;
}
