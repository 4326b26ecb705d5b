/**
 * Owns the journal's file, in the journal's thread: its transactions, its upkeep, and how it is opened and
 * closed. It knows no ports and no timers.
 */
import type { DatabaseSync } from 'node:sqlite';
import { type DeliveryId, OrreryError } from '../../../protocol/index.ts';
import { Writer, openDatabase } from '../../../lib/sqlite.ts';
import { Compactor, type DeletedRow } from './compactor.ts';
import { Deliveries } from './deliveries.ts';
import { LogSync } from './log-sync.ts';
import { prepareFile } from './new-file.ts';
import { APPEND_PLACES, MARK_PLACES, NO_APPENDS, type PackedAppends, type PackedMarks } from './packed-work.ts';
import { type JournalSetup, type WorkException, type WorkRequest, seqOf } from './packed.ts';
import { PROBE_BYTES, Room } from './room.ts';
import { JOURNAL_APPLICATION_ID, JOURNAL_MIGRATIONS, STATUS } from './schema.ts';
import { type Row, Statements } from './statements.ts';
import { type Tally, Totals, addRow, newTally } from './totals.ts';
import { partsOf } from './unpacked-work.ts';

export const WHAT = 'journal';

/** Rows that a transaction looks at for what may be forgotten, for each message that it adds: more go than come. */
const COMPACT_PER_APPEND = 2;
/** Rows of a share of upkeep in idle time: some milliseconds. */
const COMPACT_AT_ONCE = 500;
/** Bytes in the write-ahead log at which a commit moves them to the file; in idle time that happens long before. */
const CHECKPOINT_BYTES = 8 * 1024 * 1024;
/** A commit's own pages come on top of those. */
const LOG_BYTES: number = CHECKPOINT_BYTES * 1.25;
/** Rows written since the last checkpoint that are worth one in idle time. */
const CHECKPOINT_ROWS = 1_000;
/** Free room that stays in the file for what comes next, and what is given back of it at once. */
const SPARE_BYTES = 16 * 1024 * 1024;
const VACUUM_BYTES = 1024 * 1024;
/** Rows of the log that are gone over for texts in one transaction. */
const TRIM_AT_ONCE = 500;
/** The same where room is scarce, with each transaction: rows go as fast as they come. */
const TRIM_WITH_EACH = 4;
/** Tries to find room for some marks. */
const MAX_TRIES = 64;
/** Marks of one transaction in a file that has little room. */
const MARKS_AT_ONCE = 64;

/** SQLite's `SQLITE_IOERR` and `SQLITE_FULL`. */
const DISK_CODES: ReadonlySet<number> = new Set([10, 13]);

export class JournalFile {
  readonly #setup: JournalSetup;
  readonly #database: DatabaseSync;
  readonly #pageBytes: number;
  readonly #room: Room;
  readonly #sql: Statements;
  readonly #log: LogSync;
  readonly #writer: Writer;
  readonly #compactor: Compactor;
  readonly #deliveries: Deliveries;
  readonly #totals = new Totals();
  /** Keys that the transaction under way makes free, each with its row. */
  #forgotten: (readonly [key: string, seq: number])[] = [];
  /** Counts of the rows that it deletes. */
  #gone: Tally | undefined;
  /** The first free sequence number when it was opened. */
  readonly next: number;
  #dirtyRows = 0;
  #unsynced = false;

