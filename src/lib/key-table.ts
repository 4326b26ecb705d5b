/**
 * Owns a table that gives out its own keys: numbers, none of them ever given twice, so that a late mention of a value that is
 * gone finds nothing. For what comes and goes thousands of times a second.
 *
 * A Map will not do there. Each time that V8 rehashes one, the table left behind points to its successor (iterators need
 * that); once such a dead table has reached the old space, every later one, with all that it held, survives the quick
 * collections through it. Measured in an agent host: 15 of 35 MB survived each of them, and a turn cost twice as much.
 */
export class KeyTable<T> {
  readonly #values: (T | undefined)[] = [];
  /** The key that each place has, or will give to its next value. */
  readonly #keys: number[] = [];
  /** Places without a value. Not popped: a list that runs empty gives its store up, and would be given a new one with the next. */
  readonly #free: number[] = [];
  #freeCount = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(value: T): number {
    let place = this.#values.length;
    if (this.#freeCount > 0) {
      this.#freeCount -= 1;
      place = this.#free[this.#freeCount] ?? place;
    }
    const key = this.#keys[place] ?? place;
    this.#keys[place] = key;
    this.#values[place] = value;
    this.#size += 1;
    return key;
  }

  get(key: number): T | undefined {
    const place = key & PLACE_BITS;
    return this.#keys[place] === key ? this.#values[place] : undefined;
  }

  /** Takes a value out and returns it. */
  delete(key: number): T | undefined {
    const place = key & PLACE_BITS;
    const value = this.#keys[place] === key ? this.#values[place] : undefined;
    if (value === undefined) return undefined;
    this.#values[place] = undefined;
    this.#keys[place] = key + PLACES;
    this.#free[this.#freeCount] = place;
    this.#freeCount += 1;
    this.#size -= 1;
    return value;
  }

  /** The values, in no order. Deleting while walking is allowed. */
  *values(): Generator<T> {
    for (const value of this.#values) if (value !== undefined) yield value;
  }
}

/** A key is its place plus a multiple of this: more places than any bound in here allows, and keys to last 2^33 uses of each. */
const PLACES = 2 ** 20;
/** What of a key is its place. No remainder: that of a number beyond 31 bits is a call of the C library. */
const PLACE_BITS: number = PLACES - 1;
