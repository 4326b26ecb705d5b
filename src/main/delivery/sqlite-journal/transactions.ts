/**
 * Owns the transactions of the journal's file: what is in memory follows one when it is committed, and is as before when it is rolled back. When they
 * are synced is not its affair: it only tells the log that there is something to sync.
 */
import type { DatabaseSync } from 'node:sqlite';
import { Writer } from '../../../lib/sqlite.ts';
import type { Compactor } from './compactor.ts';
import type { Deliveries } from './deliveries.ts';
import type { LogSync } from './log-sync.ts';
import type { Statements } from './statements.ts';
import type { TakenAway } from './taken-away.ts';

/** Those who have something in memory that a transaction changes. */
export interface Followers {
  readonly deliveries: Deliveries;
  readonly compactor: Compactor;
  readonly taken: TakenAway;
}

export class Transactions {
  readonly #sql: Statements;
  readonly #log: LogSync;
  readonly #writer: Writer;
  readonly #deliveries: Deliveries;
  readonly #compactor: Compactor;
  readonly #taken: TakenAway;

  constructor(database: DatabaseSync, sql: Statements, log: LogSync, { deliveries, compactor, taken }: Followers) {
    this.#sql = sql;
    this.#log = log;
    this.#writer = new Writer(database);
    this.#deliveries = deliveries;
    this.#compactor = compactor;
    this.#taken = taken;
  }

  /** A transaction that nothing in memory follows. */
  run<T>(work: () => T): T {
    this.#log.wrote();
    return this.#writer.run(work);
  }

  /** A transaction on deliveries: the keys that it frees are forgotten when it is committed, and counts of rows outlive them. */
  write<T>(work: () => T): T {
    try {
      const result = this.run(() => {
        const done = work();
        this.#deliveries.write();
        this.#taken.fold(this.#sql);
        return done;
      });
      this.#deliveries.committed();
      this.#compactor.committed();
      for (const [key, seq] of this.#taken.keys) this.#deliveries.forgetKey(key, seq);
      return result;
    } catch (error) {
      this.#deliveries.rolledBack();
      this.#compactor.rolledBack();
      throw error;
    } finally {
      this.#taken.end();
    }
  }
}
