/**
 * Owns the bounded cache of pieces that are more than one token. It copies what it keeps, so it pins no text, and empties
 * itself when it is full. Its memory is taken at first use and touched as it fills.
 */

const SLOTS = 1 << 15;
/** Slots looked at before a piece counts as not there. */
const REACH = 8;
const ARENA_WORDS = 1 << 18;
/** Longer pieces are not kept: they seldom come twice. */
export const LONGEST_CACHED = 255;

/** Keeps, for a piece's bytes, the ids that it was encoded to. Entries: a word of lengths, the bytes, then the ids. */
export class PieceCache {
  /** The piece's hash and where its entry starts, 0 for none, at `2 * slot`. */
  readonly #slots = new Int32Array(2 * SLOTS);
  readonly #arena = new Int32Array(ARENA_WORDS);
  #used = 1;

  /** Copies a kept piece's ids to `out` from `from` on; returns where they end, or -1 when the piece is not kept. */
  get(view: DataView, at: number, length: number, hash: number, out: Uint32Array, from: number): number {
    const slots = this.#slots;
    const arena = this.#arena;
    for (let i = 0; i < REACH; i++) {
      const slot = 2 * ((hash + i) & (SLOTS - 1));
      const entry = slots[slot + 1]!;
      if (entry === 0) return -1;
      if (slots[slot] !== hash) continue;
      const lengths = arena[entry]!;
      if ((lengths & 0xff) !== length) continue;
      const key = entry + 1;
      const words = length >> 2;
      let same = true;
      for (let w = 0; w < words; w++) {
        if (arena[key + w] !== view.getInt32(at + 4 * w, true)) {
          same = false;
          break;
        }
      }
      const rest = length & 3;
      let ids = key + words;
      if (rest !== 0) {
        if (arena[ids] !== (view.getInt32(at + 4 * words, true) & ((1 << (rest << 3)) - 1))) same = false;
        ids++;
      }
      if (!same) continue;
      const count = lengths >>> 8;
      for (let k = 0; k < count; k++) out[from + k] = arena[ids + k]!;
      return from + count;
    }
    return -1;
  }

  /** Keeps a piece of at most {@link LONGEST_CACHED} bytes with the ids in `[from, to)` of `ids`. */
  set(view: DataView, at: number, length: number, hash: number, ids: Uint32Array, from: number, to: number): void {
    if (this.#used + 1 + ((length + 3) >> 2) + (to - from) > ARENA_WORDS) this.clear();
    for (let i = 0; i < REACH; i++) {
      const slot = 2 * ((hash + i) & (SLOTS - 1));
      if (this.#slots[slot + 1] !== 0) continue;
      this.#slots[slot] = hash;
      this.#slots[slot + 1] = this.#used;
      const arena = this.#arena;
      let word = this.#used;
      arena[word++] = length | ((to - from) << 8);
      for (let w = 0; w < length >> 2; w++) arena[word++] = view.getInt32(at + 4 * w, true);
      const rest = length & 3;
      if (rest !== 0) arena[word++] = view.getInt32(at + length - rest, true) & ((1 << (rest << 3)) - 1);
      for (let k = from; k < to; k++) arena[word++] = ids[k]!;
      this.#used = word;
      return;
    }
  }

  /** Forgets everything. */
  clear(): void {
    if (this.#used === 1) return;
    this.#slots.fill(0);
    this.#used = 1;
  }
}
