/** Owns sessions in memory: they live as long as their thread. Every collection in it has a bound. */
import type { ModelMessage } from 'ai';
import type { Encoding } from '../../protocol/encodings.ts';
import { type DeliveryId, OrreryError, type Reply, type RuntimeId } from '../../protocol/index.ts';
import { matches, termsOf, wordsOfMessage } from './search.ts';
import {
  type Commit,
  DEFAULT_LIST_LIMIT,
  DEFAULT_SEARCH_LIMIT,
  type ReadOptions,
  type SearchOptions,
  type Session,
  type SessionKey,
  type SessionStore,
  type StoredModelMessage,
} from './store.ts';

/** Messages kept of one session; the oldest go first. */
export const DEFAULT_MAX_MESSAGES = 200;
/** Sessions kept in one thread; the one that was used longest ago goes first. */
export const DEFAULT_MAX_SESSIONS = 50_000;
/** Characters of all sessions' messages in one thread; the session that was used longest ago goes first. */
export const DEFAULT_MAX_SESSION_CHARS: number = 64 * 1024 * 1024;
/**
 * Commit records kept in one thread, and the characters of their replies: at most these, at least half of them. A record
 * ends with the thread here, so that only a delivery whose outcome is still on its way to main can ask for it.
 */
export const DEFAULT_MAX_COMMITS = 2_048;
export const DEFAULT_MAX_COMMIT_CHARS: number = 2 * 1024 * 1024;

export interface MemoryStoreOptions {
  readonly maxMessages?: number;
  readonly maxSessions?: number;
  readonly maxSessionChars?: number;
  readonly maxCommits?: number;
  readonly maxCommitChars?: number;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

/** Messages beyond the bound before a session is cut back to it. */
const TRIM_EVERY = 64;

/** Share of a bound that is left after an eviction. */
const EVICT_TO = 15 / 16;

/**
 * Messages side by side in one list, five places each: an object for each of them, and most are never read, would be the
 * collector's work of a busy thread. Only ever pushed to, or replaced: who remembers its length has a snapshot.
 */
type Messages = (ModelMessage | number | string | undefined)[];
const PLACES = 5;

/** What a message that nobody counted is taken for. */
const CHARS_PER_TOKEN = 4;

interface Entry {
  readonly agent: string;
  readonly namespace: string;
  version: number;
  /** Characters of the messages. */
  chars: number;
  messages: Messages;
  /** Its neighbours in order of use. */
  older: Entry | undefined;
  newer: Entry | undefined;
}

const EMPTY: Session = { version: 0, read: () => [] };

/** A session as it was: the lists only grow, so that a length is all that must be kept. */
class Snapshot implements Session {
  readonly version: number;
  readonly #messages: Messages;
  readonly #first: number;
  readonly #end: number;

  constructor({ version, messages }: Entry, maxMessages: number) {
    this.version = version;
    this.#messages = messages;
    this.#end = messages.length;
    this.#first = Math.max(0, messages.length - maxMessages * PLACES);
  }

  read(options?: ReadOptions): readonly StoredModelMessage[] {
    return readMessages(this.#messages, this.#first, this.#end, options);
  }
}

export class MemorySessionStore implements SessionStore {
  /** By agent and namespace. The order of use is a chain of the entries: a Map that each commit left and entered would churn. */
  readonly #sessions = new Map<string, Map<string, Entry>>();
  #oldest: Entry | undefined;
  #newest: Entry | undefined;
  #size = 0;
  /** Commit records in two generations: the old one is dropped whole, which costs nothing for each of them. */
  #commits = new Map<DeliveryId, Reply>();
  #oldCommits = new Map<DeliveryId, Reply>();
  /** The newest start of each runtime. */
  readonly #owners = new Map<RuntimeId, number>();
  readonly #epochs = new Set<number>();
  #epoch = 0;
  #sessionChars = 0;
  #commitChars = 0;
  readonly #limits: Required<MemoryStoreOptions>;

