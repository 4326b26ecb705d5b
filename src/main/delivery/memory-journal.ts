/**
 * Owns the journal in memory: acceptance holds while the process lives, and no longer. Finished deliveries are kept under
 * their key until their retention passes or the bounds are reached; unfinished ones always.
 *
 * Two generations, each with half of the bounds: what is new goes to the young one, and when that is full it becomes the
 * old one, whose entries are dropped all at once. Forgetting entry by entry cost a tenth of the whole path: each one's
 * way out of two Maps, and their holes.
 */
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
  type JournalHealth,
  type JournalLag,
  type JournalLetters,
  type JournalTotals,
  type PendingDelivery,
  type StoredDelivery,
  dedupeKey,
} from './journal.ts';
import { MemoryLetters } from './memory-letters.ts';

/** Finished deliveries kept, and the characters of their messages and replies: at most these, at least half of them. */
export const DEFAULT_MAX_FINISHED = 10_000;
export const DEFAULT_MAX_FINISHED_CHARS: number = 16 * 1024 * 1024;

const ACCEPTED: DeliveryState = { status: 'accepted' };
/** Ids end with their number in this base. */
const RADIX = 36;
const DIGIT_0 = 48;
const LETTER_A = 97;
const NO_LAG: JournalLag = { appends: 0, marks: 0 };
const OK: JournalHealth = { status: 'ok' };

export interface MemoryJournalOptions {
  /** How long a finished delivery's id is known, in milliseconds. */
  readonly dedupeRetentionMs: number;
  /** How long its reply is kept, in milliseconds. Both are kept for the longer of the two. */
  readonly replyRetentionMs: number;
  /** Starts every delivery id of this process, so that ids of two processes never meet. */
  readonly idPrefix: string;
  /** Dead letters that are kept; the oldest go first. */
  readonly maxDeadLetters: number;
  readonly maxFinished?: number;
  readonly maxFinishedChars?: number;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

/**
 * What is kept of a delivery, and no more: thousands live here, and each object in one is work for the collector. A class: objects of a literal that were
 * alive at their first collection are made where only a full one finds them from then on.
 */
class Entry {
  readonly key: DedupeKey;
  readonly id: DeliveryId;
  /** The id's number, which counts up. */
  readonly number: number;
  readonly agent: string;
  readonly namespace: string;
  /** What the message said, kept to compare a second one with. */
  readonly content: string;
  /** The rest of the body, as {@link restOf} has it; undefined for a plain text. */
  readonly rest: string | undefined;
  /** All of the message until it is finished, for its dead letter. */
  inbound: InboundMessage | undefined;
  state: DeliveryState = ACCEPTED;
  attempts = 0;
  finishedAt = Infinity;
  readonly replays: number;

  constructor(key: DedupeKey, id: DeliveryId, number: number, { inbound, agent }: Admission, replays = 0) {
    this.key = key;
    this.id = id;
    this.number = number;
    this.agent = agent;
    this.namespace = inbound.namespace;
    this.content = inbound.message.content;
    this.rest = restOf(inbound);
    this.inbound = inbound;
    this.replays = replays;
  }
}

class Generation {
  readonly byKey: Map<DedupeKey, Entry> = new Map();
  /** By their numbers, from `first` on: an index costs less than a Map of ids, at each of a delivery's states. */
  readonly entries: Entry[] = [];
  readonly first: number;
  /** What was unfinished when the generation before was left, or was put back since. */
  readonly carried: Map<number, Entry> = new Map();
  readonly bornAt: number;
  finished = 0;
  /** Characters of what is finished. */
  chars = 0;

  constructor(bornAt: number, first: number) {
    this.bornAt = bornAt;
    this.first = first;
  }

  get(number: number): Entry | undefined {
    return number >= this.first ? this.entries[number - this.first] : this.carried.get(number);
  }

  put(entry: Entry): void {
    const { number } = entry;
    if (number >= this.first) this.entries[number - this.first] = entry;
    else this.carried.set(number, entry);
  }
}

export class MemoryJournal implements Journal {
  readonly kind = 'memory';
  readonly durable: boolean = false;
  readonly lag: JournalLag = NO_LAG;
  readonly health: JournalHealth = OK;
  readonly deadLetters: JournalLetters;
  readonly letters: MemoryLetters;
  readonly #options: Required<MemoryJournalOptions>;
  readonly #retentionMs: number;
  /** Holds all that is unfinished. */
  #young: Generation;
  #old: Generation;
  #counter = 0;
  #replayed = 0;
  #answered = 0;
  #dead = 0;

  constructor(options: MemoryJournalOptions) {
    this.#options = {
      maxFinished: DEFAULT_MAX_FINISHED,
      maxFinishedChars: DEFAULT_MAX_FINISHED_CHARS,
      now: () => performance.now(),
      ...options,
    };
    this.#retentionMs = Math.max(options.dedupeRetentionMs, options.replyRetentionMs);
    this.#young = new Generation(this.#options.now(), this.#counter + 1);
    this.#old = this.#young;
    const letters = new MemoryLetters(options.maxDeadLetters);
    this.letters = letters;
    this.deadLetters = {
      list: (o) => new Promise((resolve) => resolve(letters.list(o))),
      get: (id) => Promise.resolve(letters.get(id)),
      drop: (id) => Promise.resolve(letters.drop(id)),
      replay: (id) => Promise.resolve(this.#replay(id)),
    };
  }

  open(): Promise<void> {
    return Promise.resolve();
  }

  append(batch: readonly Admission[]): Promise<readonly (Accepted | Error)[]> {
    return Promise.resolve(batch.map((admission) => this.appendNow(admission)));
  }

