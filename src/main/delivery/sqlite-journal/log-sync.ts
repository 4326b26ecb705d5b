/**
 * Owns the syncs of the journal's write-ahead log. SQLite writes a transaction to it and leaves the sync to this, so that something can be told between the two, and one
 * sync do for several transactions.
 *
 * A commit in the log is whole or not there at all: its frames carry checksums. What `synchronous = FULL` adds to `NORMAL` is one sync of the log after each
 * commit, and that is done here, before anybody is told of it (https://sqlite.org/pragma.html#pragma_synchronous).
 */
import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { OrreryError, messageOf } from '../../../protocol/index.ts';

/** What is written at once. */
const CHUNK_BYTES = 1024 * 1024;

export class LogSync {
  readonly #file: string;
  /** Its own: SQLite's locks are on the other files, so that closing this one frees none. */
  readonly #fd: number;
  /** A sync failed, and what it was to bring to the disk may be missing there: the kernel tells of it once, and the next sync would go well. */
  #broken: OrreryError | undefined;
  /** Something was written since the last sync. */
  #isUnsynced = false;

  constructor(file: string) {
    this.#file = file;
    this.#fd = openSync(file, 'a', 0o600);
  }

  /**
   * Makes the log as long as it will be. A sync of a file that grows writes its new length and place too, and takes twice as long as
   * one of pages that are there: 0.30 ms a commit instead of 0.18, which each message would wait for until the log has grown. To SQLite
   * zeros are the end of the log.
   */
  extend(bytes: number): void {
    const { size } = fstatSync(this.#fd);
    try {
      this.#grow(bytes - size);
    } catch {
      // What is left of the disk is for others too.
      this.#shrink(size);
    }
  }

  /** Tries whether the disk has room for so many bytes more. Throws `ORRERY_DATABASE_FAILED`. */
  tryRoom(bytes: number): void {
    const { size } = fstatSync(this.#fd);
    try {
      this.#grow(bytes);
      // Of its own: an error that is told here is told once more to the sync that it belongs to.
      const fd = openSync(this.#file, 'a');
      try {
        fdatasyncSync(fd);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      throw this.#refusal(error);
    } finally {
      this.#shrink(size);
    }
  }

  /** There is something to sync, or about to be. */
  wrote(): void {
    this.#isUnsynced = true;
  }

  /** Waits for the disk where anything was written. Throws `ORRERY_DATABASE_FAILED`, and from then on until it is {@link mended}. */
  sync(): void {
    if (!this.#isUnsynced) return;
    if (this.#broken) throw this.#broken;
    try {
      fdatasyncSync(this.#fd);
    } catch (error) {
      this.#broken = this.#refusal(error);
      throw this.#broken;
    }
    this.#isUnsynced = false;
  }

  /** What is in the log may be on no disk: no sync goes well before it is {@link mended}. */
  broke(cause: unknown): void {
    this.#broken = this.#refusal(cause);
  }

  get isBroken(): boolean {
    return this.#broken !== undefined;
  }

  /** All that the log had is in the file, and synced there. */
  mended(): void {
    this.#broken = undefined;
  }

  /** What was not synced is left as it is: nobody waits for it any more. */
  close(): void {
    closeSync(this.#fd);
    this.#isUnsynced = false;
  }

  #grow(bytes: number): void {
    const zeros = Buffer.alloc(Math.max(0, Math.min(bytes, CHUNK_BYTES)));
    for (let left = bytes; left > 0;) left -= writeSync(this.#fd, zeros, 0, Math.min(left, zeros.length));
  }

  /** Takes back what {@link #grow} added: zeros. */
  #shrink(bytes: number): void {
    try {
      ftruncateSync(this.#fd, bytes);
    } catch {
      // A longer log is none the worse.
    }
  }

  #refusal(cause: unknown): OrreryError {
    return new OrreryError('ORRERY_DATABASE_FAILED', `The disk does not take ${this.#file}: ${messageOf(cause)}`, {
      cause,
    });
  }
}
