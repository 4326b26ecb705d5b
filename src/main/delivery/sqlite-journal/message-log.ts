/**
 * Owns the log: most of what the journal holds. A transaction's messages and marks are one row, written once, and found by an index in memory that is filled from the
 * rows when the file is opened:
 *
 *   accepted -> (marked)* -> answered -> past its retention -> gone with its row
 *       |                       |
 *       +-> dead; unfinished at +-> answered long after its neighbours -> moved: a row of its own in `deliveries`
 *           a start, at a stop, or after a whole retention -> moved
 *
 * A row for each delivery instead is written at its acceptance and again at its answer, with its page each time: that took two thirds of the thread's time.
 *
 * Rows go in their order, so that a mark never goes before the message that it is of; and a message that was moved, or withdrawn, has a mark that says so as
 * long as its own row is there: it must not come back with the next start. What a transaction changes in the index is taken back when it fails.
 *
 * How rows are read is `log-reader.ts`'s, and which texts leave them before they go is `log-trimmer.ts`'s.
 */
import type { DeliveryId } from '../../../protocol/index.ts';
import { LogIndex } from './log-index.ts';
import { LogReader } from './log-reader.ts';
import { type LogRow, newestMark, numbersOf, writeRow } from './log-row.ts';
import { LogTrimmer } from './log-trimmer.ts';
import { MarkPacker, NO_APPENDS, NO_MARKS, type PackedAppends, type PackedMarks } from './packed-work.ts';
import { deliveryId } from './packed.ts';
import { STATUS } from './schema.ts';
import type { Statements } from './statements.ts';
import { Appends, Marked } from './unpacked-work.ts';

export interface MessageLogOptions {
  readonly idPrefix: string;
  readonly retentionMs: number;
}

/** How long a row waits for those of its messages that were answered late, in milliseconds, before they are moved. */
const LATE_MS = 60_000;
/** Between two looks at such a row, in milliseconds. */
const LOOK_MS = 1_000;

/** A delivery in the log. Its body and its about are what a row of its own would have, as long as it is not finished. */
export interface LogEntry {
  readonly seq: number;
  readonly id: DeliveryId;
  readonly key: string;
  readonly agent: string;
  readonly body: string;
  readonly bodyHash: string;
  readonly about: string;
  readonly acceptedAt: number;
  readonly finishedAt: number | null;
  readonly status: number;
  readonly attempts: number;
  readonly state: string | null;
  readonly reply: string | null;
}

/** A delivery that went with its row. */
export type Forgotten = readonly [seq: number, key: string];

export class MessageLog {
  readonly #sql: Statements;
  readonly #options: MessageLogOptions;
  readonly #index = new LogIndex();
  readonly #reader: LogReader;
  readonly #trimmer: LogTrimmer;
  #next = 1;
  /** When the newest row was written. */
  #newestAt = 0;
  /** What the transaction under way adds, and how many of its messages and marks stand in it. */
  #row: LogRow | undefined;
  #standing = 0;
  /** A mark of it stands elsewhere. */
  #isCut = false;
  /** Marks that come on top of those that were brought. */
  #more: MarkPacker | undefined;
  /** Where deliveries stood before the transaction under way: four places each, the status -1 for none. */
  #before: number[] = [];
  /** Nothing is to be forgotten before. */
  #lookAt = -Infinity;
  #lookedAt = -Infinity;

  constructor(sql: Statements, options: MessageLogOptions) {
    this.#sql = sql;
    this.#options = options;
    this.#reader = new LogReader(sql);
    this.#trimmer = new LogTrimmer(sql, this.#index);
  }

  /** Reads what a start must know of the rows. `added` hears of each message that is there, in order. Returns the last sequence number. */
  load(added: (seq: number, key: string) => void): number {
    let last = 0;
    for (const [cell, at, appendCells, markCells, keys] of this.#sql.logHeads.each()) {
      const row = cell as number;
      this.#next = row + 1;
      this.#newestAt = at as number;
      const appends = new Appends({ numbers: numbersOf(appendCells), keys: keys as string });
      while (appends.next()) {
        const { seq } = appends;
        if (seq === 0) continue;
        this.#index.add(seq, row);
        added(seq, appends.key);
        last = Math.max(last, seq);
      }
      const marks = new Marked({ numbers: numbersOf(markCells), texts: '' });
      while (marks.next()) {
        const { seq, status } = marks;
        if (!this.isUnfinished(seq)) continue;
        if (status > STATUS.answered) this.#index.delete(seq);
        else this.#index.mark(seq, row, status);
      }
    }
    return last;
  }

  has(seq: number): boolean {
    return this.#index.has(seq);
  }

  isUnfinished(seq: number): boolean {
    return this.#index.isUnfinished(seq);
  }

  /** In order of acceptance. */
  unfinished(): readonly number[] {
    return this.#index.unfinished();
  }

