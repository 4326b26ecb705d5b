/**
 * Owns what the transaction under way takes away: rows, whose counts outlive them, and keys. It is so when the transaction is committed, and not
 * before; one that is rolled back has taken nothing.
 */
import type { Statements } from './statements.ts';
import { type Tally, addRow, newTally } from './totals.ts';

export interface DeletedRow {
  readonly seq: number;
  /** Null: a newer row has taken it. */
  readonly key: string | null;
  readonly status: number;
  readonly replays: number;
}

/** A key that is free, and the delivery that had it. */
export type FreedKey = readonly [key: string, seq: number];

export class TakenAway {
  #keys: FreedKey[] = [];
  /** Counts of the rows. */
  #counts: Tally | undefined;

  /** A row goes, and its key. */
  deleted({ seq, key, status, replays }: DeletedRow): void {
    this.#counts ??= newTally();
    addRow(this.#counts, status, replays);
    if (key !== null) this.#keys.push([key, seq]);
  }

  /** A key goes whose delivery is kept, or was never counted. */
  freed(key: string, seq: number): void {
    this.#keys.push([key, seq]);
  }

  get keys(): readonly FreedKey[] {
    return this.#keys;
  }

  /** Inside of the transaction: adds the counts to those that the file holds of rows that are gone. */
  fold(sql: Statements): void {
    if (!this.#counts) return;
    const { accepted, replayed, answered, dead } = this.#counts;
    sql.fold.run(accepted, replayed, answered, dead);
  }

  /** The transaction has ended, however it did. */
  end(): void {
    if (this.#keys.length > 0) this.#keys = [];
    this.#counts = undefined;
  }
}
