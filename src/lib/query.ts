/** Owns a prepared statement whose rows come as arrays: a third cheaper than objects with names. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';

export type Cell = string | number | null | Uint8Array;

/** `C` is what the columns of its rows hold. Integers must stay within 2^53, by the schema's ranges. */
export class Query<C extends Cell> {
  readonly #statement: StatementSync;

  constructor(database: DatabaseSync, sql: string) {
    this.#statement = database.prepare(sql);
    this.#statement.setReturnArrays(true);
  }

  get(...values: readonly SQLInputValue[]): readonly C[] | undefined {
    return this.#statement.get(...values) as readonly C[] | undefined;
  }

  all(...values: readonly SQLInputValue[]): readonly (readonly C[])[] {
    return this.#statement.all(...values) as unknown[] as C[][];
  }

  /** Goes through the rows without having them all. */
  each(...values: readonly SQLInputValue[]): IterableIterator<readonly C[]> {
    return this.#statement.iterate(...values) as IterableIterator<unknown> as IterableIterator<readonly C[]>;
  }

  /** Returns how many rows were changed. */
  run(...values: readonly SQLInputValue[]): number {
    return Number(this.#statement.run(...values).changes);
  }
}
