/**
 * Owns the journal in a SQLite file as main sees it: main never touches the disk, a thread of the journal's own does, in one
 * transaction with one sync for all that waits. What waits is the writer's affair; here is what is asked, and the way to open and close.
 */
import {
  type Accepted,
  type DeliveryId,
  type DeliveryState,
  OrreryError,
  asOrreryError,
} from '../../../protocol/index.ts';
import {
  type Admission,
  DEFAULT_LETTERS_LIMIT,
  type DedupeKey,
  type Journal,
  type JournalHealth,
  type JournalLag,
  type JournalLetters,
  type JournalTotals,
  type PendingDelivery,
  type StoredDelivery,
  type WrittenListener,
} from '../journal.ts';
import { type AskKind, type Asks, type Request, letterOf, pendingOf, positionOf, storedOf } from './packed.ts';
import { fileKeyOf } from './packed-work.ts';
import type { Row } from './statements.ts';
import { JournalThread } from './thread.ts';
import { JournalWriter } from './writer.ts';

export interface SqliteJournalOptions {
  readonly file: string;
  /** How long a finished delivery's id is known, in milliseconds. */
  readonly dedupeRetentionMs: number;
  /** How long its reply is kept, in milliseconds. Both are kept for the longer of the two. */
  readonly replyRetentionMs: number;
  /** Starts every delivery id of this process, so that ids of two processes never meet, also when the file was deleted. */
  readonly idPrefix: string;
  /** Dead letters that are kept; the oldest go first. */
  readonly maxDeadLetters: number;
  /** Bound of the file, in bytes: at it the journal is as with a full disk. Default: the disk. */
  readonly maxFileBytes?: number;
  /** Hears of each change of the health. */
  readonly changed?: (health: JournalHealth) => void;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

export class SqliteJournal implements Journal {
  readonly kind = 'sqlite';
  readonly durable = true;
  readonly deadLetters: JournalLetters;
  readonly #now: () => number;
  readonly #thread: JournalThread;
  readonly #opened = Promise.withResolvers<void>();
  readonly #writer: JournalWriter;
  /** The first sequence number of this process. */
  #first = 0;
  /** Places of letters that were put back without knowing whether that lasts: as many as were asked for and refused. */
  readonly #unknownReplays = new Map<DeliveryId, number>();
  #closing: Promise<void> | undefined;

