/**
 * Owns the interface of a session store: what a turn reads and what it commits. A store lives in the agents' thread and is
 * synchronous, as `node:sqlite` is: between the check of a commit's conditions and its effect nothing else runs there.
 */
import type { ChatMessage, DeliveryId, Reply, StoredMessage } from '../../protocol/index.ts';

/** Names a session: one namespace's history with one agent. */
export interface SessionKey {
  readonly agent: string;
  /** The namespace in its written form. */
  readonly namespace: string;
}

/** A session as it was when it was loaded; later commits do not show in it. */
export interface Session {
  /** Rises by one with every commit; 0 for a session that has none. */
  readonly version: number;
  /** Reads the messages, oldest first. Many agents never do, so that nothing is copied before. */
  read(): readonly StoredMessage[];
}

export interface Commit {
  /** Undefined for a turn without a session: only the commit record is kept. */
  readonly session: SessionKey | undefined;
  readonly delivery: DeliveryId;
  /** The version that the turn loaded. */
  readonly version: number;
  /** The owner's epoch. */
  readonly epoch: number;
  /** What the turn adds, in order. */
  readonly messages: readonly ChatMessage[];
  readonly reply: Reply;
}

export interface SessionStore {
  /** Returns a session; an empty one of version 0 when there is none. */
  load(key: SessionKey): Session;
  /**
   * Adds a turn's messages and its reply, all or nothing, and returns the reply that counts.
   *
   * At most once per delivery: a second commit changes nothing and returns the first one's reply. Throws
   * `ORRERY_STALE_OWNER` when the session has moved on from `version`, or was committed to under a newer epoch.
   */
  commit(commit: Commit): Reply;
  /** Returns the reply that a delivery committed, as long as its record is kept. */
  commitOf(delivery: DeliveryId): Reply | undefined;
  /** Forgets a session's messages; its commit records stay. Returns whether there was one. */
  delete(key: SessionKey): boolean;
  /** Lists sessions of an agent whose namespace is `prefix` or lies below it; whole segments are compared. */
  list(agent: string, prefix?: string): readonly string[];
  close(): void;
}
