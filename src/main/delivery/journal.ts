/**
 * Owns the interface of the journal, the log of deliveries, and what it stores. A journal knows no agents and no
 * channels: it says what was accepted, and what became of it.
 */
import {
  type Accepted,
  type DeadReason,
  type DeliveryId,
  type DeliveryState,
  type InboundMessage,
  OrreryError,
  type WireError,
} from '../../protocol/index.ts';

/** Names a message by where it came from: channel, account, namespace and the platform's own id. */
export type DedupeKey = string;

export function dedupeKey(inbound: InboundMessage): DedupeKey {
  const { channel, account = '', namespace, id } = inbound;
  // With the lengths: no two messages have one key, whatever characters their names hold.
  return `${channel.length}.${account.length}.${namespace.length}.${channel}${account}${namespace}${id}`;
}

/** Whose names make a dedupe key; `account` is empty where there is none. */
export interface KeyParts {
  readonly channel: string;
  readonly account: string;
  readonly namespace: string;
  readonly id: string;
}

export function partsOfKey(key: DedupeKey): KeyParts {
  const lengths = key.split('.', 3);
  let at = lengths.join('.').length + 1;
  const [channel = '', account = '', namespace = ''] = lengths.map((length) => key.slice(at, (at += Number(length))));
  return { channel, account, namespace, id: key.slice(at) };
}

/** A message with the agent that routing gave it. */
export interface Admission {
  readonly inbound: InboundMessage;
  readonly agent: string;
}

export type WrittenListener = (accepted: readonly Accepted[]) => void;

export interface StoredDelivery {
  readonly id: DeliveryId;
  readonly agent: string;
  readonly namespace: string;
  readonly state: DeliveryState;
  readonly attempts: number;
}

/** A delivery that an earlier process accepted and did not finish, or a dead letter that was put back. */
export interface PendingDelivery extends StoredDelivery {
  readonly inbound: InboundMessage;
  /** Unix time in milliseconds. */
  readonly acceptedAt: number;
  /** Ends of the process, other than a clean one, that it was unfinished at. */
  readonly crashes: number;
  /** Times that it was a dead letter and was put back. */
  readonly replays: number;
}

export interface Journal {
  readonly kind: 'memory' | 'sqlite';
  /** True where what it accepted outlives the process: what a stop cuts off is left to the next one then. */
  readonly durable: boolean;
  readonly deadLetters: JournalLetters;
  /** What it holds that a crash would take: for admission, and for metrics. */
  readonly lag: JournalLag;
  readonly health: JournalHealth;
  /**
   * Resolves when it can be used; to be called once, before anything else. Rejects with `ORRERY_DATABASE_UNUSABLE` and
   * `ORRERY_DATABASE_FAILED`.
   */
  open(): Promise<void>;
  /**
   * Stores messages and gives each its delivery id; resolves when they are as durable as this journal makes them. A
   * message that is there already is answered as `duplicate`; one with the same key and another body rejects nothing but
   * itself: its place holds an error with code `ORRERY_ID_CONFLICT`. Appends of one moment may be under way together, and are
   * accepted in the order in which they were called.
   *
   * `written` is called before that where a journal waits for its disk: at most once, and only when all of the batch were accepted. They would survive the end of
   * the process by then, and a loss of power not yet: their turns may begin, and nobody may hear of them before the promise resolves. When it rejects after
   * that, they are stored nevertheless, and are the caller's to run.
   */
  append(batch: readonly Admission[], written?: WrittenListener): Promise<readonly (Accepted | Error)[]>;
  /** The same for one message and at once: only a journal that waits for no disk has it, and then intake takes no detour. */
  appendNow?(admission: Admission): Accepted | Error;
  /** Records a later state. Never awaited on the hot path: only acceptance waits. */
  mark(id: DeliveryId, state: DeliveryState, attempts: number): void;
  /** Looks whether the disk still takes writes, for somebody whose own file it refused; what it finds is told as {@link health}. */
  check?(): void;
  /** Yields what an earlier process left, in order of acceptance. */
  recover(): AsyncIterable<PendingDelivery>;
  find(key: DedupeKey): Promise<StoredDelivery | undefined>;
  /** Resolves when all that was marked so far is as durable as it will be. Rejects with `ORRERY_JOURNAL_FAILED`. */
  flush(): Promise<void>;
  /** Counts over the journal's whole lifetime. */
  totals(): Promise<JournalTotals>;
  close(): Promise<void>;
}

export interface JournalLag {
  /** Messages whose `append` is not answered yet. */
  readonly appends: number;
  /** Later states that are not durable yet; those of one delivery may count as one. */
  readonly marks: number;
}

/**
 * `failed`: an `append` rejects with `error` until the file takes writes again, which the journal finds out by itself. Messages that are there already are answered as ever where the file can be read, and
 * those beside them with `error` in their places.
 */
export type JournalHealth =
  | { readonly status: 'ok' }
  | { readonly status: 'failed'; readonly error: OrreryError; readonly since: number };

/** Always `accepted + replayed = answered + dead + pending`. */
export interface JournalTotals {
  readonly accepted: number;
  readonly replayed: number;
  readonly answered: number;
  readonly dead: number;
  readonly pending: number;
  /** Dead letters that are kept. */
  readonly letters: number;
}

/** A delivery that was given up, with all that is known of it. */
export interface DeadLetter {
  readonly id: DeliveryId;
  readonly agent: string;
  readonly reason: DeadReason;
  readonly attempts: number;
  /** Ends of the process, other than a clean one, that it was unfinished at. */
  readonly crashes: number;
  /** Times that it was a dead letter and was put back. */
  readonly replays: number;
  /** Unix time in milliseconds; of a letter that was put back, when that was. */
  readonly acceptedAt: number;
  /** Unix time in milliseconds. */
  readonly diedAt: number;
  readonly inbound: InboundMessage;
  readonly error?: WireError;
}

export interface JournalLetters {
  /**
   * The newest first, at most `limit` of them (default {@link DEFAULT_LETTERS_LIMIT}), from after `after` on. Rejects with `ORRERY_NOT_FOUND` where `after` has no place among
   * them any more: an empty page would tell that there are no others.
   */
  list(o?: { readonly limit?: number; readonly after?: DeliveryId }): Promise<readonly DeadLetter[]>;
  get(id: DeliveryId): Promise<DeadLetter | undefined>;
  /** Forgets a dead letter; false when there is none of that id. Its id stays known for the retention. */
  drop(id: DeliveryId): Promise<boolean>;
  /**
   * Makes a dead letter an accepted delivery again, behind all others and with no attempt counted; resolves when that is
   * durable. Undefined when there is no dead letter of that id.
   */
  replay(id: DeliveryId): Promise<PendingDelivery | undefined>;
}

export const DEFAULT_LETTERS_LIMIT = 100;

/** Of a letter that a list was to go on from. */
export function noPlace(after: DeliveryId): OrreryError {
  const text = `There is no dead letter ${JSON.stringify(after)} to go on after: it was put back or forgotten`;
  return new OrreryError('ORRERY_NOT_FOUND', text, { hint: 'List from the newest on: leave `after` out.' });
}
