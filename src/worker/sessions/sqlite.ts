/**
 * Owns sessions in a SQLite file: one for the host, opened in each worker that needs it, so that any of them can take a
 * session over and all of it outlives threads and the process. What the file is and how it is opened is `lib/sqlite.ts`'s.
 *
 * A commit is one transaction. Two workers that commit to one session at once: both have loaded version 3; the first moves it
 * to 4; the second finds no row with version 3, changes nothing and throws `ORRERY_STALE_OWNER`. What is read, and how, is
 * `loaded-sessions.ts`'s: what was committed before the load.
 *
 * Words are indexed when a session is searched, from where the last search left off, and not in the commit: measured for turns
 * of 800 characters, indexing there made a commit of 160 us one of 440 us, while a search has to index a message in 20 us.
 */
import type { DatabaseSync } from 'node:sqlite';
import { type DeliveryId, OrreryError, type Reply, type RuntimeId } from '../../protocol/index.ts';
import { type Synchronous, Writer, closeDatabase, databaseError, openDatabase } from '../../lib/sqlite.ts';
import { WriteGate } from '../../lib/write-gate.ts';
import { GroupCommit } from './group-commit.ts';
import { type Head, LoadedSessions, headOf } from './loaded-sessions.ts';
import { messageOf } from './reader.ts';
import { SESSIONS_APPLICATION_ID, SESSION_MIGRATIONS } from './schema.ts';
import { SessionIndex } from './session-index.ts';
import { Statements } from './statements.ts';
import {
  type Commit,
  DEFAULT_LIST_LIMIT,
  type SearchOptions,
  type Session,
  type SessionKey,
  type SessionStore,
  type StoredModelMessage,
} from './store.ts';
import { Sweeper } from './sweep.ts';

/** Bytes of the sessions that one thread keeps in memory. */
export const DEFAULT_CACHE_BYTES: number = 16 * 1024 * 1024;
/** What a commit record is kept for at least, in milliseconds: a turn may be tried again that long after its commit. */
export const MIN_COMMIT_RETENTION_MS = 600_000;

export interface SqliteStoreOptions {
  readonly file: string;
  /** Default `normal`; `lib/sqlite.ts` says what the difference is. */
  readonly synchronous?: Synchronous;
  /** Bytes of sessions kept in memory, about. Default {@link DEFAULT_CACHE_BYTES}; 0 keeps none. */
  readonly cacheBytes?: number;
  /** Milliseconds after which a message is forgotten. Default: never. */
  readonly maxAgeMs?: number;
  /** Messages kept of one session; the oldest go first. Default: all. */
  readonly maxMessages?: number;
  /** Milliseconds that commit records are kept, at least and by default {@link MIN_COMMIT_RETENTION_MS}. */
  readonly commitRetentionMs?: number;
  /** Shared by the stores of one process on this file; see `lib/write-gate.ts`. */
  readonly gate?: SharedArrayBuffer;
  /** Milliseconds that a statement waits for another thread's write. */
  readonly busyTimeoutMs?: number;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

/** Messages beyond `maxMessages` before a session is cut back to it: seldom, so that a long one costs nothing at every turn. */
const TRIM_EVERY = 64;

const EMPTY: Session = { version: 0, read: () => [] };

export class SqliteSessionStore implements SessionStore {
  readonly #options: SqliteStoreOptions;
  readonly #now: () => number;
  readonly #database: DatabaseSync;
  readonly #sql: Statements;
  readonly #gate: WriteGate | undefined;
  readonly #writer: Writer;
  readonly #loaded: LoadedSessions;
  readonly #index: SessionIndex;
  readonly #sweeper: Sweeper;
  readonly #group = new GroupCommit((commits) => this.#commitAll(commits));