  counts(): { readonly accepted: number; readonly answered: number } {
    return { accepted: this.#index.size, answered: this.#index.size - this.#index.unfinished().length };
  }

  holds(seq: number, key: string): boolean {
    return this.#reader.append(seq, this.#index.appendedIn(seq))?.key === key;
  }

  entry(seq: number): LogEntry | undefined {
    const appendedIn = this.#index.appendedIn(seq);
    const append = this.#reader.append(seq, appendedIn);
    const brought = this.#reader.row(appendedIn);
    const status = this.#index.status(seq);
    if (!append || !brought || status === undefined) return undefined;
    const { key, agent, body, about, bodyHash } = append;
    const marked = this.#reader.row(this.#index.markedIn(seq));
    const mark = marked && newestMark(marked, seq);
    const finishedAt = status === STATUS.answered && marked ? marked.at : null;
    const id = deliveryId(brought.prefix, seq);
    const message = { seq, id, key, agent, body, bodyHash, about, acceptedAt: brought.at };
    const state = { status, attempts: mark?.attempts ?? 0, state: mark?.rest ?? null, reply: mark?.text ?? null };
    return { ...message, ...state, finishedAt };
  }

  // A transaction

  /** Begins a row. What is voided in it does not stand there. */
  begin(at: number | undefined, appends: PackedAppends = NO_APPENDS, marks: PackedMarks = NO_MARKS): void {
    this.#newestAt = at ?? this.#newestAt;
    this.#row = { row: this.#next, at: this.#newestAt, prefix: this.#options.idPrefix, appends, marks };
    this.#reader.begin(this.#row);
    this.#trimmer.begin();
    this.#standing = 0;
    this.#isCut = false;
    this.#more = undefined;
  }

  append(seq: number): void {
    this.#before.push(seq, 0, 0, -1);
    this.#index.add(seq, this.#next);
    this.#standing += 1;
  }

  /** A step of what is in the log and is not finished, as a mark of this transaction has it. */
  mark(seq: number, status: number): void {
    this.#remember(seq);
    this.#index.mark(seq, this.#next, status);
    this.#standing += 1;
  }

  /** A mark of this transaction was voided. */
  cut(): void {
    this.#isCut = true;
  }

  /** It has a row of its own from here on, or none. Without `why` a mark of this transaction says so. */
  leave(seq: number, why?: number): void {
    this.#remember(seq);
    this.#index.delete(seq);
    this.#standing += 1;
    if (why === undefined) return;
    this.#more ??= new MarkPacker();
    this.#more.push(seq, why, 0, null, null);
  }

  /** Writes the row where anything stands in it. */
  write(): void {
    if (this.#standing === 0 || !this.#row) return;
    writeRow(this.#sql, { ...this.#row, marks: this.#standingMarks(this.#row) });
  }

  committed(): void {
    if (this.#standing > 0) this.#next += 1;
    this.#end();
  }

  rolledBack(): void {
    for (let i = this.#before.length - 4; i >= 0; i -= 4) {
      const [seq = 0, appendedIn = 0, markedIn = 0, status = -1] = this.#before.slice(i, i + 4);
      this.#index.restore({ seq, appendedIn, markedIn, status: status < 0 ? undefined : status });
    }
    this.#trimmer.rolledBack();
    this.rewind();
    this.#end();
  }

  #end(): void {
    this.#row = undefined;
    if (this.#before.length > 0) this.#before = [];
    this.#reader.end();
  }

  #remember(seq: number): void {
    const index = this.#index;
    this.#before.push(seq, index.appendedIn(seq), index.markedIn(seq), index.status(seq) ?? -1);
  }

  #standingMarks({ marks }: LogRow): PackedMarks {
    if (!this.#isCut && !this.#more) return marks;
    const packer = this.#more ?? new MarkPacker();
    const marked = new Marked(marks);
    while (marked.next()) {
      if (marked.seq !== 0) packer.push(marked.seq, marked.status, marked.attempts, marked.text, marked.rest);
    }
    return packer.packed();
  }

  // Forgetting

  /** Looks anew with the next share, whatever was found. */
  rewind(): void {
    this.#lookAt = -Infinity;
  }

  /**
   * Deletes the oldest row, inside of the caller's transaction, when it is past the retention. What is in it and is not past that is given to `move`, soon after or at once where
   * it is not even finished. Returns what was forgotten with it, or undefined when there was nothing to do.
   */
  forget(at: number, move: (entry: LogEntry) => void): readonly Forgotten[] | undefined {
    if (at < this.#lookedAt) this.rewind();
    this.#lookedAt = at;
    if (at < this.#lookAt) return undefined;
    const { retentionMs } = this.#options;
    const until = at - retentionMs;
    const oldest = this.#sql.logOldest.get();
    const acceptedAt = oldest ? (oldest[1] as number) : at;
    if (!oldest || acceptedAt > until) {
      this.#lookAt = acceptedAt + retentionMs;
      return undefined;
    }
    const gone: Forgotten[] = [];
    const kept: number[] = [];
    let isLate = false;
    const appends = new Appends({ numbers: numbersOf(oldest[2]), keys: oldest[3] as string });
    while (appends.next()) {
      const { seq } = appends;
      if (!this.has(seq)) continue;
      const isAnswered = !this.isUnfinished(seq);
      if (isAnswered && this.#reader.time(this.#index.markedIn(seq)) <= until) gone.push([seq, appends.key]);
      else kept.push(seq);
      isLate ||= isAnswered && kept.at(-1) === seq;
    }
    if (isLate && acceptedAt + LATE_MS > until) {
      this.#lookAt = at + LOOK_MS;
      return undefined;
    }
    const entries = kept.map((seq) => this.entry(seq));
    for (const seq of [...kept, ...gone.map(([one]) => one)]) {
      this.#remember(seq);
      this.#index.delete(seq);
    }
    // Before what was in it gets rows of its own: there may be no other room.
    this.#sql.logDelete.run(oldest[0] as number);
    for (const entry of entries) if (entry) move(entry);
    return gone;
  }

  /** Takes texts that are needed no more out of rows; see {@link LogTrimmer.trim}. */
  trim(limit: number, all: boolean): boolean {
    return this.#trimmer.trim(limit, all);
  }
}
