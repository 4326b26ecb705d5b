/**
 * Owns the forgetting in the journal: finished deliveries past their retention, and dead letters beyond their bound. It goes
 * through the rows in order of acceptance, a bounded share each time, and stops where they are too new to be forgotten; whatever was not finished
 * when it came by is met again on a later round.
 */
import type { Statements } from './statements.ts';
import type { TakenAway } from './taken-away.ts';

export interface CompactorOptions {
  readonly retentionMs: number;
  readonly maxDeadLetters: number;
}

type Oldest = readonly [
  seq: number,
  acceptedAt: number,
  finishedAt: number | null,
  diedAt: number | null,
  key: string | null,
  status: number,
  replays: number,
];

/** How often a round begins anew, in milliseconds. */
const ROUND_MS = 60_000;

export class Compactor {
  readonly #sql: Statements;
  readonly #options: CompactorOptions;
  readonly #taken: TakenAway;
  #after = 0;
  #roundAt = -Infinity;
  /** When the row was accepted that it stopped at: until that one is due there is nothing to look at. */
  #stoppedAt = -Infinity;
  /** Dead letters in the file, and how many of them the transaction under way drops. */
  #letters: number;
  #dropped = 0;

  constructor(sql: Statements, options: CompactorOptions, taken: TakenAway) {
    this.#sql = sql;
    this.#options = options;
    this.#taken = taken;
    this.#letters = Number(sql.letterCount.get()?.[0] ?? 0);
  }

  died(count: number): void {
    this.#letters += count;
  }

  committed(): void {
    this.#letters -= this.#dropped;
    this.#dropped = 0;
  }

  rolledBack(): void {
    this.#dropped = 0;
    this.rewind();
  }

  /** Begins anew with the next share. */
  rewind(): void {
    this.#roundAt = -Infinity;
  }

  /** Looks at no more than `limit` rows, inside of the caller's transaction; returns whether there may be more to do. */
  step(now: number, limit: number): boolean {
    const letters = this.#dropLetters(limit);
    if (now - this.#roundAt >= ROUND_MS || now < this.#roundAt) {
      this.#roundAt = now;
      this.#after = 0;
      this.#stoppedAt = -Infinity;
    }
    const until = now - this.#options.retentionMs;
    if (this.#stoppedAt > until) return letters;
    const rows = this.#sql.oldest.all(this.#after, limit);
    for (const row of rows) {
      const [seq, acceptedAt, finishedAt, diedAt, key, status, replays] = row as Oldest;
      if (acceptedAt > until) {
        this.#stoppedAt = acceptedAt;
        return letters;
      }
      if (finishedAt !== null && finishedAt <= until && diedAt === null) {
        this.#sql.delete.run(seq);
        this.#taken.deleted({ seq, key, status, replays });
      }
      this.#after = seq;
    }
    // Until then there is none that is due; a row that comes with an earlier time is met in the next round.
    if (rows.length < limit) this.#stoppedAt = now;
    return letters || rows.length === limit;
  }

  #dropLetters(limit: number): boolean {
    const surplus = this.#letters - this.#dropped - this.#options.maxDeadLetters;
    if (surplus <= 0) return false;
    for (const [seq, id] of this.#sql.surplusLetters.all(Math.min(surplus, limit))) {
      this.#dropped += this.#sql.drop.run(seq ?? null, id ?? null);
    }
    return surplus > limit;
  }
}
