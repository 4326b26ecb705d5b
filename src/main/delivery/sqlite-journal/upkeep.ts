/**
 * Owns the upkeep of the journal's file: what is past its retention goes, texts that are needed no more go, free pages are given back, and the
 * write-ahead log moves to the file. A bounded share at a time: some with the messages that come, most in idle time, and all at once where that is asked for.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { Compactor } from './compactor.ts';
import type { Deliveries } from './deliveries.ts';
import type { Room } from './room.ts';
import type { Transactions } from './transactions.ts';

export interface UpkeepParts {
  readonly transactions: Transactions;
  readonly deliveries: Deliveries;
  readonly compactor: Compactor;
  readonly room: Room;
  readonly pageBytes: number;
}

/** Rows that a transaction looks at for what may be forgotten, for each message that it adds: more go than come. */
const COMPACT_PER_APPEND = 2;
/** Rows of a share in idle time: some milliseconds. */
const COMPACT_AT_ONCE = 500;
/** Rows of the log that are gone over for texts in one transaction. */
const TRIM_AT_ONCE = 500;
/** The same where room is scarce, with each transaction: rows go as fast as they come. */
const TRIM_WITH_EACH = 4;
/** Rows written since the last checkpoint that are worth one in idle time. */
const CHECKPOINT_ROWS = 1_000;
/** Free room that stays in the file for what comes next, and what is given back of it at once. */
const SPARE_BYTES = 16 * 1024 * 1024;
const VACUUM_BYTES = 1024 * 1024;

export class Upkeep {
  readonly #database: DatabaseSync;
  readonly #transactions: Transactions;
  readonly #deliveries: Deliveries;
  readonly #compactor: Compactor;
  readonly #room: Room;
  readonly #sparePages: number;
  readonly #vacuumPages: number;
  #dirtyRows = 0;

  constructor(database: DatabaseSync, { transactions, deliveries, compactor, room, pageBytes }: UpkeepParts) {
    this.#database = database;
    this.#transactions = transactions;
    this.#deliveries = deliveries;
    this.#compactor = compactor;
    this.#room = room;
    this.#sparePages = SPARE_BYTES / pageBytes;
    this.#vacuumPages = VACUUM_BYTES / pageBytes;
  }

  /** Inside of a transaction that adds messages: forgets in step with them. */
  withMessages(at: number, accepted: number): void {
    this.#compactor.step(at, accepted * COMPACT_PER_APPEND);
    this.#deliveries.forget(at, accepted * COMPACT_PER_APPEND);
  }

  /** After a transaction that wrote so many rows, and accepted so many messages. */
  worked(rows: number, accepted: number): void {
    this.#dirtyRows += rows;
    if (accepted > 0 && this.#room.isScarce) this.#trimSome();
  }

  /** Forgets all that is due, at once; returns how many pages are free. */
  forgetAll(at: number): number {
    this.#compactor.rewind();
    this.#deliveries.rewind();
    this.#room.beyondBound(() => {
      while (this.#compact(at));
    });
    return this.#room.free;
  }

  /** A share, for idle time; returns whether there is more. */
  share(at: number): boolean {
    if (this.#compact(at) || this.#trim(TRIM_AT_ONCE, false)) return true;
    const spare = this.#room.free - this.#sparePages;
    if (spare > 0) {
      this.#database.exec(`PRAGMA incremental_vacuum(${Math.min(spare, this.#vacuumPages)})`);
      return spare > this.#vacuumPages;
    }
    if (this.#dirtyRows >= CHECKPOINT_ROWS) {
      this.#dirtyRows = 0;
      this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)');
    }
    return false;
  }

  /** Takes a share of texts that are needed no more out of the file; returns whether there may be more. */
  trim(): boolean {
    return this.#trim(TRIM_AT_ONCE, true);
  }

  #trimSome(): void {
    try {
      this.#trim(TRIM_WITH_EACH, true);
    } catch {
      // What came is written; the next one tells of a file that takes nothing.
    }
  }

  /** Returns whether there may be more. */
  #trim(rows: number, all: boolean): boolean {
    return this.#transactions.write(() => {
      this.#deliveries.begin();
      return this.#deliveries.trim(rows, all);
    });
  }

  /** Returns whether there may be more. */
  #compact(at: number): boolean {
    return this.#transactions.write(() => {
      this.#deliveries.begin(at);
      const more = this.#compactor.step(at, COMPACT_AT_ONCE);
      return this.#deliveries.forget(at, COMPACT_AT_ONCE) || more;
    });
  }
}
