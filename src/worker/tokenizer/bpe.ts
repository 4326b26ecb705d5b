/**
 * Owns byte-pair encoding of one piece in linear time. It knows nothing of pieces' borders or of caches.
 *
 * A sequence of tokens is what merging by rank gives exactly when each neighbouring pair is: merging the bytes of just
 * those two gives the two back. So the encoder takes the longest token that fits, checks it against the token before it,
 * takes a shorter one where they do not go together, and steps back where none does. For each prefix of a piece there is
 * one such sequence, so a position that was left is never entered again, and the whole is linear.
 */
import { type Image, LINK_BITS, LINK_MASK, lengthOf, prefixOf } from './image.ts';
import { LONGEST_MERGED, ShortMerger } from './merge.ts';
import { isStablePair } from './pairs.ts';
import { LEAST_RUNS_BYTES, RunMerger } from './runs.ts';

const VERDICTS = 2048;
const VERDICT_SHIFT: number = 32 - Math.log2(VERDICTS);
/** Steps of the trie from which on a walk is worth remembering. */
const LONG_WALK = 16;
/** Bytes of marks that are always kept, and beyond which they are let go. */
const LEAST_KEPT = 4_096;
const MOST_KEPT: number = 1 << 22;

/** Encodes pieces, one at a time, with what it remembers of the ones before; results do not depend on that. */
export class PieceEncoder {
  readonly #image: Image;
  readonly #short: ShortMerger;
  readonly #runs: RunMerger;
  /**
   * Verdicts on pairs met lately in a run of one character, which asks for the same few hundred over and over. By their
   * hash, two a slot: at `4 * slot` the left token, behind it the right one, doubled, and one more for a stable pair.
   */
  readonly #verdicts = new Int32Array(4 * VERDICTS).fill(-1);
  /** Positions of a piece that lead nowhere; all zero between two pieces. */
  #dead = new Uint8Array(0);
  #longAt = 0;
  #longSteps = 0;
  #longToken = 0;

  constructor(image: Image) {
    this.#image = image;
    this.#short = new ShortMerger(image);
    this.#runs = new RunMerger(image);
  }

  /** Forgets its verdicts. */
  clear(): void {
    this.#verdicts.fill(-1);
  }

  /** Encodes the bytes in `[start, end)` as one piece into `out` from `from` on, and returns where it ended. */
  encode(bytes: Uint8Array, start: number, end: number, out: Uint32Array, from: number): number {
    if (end - start <= LONGEST_MERGED) {
      const after = this.#short.encode(bytes, start, end, out, from);
      if (after >= 0) return after;
    }
    if (end - start >= LEAST_RUNS_BYTES) {
      const after = this.#runs.encode(bytes, start, end, out, from);
      if (after >= 0) return after;
    }
    const { records } = this.#image;
    if (this.#dead.length <= end - start || this.#dead.length > MOST_KEPT) this.#resize(end - start);
    const dead = this.#dead;
    let top = from;
    let at = start;
    let marked = false;
    this.#longSteps = 0;
    let token = this.#longest(bytes, at, end);
    for (;;) {
      const next = at + lengthOf(records, token);
      if (
        dead[next - start] === 0 &&
        (top === from || this.#isStable(out[top - 1]!, token, (bytes[at - 1]! << 8) | bytes[at]!))
      ) {
        out[top++] = token;
        at = next;
        if (at === end) break;
        token = this.#longest(bytes, at, end);
        continue;
      }
      const shorter = prefixOf(records, token);
      if (shorter >= 0) {
        token = shorter;
      } else {
        dead[at - start] = 1;
        marked = true;
        token = out[--top]!;
        at -= lengthOf(records, token);
      }
    }
    if (marked) dead.fill(0, 0, end - start);
    return top;
  }

  /** Sizes the marks to the piece when they are too small, or far larger than most pieces need. */
  #resize(length: number): void {
    const size = Math.max(length + 1, LEAST_KEPT);
    if (size !== this.#dead.length) this.#dead = new Uint8Array(size);
  }

  #isStable(left: number, right: number, border: number): boolean {
    // Elsewhere hardly a pair comes twice, and the table would only drive better things out of the processor's caches.
    if (this.#longSteps === 0) return isStablePair(this.#image, left, right, border);
    const verdicts = this.#verdicts;
    const slot = 4 * (Math.imul(left ^ Math.imul(right, 0x85ebca6b), 0x9e3779b1) >>> VERDICT_SHIFT);
    const newer = verdicts[slot + 1]!;
    if (verdicts[slot] === left && newer >> 1 === right) return (newer & 1) === 1;
    const older = verdicts[slot + 3]!;
    if (verdicts[slot + 2] === left && older >> 1 === right) return (older & 1) === 1;
    const stable = isStablePair(this.#image, left, right, border);
    verdicts[slot + 2] = verdicts[slot]!;
    verdicts[slot + 3] = newer;
    verdicts[slot] = left;
    verdicts[slot + 1] = (right << 1) | (stable ? 1 : 0);
    return stable;
  }

  /**
   * Gives the longest token that the bytes in `[at, end)` begin with; there always is one, since every byte is a token. In
   * a run of one character it would walk a hundred steps at each byte: where the bytes are those of the last long walk, up
   * to the one that ended it, so is the token, and comparing them is cheaper than walking.
   */
  #longest(bytes: Uint8Array, at: number, end: number): number {
    const steps = this.#longSteps;
    if (steps !== 0 && at + steps < end) {
      const before = this.#longAt;
      let i = 0;
      while (i <= steps && bytes[before + i] === bytes[at + i]) i++;
      if (i > steps) return this.#longToken;
    }
    const { trie } = this.#image;
    let base = this.#image.root;
    let token = 0;
    let i = at;
    for (; i < end; i++) {
      const byte = bytes[i]!;
      const slot = 2 * (base + byte);
      const word = trie[slot + 1]!;
      if (word >>> LINK_BITS !== byte) break;
      if ((word & LINK_MASK) !== 0) token = word & LINK_MASK;
      base = trie[slot]!;
    }
    if (i - at >= LONG_WALK && i < end) {
      this.#longAt = at;
      this.#longSteps = i - at;
      this.#longToken = token - 1;
    }
    return token - 1;
  }
}
