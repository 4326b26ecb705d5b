/**
 * Owns the syncs of the journal's write-ahead log. SQLite writes a transaction to it and leaves the sync to this, so that something can be told between the two, and one
 * sync do for several transactions.
 *
 * A commit in the log is whole or not there at all: its frames carry checksums. What `synchronous = FULL` adds to `NORMAL` is one sync of the log after each
 * commit, and that is done here, before anybody is told of it (https://sqlite.org/pragma.html#pragma_synchronous).
 */
import { closeSync, fdatasyncSync, fstatSync, openSync, writeSync } from 'node:fs';

/** What the log is made long with, at once. */
const EXTEND_BYTES = 1024 * 1024;

export class LogSync {
  /** Its own: SQLite's locks are on the other files, so that closing this one frees none. */
  readonly #fd: number;
  constructor(file: string) {
    this.#fd = openSync(file, 'a', 0o600);
  }

  /**
   * Makes the log as long as it will be. A sync of a file that grows writes its new length and place too, and takes twice as long as
   * one of pages that are there: 0.30 ms a commit instead of 0.18, which each message would wait for until the log has grown. To SQLite
   * zeros are the end of the log.
   */
  extend(bytes: number): void {
    try {
      const missing = Math.max(0, bytes - fstatSync(this.#fd).size);
      const zeros = Buffer.alloc(Math.min(missing, EXTEND_BYTES));
      for (let left = missing; left > 0;) left -= writeSync(this.#fd, zeros, 0, Math.min(left, zeros.length));
    } catch {
      // A full disk: the first message will tell.
    }
  }

  /** Waits for the disk. */
  now(): void {
    fdatasyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
