/** Owns the dead letters of the journal in memory: bounded, the oldest go first. */
import type { DeliveryId } from '../../protocol/index.ts';
import { DEFAULT_LETTERS_LIMIT, type DeadLetter, noPlace } from './journal.ts';

export class MemoryLetters {
  readonly #max: number;
  /** In order of death. */
  readonly #letters = new Map<DeliveryId, DeadLetter>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#letters.size;
  }

  add(letter: DeadLetter): void {
    this.#letters.set(letter.id, letter);
    const oldest = this.#letters.keys().next().value;
    if (this.#letters.size > this.#max && oldest !== undefined) this.#letters.delete(oldest);
  }

  /** As `JournalLetters.list`. */
  list({ limit = DEFAULT_LETTERS_LIMIT, after }: { limit?: number; after?: DeliveryId } = {}): readonly DeadLetter[] {
    const all = [...this.#letters.values()].toReversed();
    if (after === undefined) return all.slice(0, limit);
    const at = all.findIndex(({ id }) => id === after);
    if (at < 0) throw noPlace(after);
    return all.slice(at + 1, at + 1 + limit);
  }

  get(id: DeliveryId): DeadLetter | undefined {
    return this.#letters.get(id);
  }

  drop(id: DeliveryId): boolean {
    return this.#letters.delete(id);
  }
}
