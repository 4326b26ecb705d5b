/**
 * Owns byte-pair encoding of short pieces: the textbook's merging by rank in an array, which for a few tokens is cheaper
 * than matching. Its time grows with the square of their number, so it takes short pieces only.
 *
 * It begins with whole characters where that changes nothing. A token's rank is its time, and its parts are older than
 * itself; so where no merge over its two borders is as old as the token, its bytes have become it before anything
 * outside could have to do with them.
 */
import { ID_MASK } from './hash.ts';
import { LINK_BITS, LINK_MASK, type Image } from './image.ts';
import { NO_MERGE, SINGLE_BYTES, mergeOf } from './pairs.ts';
import { widthOf } from './unicode.ts';

/** The longest piece, in bytes, that merging may be faster for. */
export const LONGEST_MERGED = 48;
/** The most tokens to begin with that it is faster for. */
const MOST_TOKENS = 16;
/** Bytes of the longest character. */
const WIDEST = 4;

export class ShortMerger {
  readonly #image: Image;
  /** The token of each single byte. */
  readonly #byteTokens = new Int32Array(256);
  readonly #tokens = new Int32Array(MOST_TOKENS + WIDEST);
  /** What the token and its right neighbour merge to, or {@link NO_MERGE}: ids are ranks. */
  readonly #ranks = new Int32Array(MOST_TOKENS + WIDEST);

  constructor(image: Image) {
    this.#image = image;
    for (let byte = 0; byte < 256; byte++) {
      const word = image.trie[2 * (image.root + byte) + 1]!;
      this.#byteTokens[byte] = word >>> LINK_BITS === byte ? (word & LINK_MASK) - 1 : 0;
    }
  }

  /**
   * Encodes the bytes in `[start, end)` into `out` from `from` on, and returns where it ended; -1 when they are too many
   * tokens to begin with.
   */
  encode(bytes: Uint8Array, start: number, end: number, out: Uint32Array, from: number): number {
    const image = this.#image;
    const { bytePairs } = image;
    const tokens = this.#tokens;
    const ranks = this.#ranks;
    let last = this.#begin(bytes, start, end) - 1;
    if (last >= MOST_TOKENS) return -1;
    for (let i = 0; i < last; i++) {
      const left = tokens[i]!;
      const right = tokens[i + 1]!;
      ranks[i] = (left | right) < SINGLE_BYTES ? bytePairs[(left << 8) | right]! : mergeOf(image, left, right);
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

  /** Fills in the tokens to begin with and returns how many they are; it stops behind {@link MOST_TOKENS}. */
  #begin(bytes: Uint8Array, start: number, end: number): number {
    const { borders, characters } = this.#image;
    const byteTokens = this.#byteTokens;
    const tokens = this.#tokens;
    let size = 0;
    // The lowest rank of a merge over the border before `at`; over the piece's own borders there is none.
    let before = ID_MASK;
    for (let at = start; at < end && size <= MOST_TOKENS;) {
      const lead = bytes[at]!;
      const next = at + widthOf(lead);
      const after = next === end ? ID_MASK : borders[(bytes[next - 1]! << 8) | bytes[next]!]!;
      if (lead < 0x80) {
        tokens[size++] = byteTokens[lead]!;
      } else {
        const token = lead < 0xf0 ? characters[codePointAt(bytes, at, lead)]! : NO_MERGE;
        if (token < before && token < after) tokens[size++] = token;
        else for (let i = at; i < next; i++) tokens[size++] = byteTokens[bytes[i]!]!;
      }
      before = after;
      at = next;
    }
    return size;
  }
}

/** Gives the code point of two or three bytes. */
function codePointAt(bytes: Uint8Array, at: number, lead: number): number {
  if (lead < 0xe0) return ((lead & 0x1f) << 6) | (bytes[at + 1]! & 0x3f);
  return ((lead & 0x0f) << 12) | ((bytes[at + 1]! & 0x3f) << 6) | (bytes[at + 2]! & 0x3f);
}