  /** Opens the file, and creates it where it is missing. Throws `ORRERY_DATABASE_UNUSABLE` and `ORRERY_DATABASE_FAILED`. */
  constructor(options: SqliteStoreOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#gate = options.gate && new WriteGate(options.gate);
    const { file, synchronous = 'normal', busyTimeoutMs, maxAgeMs, maxMessages, commitRetentionMs = 0 } = options;
    this.#database = openDatabase({
      file,
      what: WHAT,
      applicationId: SESSIONS_APPLICATION_ID,
      migrations: SESSION_MIGRATIONS,
      synchronous,
      ...(busyTimeoutMs === undefined ? {} : { busyTimeoutMs }),
    });
    try {
      // The first to read past the file's head: damage that opening does not meet is met here.
      this.#sql = new Statements(this.#database);
      this.#writer = new Writer(this.#database, this.#gate);
    } catch (error) {
      closeDatabase(this.#database, this.#gate);
      throw databaseError(error, { what: WHAT, file });
    }
    this.#loaded = new LoadedSessions(this.#sql, {
      cacheBytes: options.cacheBytes ?? DEFAULT_CACHE_BYTES,
      maxMessages,
      maxAgeMs,
      now: this.#now,
      guard: (work) => this.#read(work),
    });
    this.#index = new SessionIndex(this.#sql, this.#writer);
    this.#sweeper = new Sweeper(this.#sql, this.#writer, {
      commitRetentionMs: Math.max(MIN_COMMIT_RETENTION_MS, commitRetentionMs),
      ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
    });
  }

  own(runtimes: readonly RuntimeId[]): readonly number[] {
    return this.#write(() =>
      runtimes.map((runtime) => {
        const epoch = this.#sql.nextEpoch.get()?.[0] as number;
        this.#sql.own.run(runtime, epoch);
        return epoch;
      }),
    );
  }

  load(key: SessionKey): Session {
    const head = this.#head(key);
    return head ? this.#loaded.open(key, head) : EMPTY;
  }

  commit(commit: Commit): Reply {
    const [reply] = this.#commitAll([commit]);
    if (reply === undefined || reply instanceof Error) throw reply ?? stale('it was not answered');
    return reply;
  }

  commitSoon(commit: Commit): Promise<Reply> {
    return this.#group.add(commit);
  }

  commitOf(delivery: DeliveryId): Reply | undefined {
    return this.#read(() => this.#commitOf(delivery));
  }

  delete(key: SessionKey): boolean {
    return this.#write(() => {
      const head = this.#head(key);
      if (!head || head.first === head.next) return false;
      this.#sql.deleteMessages.run(head.id, head.first, head.next);
      this.#sql.deleteWords.run(head.id, head.first, head.next);
      this.#sql.clearSession.run(this.#now(), head.id);
      return true;
    });
  }

  list(agent: string, prefix?: string, limit: number = DEFAULT_LIST_LIMIT): readonly string[] {
    return this.#read(() => {
      const { sessionsOf, sessionsBelow } = this.#sql;
      const rows = prefix === undefined ? sessionsOf.all(agent, limit) : sessionsBelow.all(agent, prefix, limit);
      return rows.map(([namespace]) => namespace as string);
    });
  }

  search(key: SessionKey, query: string, options: SearchOptions = {}): readonly StoredModelMessage[] {
    return this.#read(() => {
      const head = this.#head(key);
      if (!head) return [];
      const bounds = this.#loaded.bounds(head);
      return this.#index
        .find(key, query, bounds, options.limit)
        .flatMap((place) => this.#sql.message.all(head.id, place).map(messageOf))
        .filter(({ timestamp }) => timestamp >= bounds.since);
    });
  }

  /**
   * Forgets a share of what is past its retention; for a timer. Returns whether there may be more, for the same thread to go on
   * with soon. Throws `ORRERY_DATABASE_FAILED`.
   */
  sweep(): boolean {
    return this.#read(() => this.#sweeper.sweep(this.#now()));
  }

  close(): void {
    if (!this.#database.isOpen) return;
    this.#group.flush();
    this.#loaded.clear();
    closeDatabase(this.#database, this.#gate);
  }

  /** One transaction for all; each that is stale is refused by itself. */
  #commitAll(commits: readonly Commit[]): readonly (Reply | OrreryError)[] {
    const at = this.#now();
    const bodies = commits.map(({ messages }) => messages.map(({ message }) => JSON.stringify(message)));
    const written = this.#write(() => {
      if (commits.length === 1) return commits.map((commit) => this.#insert(commit, bodies[0] ?? [], at));
      return commits.map((commit, i) => this.#savepoint(() => this.#insert(commit, bodies[i] ?? [], at)));
    });
    return written.map((done, i) => {
      const commit = commits[i];
      if (done instanceof OrreryError || !commit) return done instanceof OrreryError ? done : done.reply;
      if (commit.session && done.head) this.#loaded.committed(commit.session, commit, done.head, bodies[i] ?? [], at);
      return done.reply;
    });
  }

  #insert(commit: Commit, bodies: readonly string[], at: number): Inserted {
    const { deliveries, reply, session } = commit;
    const record = this.#sql.commit.get(deliveries[0], at, JSON.stringify(reply), null);
    if (!record) return { reply: this.#commitOf(deliveries[0]) ?? reply };
    // Thrown, so that the record goes too.
    if (!this.#sql.isOwner.get(commit.epoch)) throw stale(`epoch ${commit.epoch} was taken over by a newer start`);
    for (const joined of deliveries.slice(1)) this.#sql.commit.get(joined, at, null, record[0] ?? null);
    return { reply, head: session && this.#append(session, commit, bodies, at) };
  }

  /** Undoes a commit that is refused, and nothing else of its transaction. An error of SQLite's own ends all of it. */
  #savepoint<T>(work: () => T): T | OrreryError {
    this.#sql.savepoint.run();
    try {
      return work();
    } catch (error) {
      if (!(error instanceof OrreryError)) throw error;
      this.#sql.rollbackTo.run();
      return error;
    } finally {
      if (this.#database.isTransaction) this.#sql.release.run();
    }
  }

  #append(
    key: SessionKey,
    { version, messages, encoding, deliveries }: Commit,
    bodies: readonly string[],
    at: number,
  ): Head {
    const { addSession, moveSession, addMessage } = this.#sql;
    const { agent, namespace } = key;
    const count = messages.length;
    const row =
      version === 0
        ? addSession.get(agent, namespace, count, at)
        : moveSession.get(count, at, agent, namespace, version);
    if (!row) throw stale(`${namespace} of ${agent} is no longer at version ${version}`);
    const head = headOf(row);
    for (const [i, { message, tokens }] of messages.entries()) {
      const place = head.next - count + i;
      const body = bodies[i] ?? '';
      addMessage.run(head.id, place, message.role, body, tokens ?? null, encoding ?? null, at, deliveries[0]);
    }
    this.#trim(head);
    return head;
  }

  #trim({ id, first, next }: Head): void {
    const { maxMessages = Infinity } = this.#options;
    if (next - first <= maxMessages + TRIM_EVERY) return;
    const from = next - maxMessages;
    this.#sql.deleteMessages.run(id, first, from);
    this.#sql.deleteWords.run(id, first, from);
    this.#sql.setFirst.run(id, from);
  }

  #head({ agent, namespace }: SessionKey): Head | undefined {
    const row = this.#read(() => this.#sql.session.get(agent, namespace));
    return row && headOf(row);
  }

  #commitOf(delivery: DeliveryId): Reply | undefined {
    const reply = this.#sql.commitOf.get(delivery)?.[0];
    return typeof reply === 'string' ? (JSON.parse(reply) as Reply) : undefined;
  }

  #write<T>(work: () => T): T {
    return this.#read(() => this.#writer.run(work));
  }

  #read<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw databaseError(error, { what: WHAT, file: this.#options.file });
    }
  }
}

const WHAT = 'session database';

/** What a commit did; without a session, or done before, there is no head. */
interface Inserted {
  readonly reply: Reply;
  readonly head?: Head | undefined;
}

function stale(why: string): OrreryError {
  return new OrreryError('ORRERY_STALE_OWNER', `The turn was not committed: ${why}`);
}
