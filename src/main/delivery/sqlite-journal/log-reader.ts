/**
 * Owns the rows of the log as they are read. A transaction comes to deliveries in about their order: what it reads is kept until it ends, and
 * outside of one nothing is.
 */
import { type LogRow, rowOf } from './log-row.ts';
import type { Statements } from './statements.ts';
import { Appends } from './unpacked-work.ts';

/** Rows that are kept at most. */
const MAX_READ = 64;

export class LogReader {
  readonly #sql: Statements;
  /** What the transaction under way adds: it is in no file yet. */
  #own: LogRow | undefined;
  readonly #rows = new Map<number, LogRow>();
  readonly #times = new Map<number, number>();
  /** Where the last search in a row ended: those for neighbours follow one another, and do not go over a large row for each. */
  readonly #searches = new Map<number, Appends>();

  constructor(sql: Statements) {
    this.#sql = sql;
  }

  /** A transaction begins. */
  begin(own: LogRow): void {
    this.#own = own;
  }

  /** It has ended, however it did. */
  end(): void {
    this.#own = undefined;
    this.#forget();
  }

  /** Undefined for 0, which is none, and for a row that is gone. */
  row(row: number): LogRow | undefined {
    if (row === 0) return undefined;
    if (row === this.#own?.row) return this.#own;
    const kept = this.#rows.get(row);
    if (kept) return kept;
    const cells = this.#sql.logRow.get(row);
    if (!cells) return undefined;
    const found = rowOf(cells);
    if (!this.#own) return found;
    if (this.#rows.size >= MAX_READ) this.#forget();
    this.#rows.set(row, found);
    return found;
  }

  /** The message of a delivery that a row brought; to be read before the next one is asked for. */
  append(seq: number, broughtIn: number): Appends | undefined {
    const row = this.row(broughtIn);
    if (!row) return undefined;
    const last = this.#searches.get(row.row);
    if (last?.seq === seq) return last;
    const appends = last && last.seq < seq ? last : new Appends(row.appends);
    while (appends.next()) {
      if (appends.seq !== seq) continue;
      if (this.#own) this.#searches.set(row.row, appends);
      return appends;
    }
    this.#searches.delete(row.row);
    return last === appends ? this.append(seq, broughtIn) : undefined;
  }

  /** When a row was written: without its texts. */
  time(row: number): number {
    if (row === this.#own?.row) return this.#own.at;
    let at = this.#times.get(row);
    if (at === undefined) {
      at = Number(this.#sql.logTime.get(row)?.[0] ?? 0);
      this.#times.set(row, at);
    }
    return at;
  }

  #forget(): void {
    this.#rows.clear();
    this.#times.clear();
    this.#searches.clear();
  }
}
