/**
 * Owns the journal's file, in the journal's thread: its transactions, what a key that comes again is answered, and its
 * upkeep. It knows no ports and no timers.
 */
import { hash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type DeliveryId, type InboundMessage, OrreryError } from '../../../protocol/index.ts';
import { Writer, openDatabase } from '../../../lib/sqlite.ts';
import { Compactor, type DeletedRow } from './compactor.ts';
import { KeyTable } from './key-table.ts';
import { LogSync } from './log-sync.ts';
import {
  APPEND_PLACES,
  type JournalSetup,
  type KnownDelivery,
  MARK_PLACES,
  type PackedAppends,
  type PackedMarks,
  type WorkException,
  type WorkRequest,
  deliveryId,
  seqOf,
} from './packed.ts';
import { JOURNAL_APPLICATION_ID, JOURNAL_MIGRATIONS, STATUS } from './schema.ts';
import { type Row, Statements } from './statements.ts';
import { type Tally, Totals, addRow, newTally } from './totals.ts';

export const WHAT = 'journal';

/** Hexadecimal digits of the hash that stands for a body: two bodies with one of 2^128 values do not happen. */
const BODY_DIGITS = 32;
/** Rows that a transaction looks at for what may be forgotten, for each message that it adds: more go than come. */
const COMPACT_PER_APPEND = 2;
/** Rows of a share of upkeep in idle time: some milliseconds. */
const COMPACT_AT_ONCE = 500;
/** Rows and characters of a page of unfinished deliveries. */
const PAGE_ROWS = 256;
const PAGE_CHARS = 1024 * 1024;
/** The columns of such a row that may be long: state, body, reply, about. */
const TEXTS = [5, 6, 12, 13] as const;
/**
 * Of a new file: each page of a transaction costs two calls of the system, and neighbours are written together. A sixth less of the thread's time for a message than with 4 KB, and
 * none more for one that comes alone.
 */
const PAGE_BYTES = 16_384;
/** Bytes in the write-ahead log at which a commit moves them to the file; in idle time that happens long before. */
const CHECKPOINT_BYTES = 8 * 1024 * 1024;
/** A commit's own pages come on top of those. */
const LOG_BYTES: number = CHECKPOINT_BYTES * 1.25;
/** Rows written since the last checkpoint that are worth one in idle time. */
const CHECKPOINT_ROWS = 1_000;
/** Free room that stays in the file for what comes next, and what is given back of it at once. */
const SPARE_BYTES = 16 * 1024 * 1024;
const VACUUM_BYTES = 1024 * 1024;
/** What a probe writes: room for a few messages. */
const PROBE_BYTES = 64 * 1024;

export class JournalFile {
  readonly #setup: JournalSetup;
  readonly #database: DatabaseSync;
  readonly #pageBytes: number;
  readonly #sql: Statements;
  readonly #log: LogSync;
  readonly #writer: Writer;
  readonly #compactor: Compactor;
  readonly #keys = new KeyTable();
  readonly #totals = new Totals();
  /** Keys that the transaction under way makes free, each with its row. */
  #forgotten: (readonly [key: string, seq: number])[] = [];
  /** Counts of the rows that it deletes. */
  #gone: Tally | undefined;
  /** No unfinished row had an earlier place when it was opened. */
  #firstPlace = Infinity;
  /** The first free sequence number when it was opened. */
  readonly next: number;
  #dirtyRows = 0;
  #unsynced = false;

