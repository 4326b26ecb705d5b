/**
 * Owns what goes between the journal's front and its thread: requests, their answers, and the packed form of messages, steps
 * and rows. Flat lists and JSON texts: a structured clone writes every key of every object again.
 */
import {
  type ChatMessage,
  type DeadReason,
  type DeliveryId,
  type DeliveryState,
  type InboundMessage,
  NO_USAGE,
  type Reply,
  type WireError,
} from '../../../protocol/index.ts';
import type { DeadLetter, PendingDelivery, StoredDelivery } from '../journal.ts';
import { STATUS } from './schema.ts';
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

/** Three places a message: its sequence number, its agent, and the inbound message as JSON. */
export type PackedAppends = readonly (number | string)[];
export const APPEND_PLACES = 3;
/**
 * Five places a step: sequence number, status, attempts, a reply's text, and the rest as JSON: of a reply its counts and
 * whose turn it was, or null for none of that; of any other state all of it. A reply's text is made JSON in the thread: on main that took
 * a third of a message's time.
 */
export type PackedMarks = readonly (number | string | null)[];
export const MARK_PLACES = 5;
type ReplyRest = readonly [inputTokens: number, outputTokens: number, steps: number, by?: DeliveryId];

/** What the thread is asked, and what it answers; in order, one answer a request. */
export interface Asks {
  /** One transaction. Answers with the messages that were not accepted: two places each, the index and why. */
  readonly work: [WorkRequest, readonly WorkException[]];
  /** Tries to write after a failure; with it, what was marked meanwhile. Answers whether that was kept. */
  readonly probe: [{ readonly at: number; readonly marks: PackedMarks }, ProbeAnswer];
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
/** `final`: no later try will do better. */
export type Answer = { readonly value: Asks[AskKind][1] } | { readonly error: WireError; readonly final: boolean };

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
  readonly state: string | null;
}

/** Undefined `error`: it takes writes again. */
export interface ProbeAnswer {
  readonly marked: boolean;
  readonly error?: WireError;
  readonly final?: boolean;
}

/**
 * Returns the parts of a message that the host knows, as JSON. What else an object holds may not survive it, or may change it (`toJSON`):
 * one such message must not fail those of its batch.
 */
export function inboundJsonOf(inbound: InboundMessage): string {
  const { id, channel, account, namespace, metadata, receivedAt, context, agent, queue } = inbound;
  const message = plainMessage(inbound.message);
  const about = { id, channel, account, namespace, message, metadata: { ...metadata }, receivedAt, agent, queue };
  if (!context) return JSON.stringify(about);
  const { mode, messages } = context;
  return JSON.stringify({ ...about, context: { mode, messages: messages.map(plainMessage) } });
}

/** Every value of a part is a text: intake has seen to that. */
function plainMessage({ role, content, parts }: ChatMessage): object {
  return parts ? { role, content, parts: parts.map((part) => ({ ...part })) } : { role, content };
}

const ACCEPTED: DeliveryState = { status: 'accepted' };

/** The sequence number in a delivery's id; NaN when it is none of a journal's. */
export function seqOf(id: DeliveryId): number {
  return Number.parseInt(id.slice(id.lastIndexOf('-') + 1), 36);
}

export function deliveryId(prefix: string, seq: number): DeliveryId {
  return `${prefix}-${seq.toString(36)}`;
}

export function packMark(seq: number, state: DeliveryState, attempts: number, into: (number | string | null)[]): void {
  into.push(seq, STATUS[state.status], attempts);
  if (state.status === 'dispatched') {
    const { slot, generation, attempt } = state;
    into.push(null, `{"status":"dispatched","slot":${slot},"generation":${generation},"attempt":${attempt}}`);
  } else if (state.status === 'committed' || state.status === 'answered') {
    const { message, usage, steps } = state.reply;
    const by = state.status === 'answered' ? state.by : undefined;
    into.push(message.content);
    if (usage === NO_USAGE && steps === 0 && by === undefined) into.push(null);
    else into.push(JSON.stringify([usage.inputTokens, usage.outputTokens, steps, ...(by === undefined ? [] : [by])]));
  } else into.push(null, JSON.stringify(state));
}

/** The state of the mark that begins at a place, as JSON. */
export function stateJsonOf(marks: PackedMarks, at: number): string {
  const content = marks[at + 3];
  const rest = marks[at + 4] as string | null;
  if (typeof content !== 'string') return rest ?? 'null';
  const [inputTokens, outputTokens, steps, by] = rest === null ? NO_COUNTS : (JSON.parse(rest) as ReplyRest);
  const reply: Reply = { message: { role: 'assistant', content }, usage: { inputTokens, outputTokens }, steps };
  const status = marks[at + 1] === STATUS.answered ? 'answered' : 'committed';
  return JSON.stringify(by === undefined ? { status, reply } : { status, reply, by });
}

const NO_COUNTS: ReplyRest = [0, 0, 0];

export function stateOf(json: string | null): DeliveryState {
  return json === null ? ACCEPTED : (JSON.parse(json) as DeliveryState);
}

export function storedOf(row: Row): StoredDelivery {
  const [id, agent, namespace, , attempts, state] = row;
  return { id, agent, namespace, attempts, state: stateOf(state as string | null) } as StoredDelivery;
}

export function pendingOf(row: Row): PendingDelivery {
  const [, , , , , , inbound, acceptedAt, crashes, replays] = row;
  const about = { acceptedAt, crashes, replays } as Pick<PendingDelivery, 'acceptedAt' | 'crashes' | 'replays'>;
  return { ...storedOf(row), ...about, inbound: JSON.parse(inbound as string) as InboundMessage };
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
