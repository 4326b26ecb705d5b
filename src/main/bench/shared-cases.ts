/**
 * Owns that agents which come along at about one pace have each case read once, not once each: what one of them was given first is kept for
 * the others, up to a bound. Nobody waits for anybody.
 *
 *   suite -> window (what somebody still wants, and no more than the bound) -> each agent at its own place
 *     an agent that the window has left behind reads the suite for itself from there on
 */
import type { CaseBatch } from './suite.ts';

/** Characters of the suite that are kept at most, and one batch in any case. */
export const DEFAULT_WINDOW_CHARS = 1_048_576;

/** How far one agent came. */
interface Place {
  /** The number of the batch that it is given next. */
  next: number;
  /** Cases that it was given. */
  cases: number;
}

export class SharedCases {
  readonly #begin: () => AsyncIterable<CaseBatch>;
  readonly #mostChars: number;
  /** The one reader that all share who are within the window. */
  #reader: AsyncIterator<CaseBatch> | undefined;
  /** The batch that is being read: all who want it wait for the same promise. */
  #reading: Promise<void> | undefined;
  #isAtEnd = false;
  #window: CaseBatch[] = [];
  #chars = 0;
  /** The number of the window's first batch. */
  #first = 0;
  readonly #places = new Set<Place>();

  /** `begin` reads the suite from its start, and at each call gives the same cases in the same order. */
  constructor(begin: () => AsyncIterable<CaseBatch>, mostChars: number = DEFAULT_WINDOW_CHARS) {
    this.#begin = begin;
    this.#mostChars = mostChars;
  }

  /** Characters of the suite that are kept at the moment. */
  get chars(): number {
    return this.#chars;
  }

  /**
   * Reads all cases in order, each once, at the pace of whoever asks; a batch may be empty. Who begins late, when the first batch is gone, reads the
   * suite for itself. Rejects as the suite's own reader does.
   */
  async *read(): AsyncGenerator<CaseBatch> {
    const place: Place = { next: 0, cases: 0 };
    this.#places.add(place);
    try {
      while (place.next >= this.#first) {
        const batch = this.#window[place.next - this.#first];
        if (batch) {
          place.next += 1;
          place.cases += batch.cases.length;
          this.#trim();
          yield batch;
        } else if (this.#isAtEnd) return;
        else await (this.#reading ??= this.#readOn());
      }
    } finally {
      this.#leave(place);
    }
    yield* this.#readAlone(place.cases);
  }

  /** When the suite cannot be read its promise stays, so that all who come so far get the error. */
  async #readOn(): Promise<void> {
    this.#reader ??= this.#begin()[Symbol.asyncIterator]();
    const next = await this.#reader.next();
    this.#reading = undefined;
    if (next.done === true) {
      this.#isAtEnd = true;
      return;
    }
    this.#window.push(next.value);
    this.#chars += next.value.chars;
    this.#trim();
  }

  /** Forgets what all have, and what is too much: those who still want that are left behind. */
  #trim(): void {
    let wanted = Infinity;
    for (const { next } of this.#places) if (next >= this.#first) wanted = Math.min(wanted, next);
    let gone = 0;
    for (const { chars } of this.#window) {
      const isWanted = this.#first + gone >= wanted;
      const fits = this.#chars <= this.#mostChars || gone === this.#window.length - 1;
      if (isWanted && fits) break;
      this.#chars -= chars;
      gone += 1;
    }
    if (gone === 0) return;
    this.#window = this.#window.slice(gone);
    this.#first += gone;
  }

  #leave(place: Place): void {
    this.#places.delete(place);
    this.#trim();
    if (this.#places.size > 0) return;
    // Whoever comes now is on its own.
    this.#first = Infinity;
    this.#reader?.return?.().catch(() => undefined);
  }

  /** Batches that were given before are empty, so that whoever asks can end it there. */
  async *#readAlone(before: number): AsyncGenerator<CaseBatch> {
    let left = before;
    for await (const { cases, chars } of this.#begin()) {
      yield { cases: left === 0 ? cases : cases.slice(left), chars };
      left = Math.max(0, left - cases.length);
    }
  }
}
