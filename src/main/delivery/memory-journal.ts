/**
 * Owns the journal in memory: acceptance holds while the process lives, and no longer. Finished deliveries are kept under
 * their key until their retention passes or the bounds are reached, the oldest first; unfinished ones always.
 */
import { Fifo } from '../../lib/fifo.ts';
import {
  type Accepted,
  type DeliveredReply,
  type DeliveryId,
  type DeliveryState,
  type InboundMessage,
  OrreryError,
} from '../../protocol/index.ts';
import {
  type Admission,
  type DedupeKey,
  type Journal,
  type PendingDelivery,
  type StoredDelivery,
  dedupeKey,
} from './journal.ts';

/** Finished deliveries kept, and the characters of their messages and replies. */
export const DEFAULT_MAX_FINISHED = 10_000;
export const DEFAULT_MAX_FINISHED_CHARS: number = 16 * 1024 * 1024;

const ACCEPTED: DeliveryState = { status: 'accepted' };

export interface MemoryJournalOptions {
  /** How long a finished delivery's id is known, in milliseconds. */
  readonly dedupeRetentionMs: number;
  /** How long its reply is kept, in milliseconds. Both are kept for the longer of the two. */
  readonly replyRetentionMs: number;
  /** Starts every delivery id of this process, so that ids of two processes never meet. */
  readonly idPrefix: string;
  readonly maxFinished?: number;
  readonly maxFinishedChars?: number;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

/** What is kept of a delivery, and no more: thousands live here, and each object in one is work for the collector. */
interface Entry {
  readonly key: DedupeKey;
  readonly id: DeliveryId;
  readonly agent: string;
  readonly namespace: string;
  /** What the message said, kept to compare a second one with. */
  readonly content: string;
  /** The rest of the body as JSON; undefined for a plain text. */
  readonly rest: string | undefined;
  state: DeliveryState;
  attempts: number;
  finishedAt: number;
}

export class MemoryJournal implements Journal {
  readonly kind = 'memory';
  readonly #options: Required<MemoryJournalOptions>;
  readonly #byKey = new Map<DedupeKey, Entry>();
  readonly #byId = new Map<DeliveryId, Entry>();
  /** Finished entries in order of their end. */
  readonly #finished = new Fifo<Entry>();
  #finishedChars = 0;
  #counter = 0;

  constructor(options: MemoryJournalOptions) {
    this.#options = {
      maxFinished: DEFAULT_MAX_FINISHED,
      maxFinishedChars: DEFAULT_MAX_FINISHED_CHARS,
      now: () => performance.now(),
      ...options,
    };
  }

  append(batch: readonly Admission[]): Promise<readonly (Accepted | Error)[]> {
    this.#expire();
    return Promise.resolve(batch.map((admission) => this.#append(admission)));
  }

  mark(id: DeliveryId, state: DeliveryState, attempts: number): void {
    const entry = this.#byId.get(id);
    if (!entry) return;
    entry.state = state;
    entry.attempts = attempts;
    if (state.status !== 'answered' && state.status !== 'dead') return;
    entry.finishedAt = this.#options.now();
    this.#finished.push(entry);
    this.#finishedChars += charsOf(entry);
    if (this.#finished.size > this.#options.maxFinished || this.#finishedChars > this.#options.maxFinishedChars) {
      this.#dropOldest();
    }
  }

  async *recover(): AsyncIterable<PendingDelivery> {
    // Nothing outlives the process here.
  }

  find(key: DedupeKey): Promise<StoredDelivery | undefined> {
    return Promise.resolve(this.#byKey.get(key));
  }

  close(): Promise<void> {
    this.#byKey.clear();
    this.#byId.clear();
    this.#finished.clear();
    return Promise.resolve();
  }

  #append({ inbound, agent }: Admission): Accepted | Error {
    const key = dedupeKey(inbound);
    const known = this.#byKey.get(key);
    if (known) return this.#duplicate(known, inbound, agent);
    this.#counter += 1;
    const id = `${this.#options.idPrefix}-${this.#counter.toString(36)}`;
    const entry: Entry = {
      key,
      id,
      agent,
      namespace: inbound.namespace,
      content: inbound.message.content,
      rest: restOf(inbound),
      state: ACCEPTED,
      attempts: 0,
      finishedAt: 0,
    };
    this.#byKey.set(key, entry);
    this.#byId.set(id, entry);
    return { status: 'accepted', id, agent };
  }

  #duplicate(known: Entry, inbound: InboundMessage, agent: string): Accepted | Error {
    if (
      known.content !== inbound.message.content ||
      known.rest !== restOf(inbound) ||
      (inbound.agent !== undefined && agent !== known.agent)
    ) {
      return new OrreryError(
        'ORRERY_ID_CONFLICT',
        `The id ${JSON.stringify(inbound.id)} was used before with another body`,
      );
    }
    const { id, state } = known;
    if (state.status === 'dead') {
      const error = state.error ?? { name: 'OrreryError', code: 'ORRERY_INTERRUPTED', message: state.reason };
      return { status: 'duplicate', id, agent: known.agent, state: 'dead', error };
    }
    const reply = replyOf(known);
    if (!reply) return { status: 'duplicate', id, agent: known.agent, state: 'pending' };
    return { status: 'duplicate', id, agent: known.agent, state: 'answered', reply };
  }

  #expire(): void {
    const { dedupeRetentionMs, replyRetentionMs, now } = this.#options;
    const before = now() - Math.max(dedupeRetentionMs, replyRetentionMs);
    for (let entry = this.#finished.peek(); entry && entry.finishedAt <= before; entry = this.#finished.peek()) {
      this.#dropOldest();
    }
  }

  #dropOldest(): void {
    const entry = this.#finished.shift();
    if (!entry) return;
    this.#finishedChars -= charsOf(entry);
    this.#byId.delete(entry.id);
    if (this.#byKey.get(entry.key) === entry) this.#byKey.delete(entry.key);
  }
}

function replyOf(entry: Entry): DeliveredReply | undefined {
  const { state, id, agent, namespace } = entry;
  if (state.status !== 'answered' && state.status !== 'committed') return undefined;
  return { ...state.reply, id, agent, namespace };
}

function charsOf(entry: Entry): number {
  const reply = entry.state.status === 'answered' ? entry.state.reply.message.content.length : 0;
  return entry.content.length + (entry.rest?.length ?? 0) + reply;
}

/** The body beyond its text. The whole of it is kept and compared here; a durable journal compares a hash. */
function restOf({ message, context }: InboundMessage): string | undefined {
  if (message.parts === undefined && context === undefined) return undefined;
  return JSON.stringify([message.parts, context]);
}
