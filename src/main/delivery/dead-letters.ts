/** Owns the dead letters of this process: bounded, the oldest go first. */
import type { DeadReason, DeliveryId, InboundMessage, WireError } from '../../protocol/index.ts';

export interface DeadLetter {
  readonly id: DeliveryId;
  readonly agent: string;
  readonly reason: DeadReason;
  readonly attempts: number;
  /** Unix time in milliseconds. */
  readonly diedAt: number;
  readonly inbound: InboundMessage;
  readonly error?: WireError;
}

export class DeadLetters {
  readonly #max: number;
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

  /** The newest first. */
  list(): readonly DeadLetter[] {
    return [...this.#letters.values()].toReversed();
  }

  get(id: DeliveryId): DeadLetter | undefined {
    return this.#letters.get(id);
  }
}
