/**
 * Owns sessions as they were when they were loaded, and what is kept of them in memory. Messages are read when somebody asks: those that are in memory first, then
 * back from there in the database, as far as is wanted. What was read is kept, and commits are added to it.
 *
 * A loaded session has a length and no copy: later commits are pushed to the same list, behind it, and rows are only ever added behind it too.
 */
import { type HotSession, HotSessions } from './hot.ts';
import { Reader, bytesOf, messageOf } from './reader.ts';
import type { Row, Statements } from './statements.ts';
import type { Commit, Session, SessionKey, StoredModelMessage } from './store.ts';

export interface LoadedSessionsOptions {
  /** Bytes of sessions kept in memory, about; 0 keeps none. */
  readonly cacheBytes: number;
  /** Messages kept of one session. Default: all. */
  readonly maxMessages: number | undefined;
  /** Milliseconds after which a message is forgotten. Default: never. */
  readonly maxAgeMs: number | undefined;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  /** Runs what reads the database, and says its errors in ours. */
  readonly guard: <T>(work: () => T) => T;
}

/** A session's row. */
export interface Head {
  readonly id: number;
  readonly version: number;
  /** The places from here to before `next` are kept. */
  readonly first: number;
  readonly next: number;
}

/** Rows of the first look at a session, and of the longest; each look doubles. */
const FIRST_ROWS = 32;
const MAX_ROWS = 1_024;

/** Messages that a session had in memory when it was loaded. */
interface Tail {
  readonly messages: readonly StoredModelMessage[];
  /** How many of them: later commits are pushed to the same list. */
  readonly count: number;
  readonly first: number;
}

/** Messages from before those, with their sizes. */
interface Older {
  readonly messages: readonly StoredModelMessage[];
  readonly sizes: readonly number[];
  readonly first: number;
}

export class LoadedSessions {
  readonly #sql: Statements;
  readonly #options: LoadedSessionsOptions;
  readonly #hot: HotSessions;

  constructor(sql: Statements, options: LoadedSessionsOptions) {
    this.#sql = sql;
    this.#options = options;
    this.#hot = new HotSessions(options.cacheBytes);
  }

  /** The session that a row is of, as it is now. */
  open(key: SessionKey, head: Head): Session {
    const hot = this.#hot.get(nameOf(key));
    // Another thread may have committed to it, cleared it, or made it anew.
    if (hot?.id !== head.id || hot.version !== head.version) return this.#session(key, head, undefined);
    return this.#session(key, head, { messages: hot.messages, count: hot.messages.length, first: hot.first });
  }

  /** Adds a commit to the session in memory, if that is at the version which the commit was made on. `head` is the row after it. */
  committed(key: SessionKey, commit: Commit, head: Head, bodies: readonly string[], timestamp: number): void {
    const name = nameOf(key);
    const hot = this.#hot.get(name);
    if (hot?.id !== head.id || hot.version !== commit.version) return;
    const { encoding, deliveries } = commit;
    const about = { timestamp, delivery: deliveries[0], ...(encoding === undefined ? {} : { encoding }) };
    hot.version = head.version;
    const added = commit.messages.map((message) => ({ ...message, ...about }));
    this.#hot.append(name, hot, added, bodies.map(bytesOf));
  }

  /** What the retention leaves of a session; the rows beyond it may still be there. */
  bounds({ first, next }: Head): { readonly first: number; readonly next: number; readonly since: number } {
    const { maxMessages = Infinity, maxAgeMs = Infinity, now } = this.#options;
    return { first: Math.max(first, next - maxMessages), next, since: now() - maxAgeMs };
  }

  /** Keeps nothing in memory any more. */
  clear(): void {
    this.#hot.clear();
  }

  #session(key: SessionKey, head: Head, tail: Tail | undefined): Session {
    let read = tail;
    return {
      version: head.version,
      read: (options) => {
        const bounds = this.bounds(head);
        const reader = new Reader(options, bounds.since);
        let place = head.next;
        for (let i = (read?.count ?? 0) - 1; i >= 0 && reader.wants && place > bounds.first; i--, place--) {
          const message = read?.messages[i];
          if (message) reader.take(message);
        }
        if (!reader.wants || place <= bounds.first) return reader.messages();
        const older = this.#readOlder(head, bounds.first, place, reader);
        const messages = [...older.messages, ...(read?.messages.slice(0, read.count) ?? [])];
        read = { messages, count: messages.length, first: older.first };
        this.#keep(key, head, messages, older);
        return reader.messages();
      },
    };
  }

  /** Reads back from a place until the reader has enough; what a row brings beyond that is not looked at. */
  #readOlder(head: Head, first: number, before: number, reader: Reader): Older {
    const messages: StoredModelMessage[] = [];
    const sizes: number[] = [];
    let place = before;
    this.#options.guard(() => {
      for (let limit = FIRST_ROWS; reader.wants && place > first; limit = Math.min(MAX_ROWS, limit * 2)) {
        const rows = this.#sql.messages.all(head.id, first, place, Math.min(limit, reader.room));
        for (const row of rows) {
          if (!reader.wants) break;
          const message = messageOf(row);
          reader.take(message);
          messages.push(message);
          sizes.push(bytesOf(row[1] as string));
          place = row[0] as number;
        }
        // Cleared or trimmed since the load.
        if (rows.length === 0) place = first;
      }
    });
    return { messages: messages.toReversed(), sizes: sizes.toReversed(), first: place };
  }

  /** Keeps what was read in memory: the rows before what was kept already, if that is still what it was. */
  #keep(key: SessionKey, head: Head, messages: StoredModelMessage[], older: Older): void {
    const name = nameOf(key);
    const hot = this.#hot.get(name);
    const fits = hot?.id === head.id && hot.version === head.version;
    if (hot && !fits && hot.version > head.version) return;
    const sizes = fits ? [...older.sizes, ...hot.sizes] : older.sizes;
    if (sizes.length !== messages.length) return;
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const { id, version } = head;
    const kept: HotSession = { id, version, first: older.first, messages, sizes: [...sizes], bytes };
    this.#hot.put(name, kept);
  }
}

export function headOf([id, version, first, next]: Row): Head {
  return { id, version, first, next } as Head;
}

const nameOf = ({ agent, namespace }: SessionKey): string => `${agent}\n${namespace}`;
