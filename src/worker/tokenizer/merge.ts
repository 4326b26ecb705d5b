/**
 * Owns byte-pair encoding of short pieces: the textbook's merging by rank in an array, which for a few bytes is cheaper
 * than matching. Its time grows with the square of the length, so `bpe.ts` gives it short pieces only.
 */
import { LINK_BITS, LINK_MASK, type Image } from './image.ts';
import { NO_MERGE, mergeOf } from './pairs.ts';

/** The longest piece, in bytes, that merging is faster for. */
export const LONGEST_MERGED = 12;

export class ShortMerger {
  readonly #image: Image;
  /** The token of each single byte. */
  readonly #byteTokens = new Int32Array(256);
  readonly #tokens = new Int32Array(LONGEST_MERGED + 1);
  /** What the token and its right neighbour merge to, or {@link NO_MERGE}: ids are ranks. */
  readonly #ranks = new Int32Array(LONGEST_MERGED + 1);

  constructor(image: Image) {
    this.#image = image;
    for (let byte = 0; byte < 256; byte++) {
      const word = image.trie[2 * (image.root + byte) + 1]!;
      this.#byteTokens[byte] = word >>> LINK_BITS === byte ? (word & LINK_MASK) - 1 : 0;
    }
  }

  /** Encodes the bytes in `[start, end)` into `out` from `from` on, and returns where it ended. */
  encode(bytes: Uint8Array, start: number, end: number, out: Uint32Array, from: number): number {
    const image = this.#image;
    const { bytePairs } = image;
    const tokens = this.#tokens;
    const ranks = this.#ranks;
    let last = end - start - 1;
    tokens[0] = this.#byteTokens[bytes[start]!]!;
    for (let i = 0; i < last; i++) {
      tokens[i + 1] = this.#byteTokens[bytes[start + i + 1]!]!;
      ranks[i] = bytePairs[(bytes[start + i]! << 8) | bytes[start + i + 1]!]!;
    }
    for (;;) {
      let best = NO_MERGE;
      let at = 0;
      for (let i = 0; i < last; i++) {
        if (ranks[i]! < best) {
          best = ranks[i]!;
          at = i;
        }
      }
      if (best === NO_MERGE) break;
      last--;
      tokens[at] = best;
      for (let i = at + 1; i <= last; i++) {
        tokens[i] = tokens[i + 1]!;
        ranks[i] = ranks[i + 1]!;
      }
      if (at < last) ranks[at] = mergeOf(image, best, tokens[at + 1]!);
      if (at > 0) ranks[at - 1] = mergeOf(image, tokens[at - 1]!, best);
    }
    for (let i = 0; i <= last; i++) out[from + i] = tokens[i]!;
    return from + last + 1;
  }
}
