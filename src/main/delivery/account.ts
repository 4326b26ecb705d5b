/**
 * Owns the accounting of messages (guarantee G9): received = rejected + inIntake + accepted, and accepted + recovered +
 * replayed = answered + dead + pending. Every number is counted where the event happens; none is derived from the others,
 * so that the equations can be wrong and a test can see it.
 */
import type { DeadReason } from '../../protocol/index.ts';

/** received = rejected + inIntake + accepted; accepted + recovered + replayed = answered + dead + pending. */
export interface AccountSnapshot {
  readonly received: number;
  readonly rejected: number;
  readonly inIntake: number;
  readonly accepted: number;
  readonly recovered: number;
  readonly replayed: number;
  readonly answered: number;
  readonly dead: number;
  readonly pending: number;
  readonly rejectedBy: Readonly<Record<string, number>>;
  readonly deadBy: Readonly<Record<string, number>>;
}

export class Account {
  received = 0;
  rejected = 0;
  inIntake = 0;
  accepted = 0;
  recovered = 0;
  replayed = 0;
  answered = 0;
  dead = 0;
  pending = 0;
  retries = 0;
  readonly #rejectedBy: Record<string, number> = {};
  readonly #deadBy: Record<string, number> = {};

  reject(code: string): void {
    this.rejected += 1;
    this.#rejectedBy[code] = (this.#rejectedBy[code] ?? 0) + 1;
  }

  die(reason: DeadReason): void {
    this.dead += 1;
    this.#deadBy[reason] = (this.#deadBy[reason] ?? 0) + 1;
  }

  snapshot(): AccountSnapshot {
    const { received, rejected, inIntake, accepted, recovered, replayed, answered, dead, pending } = this;
    return {
      received,
      rejected,
      inIntake,
      accepted,
      recovered,
      replayed,
      answered,
      dead,
      pending,
      rejectedBy: { ...this.#rejectedBy },
      deadBy: { ...this.#deadBy },
    };
  }
}