  /** Throws `ORRERY_DATABASE_UNUSABLE` and `ORRERY_DATABASE_FAILED`. */
  constructor(setup: JournalSetup) {
    this.#setup = setup;
    const { file, maxFileBytes } = setup;
    prepareFile(file);
    this.#database = openDatabase({
      file,
      what: WHAT,
      applicationId: JOURNAL_APPLICATION_ID,
      migrations: JOURNAL_MIGRATIONS,
      synchronous: 'normal',
    });
    this.#log = new LogSync(`${file}-wal`);
    try {
      this.#pageBytes = Number(this.#database.prepare('PRAGMA page_size').get()?.['page_size']);
      const pages = Math.ceil(CHECKPOINT_BYTES / this.#pageBytes);
      this.#database.exec(`PRAGMA wal_autocheckpoint = ${pages}; PRAGMA journal_size_limit = 67108864`);
      this.#sql = new Statements(this.#database);
      this.#writer = new Writer(this.#database);
      this.#room = new Room(this.#database, this.#sql, {
        maxFileBytes,
        run: (work) => this.#run(work),
        trim: () => this.#trim(TRIM_AT_ONCE, true),
      });
      this.#compactor = new Compactor(this.#sql, {
        ...setup,
        deleted: (row) => this.#deleted(row),
      });
      this.#deliveries = new Deliveries(this.#sql, setup, {
        deleted: (row) => this.#deleted(row),
        freed: (key, seq) => this.#forgotten.push([key, seq]),
      });
      this.#readMeta();
      this.next = this.#deliveries.load(this.#totals) + 1;
      // What the thread before could not sync, and did not live to tell of, is written anew: a second sync would tell nothing.
      this.#beginSynced();
      this.#log.extend(LOG_BYTES);
      this.#room.beyondBound(() => this.#begin());
      this.#room.reserve();
      if (!this.#log.isBroken) this.sync();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** One transaction: all of it is kept, or none. Returns what was not accepted. */
  work(request: WorkRequest): readonly WorkException[] {
    const { at, appends, marks } = request;
    const tally = newTally();
    const exceptions = this.#write(() => {
      const found = this.#deliveries.work(request, tally);
      if (tally.accepted > 0) {
        this.#compactor.step(at, tally.accepted * COMPACT_PER_APPEND);
        this.#deliveries.forget(at, tally.accepted * COMPACT_PER_APPEND);
      }
      return found;
    });
    this.#totals.add(tally);
    this.#compactor.died(tally.dead);
    this.#dirtyRows += appends.numbers.length / APPEND_PLACES + marks.numbers.length / MARK_PLACES;
    if (tally.accepted > 0 && this.#room.isScarce) this.#trimSome();
    return exceptions;
  }

  /** Writes what was marked while the file took no messages: bit by bit, each bit in what room there is or can be made. What was written of it before is written once. */
  marks(marks: PackedMarks, at: number): void {
    // A death makes a row of its own, and what it frees in the log comes after it.
    for (const part of partsOf(marks, MARKS_AT_ONCE, isDeath)) this.#room.beyondBound(() => this.#markPart(part, at));
    for (const part of partsOf(marks, MARKS_AT_ONCE, (status) => !isDeath(status))) this.#markPart(part, at);
  }

  #markPart(part: PackedMarks, at: number): void {
    for (let tries = 0; ; tries++) {
      try {
        // Of its own: a try that fails has voided some of them.
        const marks = { ...part, numbers: part.numbers.slice() };
        this.work({ at, appends: NO_APPENDS, marks, withdrawn: [] });
        return;
      } catch (error) {
        if (tries === MAX_TRIES || !this.#room.make(() => this.compact(at))) throw error;
      }
    }
  }

  /** Returns whether there may be more. */
  #trim(rows: number, all: boolean): boolean {
    return this.#write(() => {
      this.#deliveries.begin();
      return this.#deliveries.trim(rows, all);
    });
  }

  #trimSome(): void {
    try {
      this.#trim(TRIM_WITH_EACH, true);
    } catch {
      // What came is written; the next one tells of a file that takes nothing.
    }
  }

  /** Throws where the disk has no room for what grows, though the log may have some of its own. */
  check(): void {
    this.#log.tryRoom(PROBE_BYTES);
  }

  /** After a sync that failed: brings all that was written to the file itself, anew. Throws while that does not go. */
  mend(): void {
    if (!this.#log.isBroken) return;
    if (!this.#checkpoint()) {
      throw new OrreryError('ORRERY_DATABASE_FAILED', `Another program reads the ${WHAT}`);
    }
    this.#log.mended();
  }

  /** Where the disk has no room for that it is as after a sync that failed: the journal opens, and takes nothing before it is mended. */
  #beginSynced(): void {
    try {
      this.#checkpoint();
    } catch (error) {
      if (!isOfDisk(error)) throw error;
      this.#log.broke(error);
    }
  }

  /** Moves all of the write-ahead log to the file, and syncs that; false while another program reads it. */
  #checkpoint(): boolean {
    return this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.['busy'] === 0;
  }

  /** Throws while there is no room. */
  probe(at: number): void {
    this.#room.trimAll();
    // What is forgotten may have to make rows first, in that room.
    this.compact(at);
    this.#checkpoint();
    this.#room.probe();
    this.sync();
    // The checkpoint gave the log's room back, which is no room for others.
    this.#log.extend(LOG_BYTES);
    this.check();
  }

  /** It has all pages that it may have. */
  get isAtBound(): boolean {
    return this.#room.isAtBound;
  }

  /** Returns which messages are there already. */
  look(appends: PackedAppends, at: number): readonly WorkException[] {
    return this.#deliveries.look(appends, at);
  }

  find(key: string, at: number): Row | undefined {
    return this.#deliveries.find(key, at);
  }

  /** A page of what was accepted and is not finished, from after one place up to another. */
  unfinished(after: number, until: number): readonly Row[] {
    return this.#deliveries.unfinished(after, until);
  }

  letters(limit: number, after?: DeliveryId): readonly Row[] {
    if (after === undefined) return this.#sql.letters.all(limit);
    return this.#sql.lettersAfter.all(seqOf(after) || 0, after, limit);
  }

  letter(id: DeliveryId): Row | undefined {
    return this.#sql.letter.get(seqOf(id) || 0, id);
  }

  drop(id: DeliveryId): boolean {
    const dropped = this.#run(() => this.#sql.drop.run(seqOf(id) || 0, id));
    this.#compactor.died(-dropped);
    return dropped > 0;
  }

  /** Asked a second time with the same position, because the thread ended before it told, it answers the same. */
  replay(id: DeliveryId, position: number, at: number): Row | undefined {
    const row = this.#write(() => {
      this.#deliveries.begin(at);
      return this.#deliveries.replay(id, position, at);
    });
    if (row) {
      this.#totals.add({ ...newTally(), replayed: 1 });
      this.#compactor.died(-1);
    }
    return row ?? this.#sql.replayed.get(seqOf(id) || 0, id, position);
  }

  /** As `JournalTotals` lists them. */
  totals(): readonly number[] {
    return [...this.#totals.list(), Number(this.#sql.letterCount.get()?.[0])];
  }

  /** Forgets all that is due, at once; returns how many pages are free. */
  compact(at: number): number {
    this.#compactor.rewind();
    this.#deliveries.rewind();
    this.#room.beyondBound(() => {
      while (this.#compactOnce(at));
    });
    return this.#room.free;
  }

  /** A share of upkeep, for idle time; returns whether there is more. */
  upkeep(at: number): boolean {
    if (this.#compactOnce(at) || this.#trim(TRIM_AT_ONCE, false)) return true;
    const spare = this.#room.free - SPARE_BYTES / this.#pageBytes;
    if (spare > 0) {
      const share = VACUUM_BYTES / this.#pageBytes;
      this.#database.exec(`PRAGMA incremental_vacuum(${Math.min(spare, share)})`);
      return spare > share;
    }
    if (this.#dirtyRows >= CHECKPOINT_ROWS) {
      this.#dirtyRows = 0;
      this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)');
    }
    return false;
  }

  /** Closes it as the last act of the process: the next start knows that nothing was cut off. */
  closeClean(): void {
    try {
      this.#room.beyondBound(() => this.#setClean(() => this.#deliveries.moveUnfinished()));
    } catch {
      // Left to the next start: a disk that is full takes this much.
      this.#setClean(() => undefined);
    }
    this.sync();
    this.close();
  }

  #setClean(work: () => void): void {
    this.#write(() => {
      this.#deliveries.begin();
      work();
      this.#sql.setClean.run(1);
    });
  }

  /** Closes it as it is. */
  close(): void {
    if (!this.#database.isOpen) return;
    this.#database.close();
    this.#log.close();
    this.#unsynced = false;
  }

  /** Makes durable all that was written. */
  sync(): void {
    if (!this.#unsynced) return;
    this.#log.now();
    this.#unsynced = false;
  }

  /** A transaction, to be synced. */
  #run<T>(work: () => T): T {
    this.#unsynced = true;
    return this.#writer.run(work);
  }

  #readMeta(): void {
    const [, accepted = 0, replayed = 0, answered = 0, dead = 0] = (this.#sql.meta.get() ?? []) as readonly number[];
    this.#totals.add({ accepted, replayed, answered, dead });
  }

  /** In one transaction: a start that is killed has either told of the stop before it, or left that to the next one. */
  #begin(): void {
    this.#write(() => {
      this.#deliveries.begin();
      this.#deliveries.moveUnfinished();
      if (!this.#setup.first) return;
      if (this.#sql.meta.get()?.[0] === 0 && this.#totals.pending > 0) this.#sql.raiseCrashes.run();
      this.#sql.setClean.run(0);
    });
  }

  /** A transaction; the keys that it frees are forgotten when it is committed, and counts of rows outlive them. */
  #write<T>(work: () => T): T {
    try {
      const result = this.#run(() => {
        const done = work();
        this.#deliveries.write();
        if (this.#gone) this.#fold(this.#gone);
        return done;
      });
      this.#deliveries.committed();
      this.#compactor.committed();
      for (const [key, seq] of this.#forgotten) this.#deliveries.forgetKey(key, seq);
      return result;
    } catch (error) {
      this.#deliveries.rolledBack();
      this.#compactor.rolledBack();
      throw error;
    } finally {
      if (this.#forgotten.length > 0) this.#forgotten = [];
      this.#gone = undefined;
    }
  }

  #deleted({ seq, key, status, replays }: DeletedRow): void {
    this.#gone ??= newTally();
    addRow(this.#gone, status, replays);
    if (key !== null) this.#forgotten.push([key, seq]);
  }

  #fold({ accepted, replayed, answered, dead }: Tally): void {
    this.#sql.fold.run(accepted, replayed, answered, dead);
  }

  #compactOnce(at: number): boolean {
    return this.#write(() => {
      this.#deliveries.begin(at);
      const more = this.#compactor.step(at, COMPACT_AT_ONCE);
      return this.#deliveries.forget(at, COMPACT_AT_ONCE) || more;
    });
  }
}

function isDeath(status: number): boolean {
  return status === STATUS.dead;
}

/** Tells whether SQLite could not write, and does not find the file damaged. */
function isOfDisk(error: unknown): boolean {
  const code = (error as { readonly errcode?: unknown }).errcode;
  return typeof code === 'number' && DISK_CODES.has(code & 0xff);
}
