/**
 * Owns the room in the journal's file: its bound and what may go over it, what is kept for the marks of a full file, and how more of it is made. A full file takes no messages;
 * it takes what becomes of those that it has, and is opened and closed as any other.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Statements } from './statements.ts';

export interface RoomOptions {
  readonly maxFileBytes: number | undefined;
  /** Runs a transaction. */
  readonly run: <T>(work: () => T) => T;
  /** Takes a share of texts that are needed no more out of the file; returns whether there may be more. */
  readonly trim: () => boolean;
}

/** SQLite's own bound. */
const MOST_PAGES = 4_294_967_294;
/** Room that is kept for the marks of a full file: what they free comes after them. */
const RESERVE_BYTES = 32 * 1024;
/** What a probe writes: room for a few messages. */
export const PROBE_BYTES: number = 64 * 1024;
/** Neither is more than this part of a file that has a bound. */
const MOST = 1 / 16;
/** Shares of texts that a full file waits for: more than one round over a small log, and some seconds at most. */
const MAX_TRIMS = 256;
/** Part of its bound from which on a file is short of room, and how many transactions it stays to be what it was found to be. */
const SCARCE = 0.75;
const LOOK_EVERY = 32;

export class Room {
  readonly #database: DatabaseSync;
  readonly #sql: Statements;
  readonly #options: RoomOptions;
  readonly #maxPages: number;
  readonly #reserveBytes: number;
  readonly #probeBytes: number;
  readonly #pages: StatementSync;
  readonly #freePages: StatementSync;
  #looks = 0;
  #isScarce = false;

  constructor(database: DatabaseSync, sql: Statements, options: RoomOptions) {
    this.#database = database;
    this.#sql = sql;
    this.#options = options;
    this.#pages = database.prepare('PRAGMA page_count');
    this.#freePages = database.prepare('PRAGMA freelist_count');
    const pageBytes = numberOf(database.prepare('PRAGMA page_size').get());
    this.#maxPages = options.maxFileBytes === undefined ? MOST_PAGES : Math.ceil(options.maxFileBytes / pageBytes);
    const most = Math.floor((options.maxFileBytes ?? Infinity) * MOST);
    this.#reserveBytes = Math.min(RESERVE_BYTES, most);
    this.#probeBytes = Math.min(PROBE_BYTES, most);
    this.#setBound(this.#maxPages);
  }

  get isAtBound(): boolean {
    return numberOf(this.#pages.get()) >= this.#maxPages;
  }

  /** Pages of the file that nothing is in. */
  get free(): number {
    return numberOf(this.#freePages.get());
  }

  /** Tells whether a file that has a bound comes near to it: texts go then that would otherwise wait for a quiet moment. To be asked once a transaction. */
  get isScarce(): boolean {
    if (this.#maxPages === MOST_PAGES) return false;
    if (this.#looks % LOOK_EVERY === 0) {
      this.#isScarce = numberOf(this.#pages.get()) - this.free > this.#maxPages * SCARCE;
    }
    this.#looks += 1;
    return this.#isScarce;
  }

  /** Keeps room for marks. A file that is full at the start has it where it had it before. */
  reserve(): void {
    try {
      this.#keep();
    } catch {
      // Told by the first message.
    }
  }

  /**
   * Gives up the room that is kept, else texts, else what `compact` forgets. In bounded time: the next time it goes on from there. Returns whether there is more room than
   * before.
   */
  make(compact: () => void): boolean {
    try {
      if (this.#options.run(() => this.#sql.release.run()) > 0) return true;
      const before = this.free;
      for (let i = 0; i < MAX_TRIMS; i++) {
        this.#options.trim();
        if (this.free > before) return true;
      }
      compact();
      return this.free > before;
    } catch {
      return false;
    }
  }

  /** Takes all texts out that are needed no more, in bounded time. */
  trimAll(): void {
    // A round may begin in the middle of the log: the second one has gone over all of it.
    for (let i = 0, rounds = 0; i < MAX_TRIMS && rounds < 2; i++) if (!this.#options.trim()) rounds += 1;
  }

  /** Throws while there is none. Two transactions: what is added and taken away in one is never written. */
  probe(): void {
    this.#keep();
    this.#options.run(() => this.#sql.fillProbe.run(this.#probeBytes));
    this.#options.run(() => this.#sql.emptyProbe.run());
  }

  /** For what leaves the log: a row of its own may take more than it had there. */
  beyondBound(work: () => void): void {
    this.#setBound(MOST_PAGES);
    try {
      work();
    } finally {
      this.#setBound(this.#maxPages);
    }
  }

  #keep(): void {
    this.#options.run(() => this.#sql.reserve.run(this.#reserveBytes));
  }

  /** Where the file has more pages, those are its bound. */
  #setBound(pages: number): void {
    this.#database.exec(`PRAGMA max_page_count = ${pages}`);
  }
}

function numberOf(row: Readonly<Record<string, unknown>> | undefined): number {
  return Number(Object.values(row ?? {})[0] ?? 0);
}