  appendNow(admission: Admission): Accepted | Error {
    const { inbound, agent } = admission;
    const now = this.#options.now();
    if (now - this.#young.bornAt > this.#retentionMs) this.#turn(now);
    const key = dedupeKey(inbound);
    const known = this.#known(key, now);
    if (known) return this.#duplicate(known, inbound, agent);
    this.#counter += 1;
    const number = this.#counter;
    const id = `${this.#options.idPrefix}-${number.toString(RADIX)}`;
    const entry = new Entry(key, id, number, admission);
    this.#young.byKey.set(key, entry);
    this.#young.put(entry);
    return { status: 'accepted', id, agent };
  }

  mark(id: DeliveryId, state: DeliveryState, attempts: number): void {
    const young = this.#young;
    const entry = young.get(this.#numberOf(id));
    if (entry?.id !== id || entry.finishedAt !== Infinity) return;
    entry.state = state;
    entry.attempts = attempts;
    if (state.status === 'answered') this.#answered += 1;
    else if (state.status === 'dead') this.#die(entry, state);
    else return;
    entry.inbound = undefined;
    entry.finishedAt = this.#options.now();
    young.finished += 1;
    young.chars += charsOf(entry);
    const { maxFinished, maxFinishedChars } = this.#options;
    if (young.finished * 2 >= maxFinished || young.chars * 2 >= maxFinishedChars) this.#turn(entry.finishedAt);
  }

  async *recover(): AsyncIterable<PendingDelivery> {
    // Nothing outlives the process here.
  }

  find(key: DedupeKey): Promise<StoredDelivery | undefined> {
    return Promise.resolve(this.#known(key, this.#options.now()));
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  totals(): Promise<JournalTotals> {
    const accepted = this.#counter;
    const [replayed, answered, dead] = [this.#replayed, this.#answered, this.#dead];
    const pending = accepted + replayed - answered - dead;
    return Promise.resolve({ accepted, replayed, answered, dead, pending, letters: this.letters.size });
  }

  close(): Promise<void> {
    this.#young = new Generation(this.#options.now(), this.#counter + 1);
    this.#old = this.#young;
    return Promise.resolve();
  }

  #die({ id, agent, attempts, inbound, replays }: Entry, state: Extract<DeliveryState, { status: 'dead' }>): void {
    this.#dead += 1;
    if (!inbound) return;
    const { reason, error } = state;
    const about = { id, agent, reason, attempts, inbound, replays, crashes: 0 };
    const letter = { ...about, acceptedAt: inbound.receivedAt, diedAt: Date.now() };
    this.letters.add(error === undefined ? letter : { ...letter, error });
  }

  #replay(id: DeliveryId): PendingDelivery | undefined {
    const letter = this.letters.get(id);
    if (!letter) return undefined;
    this.letters.drop(id);
    const { agent, inbound } = letter;
    const key = dedupeKey(inbound);
    const replays = letter.replays + 1;
    const { namespace } = inbound;
    const entry = new Entry(key, id, this.#numberOf(id), letter, replays);
    // A newer message may have taken its key.
    const holder = this.#known(key, this.#options.now());
    if (!holder || holder.id === id) this.#young.byKey.set(key, entry);
    this.#young.put(entry);
    this.#replayed += 1;
    const about = { id, agent, namespace, state: ACCEPTED, attempts: 0 };
    return { ...about, inbound, acceptedAt: Date.now(), crashes: 0, replays };
  }

  /** Reads the number of an id without cutting it out; that of another process's id means nothing. */
  #numberOf(id: DeliveryId): number {
    let number = 0;
    for (let i = this.#options.idPrefix.length + 1; i < id.length; i++) {
      const code = id.charCodeAt(i);
      number = number * RADIX + (code < LETTER_A ? code - DIGIT_0 : code - LETTER_A + 10);
    }
    return number;
  }

  #known(key: DedupeKey, now: number): Entry | undefined {
    const entry = this.#young.byKey.get(key) ?? this.#old.byKey.get(key);
    return entry && now - entry.finishedAt < this.#retentionMs ? entry : undefined;
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

  /** Drops the old generation and makes the young one old; what is unfinished stays young. */
  #turn(now: number): void {
    const old = this.#young;
    const young = new Generation(now, this.#counter + 1);
    const carry = (entry: Entry): void => {
      if (entry.finishedAt !== Infinity) return;
      young.put(entry);
      // One that was put back may have lost its key to a newer message.
      if (old.byKey.get(entry.key) === entry) young.byKey.set(entry.key, entry);
    };
    for (const entry of old.carried.values()) carry(entry);
    for (const entry of old.entries) carry(entry);
    // Nothing in it is marked any more.
    old.carried.clear();
    old.entries.length = 0;
    this.#old = old;
    this.#young = young;
  }
}

function replyOf(entry: Entry): DeliveredReply | undefined {
  const { state, id, agent, namespace } = entry;
  if (state.status !== 'answered' && state.status !== 'committed') return undefined;
  const reply = { ...state.reply, id, agent, namespace };
  return state.status === 'answered' && state.by !== undefined ? { ...reply, by: state.by } : reply;
}

function charsOf(entry: Entry): number {
  const reply = entry.state.status === 'answered' ? entry.state.reply.message.content.length : 0;
  return entry.content.length + (entry.rest?.length ?? 0) + reply;
}

/** The body beyond its text, as JSON where there is much of it. The whole of it is kept and compared here; a durable journal compares a hash. */
function restOf({ message, context }: InboundMessage): string | undefined {
  if (message.parts === undefined) {
    if (context === undefined) return undefined;
    // A caller that keeps no session brings its history with every message, and often it is empty.
    if (context.messages.length === 0) return context.mode;
  }
  return JSON.stringify([message.parts, context]);
}