  /** Throws `ORRERY_DATABASE_UNUSABLE` and `ORRERY_DATABASE_FAILED`. */
  constructor(setup: JournalSetup) {
    this.#setup = setup;
    const { file, maxFileBytes } = setup;
    prepareVacuum(file);
    this.#database = openDatabase({
      file,
      what: WHAT,
      applicationId: JOURNAL_APPLICATION_ID,
      migrations: JOURNAL_MIGRATIONS,
      synchronous: 'normal',
    });
    this.#log = new LogSync(`${file}-wal`);
    try {
      this.#pageBytes = this.pragma('page_size');
      const pages = Math.ceil(CHECKPOINT_BYTES / this.#pageBytes);
      this.#database.exec(`PRAGMA wal_autocheckpoint = ${pages}; PRAGMA journal_size_limit = 67108864`);
      if (maxFileBytes !== undefined) {
        this.#database.exec(`PRAGMA max_page_count = ${Math.ceil(maxFileBytes / this.#pageBytes)}`);
      }
      this.#sql = new Statements(this.#database);
      this.#writer = new Writer(this.#database);
      this.#compactor = new Compactor(this.#sql, {
        ...setup,
        deleted: (row) => this.#deleted(row),
      });
      this.#readRows();
      this.#log.extend(LOG_BYTES);
      if (setup.first) this.#begin();
      this.sync();
      this.next = Number(this.#sql.last.get()?.[0] ?? 0) + 1;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** One transaction: all of it is kept, or none. Returns what was not accepted. */
  work({ at, appends, marks, withdrawn }: WorkRequest): readonly WorkException[] {
    const exceptions: WorkException[] = [];
    const tally = newTally();
    this.#write(() => {
      for (const seq of withdrawn) this.#withdraw(seq, tally);
      this.#mark(marks, at, tally);
      for (let i = 0; i < appends.length; i += APPEND_PLACES) {
        const known = this.#append(appends, i, at, tally);
        if (known !== undefined) exceptions.push([i / APPEND_PLACES, known]);
      }
      if (tally.accepted > 0) this.#compactor.step(at, tally.accepted * COMPACT_PER_APPEND);
    });
    this.#totals.add(tally);
    this.#compactor.died(tally.dead);
    this.#dirtyRows += appends.length / APPEND_PLACES + marks.length / MARK_PLACES;
    return exceptions;
  }

  /** Writes what was marked meanwhile; returns when that is kept. */
  marks(marks: PackedMarks, at: number): void {
    if (marks.length > 0) this.work({ at, appends: [], marks, withdrawn: [] });
  }

  /** Throws where the disk has no room for what grows, though the log may have some of its own. */
  check(): void {
    this.#log.tryRoom(PROBE_BYTES);
  }

  /** After a sync that failed: brings all that was written to the file itself, anew. Throws while that does not go. */
  mend(): void {
    if (!this.#log.isBroken) return;
    const row = this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();
    if (row?.['busy'] !== 0) throw new OrreryError('ORRERY_DATABASE_FAILED', `Another program reads the ${WHAT}`);
    this.#log.mended();
  }

  /** Throws while there is no room. Two transactions: what is added and taken away in one is never written. */
  probe(at: number): void {
    this.compact(at);
    this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    this.#run(() => this.#sql.fillProbe.run(PROBE_BYTES));
    this.#run(() => this.#sql.emptyProbe.run());
    this.sync();
    // The checkpoint gave the log's room back, which is no room for others.
    this.#log.extend(LOG_BYTES);
    this.check();
  }

  find(key: string, at: number): Row | undefined {
    const seq = this.#keys.find(key, (row) => this.#sql.known.get(row, key) !== undefined);
    return seq === 0 ? undefined : this.#sql.find.get(seq, at - this.#setup.retentionMs);
  }

  /** A page of what was accepted and is not finished, from after one place up to another. */
  unfinished(after: number, until: number): readonly Row[] {
    const rows: Row[] = [];
    let chars = 0;
    for (const row of this.#sql.unfinished.each(Math.max(after, this.#firstPlace - 1), until)) {
      rows.push(row);
      for (const text of TEXTS) chars += String(row[text] ?? '').length;
      if (rows.length === PAGE_ROWS || chars >= PAGE_CHARS) break;
    }
    return rows;
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
    const seq = seqOf(id) || 0;
    const row = this.#run(() => this.#sql.replay.get(seq, id, position, at));
    if (row) {
      this.#totals.add({ ...newTally(), replayed: 1 });
      this.#compactor.died(-1);
    }
    return row ?? this.#sql.replayed.get(seq, id, position);
  }

  /** As `JournalTotals` lists them. */
  totals(): readonly number[] {
    return [...this.#totals.list(), Number(this.#sql.letterCount.get()?.[0])];
  }

  /** Forgets all that is due, at once; returns how many pages are free. */
  compact(at: number): number {
    this.#compactor.rewind();
    while (this.#compactOnce(at));
    return this.pragma('freelist_count');
  }

  /** A share of upkeep, for idle time; returns whether there is more. */
  upkeep(at: number): boolean {
    const more = this.#compactOnce(at);
    if (more) return true;
    const spare = this.pragma('freelist_count') - SPARE_BYTES / this.#pageBytes;
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
    this.#run(() => this.#sql.setClean.run(1));
    this.sync();
    this.close();
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

  /** One walk over the rows, for all that is known of them in memory. */
  #readRows(): void {
    const [, accepted = 0, replayed = 0, answered = 0, dead = 0] = (this.#sql.meta.get() ?? []) as readonly number[];
    this.#totals.add({ accepted, replayed, answered, dead });
    for (const [seq, key, status, replays, position, finishedAt] of this.#sql.rows.each()) {
      if (key !== null) this.#keys.add(key as string, seq as number);
      this.#totals.addRow(status as number, replays as number);
      if (finishedAt === null) this.#firstPlace = Math.min(this.#firstPlace, position as number);
    }
  }

  /** In one transaction: a start that is killed has either told of the stop before it, or left that to the next one. */
  #begin(): void {
    this.#run(() => {
      if (this.#sql.meta.get()?.[0] === 0 && this.#totals.pending > 0) this.#sql.raiseCrashes.run();
      this.#sql.setClean.run(0);
    });
  }

  /** A transaction; the keys that it frees are forgotten when it is committed, and counts of rows outlive them. */
  #write<T>(work: () => T): T {
    try {
      const result = this.#run(() => {
        const done = work();
        if (this.#gone) this.#fold(this.#gone);
        return done;
      });
      for (const [key, seq] of this.#forgotten) this.#keys.remove(key, seq);
      return result;
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

  #append(appends: PackedAppends, from: number, at: number, tally: Tally): KnownDelivery | null | undefined {
    const seq = appends[from] as number;
    const agent = appends[from + 1] as string;
    const key = appends[from + 2] as string;
    const body = appends[from + 3] as string;
    const about = appends[from + 4] as string;
    // As text: a buffer for each takes three times as long.
    const bodyHash = hash('sha256', body, 'hex').slice(0, BODY_DIGITS);
    let known: Row | undefined;
    this.#keys.find(key, (row) => (known = this.#sql.known.get(row, key)) !== undefined);
    if (known && !this.#expire(known, key, at)) {
      // Its own row: the thread that wrote it ended before it told.
      if (known[0] === seq) return undefined;
      if (known[6] !== bodyHash) return null;
      if (agent !== known[2] && agentOf(about) !== undefined) return null;
      const [, id, of, status, , , , state, reply] = known;
      return { id, agent: of, status, state, reply } as KnownDelivery;
    }
    this.#keys.add(key, seq);
    const id = deliveryId(this.#setup.idPrefix, seq);
    tally.accepted += this.#sql.append.run(seq, at, id, key, bodyHash, agent, body, about);
    return undefined;
  }

  /** Gives the key of a row free that is past its retention, and has not been forgotten yet. */
  #expire(row: Row, key: string, at: number): boolean {
    const [, , , status, finishedAt, diedAt, , , , replays] = row;
    const seq = row[0] as number;
    if (typeof finishedAt !== 'number' || at - finishedAt < this.#setup.retentionMs) return false;
    if (diedAt === null) {
      this.#sql.delete.run(seq);
      this.#deleted({ seq, key, status: status as number, replays: replays as number });
    } else {
      this.#sql.freeKey.run(seq);
      this.#forgotten.push([key, seq]);
    }
    return true;
  }

  #withdraw(seq: number, tally: Tally): void {
    const gone = this.#sql.withdraw.get(seq);
    if (!gone) return;
    tally.accepted -= 1;
    this.#forgotten.push([gone[0] as string, seq]);
  }

  #mark(marks: PackedMarks, at: number, tally: Tally): void {
    for (let i = 0; i < marks.length; i += MARK_PLACES) {
      const seq = marks[i] as number;
      const status = marks[i + 1] as number;
      const attempts = marks[i + 2] as number;
      const reply = marks[i + 3] ?? null;
      const state = marks[i + 4] ?? null;
      if (status === STATUS.answered) tally.answered += this.#sql.answer.run(seq, attempts, state, reply, at);
      else if (status === STATUS.dead) tally.dead += this.#sql.die.run(seq, attempts, state, at);
      else this.#sql.move.run(seq, status, attempts, state, reply);
    }
  }

  #compactOnce(at: number): boolean {
    return this.#write(() => this.#compactor.step(at, COMPACT_AT_ONCE));
  }

  /** Reads a number that SQLite keeps of this connection or of the file. */
  pragma(name: string): number {
    const row = this.#database.prepare(`PRAGMA ${name}`).get();
    return Number(row?.[name] ?? 0);
  }
}

/** Lets a new file give space back bit by bit: that can be said of an empty file alone, before it has a write-ahead log. */
function prepareVacuum(file: string): void {
  if (existsSync(file) && statSync(file).size > 0) return;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  closeSync(openSync(file, 'a', 0o600));
  const database = new DatabaseSync(file);
  try {
    database.exec(
      `PRAGMA page_size = ${PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = ${JOURNAL_APPLICATION_ID}`,
    );
  } finally {
    database.close();
  }
}

/** The agent that the message itself asks for. */
function agentOf(about: string): string | undefined {
  return (JSON.parse(about) as InboundMessage).agent;
}
