/**
 * Owns the interface of a session store: what a turn reads and what it commits. A store lives in the agents' thread and is
 * synchronous, as `node:sqlite` is: between the check of a commit's conditions and its effect nothing else runs there.
 * Messages are the AI SDK's `ModelMessage`s, so that tool calls and their results are kept as models need them.
 */
import type { ModelMessage } from 'ai';
import type { Encoding } from '../../protocol/encodings.ts';
import type { DeliveryId, Reply, RuntimeId } from '../../protocol/index.ts';

/** Names a session: one namespace's history with one agent. */
export interface SessionKey {
  readonly agent: string;
  /** The namespace in its written form. */
  readonly namespace: string;
}

/** A message to be stored. Plain data: it must survive JSON. */
export interface NewMessage {
  readonly message: ModelMessage;
  /** Tokens by the encoding of the commit; absent for one that nobody counted. */
  readonly tokens?: number;
}

export interface StoredModelMessage extends NewMessage {
  /** When it was committed: Unix time in milliseconds. */
  readonly timestamp: number;
  /** The delivery whose turn it came of. */
  readonly delivery: DeliveryId;
  /** The encoding that `tokens` was counted with. */
  readonly encoding?: Encoding;
}

export interface ReadOptions {
  /**
   * Reads the newest messages only, up to and including the one with which their tokens reach this; what nobody counted
   * is taken for a token every four characters. Default: no limit.
   */
  readonly maxTokens?: number;
  /** Reads as many of the newest messages at most. Default: no limit. */
  readonly maxMessages?: number;
}

/** A session as it was when it was loaded; later commits do not show in it. */
export interface Session {
  /** Rises by one with every commit; 0 for a session that has none. */
  readonly version: number;
  /** Reads messages, oldest first. Many agents never do, so that nothing is read or copied before. */
  read(options?: ReadOptions): readonly StoredModelMessage[];
}

export interface Commit {
  /** Undefined for a turn without a session: only the commit records are kept. */
  readonly session: SessionKey | undefined;
  /** The deliveries that the turn answers: its own, then those that were joined to it. */
  readonly deliveries: readonly [DeliveryId, ...DeliveryId[]];
  /** The version that the turn loaded. */
  readonly version: number;
  /** The owner's epoch, as {@link SessionStore.own} gave it. */
  readonly epoch: number;
  /** What the turn adds, in order. */
  readonly messages: readonly NewMessage[];
  /** What the messages' tokens were counted with. */
  readonly encoding?: Encoding;
  readonly reply: Reply;
}

export interface SearchOptions {
  /** Messages at most. Default {@link DEFAULT_SEARCH_LIMIT}. */
  readonly limit?: number;
}

export const DEFAULT_SEARCH_LIMIT = 20;

/** Sessions of one answer of {@link SessionStore.list}. */
export const DEFAULT_LIST_LIMIT = 1_000;

export interface SessionStore {
  /**
   * Makes a start of each runtime the owner that counts, and returns their epochs, which rise with every start that the store
   * has seen, over restarts of threads and of the process. From then on a commit of an earlier start is refused, so that a
   * thread that was given up and lives on changes nothing.
   */
  own(runtimes: readonly RuntimeId[]): readonly number[];
  /** Returns a session; an empty one of version 0 when there is none. */
  load(key: SessionKey): Session;
  /**
   * Adds a turn's messages and its reply, all or nothing, and returns the reply that counts.
   *
   * At most once per delivery: when the first of the deliveries has a commit, nothing changes and that one's reply is
   * returned. Throws `ORRERY_STALE_OWNER` when the session has moved on from `version` (another commit, or it was cleared), or
   * when `epoch` is not that of the runtime's newest start.
   */
  commit(commit: Commit): Reply;
  /**
   * As {@link commit}, but shares one transaction with what else is committed in this moment; each is refused by itself, and a
   * transaction that fails fails for all. Only a store that gains by it has it. What is called on the store before the
   * promise settles comes first: a session that is cleared then refuses the commit.
   */
  commitSoon?(commit: Commit): Promise<Reply>;
  /** Returns the reply that a delivery committed, as long as its record is kept. */
  commitOf(delivery: DeliveryId): Reply | undefined;
  /**
   * Forgets a session's messages; its commit records stay. Returns whether there were any. A turn that runs meanwhile is refused
   * at its commit, and is run again on the empty session.
   */
  delete(key: SessionKey): boolean;
  /** Lists sessions of an agent whose namespace is `prefix` or lies below it; whole segments are compared. */
  list(agent: string, prefix?: string, limit?: number): readonly string[];
  /**
   * Finds messages of a session by their words: those that have all of them, the newest first, then those that have some.
   * Case and accents do not count; `word*` finds words that begin so, `"two words"` finds them side by side. Any text is a
   * query: one without a word finds nothing.
   */
  search(key: SessionKey, query: string, options?: SearchOptions): readonly StoredModelMessage[];
  close(): void;
}
