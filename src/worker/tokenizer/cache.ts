/**
 * Owns the bounded cache of pieces that are more than one token. It copies what it keeps, so it pins no text. Its memory
 * is a ring: the oldest entries are written over. It is taken whole at the start, but touched only as it fills.
 */

const SLOTS = 1 << 15;
/** Slots that a piece may stand in, from the one that its hash gives on. */
const REACH = 4;
const RING_WORDS = 1 << 18;
/** Positions grow until they would no longer fit a small integer; then everything is forgotten. */
const LAST_POSITION = 2 ** 30 - 2 * RING_WORDS;
/** Longer pieces are not kept: they seldom come twice. */
export const LONGEST_CACHED = 255;

/** Keeps, for a piece's bytes, the ids that it was encoded to. Entries: a word of lengths, the bytes, then the ids. */
export class PieceCache {
  /** At `2 * slot` a piece's hash, and behind it the position of its entry; positions only grow. */
  readonly #slots = new Int32Array(2 * (SLOTS + REACH));
  readonly #ring = new Int32Array(RING_WORDS);
  /** Where the next entry goes; the ring's index is its remainder. */
  #next = RING_WORDS;
  /** Entries before it were forgotten. */
  #oldest = RING_WORDS;

  /** Copies a kept piece's ids to `out` from `from` on; returns where they end, or -1 when the piece is not kept. */
  get(view: DataView, at: number, length: number, hash: number, out: Uint32Array, from: number): number {
    const slots = this.#slots;
    const first = 2 * (hash & (SLOTS - 1));
    for (let slot = first; slot < first + 2 * REACH; slot += 2) {
      if (slots[slot] !== hash || slots[slot + 1]! < this.#oldest) continue;
      const ring = this.#ring;
      let word = slots[slot + 1]! & (RING_WORDS - 1);
      const lengths = ring[word++]!;
      if ((lengths & 0xff) !== length) continue;
      let i = at;
      const words = at + (length & ~3);
      while (i < words && ring[word] === view.getInt32(i, true)) {
        i += 4;
        word++;
      }
      if (i < words) continue;
      const rest = length & 3;
      if (rest !== 0 && ring[word++] !== (view.getInt32(i, true) & ((1 << (rest << 3)) - 1))) continue;
      const end = from + (lengths >>> 8);
      for (let k = from; k < end; k++) out[k] = ring[word++]!;
      return end;
    }
    return -1;
  }

  /** Keeps a piece of at most {@link LONGEST_CACHED} bytes with the ids in `[from, to)` of `ids`. */
  set(view: DataView, at: number, length: number, hash: number, ids: Uint32Array, from: number, to: number): void {
    const position = this.#take(1 + ((length + 3) >> 2) + (to - from));
    const slots = this.#slots;
    const first = 2 * (hash & (SLOTS - 1));
    let oldest = first;
    for (let slot = first + 2; slot < first + 2 * REACH; slot += 2) {
      if (slots[slot + 1]! < slots[oldest + 1]!) oldest = slot;
    }
    slots[oldest] = hash;
    slots[oldest + 1] = position;
    const ring = this.#ring;
    let word = position & (RING_WORDS - 1);
    ring[word++] = length | ((to - from) << 8);
    let i = at;
    for (const words = at + (length & ~3); i < words; i += 4) ring[word++] = view.getInt32(i, true);
    const rest = length & 3;
    if (rest !== 0) ring[word++] = view.getInt32(i, true) & ((1 << (rest << 3)) - 1);
    for (let k = from; k < to; k++) ring[word++] = ids[k]!;
  }

  /** Forgets everything. */
  clear(): void {
    this.#oldest = this.#next;
  }

  /** Takes room for an entry in one stretch of the ring, and forgets the entries that it goes over. */
  #take(words: number): number {
    if (this.#next > LAST_POSITION) {
      this.#slots.fill(0);
      this.#next = RING_WORDS;
      this.#oldest = RING_WORDS;
    }
    const left = RING_WORDS - (this.#next & (RING_WORDS - 1));
    const position = left < words ? this.#next + left : this.#next;
    this.#next = position + words;
    this.#oldest = Math.max(this.#oldest, this.#next - RING_WORDS);
    return position;
  }
}
