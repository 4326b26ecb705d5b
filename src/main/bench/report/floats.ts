/** Owns a list of numbers that grows and costs eight bytes each. */
export class Floats {
  #values: Float64Array;
  #length = 0;

  constructor(capacity: number = 64) {
    this.#values = new Float64Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    this.#reserve(this.#length + 1);
    this.#values[this.#length++] = value;
  }

  /** Adds to the value at a place; what was never added to is 0. */
  add(at: number, value: number): void {
    this.#reserve(at + 1);
    this.#length = Math.max(this.#length, at + 1);
    this.#values[at] = (this.#values[at] ?? 0) + value;
  }

  get(at: number): number {
    return at < this.#length ? (this.#values[at] ?? 0) : 0;
  }

  /** A copy of `length` values, 0 where there was none. */
  take(length: number = this.#length): Float64Array {
    const copy = new Float64Array(length);
    copy.set(this.#values.subarray(0, Math.min(length, this.#length)));
    return copy;
  }

  #reserve(length: number): void {
    if (length <= this.#values.length) return;
    const grown = new Float64Array(Math.max(length, this.#values.length * 2));
    grown.set(this.#values);
    this.#values = grown;
  }
}
