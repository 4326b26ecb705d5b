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
 */
import type { DeliveryId } from '../../../protocol/index.ts';
import { LogIndex } from './log-index.ts';
import { type LogRow, NO_ROW, newestMark, numbersOf, rowOf } from './log-row.ts';
import { MarkPacker, NO_APPENDS, NO_MARKS, type PackedAppends, type PackedMarks } from './packed-work.ts';
import { deliveryId } from './packed.ts';
import { STATUS } from './schema.ts';
import type { Statements } from './statements.ts';
import { Appends, Marked, trimAppends } from './unpacked-work.ts';

export interface MessageLogOptions {
  readonly idPrefix: string;
  readonly retentionMs: number;
}

/** How long a row waits for those of its messages that were answered late, in milliseconds, before they are moved. */
const LATE_MS = 60_000;
/** Between two looks at such a row, in milliseconds. */
const LOOK_MS = 1_000;
/** Texts that one transaction goes over to take some out, in characters: some milliseconds. */
const TRIM_CHARS = 256 * 1024;
/** Rows that a transaction keeps of those that it read: it comes to deliveries in about their order. */
const MAX_READ = 64;

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
  /** Rows that it read. */
  readonly #read = new Map<number, LogRow>();
  readonly #times = new Map<number, number>();
  /** Where the last search in a row ended: those for neighbours follow one another, and do not go over a large row for each. */
  readonly #searches = new Map<number, Appends>();
  /** Nothing is to be forgotten before. */
  #lookAt = -Infinity;
  #lookedAt = -Infinity;
  /** Up to this row there are no texts that could go. */
  #trimmed = 0;
  #trimmedBefore = 0;
  /** The first row that was gone over and has texts still. */
  #untrimmed = Infinity;
  #untrimmedBefore = Infinity;

  constructor(sql: Statements, options: MessageLogOptions) {
    this.#sql = sql;
    this.#options = options;
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
    return this.#index.status(seq) !== undefined;
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
    return this.#appendOf(seq)?.key === key;
  }

  entry(seq: number): LogEntry | undefined {
    const append = this.#appendOf(seq);
    const brought = this.#rowOf(this.#index.appendedIn(seq));
    const status = this.#index.status(seq);
    if (!append || !brought || status === undefined) return undefined;
    const { key, agent, body, about, bodyHash } = append;
    const marked = this.#rowOf(this.#index.markedIn(seq));
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
    this.#trimmedBefore = this.#trimmed;
    this.#untrimmedBefore = this.#untrimmed;
    this.#row = { row: this.#next, at: this.#newestAt, prefix: this.#options.idPrefix, appends, marks };
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
    this.#write({ ...this.#row, marks: this.#standingMarks(this.#row) });
  }

  #write({ row, at, prefix, appends, marks }: LogRow): void {
    this.#sql.logWrite.run(row, at, prefix, appends.numbers, marks.numbers, appends.keys, marks.texts, appends.texts);
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
    this.#trimmed = this.#trimmedBefore;
    this.#untrimmed = this.#untrimmedBefore;
    this.rewind();
    this.#end();
  }

  #end(): void {
    this.#row = undefined;
    if (this.#before.length > 0) this.#before = [];
    this.#forgetRead();
  }

  #forgetRead(): void {
    this.#read.clear();
    this.#times.clear();
    this.#searches.clear();
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
      if (isAnswered && this.#timeOf(this.#index.markedIn(seq)) <= until) gone.push([seq, appends.key]);
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

  /**
   * Takes the texts of messages that are answered out of rows, inside of the caller's transaction: of no more than `limit` rows and {@link TRIM_CHARS}, from the first one on that has not been gone over. Returns
   * whether there may be more. A row that has unfinished messages is gone over again, and those behind it, unless `all` are wanted now.
   */
  trim(limit: number, all: boolean): boolean {
    const what = (seq: number): 'kept' | 'known' | 'gone' => {
      if (this.isUnfinished(seq)) return 'kept';
      return this.has(seq) ? 'known' : 'gone';
    };
    let chars = 0;
    for (let count = 0; count < limit && chars < TRIM_CHARS; count++) {
      const cells = this.#sql.logAfter.get(this.#trimmed);
      const found = cells ? rowOf(cells) : NO_ROW;
      const { row, appends, marks } = found;
      chars += appends.texts.length + marks.texts.length;
      const trimmed = trimAppends(appends, what);
      if (trimmed) {
        // Anew: SQLite brings pages that became empty together when a row goes, and not when it gets shorter.
        this.#sql.logDelete.run(row);
        this.#write({ ...found, appends: trimmed });
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
    while (appends.next()) if (this.isUnfinished(appends.seq)) return true;
    return false;
  }

  // Reading

  /** To be read before the next one is asked for. */
  #appendOf(seq: number): Appends | undefined {
    const row = this.#rowOf(this.#index.appendedIn(seq));
    if (!row) return undefined;
    const last = this.#searches.get(row.row);
    if (last?.seq === seq) return last;
    const appends = last && last.seq < seq ? last : new Appends(row.appends);
    while (appends.next()) {
      if (appends.seq !== seq) continue;
      if (this.#row) this.#searches.set(row.row, appends);
      return appends;
    }
    this.#searches.delete(row.row);
    return last === appends ? this.#appendOf(seq) : undefined;
  }

  /** When a row was written: without its texts. */
  #timeOf(row: number): number {
    if (row === this.#row?.row) return this.#row.at;
    let at = this.#times.get(row);
    if (at === undefined) {
      at = Number(this.#sql.logTime.get(row)?.[0] ?? 0);
      this.#times.set(row, at);
    }
    return at;
  }

  #rowOf(row: number): LogRow | undefined {
    if (row === 0) return undefined;
    if (row === this.#row?.row) return this.#row;
    const read = this.#read.get(row);
    if (read) return read;
    const cells = this.#sql.logRow.get(row);
    if (!cells) return undefined;
    const found = rowOf(cells);
    if (!this.#row) return found;
    if (this.#read.size >= MAX_READ) this.#forgetRead();
    this.#read.set(row, found);
    return found;
  }
}