  constructor(options: MemoryStoreOptions = {}) {
    this.#limits = {
      maxMessages: DEFAULT_MAX_MESSAGES,
      maxSessions: DEFAULT_MAX_SESSIONS,
      maxSessionChars: DEFAULT_MAX_SESSION_CHARS,
      maxCommits: DEFAULT_MAX_COMMITS,
      maxCommitChars: DEFAULT_MAX_COMMIT_CHARS,
      now: Date.now,
      ...options,
    };
  }

  own(runtimes: readonly RuntimeId[]): readonly number[] {
    return runtimes.map((runtime) => {
      this.#epoch += 1;
      this.#epochs.delete(this.#owners.get(runtime) ?? 0);
      this.#owners.set(runtime, this.#epoch);
      this.#epochs.add(this.#epoch);
      return this.#epoch;
    });
  }

  load(key: SessionKey): Session {
    const entry = this.#entry(key);
    return entry ? new Snapshot(entry, this.#limits.maxMessages) : EMPTY;
  }

  commit(commit: Commit): Reply {
    const stored = this.commitOf(commit.deliveries[0]);
    if (stored) return stored;
    if (!this.#epochs.has(commit.epoch)) {
      throw new OrreryError('ORRERY_STALE_OWNER', `Epoch ${commit.epoch} was taken over by a newer start of its agent`);
    }
    if (commit.session) this.#append(commit.session, commit);
    for (const delivery of commit.deliveries) this.#record(delivery, commit.reply);
    return commit.reply;
  }

  commitOf(delivery: DeliveryId): Reply | undefined {
    return this.#commits.get(delivery) ?? this.#oldCommits.get(delivery);
  }

  delete(key: SessionKey): boolean {
    const entry = this.#entry(key);
    if (!entry || entry.messages.length === 0) return false;
    this.#sessionChars -= entry.chars;
    // The emptied entry stays: a turn that read what was cleared must not commit on it.
    entry.version += 1;
    entry.chars = 0;
    entry.messages = [];
    return true;
  }

  list(agent: string, prefix?: string, limit: number = DEFAULT_LIST_LIMIT): readonly string[] {
    const names: string[] = [];
    for (const [namespace, { messages }] of this.#sessions.get(agent) ?? []) {
      if (messages.length === 0) continue;
      if (prefix === undefined || namespace === prefix || namespace.startsWith(`${prefix}:`)) names.push(namespace);
    }
    return names.slice(0, limit);
  }

  /** Looks at every message: there are few. */
  search(
    key: SessionKey,
    query: string,
    { limit = DEFAULT_SEARCH_LIMIT }: SearchOptions = {},
  ): readonly StoredModelMessage[] {
    const terms = termsOf(query);
    if (terms.length === 0) return [];
    const withAll: StoredModelMessage[] = [];
    const withSome: StoredModelMessage[] = [];
    for (const stored of this.load(key).read().toReversed()) {
      const words = wordsOfMessage(stored.message);
      const found = terms.filter((term) => matches(term, words)).length;
      if (found === terms.length) withAll.push(stored);
      else if (found > 0) withSome.push(stored);
    }
    return [...withAll, ...withSome].slice(0, limit);
  }

  close(): void {
    this.#sessions.clear();
    this.#oldest = undefined;
    this.#newest = undefined;
    this.#size = 0;
    this.#commits.clear();
    this.#oldCommits.clear();
  }

  #append(key: SessionKey, commit: Commit): void {
    // A session that was dropped while its turn ran begins anew with it: the turn is not to blame, and there is no other owner.
    const entry = this.#entry(key) ?? this.#open(key, commit.version);
    if (entry.version !== commit.version) {
      throw new OrreryError(
        'ORRERY_STALE_OWNER',
        `Session ${key.namespace} of ${key.agent} is at version ${entry.version}, the turn had ${commit.version}`,
      );
    }
    const timestamp = this.#limits.now();
    for (const { message, tokens } of commit.messages) {
      entry.messages.push(message, tokens, timestamp, commit.deliveries[0], commit.encoding);
      const chars = charsOf(message);
      entry.chars += chars;
      this.#sessionChars += chars;
    }
    entry.version += 1;
    // Seldom, so that a long session costs no copy at every turn.
    if (entry.messages.length > (this.#limits.maxMessages + TRIM_EVERY) * PLACES) this.#trim(entry);
    this.#use(entry);
    this.#evict(entry);
  }

  #entry({ agent, namespace }: SessionKey): Entry | undefined {
    return this.#sessions.get(agent)?.get(namespace);
  }

  #open({ agent, namespace }: SessionKey, version: number): Entry {
    const entry: Entry = { agent, namespace, version, chars: 0, messages: [], older: undefined, newer: undefined };
    const ofAgent = this.#sessions.get(agent);
    if (ofAgent) ofAgent.set(namespace, entry);
    else this.#sessions.set(agent, new Map([[namespace, entry]]));
    this.#size += 1;
    this.#link(entry);
    return entry;
  }

