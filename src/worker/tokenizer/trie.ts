/** Owns the double-array trie's construction: every byte sequence added, packed so that a step is one indexed load. */
import { LINK_BITS } from './image.ts';

const BYTES = 256;
/** No byte: an empty slot matches none. */
const NO_BYTE = 0x7ff;
/** Slots looked at in vain after which the search for the next node starts further on. */
const CROWDED = 256;

/** Collects byte sequences with their ids, and packs them into the words that `Image.trie` describes. */
export class DoubleArray {
  /** Children by `node * 256 + byte`; nodes are numbered as they come, the root is 0. */
  readonly #children = new Map<number, number>();
  readonly #tokens: number[] = [-1];
  readonly #bytesOf: number[][] = [[]];

  add(bytes: Uint8Array, id: number): void {
    let node = 0;
    for (const byte of bytes) {
      const key = node * BYTES + byte;
      let child = this.#children.get(key);
      if (child === undefined) {
        child = this.#tokens.push(-1) - 1;
        this.#bytesOf.push([]);
        this.#children.set(key, child);
        this.#bytesOf[node]!.push(byte);
      }
      node = child;
    }
    this.#tokens[node] = id;
  }

  /**
   * Packs the nodes with the most children first, each where all of its children's slots are free. No two nodes share a
   * base, so the byte in a slot is enough to tell whose child it is.
   */
  pack(): { words: Int32Array; root: number } {
    const nodes = this.#tokens.length;
    const inner = Array.from({ length: nodes }, (_, node) => node).filter((node) => this.#bytesOf[node]!.length > 0);
    inner.sort((a, b) => this.#bytesOf[b]!.length - this.#bytesOf[a]!.length);
    const capacity = 4 * nodes + 4 * BYTES;
    const taken = new Uint8Array(capacity);
    const based = new Uint8Array(capacity);
    const bases = new Int32Array(nodes);
    for (const bytes of this.#bytesOf) bytes.sort((a, b) => a - b);
    // Base 0 is for leaves: its slots stay empty, so that a step from a leaf never matches.
    taken.fill(1, 0, BYTES);
    based[0] = 1;
    let size = BYTES;
    let start = BYTES;
    let branching = true;
    for (const node of inner) {
      const bytes = this.#bytesOf[node]!;
      if (branching && bytes.length === 1) {
        // The holes that branching nodes left are filled by those with one child, which fit anywhere.
        branching = false;
        start = BYTES;
      }
      while (taken[start] === 1) start++;
      let slot = start;
      let tries = 0;
      const lowest = bytes[0]!;
      while (
        taken[slot] === 1 ||
        based[slot - lowest] === 1 ||
        bytes.some((byte) => taken[slot - lowest + byte] === 1)
      ) {
        slot++;
        tries++;
      }
      if (tries > CROWDED) start = slot - CROWDED / 2;
      const base = slot - lowest;
      based[base] = 1;
      bases[node] = base;
      for (const byte of bytes) taken[base + byte] = 1;
      size = Math.max(size, base + BYTES);
    }
    return { words: this.#write(bases, size), root: bases[0]! };
  }

  #write(bases: Int32Array, size: number): Int32Array {
    const words = new Int32Array(2 * size);
    for (let slot = 0; slot < size; slot++) words[2 * slot + 1] = NO_BYTE << LINK_BITS;
    for (const [key, child] of this.#children) {
      const byte = key % BYTES;
      const slot = bases[(key - byte) / BYTES]! + byte;
      words[2 * slot] = bases[child]!;
      words[2 * slot + 1] = (byte << LINK_BITS) | (this.#tokens[child]! + 1);
    }
    return words;
  }
}
