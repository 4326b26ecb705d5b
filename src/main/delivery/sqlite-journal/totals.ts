/**
 * Owns the counts over the journal's lifetime. The file holds those of rows that are gone, and the rows tell their own: they are read
 * once, when it is opened, and counted on from there. A count in the file that each message changes would be a page more to
 * write for each commit.
 */
import { STATUS } from './schema.ts';

/** What one transaction, or one row, adds. */
export interface Tally {
  accepted: number;
  replayed: number;
  answered: number;
  dead: number;
}

export function newTally(): Tally {
  return { accepted: 0, replayed: 0, answered: 0, dead: 0 };
}

/** A row that was put back was dead before each time. */
export function addRow(tally: Tally, status: number, replays: number): void {
  tally.accepted += 1;
  tally.replayed += replays;
  tally.answered += status === STATUS.answered ? 1 : 0;
  tally.dead += replays + (status === STATUS.dead ? 1 : 0);
}

export class Totals {
  readonly #counts = newTally();

  add({ accepted, replayed, answered, dead }: Tally): void {
    this.#counts.accepted += accepted;
    this.#counts.replayed += replayed;
    this.#counts.answered += answered;
    this.#counts.dead += dead;
  }

  addRow(status: number, replays: number): void {
    addRow(this.#counts, status, replays);
  }

  get pending(): number {
    const { accepted, replayed, answered, dead } = this.#counts;
    return accepted + replayed - answered - dead;
  }

  /** As `JournalTotals` lists them. */
  list(): readonly number[] {
    const { accepted, replayed, answered, dead } = this.#counts;
    return [accepted, replayed, answered, dead, this.pending];
  }
}
