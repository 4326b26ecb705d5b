/**
 * Owns what goes between the journal's front and its thread: requests, their answers, and rows. Flat lists and JSON texts: a structured clone writes every key of every
 * object again. What work looks like, messages and marks, is {@link PackedAppends} and {@link PackedMarks}.
 */
import type { DeadReason, DeliveryId, InboundMessage, WireError } from '../../../protocol/index.ts';
import { type DeadLetter, type DedupeKey, type PendingDelivery, type StoredDelivery, partsOfKey } from '../journal.ts';
import { type PackedAppends, type PackedMarks, stateOf } from './packed-work.ts';
import type { Row } from './statements.ts';

/** What the thread is started with. */
export interface JournalSetup {
  readonly file: string;
  readonly idPrefix: string;
  /** Milliseconds that a finished delivery is kept. */
  readonly retentionMs: number;
  readonly maxDeadLetters: number;
  readonly maxFileBytes?: number;
  /** The first thread of this process: the one that looks how the last process stopped. */
  readonly first: boolean;
}

/** The first message of a thread. `next`: the first free sequence number. */
export type Opening = { readonly next: number } | { readonly error: WireError };

/** What the thread is asked, and what it answers; in order, one answer a request. */
export interface Asks {
  /** One transaction. Answers with the messages that were not accepted: two places each, the index and why. */
  readonly work: [WorkRequest, readonly WorkException[]];
  /** Tries to write after a failure; with it, what was marked meanwhile. Answers whether that was kept. */
  readonly probe: [{ readonly at: number; readonly marks: PackedMarks }, ProbeAnswer];
  /** Tries whether the disk has room. */
  readonly check: [{ readonly at: number }, ProbeAnswer];
  /** Tells of messages that are there already, as `work` would, and takes in none. */
  readonly look: [{ readonly at: number; readonly appends: PackedAppends }, readonly WorkException[]];
  readonly find: [{ readonly at: number; readonly key: string }, Row | null];
  readonly unfinished: [{ readonly after: number; readonly until: number }, readonly Row[]];
  readonly letters: [{ readonly limit: number; readonly after?: DeliveryId }, readonly Row[]];
  readonly letter: [{ readonly id: DeliveryId }, Row | null];
  readonly drop: [{ readonly id: DeliveryId }, boolean];
  readonly replay: [{ readonly id: DeliveryId; readonly position: number; readonly at: number }, Row | null];
  readonly totals: [{ readonly at: number }, readonly number[]];
  readonly compact: [{ readonly at: number }, number];
  readonly close: [{ readonly at: number }, null];
}

export type AskKind = keyof Asks;
export type Request<K extends AskKind = AskKind> = { readonly [A in K]: { readonly kind: A } & Asks[A][0] }[K];
/** `final`: no later try will do better. `unknown`: it was done, and may not last. */
export type Answer =
  | { readonly value: Asks[AskKind][1] }
  | { readonly error: WireError; readonly final: boolean; readonly unknown?: boolean };

/**
 * The request in this place among those that are not answered yet, from 0, is work whose messages were all accepted. It is written and outlives the process;
 * its answer comes with the sync.
 */
export type Written = { readonly written: number };

export interface WorkRequest {
  readonly at: number;
  readonly appends: PackedAppends;
  readonly marks: PackedMarks;
  /** Sequence numbers of messages whose append was rejected without knowing whether it was kept. */
  readonly withdrawn: readonly number[];
}

/** A message that was there already: its index among those of the request, and what is known of it. */
export type WorkException = readonly [index: number, known: KnownDelivery | null];

/** Null in its place: the same key with another body. */
export interface KnownDelivery {
  readonly id: DeliveryId;
  readonly agent: string;
  readonly status: number;
  readonly state: string | null;
  readonly reply: string | null;
}

/** Undefined `error`: it takes writes again. */
export interface ProbeAnswer {
  readonly marked: boolean;
  readonly error?: WireError;
  readonly final?: boolean;
}

function inboundOf(body: string, about: string): InboundMessage {
  return { ...(JSON.parse(about) as object), ...(JSON.parse(body) as object) } as InboundMessage;
}

const RADIX = 36;
const DASH = 45;
const DIGIT_0 = 48;
const LETTER_A = 97;

/** The sequence number in a delivery's id; NaN when it is none of a journal's. Read in place: it is asked for at each step of each delivery. */
export function seqOf(id: DeliveryId): number {
  let seq = 0;
  let worth = 1;
  for (let at = id.length - 1; at >= 0; at--) {
    const code = id.charCodeAt(at);
    if (code === DASH) return worth > 1 ? seq : NaN;
    const digit = code < LETTER_A ? code - DIGIT_0 : code - LETTER_A + 10;
    if (digit < 0 || digit >= RADIX || (digit > 9 && code < LETTER_A)) return NaN;
    seq += digit * worth;
    worth *= RADIX;
  }
  return NaN;
}

export function deliveryId(prefix: string, seq: number): DeliveryId {
  return `${prefix}-${seq.toString(RADIX)}`;
}

/** A row whose key was given to a newer message still has its text. */
function namespaceOfRow(key: string | null, about: string | null): string {
  if (key === null) return (JSON.parse(about ?? '{}') as InboundMessage).namespace;
  return partsOfKey(key.startsWith('"') ? (JSON.parse(key) as DedupeKey) : key).namespace;
}

export function storedOf(row: Row): StoredDelivery {
  const [id, agent, key, status, attempts, state, , , , , , , reply, about] = row;
  const namespace = namespaceOfRow(key as string | null, about as string | null);
  const newest = stateOf(status as number, state as string | null, reply as string | null);
  return { id, agent, namespace, attempts, state: newest } as StoredDelivery;
}

export function pendingOf(row: Row): PendingDelivery {
  const [, , , , , , body, acceptedAt, crashes, replays, , , , about] = row;
  const counts = { acceptedAt, crashes, replays } as Pick<PendingDelivery, 'acceptedAt' | 'crashes' | 'replays'>;
  return { ...storedOf(row), ...counts, inbound: inboundOf(body as string, about as string) };
}

/** The place of a row in the order of acceptance. */
export function positionOf(row: Row): number {
  return row[11] as number;
}

export function letterOf(row: Row): DeadLetter {
  const { id, agent, attempts, state, inbound, acceptedAt, crashes, replays } = pendingOf(row);
  const { reason, error } = state as { readonly reason: DeadReason; readonly error?: WireError };
  const letter = { id, agent, reason, attempts, diedAt: row[10] as number, inbound, acceptedAt, crashes, replays };
  return error === undefined ? letter : { ...letter, error };
}
