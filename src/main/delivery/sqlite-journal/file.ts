/**
 * Owns the journal's file, in the journal's thread: what is asked of it, how it is opened and closed, and how it is mended after a disk that took
 * nothing. It knows no ports and no timers.
 */
import type { DatabaseSync } from 'node:sqlite';
import { type DeliveryId, OrreryError } from '../../../protocol/index.ts';
import { openDatabase } from '../../../lib/sqlite.ts';
import { Compactor } from './compactor.ts';
import { Deliveries } from './deliveries.ts';
import { LogSync } from './log-sync.ts';
import { prepareFile } from './new-file.ts';
import { APPEND_PLACES, MARK_PLACES, NO_APPENDS, type PackedAppends, type PackedMarks } from './packed-work.ts';
import { type JournalSetup, type WorkException, type WorkRequest, seqOf } from './packed.ts';
import { PROBE_BYTES, Room } from './room.ts';
import { JOURNAL_APPLICATION_ID, JOURNAL_MIGRATIONS, STATUS } from './schema.ts';
import { noPlace } from '../journal.ts';
import { type Row, Statements } from './statements.ts';
import { TakenAway } from './taken-away.ts';
import { Totals, newTally } from './totals.ts';
import { Transactions } from './transactions.ts';
import { partsOf } from './unpacked-work.ts';
import { Upkeep } from './upkeep.ts';

export const WHAT = 'journal';

/** Bytes in the write-ahead log at which a commit moves them to the file; in idle time that happens long before. */
const CHECKPOINT_BYTES = 8 * 1024 * 1024;
/** A commit's own pages come on top of those. */
const LOG_BYTES: number = CHECKPOINT_BYTES * 1.25;
/** Tries to find room for some marks. */
const MAX_TRIES = 64;
/** Marks of one transaction in a file that has little room. */
const MARKS_AT_ONCE = 64;

/** SQLite's `SQLITE_IOERR` and `SQLITE_FULL`. */
const DISK_CODES: ReadonlySet<number> = new Set([10, 13]);

export class JournalFile {
  readonly #setup: JournalSetup;
  readonly #database: DatabaseSync;
  readonly #room: Room;
  readonly #sql: Statements;
  readonly #log: LogSync;
  readonly #compactor: Compactor;
  readonly #deliveries: Deliveries;
  readonly #transactions: Transactions;
  readonly #upkeep: Upkeep;
  readonly #totals = new Totals();
  /** The first free sequence number when it was opened. */
  readonly next: number;

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
      const pageBytes = Number(this.#database.prepare('PRAGMA page_size').get()?.['page_size']);
      const pages = Math.ceil(CHECKPOINT_BYTES / pageBytes);
      this.#database.exec(`PRAGMA wal_autocheckpoint = ${pages}; PRAGMA journal_size_limit = 67108864`);
      const sql = new Statements(this.#database);
      const taken = new TakenAway();
      const compactor = new Compactor(sql, setup, taken);
      const deliveries = new Deliveries(sql, setup, taken);
      const transactions = new Transactions(this.#database, sql, this.#log, { deliveries, compactor, taken });
      const room = new Room(this.#database, sql, {
        maxFileBytes,
        run: (work) => transactions.run(work),
        trim: () => this.#upkeep.trim(),
      });
      this.#sql = sql;
      this.#compactor = compactor;
      this.#deliveries = deliveries;
      this.#transactions = transactions;
      this.#room = room;
      this.#upkeep = new Upkeep(this.#database, { transactions, deliveries, compactor, room, pageBytes });
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
    const exceptions = this.#transactions.write(() => {
      const found = this.#deliveries.work(request, tally);
      if (tally.accepted > 0) this.#upkeep.withMessages(at, tally.accepted);
      return found;
    });
    this.#totals.add(tally);
    this.#compactor.died(tally.dead);
    const rows = appends.numbers.length / APPEND_PLACES + marks.numbers.length / MARK_PLACES;
    this.#upkeep.worked(rows, tally.accepted);
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
    const seq = seqOf(after) || 0;
    if (!this.#sql.letterPlace.get(seq, after)) throw noPlace(after);
    return this.#sql.lettersAfter.all(seq, after, limit);
  }

  letter(id: DeliveryId): Row | undefined {
    return this.#sql.letter.get(seqOf(id) || 0, id);
  }

  drop(id: DeliveryId): boolean {
    const dropped = this.#transactions.run(() => this.#sql.drop.run(seqOf(id) || 0, id));
    this.#compactor.died(-dropped);
    return dropped > 0;
  }

  /** Asked a second time with the same position, because the thread ended before it told, it answers the same. */
  replay(id: DeliveryId, position: number, at: number): Row | undefined {
    const row = this.#transactions.write(() => {
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
    return this.#upkeep.forgetAll(at);
  }

  /** A share of upkeep, for idle time; returns whether there is more. */
  upkeep(at: number): boolean {
    return this.#upkeep.share(at);
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
    this.#transactions.write(() => {
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
  }

  /** Makes durable all that was written. */
  sync(): void {
    this.#log.sync();
  }

  #readMeta(): void {
    const [, accepted = 0, replayed = 0, answered = 0, dead = 0] = (this.#sql.meta.get() ?? []) as readonly number[];
    this.#totals.add({ accepted, replayed, answered, dead });
  }

  /** In one transaction: a start that is killed has either told of the stop before it, or left that to the next one. */
  #begin(): void {
    this.#transactions.write(() => {
      this.#deliveries.begin();
      this.#deliveries.moveUnfinished();
      if (!this.#setup.first) return;
      if (this.#sql.meta.get()?.[0] === 0 && this.#totals.pending > 0) this.#sql.raiseCrashes.run();
      this.#sql.setClean.run(0);
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
