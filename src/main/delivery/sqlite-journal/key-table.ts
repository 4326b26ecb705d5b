/**
 * Owns which row may hold a dedupe key: a table in memory, filled from the file when it is opened. An index in the file would take a page of
 * its own to the disk for nearly every message, since keys come in no order.
 *
 * It holds hashes, so it only proposes rows; whether a row has the key the file says. An entry whose row is not there any more is
 * harmless: what a transaction adds need not be taken back when it fails.
 *
 * An entry takes 16 bytes, and a part is at most three quarters full: 21 to 43 bytes a key. Growing copies one part of {@link PARTS}: no
 * message waits for all keys to be copied.
 */
import { randomBytes } from 'node:crypto';

const PARTS = 256;
const FIRST_SLOTS = 32;

/** Open addressing with linear steps. A place without a row is empty: rows begin at 1. */
interface Part {
  readonly rows: Float64Array;
  readonly hashes: Uint32Array;
  readonly checks: Uint32Array;
  count: number;
}

export class KeyTable {
  readonly #parts = Array.from({ length: PARTS }, () => newPart(FIRST_SLOTS));
  /** Whoever sends keys cannot know which ones meet in a place. */
  readonly #seed = randomBytes(4).readInt32LE();
  /** The hash that was computed last: its place, and what tells it from its neighbours. */
  #hash = 0;
  #check = 0;

  /** Returns the row that `holds` says has the key, and 0 for none. */
  find(key: string, holds: (seq: number) => boolean): number {
    const part = this.#partOf(key);
    const { rows, hashes, checks } = part;
    const hash = this.#hash;
    const check = this.#check;
    const mask = rows.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const seq = rows[at] ?? 0;
      if (seq === 0) return 0;
      if (hashes[at] === hash && checks[at] === check && holds(seq)) return seq;
    }
  }

  add(key: string, seq: number): void {
    const part = this.#partOf(key);
    put(part, this.#hash, this.#check, seq);
    if (part.count * 4 > part.rows.length * 3) this.#parts[this.#hash >>> 24] = grown(part);
  }

  remove(key: string, seq: number): void {
    const part = this.#partOf(key);
    const mask = part.rows.length - 1;
    for (let at = this.#hash & mask; part.rows[at] !== 0; at = (at + 1) & mask) {
      if (part.rows[at] !== seq) continue;
      part.count -= 1;
      close(part, at);
      return;
    }
  }

  #partOf(key: string): Part {
    let hash = this.#seed;
    let check = ~this.#seed;
    for (let i = 0; i < key.length; i++) {
      const unit = key.charCodeAt(i);
      hash = Math.imul(hash ^ unit, 0x9e3779b1);
      hash ^= hash >>> 15;
      check = Math.imul(check ^ unit, 0x5f356495);
      check ^= check >>> 13;
    }
    this.#hash = Math.imul(hash ^ (check >>> 7), 0x85ebca77) >>> 0;
    this.#check = check >>> 0;
    return this.#parts[this.#hash >>> 24] as Part;
  }
}

function newPart(slots: number): Part {
  return { rows: new Float64Array(slots), hashes: new Uint32Array(slots), checks: new Uint32Array(slots), count: 0 };
}

function put(part: Part, hash: number, check: number, seq: number): void {
  const mask = part.rows.length - 1;
  let at = hash & mask;
  while (part.rows[at] !== 0) at = (at + 1) & mask;
  part.rows[at] = seq;
  part.hashes[at] = hash;
  part.checks[at] = check;
  part.count += 1;
}

function grown(part: Part): Part {
  const larger = newPart(part.rows.length * 2);
  for (const [at, seq] of part.rows.entries()) {
    if (seq !== 0) put(larger, part.hashes[at] ?? 0, part.checks[at] ?? 0, seq);
  }
  return larger;
}

/** Fills the place that an entry left with the next one that may stand there: a search ends at an empty place. */
function close(part: Part, left: number): void {
  const { rows, hashes, checks } = part;
  const mask = rows.length - 1;
  let gap = left;
  for (let at = (gap + 1) & mask; rows[at] !== 0; at = (at + 1) & mask) {
    const home = (hashes[at] ?? 0) & mask;
    if (((at - home) & mask) < ((at - gap) & mask)) continue;
    rows[gap] = rows[at] ?? 0;
    hashes[gap] = hashes[at] ?? 0;
    checks[gap] = checks[at] ?? 0;
    gap = at;
  }
  rows[gap] = 0;
}
