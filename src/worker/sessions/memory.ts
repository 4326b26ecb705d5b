/** Owns sessions in memory: they live as long as their thread. Every collection in it has a bound. */
import { Fifo } from '../../lib/fifo.ts';
import { type DeliveryId, OrreryError, type Reply, type StoredMessage } from '../../protocol/index.ts';
import type { Commit, Session, SessionKey, SessionStore } from './store.ts';

/** Messages kept of one session; the oldest go first. */
export const DEFAULT_MAX_MESSAGES = 400;
/** Sessions kept in one thread; the one that was used longest ago goes first. */
export const DEFAULT_MAX_SESSIONS = 50_000;
/** Commit records kept in one thread, and the characters of their replies; the oldest go first. */
export const DEFAULT_MAX_COMMITS = 10_000;
export const DEFAULT_MAX_COMMIT_CHARS: number = 16 * 1024 * 1024;

export interface MemoryStoreOptions {
  readonly maxMessages?: number;
  readonly maxSessions?: number;
  readonly maxCommits?: number;
  readonly maxCommitChars?: number;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

/** Commits of a session between two of its moves to the end of the order. */
const TOUCH_EVERY = 32;

interface Entry {
  version: number;
  epoch: number;
  /** Only ever pushed to, or replaced: who remembers its length has a snapshot. */
  messages: StoredMessage[];
}

const EMPTY: Session = { version: 0, read: () => [] };

export class MemorySessionStore implements SessionStore {
  /** Roughly in order of use, the oldest first: a Map keeps insertion order, and some uses insert again. */
  readonly #sessions = new Map<string, Entry>();
  readonly #commits = new Map<DeliveryId, Reply>();
  readonly #order = new Fifo<DeliveryId>();
  #commitChars = 0;
  readonly #limits: Required<MemoryStoreOptions>;

  constructor(options: MemoryStoreOptions = {}) {
    this.#limits = {
      maxMessages: DEFAULT_MAX_MESSAGES,
      maxSessions: DEFAULT_MAX_SESSIONS,
      maxCommits: DEFAULT_MAX_COMMITS,
      maxCommitChars: DEFAULT_MAX_COMMIT_CHARS,
      now: Date.now,
      ...options,
    };
  }

  load(key: SessionKey): Session {
    const entry = this.#sessions.get(keyOf(key));
    if (!entry) return EMPTY;
    const { version, messages } = entry;
    const { length } = messages;
    const first = Math.max(0, length - this.#limits.maxMessages);
    return { version, read: () => messages.slice(first, length) };
  }

  commit(commit: Commit): Reply {
    const stored = this.#commits.get(commit.delivery);
    if (stored) return stored;
    if (commit.session) this.#append(commit.session, commit);
    this.#record(commit.delivery, commit.reply);
    return commit.reply;
  }

  commitOf(delivery: DeliveryId): Reply | undefined {
    return this.#commits.get(delivery);
  }

  delete(key: SessionKey): boolean {
    return this.#sessions.delete(keyOf(key));
  }

  list(agent: string, prefix?: string): readonly string[] {
    const names: string[] = [];
    for (const key of this.#sessions.keys()) {
      const namespace = key.slice(agent.length + 1);
      if (!key.startsWith(`${agent}\n`)) continue;
      if (prefix === undefined || namespace === prefix || namespace.startsWith(`${prefix}:`)) names.push(namespace);
    }
    return names;
  }

  close(): void {
    this.#sessions.clear();
    this.#commits.clear();
  }

  #append(key: SessionKey, commit: Commit): void {
    const name = keyOf(key);
    const known = this.#sessions.get(name);
    const entry = known ?? { version: 0, epoch: commit.epoch, messages: [] };
    if (entry.version !== commit.version || entry.epoch > commit.epoch) {
      throw new OrreryError(
        'ORRERY_STALE_OWNER',
        `Session ${key.namespace} of ${key.agent} is at version ${entry.version} of epoch ${entry.epoch}, the turn had ${commit.version} of ${commit.epoch}`,
      );
    }
    const timestamp = this.#limits.now();
    for (const message of commit.messages) {
      const { role, content, parts } = message;
      const stored = { role, content, timestamp, delivery: commit.delivery };
      entry.messages.push(parts === undefined ? stored : { ...stored, parts });
    }
    entry.version += 1;
    entry.epoch = commit.epoch;
    const { maxMessages, maxSessions } = this.#limits;
    // Seldom, so that a long session costs no copy at every turn.
    if (entry.messages.length > maxMessages * 2) entry.messages = entry.messages.slice(-maxMessages);
    if (known) return this.#touch(name, known);
    this.#sessions.set(name, entry);
    if (this.#sessions.size > maxSessions) dropOldest(this.#sessions);
  }

  /** Moving an entry to the end at every use would fill the Map with holes: one use in a while is enough of an order. */
  #touch(name: string, entry: Entry): void {
    if (entry.version % TOUCH_EVERY !== 0) return;
    this.#sessions.delete(name);
    this.#sessions.set(name, entry);
  }

  #record(delivery: DeliveryId, reply: Reply): void {
    this.#commits.set(delivery, reply);
    this.#order.push(delivery);
    this.#commitChars += reply.message.content.length;
    while (this.#commits.size > this.#limits.maxCommits || this.#commitChars > this.#limits.maxCommitChars) {
      const oldest = this.#order.shift();
      if (oldest === undefined) break;
      this.#commitChars -= this.#commits.get(oldest)?.message.content.length ?? 0;
      this.#commits.delete(oldest);
    }
  }
}

function keyOf(key: SessionKey): string {
  return `${key.agent}\n${key.namespace}`;
}

function dropOldest(map: Map<string, unknown>): void {
  const oldest = map.keys().next().value;
  if (oldest !== undefined) map.delete(oldest);
}
