/**
 * Owns how far the log was gone over for texts that are needed no more: those of messages that are answered. It goes from row to row, a bounded share each
 * time, and begins anew at the first one that has unfinished messages.
 */
import type { LogIndex } from './log-index.ts';
import { NO_ROW, rowOf, writeRow } from './log-row.ts';
import type { PackedAppends } from './packed-work.ts';
import type { Statements } from './statements.ts';
import { Appends, trimAppends } from './unpacked-work.ts';

/** Texts that one transaction goes over to take some out, in characters: some milliseconds. */
const TRIM_CHARS = 256 * 1024;

export class LogTrimmer {
  readonly #sql: Statements;
  readonly #index: LogIndex;
  /** Up to this row there are no texts that could go. */
  #trimmed = 0;
  #trimmedBefore = 0;
  /** The first row that was gone over and has texts still. */
  #untrimmed = Infinity;
  #untrimmedBefore = Infinity;
  readonly #what = (seq: number): 'kept' | 'known' | 'gone' => {
    if (this.#index.isUnfinished(seq)) return 'kept';
    return this.#index.has(seq) ? 'known' : 'gone';
  };

  constructor(sql: Statements, index: LogIndex) {
    this.#sql = sql;
    this.#index = index;
  }

  /** A transaction begins. */
  begin(): void {
    this.#trimmedBefore = this.#trimmed;
    this.#untrimmedBefore = this.#untrimmed;
  }

  rolledBack(): void {
    this.#trimmed = this.#trimmedBefore;
    this.#untrimmed = this.#untrimmedBefore;
  }

  /**
   * Takes the texts of messages that are answered out of rows, inside of the caller's transaction: of no more than `limit` rows and {@link TRIM_CHARS}, from the first one on that has not been gone over. Returns
   * whether there may be more. A row that has unfinished messages is gone over again, and those behind it, unless `all` are wanted now.
   */
  trim(limit: number, all: boolean): boolean {
    let chars = 0;
    for (let count = 0; count < limit && chars < TRIM_CHARS; count++) {
      const cells = this.#sql.logAfter.get(this.#trimmed);
      const found = cells ? rowOf(cells) : NO_ROW;
      const { row, appends, marks } = found;
      chars += appends.texts.length + marks.texts.length;
      const trimmed = trimAppends(appends, this.#what);
      if (trimmed) {
        // Anew: SQLite brings pages that became empty together when a row goes, and not when it gets shorter.
        this.#sql.logDelete.run(row);
        writeRow(this.#sql, { ...found, appends: trimmed });
      }
      if (this.#hasUnfinished(appends)) this.#untrimmed = Math.min(this.#untrimmed, row);
      if (!cells || (!all && this.#untrimmed < Infinity)) {
        // Gone over again, and those behind it.
        this.#trimmed = Math.min(this.#trimmed, this.#untrimmed - 1);
        this.#untrimmed = Infinity;
        return false;
      }
      this.#trimmed = row;
    }
    return true;
  }

  #hasUnfinished(packed: PackedAppends): boolean {
    const appends = new Appends(packed);
    while (appends.next()) if (this.#index.isUnfinished(appends.seq)) return true;
    return false;
  }
}
