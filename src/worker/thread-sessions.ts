/**
 * Owns this thread's session store: which one it is, its opening when it is first needed, its sweeps, and what main asks of
 * sessions. A file that cannot be used fails the start of the agents, which says why, and not the thread, which cannot.
 */
import type { Logger } from 'pino';
import {
  type DeliveryId,
  OrreryError,
  type Reply,
  type RuntimeId,
  type SessionsTask,
  type StoredMessage,
  codeOf,
} from '../protocol/index.ts';
import { storedMessageOf } from './sessions/convert.ts';
import { MemorySessionStore } from './sessions/memory.ts';
import { MIN_COMMIT_RETENTION_MS, SqliteSessionStore } from './sessions/sqlite.ts';
import type { SessionStore } from './sessions/store.ts';
import { SWEEP_EVERY_MS } from './sessions/sweep.ts';

/** Messages of one answer to main, the newest ones, unless it asks for another number. */
export const DEFAULT_HISTORY_MESSAGES = 1_000;

/** The pause between two shares of one sweep, in milliseconds: turns go first. */
const SWEEP_PAUSE_MS = 50;

export class ThreadSessions {
  readonly #task: SessionsTask;
  readonly #log: Logger;
  #store: SessionStore | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(task: SessionsTask, log: Logger) {
    this.#task = task;
    this.#log = log;
  }

  /** Opens the store the first time. Throws `ORRERY_DATABASE_UNUSABLE`, `ORRERY_DATABASE_FAILED`, and `ORRERY_CLOSED` once closed. */
  get store(): SessionStore {
    this.#store ??= this.#open();
    return this.#store;
  }

  /** See {@link SessionStore.own}; the epochs by their runtimes. */
  own(runtimes: readonly RuntimeId[]): ReadonlyMap<RuntimeId, number> {
    const epochs = this.store.own(runtimes);
    return new Map(runtimes.map((runtime, i) => [runtime, epochs[i] ?? 0]));
  }

  /** Returns the newest messages of a session, oldest first. */
  history(agent: string, namespace: string, maxMessages: number = DEFAULT_HISTORY_MESSAGES): readonly StoredMessage[] {
    return this.store.load({ agent, namespace }).read({ maxMessages }).map(storedMessageOf);
  }

  clear(agent: string, namespace: string): boolean {
    return this.store.delete({ agent, namespace });
  }

  list(agent: string, prefix?: string): readonly string[] {
    return this.store.list(agent, prefix);
  }

  /** Returns those of the deliveries that have committed, each with its stored reply. */
  commitsOf(deliveries: readonly DeliveryId[]): readonly (readonly [DeliveryId, Reply])[] {
    return deliveries.flatMap((delivery) => {
      const reply = this.store.commitOf(delivery);
      return reply ? [[delivery, reply] as const] : [];
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#sweep);
    this.#store?.close();
  }

  #open(): SessionStore {
    if (this.#closed) throw new OrreryError('ORRERY_CLOSED', 'The sessions of this slot were closed');
    const task = this.#task;
    if (task.store === 'memory') return new MemorySessionStore(task);
    const opened = new SqliteSessionStore(task);
    // What comes again after a restart, however long the host was down, comes before the first sweep and finds its record.
    this.#sweepIn(MIN_COMMIT_RETENTION_MS, opened);
    return opened;
  }

  #sweepIn(ms: number, store: SqliteSessionStore): void {
    this.#sweep = setTimeout(() => {
      let more = false;
      try {
        more = store.sweep();
      } catch (error) {
        // A damaged file stays damaged until the next start: that is said once, and not every minute.
        if (codeOf(error) === 'ORRERY_DATABASE_UNUSABLE') {
          this.#log.error({ err: error }, 'nothing is forgotten any more until the session database is put right');
          return;
        }
        this.#log.error({ err: error }, 'what is past its retention was not forgotten; it is tried again');
      }
      this.#sweepIn(more ? SWEEP_PAUSE_MS : SWEEP_EVERY_MS, store);
    }, ms);
    this.#sweep.unref();
  }
}
