/** Owns sessions in memory: they live as long as their thread. Every collection in it has a bound. */
import { type DeliveryId, OrreryError, type Reply, type StoredMessage } from '../../protocol/index.ts';
import type { Commit, Session, SessionKey, SessionStore } from './store.ts';

/** Messages kept of one session; the oldest go first. */
export const DEFAULT_MAX_MESSAGES = 400;
/** Sessions kept in one thread; the one that was used longest ago goes first. */
export const DEFAULT_MAX_SESSIONS = 50_000;
/** Commit records kept in one thread, and the characters of their replies; the oldest go first. */
export const DEFAULT_MAX_COMMITS = 20_000;
export const DEFAULT_MAX_COMMIT_CHARS: number = 16 * 1024 * 1024;

export interface MemoryStoreOptions {
  readonly maxMessages?: number;
  readonly maxSessions?: number;
  readonly maxCommits?: number;
  readonly maxCommitChars?: number;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

interface Entry {
  version: number;
  epoch: number;
  messages: StoredMessage[];
}

const EMPTY: Session = { version: 0, messages: [] };

export class MemorySessionStore implements SessionStore {
  /** In order of use, the oldest first: a Map keeps insertion order, and a use inserts again. */
  readonly #sessions = new Map<string, Entry>();
  readonly #commits = new Map<DeliveryId, Reply>();
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
    return entry ?? EMPTY;
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
    const entry = this.#sessions.get(name) ?? { version: 0, epoch: commit.epoch, messages: [] };
    if (entry.version !== commit.version || entry.epoch > commit.epoch) {
      throw new OrreryError(
        'ORRERY_STALE_OWNER',
        `Session ${key.namespace} of ${key.agent} is at version ${entry.version} of epoch ${entry.epoch}, the turn had ${commit.version} of ${commit.epoch}`,
      );
    }
    const timestamp = this.#limits.now();
    // A new array each time: a turn that still reads the old one must not see it change.
    const messages = entry.messages.slice(-Math.max(0, this.#limits.maxMessages - commit.messages.length));
    for (const message of commit.messages) messages.push({ ...message, timestamp, delivery: commit.delivery });
    this.#sessions.delete(name);
    this.#sessions.set(name, { version: entry.version + 1, epoch: commit.epoch, messages });
    if (this.#sessions.size > this.#limits.maxSessions) dropOldest(this.#sessions);
  }

  #record(delivery: DeliveryId, reply: Reply): void {
    this.#commits.set(delivery, reply);
    this.#commitChars += reply.message.content.length;
    while (this.#commits.size > this.#limits.maxCommits || this.#commitChars > this.#limits.maxCommitChars) {
      const oldest = this.#commits.entries().next().value;
      if (!oldest || oldest[0] === delivery) break;
      this.#commitChars -= oldest[1].message.content.length;
      this.#commits.delete(oldest[0]);
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
