/**
 * Owns the forgetting in the session database: commit records past the time in which a delivery can come again, messages past
 * their age, and the empty rows of cleared sessions. Each sweep does a bounded share, and of all threads one does it.
 */
import type { Writer } from '../../lib/sqlite.ts';
import type { Statements } from './statements.ts';

export interface SweepOptions {
  readonly commitRetentionMs: number;
  /** Absent: messages have no age. */
  readonly maxAgeMs?: number;
}

/** How often the threads of a host sweep together, in milliseconds; each of them asks as often. */
export const SWEEP_EVERY_MS = 60_000;

/** Rows of one sweep: some milliseconds of the thread. */
const COMMITS_AT_ONCE = 2_000;
const SESSIONS_AT_ONCE = 1_000;
const MESSAGES_AT_ONCE = 2_000;

export class Sweeper {
  readonly #sql: Statements;
  readonly #writer: Writer;
  readonly #options: SweepOptions;
  /** Sessions are gone through in the order of their ids, from sweep to sweep. */
  #after = 0;
  /** This thread's sweep was cut short. */
  #going = false;

  constructor(sql: Statements, writer: Writer, options: SweepOptions) {
    this.#sql = sql;
    this.#writer = writer;
    this.#options = options;
  }

  /** Returns whether there may be more. */
  sweep(now: number): boolean {
    const last = Number(this.#sql.swept.get()?.[0] ?? 0);
    // A time ahead of ours is of a clock that was put back since.
    if (!this.#going && last <= now && now - last < SWEEP_EVERY_MS / 2) return false;
    const commits = this.#writer.run(() => {
      this.#sql.setSwept.run(now);
      return this.#sweepCommits(now - this.#options.commitRetentionMs);
    });
    const sessions = this.#sweepSessions(now);
    this.#going = commits || sessions;
    return this.#going;
  }

  /** In the order of insertion: no index by time is paid for at every commit. */
  #sweepCommits(until: number): boolean {
    const rows = this.#sql.oldestCommits.all(COMMITS_AT_ONCE);
    const old = rows.findIndex(([, at]) => (at as number) >= until);
    const count = old === -1 ? rows.length : old;
    const last = rows[count - 1]?.[0];
    if (typeof last === 'number') this.#sql.deleteCommits.run(last);
    return count === COMMITS_AT_ONCE;
  }

  #sweepSessions(now: number): boolean {
    const { maxAgeMs = Infinity, commitRetentionMs } = this.#options;
    const rows = this.#sql.sessionsAfter.all(this.#after, SESSIONS_AT_ONCE) as readonly (readonly number[])[];
    let left = MESSAGES_AT_ONCE;
    for (const [id = 0, version = 0, first = 0, next = 0, changedAt = 0] of rows) {
      if (left <= 0) return true;
      this.#after = id;
      if (first < next) {
        if (maxAgeMs !== Infinity) left -= this.#forget(id, first, next, now - maxAgeMs, left);
      } else if (changedAt < now - commitRetentionMs) {
        // No turn that has loaded it can still be running: its version may begin anew.
        this.#writer.run(() => this.#sql.deleteSession.run(id, version));
      }
    }
    if (rows.length === SESSIONS_AT_ONCE) return true;
    this.#after = 0;
    return false;
  }

  /** Forgets the oldest messages of a session as far as they are past their age; returns how many were looked at. */
  #forget(id: number, first: number, next: number, since: number, limit: number): number {
    // Most sessions have nothing that is old: their oldest row says so, and the others are not read.
    const [oldest] = this.#sql.times.all(id, first, next, 1);
    if (oldest !== undefined && (oldest[1] as number) >= since) return 1;
    const rows = this.#sql.times.all(id, first, next, limit);
    const kept = rows.find(([, at]) => (at as number) >= since)?.[0];
    const from = kept === undefined ? ((rows.at(-1)?.[0] as number | undefined) ?? next - 1) + 1 : (kept as number);
    if (from > first) {
      this.#writer.run(() => {
        this.#sql.deleteMessages.run(id, first, from);
        this.#sql.deleteWords.run(id, first, from);
        this.#sql.setFirst.run(id, from);
      });
    }
    return Math.max(1, rows.length);
  }
}
