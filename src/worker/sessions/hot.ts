/**
 * Owns the sessions that are kept in memory beside the database: the newest messages of those that were read lately, under a
 * bound of bytes. It does not know whether they are still true: the store compares versions.
 *
 * Two generations: what is used moves to the young one, and when that is full it becomes the old one, whose predecessor is
 * dropped whole. So nothing is ever deleted one by one, which a Map pays for (see `lib/key-table.ts`).
 */
import type { StoredModelMessage } from './store.ts';

/** The newest messages of a session at one version, without a gap. */
export interface HotSession {
  /** The session's id in the database: one that was made anew under its name has another. */
  readonly id: number;
  version: number;
  /** The place in the session of the first message here. */
  first: number;
  /** Only ever pushed to, or replaced: who remembers its length has a snapshot. */
  messages: StoredModelMessage[];
  /** Bytes of each message, about. */
  sizes: number[];
  bytes: number;
}

/** One session takes this share of the bound at most; what is older is read from the database. */
const MAX_SHARE = 1 / 8;

export class HotSessions {
  readonly #maxBytes: number;
  #young = new Map<string, HotSession>();
  #old = new Map<string, HotSession>();
  #youngBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(name: string): HotSession | undefined {
    const young = this.#young.get(name);
    if (young) return young;
    const old = this.#old.get(name);
    if (old) this.#keep(name, old);
    return old;
  }

  /** Keeps a session in place of the one of that name. */
  put(name: string, session: HotSession): void {
    const before = this.#young.get(name);
    if (before) this.#youngBytes -= before.bytes;
    cut(session, this.#maxBytes * MAX_SHARE);
    this.#keep(name, session);
  }

  /** Adds what a commit added to a session that is kept. */
  append(name: string, session: HotSession, messages: readonly StoredModelMessage[], sizes: readonly number[]): void {
    if (this.get(name) !== session) return;
    this.#youngBytes -= session.bytes;
    session.messages.push(...messages);
    session.sizes.push(...sizes);
    for (const size of sizes) session.bytes += size;
    cut(session, this.#maxBytes * MAX_SHARE);
    this.#keep(name, session);
  }

  clear(): void {
    this.#young = new Map();
    this.#old = new Map();
    this.#youngBytes = 0;
  }

  #keep(name: string, session: HotSession): void {
    if (this.#youngBytes + session.bytes > this.#maxBytes / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(name, session);
    this.#youngBytes += session.bytes;
  }
}

/** Cuts a session that is too long back to its newer half, so that the next cut is far. */
function cut(session: HotSession, maxBytes: number): void {
  if (session.bytes <= maxBytes) return;
  let from = session.messages.length;
  let bytes = 0;
  for (let i = from - 1; i >= 0; i--) {
    bytes += session.sizes[i] ?? 0;
    if (bytes > maxBytes / 2) break;
    from = i;
  }
  session.first += from;
  session.messages = session.messages.slice(from);
  session.sizes = session.sizes.slice(from);
  session.bytes = session.sizes.reduce((sum, size) => sum + size, 0);
}