  constructor(options: SqliteJournalOptions) {
    // Whoever opens it hears; nobody need.
    this.#opened.promise.catch(() => undefined);
    this.#now = options.now ?? Date.now;
    const { file, idPrefix, dedupeRetentionMs, replyRetentionMs, maxDeadLetters, maxFileBytes } = options;
    const retentionMs = Math.max(dedupeRetentionMs, replyRetentionMs);
    const setup = {
      file,
      idPrefix,
      retentionMs,
      maxDeadLetters,
      ...(maxFileBytes === undefined ? {} : { maxFileBytes }),
    };
    this.#thread = new JournalThread(setup, {
      opened: (next) => this.#threadOpened(next),
      lost: (error) => this.#threadLost(error),
    });
    const { changed } = options;
    this.#writer = new JournalWriter({ thread: this.#thread, idPrefix, changed, now: this.#now });
    this.deadLetters = {
      list: async ({ limit = DEFAULT_LETTERS_LIMIT, after } = {}) => {
        const rows = await this.#ask({ kind: 'letters', limit, ...(after === undefined ? {} : { after }) });
        return rows.map(letterOf);
      },
      get: async (id) => {
        const row = await this.#ask({ kind: 'letter', id });
        return row ? letterOf(row) : undefined;
      },
      drop: (id) => this.#ask({ kind: 'drop', id }),
      replay: (id) => this.#replay(id),
    };
  }

  /** Makes a journal and opens it: see {@link open}. */
  static async open(options: SqliteJournalOptions): Promise<SqliteJournal> {
    const journal = new SqliteJournal(options);
    await journal.open();
    return journal;
  }

  /**
   * Opens the file in a new thread, and creates it where it is missing; after a stop that was not clean, every unfinished
   * delivery's `crashes` is raised durably before this resolves. Rejects with `ORRERY_DATABASE_UNUSABLE` and
   * `ORRERY_DATABASE_FAILED`. To be called once, before anything else.
   */
  open(): Promise<void> {
    this.#thread.start();
    return this.#opened.promise;
  }

  get lag(): JournalLag {
    return this.#writer.lag;
  }

  get health(): JournalHealth {
    return this.#writer.health.state;
  }

  /** Rejects with `ORRERY_JOURNAL_FAILED`, and after a close with `ORRERY_CLOSED`; none of the batch is accepted then. */
  append(batch: readonly Admission[], written?: WrittenListener): Promise<readonly (Accepted | Error)[]> {
    return this.#writer.append(batch, written);
  }

  mark(id: DeliveryId, state: DeliveryState, attempts: number): void {
    this.#writer.mark(id, state, attempts);
  }

  check(): void {
    this.#writer.health.check();
  }

  flush(): Promise<void> {
    return this.#writer.flush();
  }

  async *recover(): AsyncIterable<PendingDelivery> {
    // Not what this process accepts meanwhile.
    const until = this.#first - 1;
    for (let after = 0; ;) {
      const rows = await this.#ask({ kind: 'unfinished', after, until });
      const last = rows.at(-1);
      if (!last) return;
      for (const row of rows) yield pendingOf(row);
      after = positionOf(last);
    }
  }

  async find(key: DedupeKey): Promise<StoredDelivery | undefined> {
    const row = await this.#ask({ kind: 'find', key: fileKeyOf(key), at: this.#now() });
    return row ? storedOf(row) : undefined;
  }

  async totals(): Promise<JournalTotals> {
    const counts = await this.#ask({ kind: 'totals', at: this.#now() });
    const [accepted = 0, replayed = 0, answered = 0, dead = 0, pending = 0, letters = 0] = counts;
    return { accepted, replayed, answered, dead, pending, letters };
  }

  /** Forgets at once what is past its retention and its bounds, which otherwise happens bit by bit. */
  async compact(): Promise<void> {
    await this.#ask({ kind: 'compact', at: this.#now() });
  }

  /** Writes what waits, says that the stop was clean, and ends the thread. Rejects when that could not be written; a stop is clean also where marks found no room. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    let closed = false;
    // It was never opened, or did not open yet: nothing waits, and nobody is there to ask.
    if (this.#first === 0) {
      this.#opened.reject(new OrreryError('ORRERY_CLOSED', 'The journal was closed while it opened'));
      return this.#thread.stop({ kill: true });
    }
    try {
      this.#writer.close();
      if (this.health.status === 'failed') await this.#writer.health.probe();
      const failure = await this.flush().catch((error: unknown) => asOrreryError(error, 'ORRERY_JOURNAL_FAILED'));
      // All the same: what is unfinished was no witness of a crash.
      await this.#ask({ kind: 'close', at: this.#now() });
      closed = true;
      if (failure && this.lag.marks > 0) throw failure;
    } finally {
      this.#writer.end();
      await this.#thread.stop({ kill: !closed });
    }
  }

  /** What is under way is answered first: asked again of another thread, a dead letter's death could follow its replay. */
  async #replay(id: DeliveryId): Promise<PendingDelivery | undefined> {
    await this.flush();
    const position = this.#unknownReplays.get(id) ?? this.#writer.nextPlace();
    const row = await new Promise<Row | null>((resolve, reject) => {
      this.#thread.ask<'replay'>({ kind: 'replay', id, position, at: this.#now() }, resolve, ({ error, unknown }) => {
        // It may be in its new place, and no letter any more: asked again with that, it is found there.
        if (unknown) this.#unknownReplays.set(id, position);
        reject(error);
      });
    });
    this.#unknownReplays.delete(id);
    return row ? pendingOf(row) : undefined;
  }

  /** After all that came before: an answer never lacks what was marked. */
  #ask<K extends AskKind>(request: Request<K>): Promise<Asks[K][1]> {
    this.#writer.sendAll();
    return new Promise((resolve, reject) => {
      this.#thread.ask<K>(request, resolve, ({ error }) => reject(error));
    });
  }

  #threadOpened(next: number): void {
    if (this.#first === 0) {
      this.#first = next;
      this.#writer.numberFrom(next);
      this.#opened.resolve();
    } else this.#writer.health.threadOpened();
  }

  #threadLost(error: OrreryError): void {
    if (this.#first === 0) this.#opened.reject(error);
    else this.#writer.health.threadLost(error);
  }
}