  /** Makes a session the one that was used last. */
  #use(entry: Entry): void {
    if (entry === this.#newest) return;
    this.#unlink(entry);
    this.#link(entry);
  }

  #link(entry: Entry): void {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest) this.#newest.newer = entry;
    else this.#oldest = entry;
    this.#newest = entry;
  }

  #unlink({ older, newer }: Entry): void {
    if (older) older.newer = newer;
    else this.#oldest = newer;
    if (newer) newer.older = older;
    else this.#newest = older;
  }

  #trim(entry: Entry): void {
    const first = entry.messages.length - this.#limits.maxMessages * PLACES;
    let chars = 0;
    for (let i = 0; i < first; i += PLACES) chars += charsOf(entry.messages[i] as ModelMessage);
    entry.messages = entry.messages.slice(first);
    entry.chars -= chars;
    this.#sessionChars -= chars;
  }

  /** Many at once: what a Map loses one by one leaves holes in it. */
  #evict(present: Entry): void {
    const { maxSessions, maxSessionChars } = this.#limits;
    if (this.#size <= maxSessions && this.#sessionChars <= maxSessionChars) return;
    for (let entry = this.#oldest; entry && entry !== present; entry = this.#oldest) {
      this.#unlink(entry);
      this.#sessions.get(entry.agent)?.delete(entry.namespace);
      this.#size -= 1;
      this.#sessionChars -= entry.chars;
      const few = this.#size <= maxSessions * EVICT_TO;
      if (few && this.#sessionChars <= maxSessionChars * EVICT_TO) return;
    }
  }

  #record(delivery: DeliveryId, reply: Reply): void {
    const { maxCommits, maxCommitChars } = this.#limits;
    this.#commits.set(delivery, reply);
    this.#commitChars += reply.message.content.length;
    if (this.#commits.size * 2 < maxCommits && this.#commitChars * 2 < maxCommitChars) return;
    this.#oldCommits = this.#commits;
    this.#commits = new Map();
    this.#commitChars = 0;
  }
}

/** Characters of what a message says; near enough for a bound where that is more than a text. */
function charsOf({ content }: ModelMessage): number {
  return typeof content === 'string' ? content.length : JSON.stringify(content).length;
}

function readMessages(
  messages: Messages,
  first: number,
  end: number,
  { maxTokens = Infinity, maxMessages = Infinity }: ReadOptions = {},
): readonly StoredModelMessage[] {
  const read: StoredModelMessage[] = [];
  let total = 0;
  for (let i = end - PLACES; i >= first && read.length < maxMessages && total < maxTokens; i -= PLACES) {
    const message = messages[i] as ModelMessage;
    const tokens = messages[i + 1] as number | undefined;
    const encoding = messages[i + 4] as Encoding | undefined;
    read.push({
      message,
      timestamp: messages[i + 2] as number,
      delivery: messages[i + 3] as DeliveryId,
      ...(tokens === undefined ? {} : { tokens }),
      ...(encoding === undefined ? {} : { encoding }),
    });
    total += tokens ?? Math.ceil(charsOf(message) / CHARS_PER_TOKEN);
  }
  return read.toReversed();
}
