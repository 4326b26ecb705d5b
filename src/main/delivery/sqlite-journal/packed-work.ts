/**
 * Owns the packed form of work, messages and marks: flat numbers and long texts, as they cross to the journal's thread and as its log keeps them. One
 * text for all messages of a transaction is copied as a whole, where an object or a text for each is made anew on either side.
 *
 * Most messages are a user's plain text with nothing beside: that text stands there as it is, and what else there is to know of it is in its
 * key. All others are JSON.
 */
import {
  type ChatMessage,
  type DeliveryId,
  type DeliveryState,
  type InboundMessage,
  NO_USAGE,
} from '../../../protocol/index.ts';
import { type Admission, type DedupeKey, dedupeKey } from '../journal.ts';
import { STATUS } from './schema.ts';

/**
 * Seven numbers a message: its sequence number, or 0 where it is not in the log; its {@link FORM}; when it was received; and how long its texts are: key, agent,
 * body and about.
 */
export interface PackedAppends {
  readonly numbers: Float64Array<ArrayBuffer>;
  readonly keys: string;
  /** Agent, body and about of each; of a large one the agent alone. */
  readonly texts: string;
  /** Body and about of each large one. */
  readonly large: readonly string[];
}
export const APPEND_PLACES = 7;
/** Which number is which. These are in files: never change one. */
export const APPEND = { seq: 0, form: 1, receivedAt: 2, key: 3, agent: 4, body: 5, about: 6 } as const;

/**
 * Five numbers a mark: sequence number, or 0 for none; status; attempts; and how long its two texts are, -1 where there is none. The first is a reply's text, as it
 * is: to make it JSON on main took a third of a message's time. The second is the rest as JSON: of a reply its counts and whose turn it was, or none where that says nothing; of any
 * other state, and of a reply whose text the file would change, all of it.
 */
export interface PackedMarks {
  readonly numbers: Float64Array<ArrayBuffer>;
  readonly texts: string;
}
export const MARK_PLACES = 5;
export const MARK = { seq: 0, status: 1, attempts: 2, text: 3, rest: 4 } as const;

/** Bits. These numbers are in files: never change one. */
export const FORM = {
  /** The body is the text of a user's message that has nothing else. */
  plain: 1,
  /** There is no about: the key and the time say all. */
  bare: 2,
  /** It is kept in a row of its own, and not in the log. */
  large: 4,
  /** It is finished: of the body there is the hash alone, and no about. */
  trimmed: 8,
} as const;

/** Characters above which a message is large: its room is free as soon as it is answered, where those in the log wait for a quiet moment. */
export const LARGE_CHARS = 16_384;

type ReplyRest = readonly [inputTokens: number, outputTokens: number, steps: number, by?: DeliveryId];

/** A message as a row of its own keeps it, in two JSON texts: only the body, its message and its context, must be the same when it is sent again. */
export interface PackedInbound {
  readonly body: string;
  readonly about: string;
}

/** Packs the messages of one call. */
export class AppendPacker {
  readonly numbers: number[] = [];
  keys = '';
  texts = '';
  readonly large: string[] = [];
  /** Characters of the messages. */
  chars = 0;

  add(seq: number, { inbound, agent }: Admission): void {
    const key = dedupeKey(inbound);
    const content = plainContentOf(inbound);
    const isBare = isPlain(key) && isBareAbout(inbound);
    const fileKey = isBare ? key : fileKeyOf(key);
    const body = content ?? bodyOf(inbound);
    const about = isBare ? '' : aboutOf(inbound);
    const form = (content === undefined ? 0 : FORM.plain) | (isBare ? FORM.bare : 0);
    const chars = body.length + about.length;
    this.keys += fileKey;
    this.chars += chars;
    if (chars > LARGE_CHARS) {
      this.large.push(body, about);
      this.texts += agent;
      this.numbers.push(seq, form | FORM.large, inbound.receivedAt, fileKey.length, agent.length, 0, 0);
    } else {
      this.texts += agent;
      this.texts += body;
      this.texts += about;
      const { receivedAt } = inbound;
      this.numbers.push(seq, form, receivedAt, fileKey.length, agent.length, body.length, about.length);
    }
  }
}

/** Puts the messages of several calls behind one another. */
export function joinAppends(
  packed: readonly Pick<AppendPacker, 'numbers' | 'keys' | 'texts' | 'large'>[],
): PackedAppends {
  let places = 0;
  for (const { numbers } of packed) places += numbers.length;
  const numbers = new Float64Array(places);
  let keys = '';
  let texts = '';
  let at = 0;
  for (const one of packed) {
    numbers.set(one.numbers, at);
    at += one.numbers.length;
    keys += one.keys;
    texts += one.texts;
  }
  return { numbers, keys, texts, large: packed.flatMap(({ large }) => large) };
}

/** Packs marks one after another. */
export class MarkPacker {
  readonly #numbers: number[] = [];
  #texts = '';

  add(seq: number, state: DeliveryState, attempts: number): void {
    if (state.status === 'dispatched') {
      const { slot, generation, attempt } = state;
      const rest = `{"status":"dispatched","slot":${slot},"generation":${generation},"attempt":${attempt}}`;
      this.push(seq, STATUS.dispatched, attempts, null, rest);
    } else if ((state.status === 'committed' || state.status === 'answered') && isPlain(state.reply.message.content)) {
      const { message, usage, steps } = state.reply;
      const by = state.status === 'answered' ? state.by : undefined;
      const saysNothing = usage === NO_USAGE && steps === 0 && by === undefined;
      const counts = [usage.inputTokens, usage.outputTokens, steps, ...(by === undefined ? [] : [by])];
      this.push(seq, STATUS[state.status], attempts, message.content, saysNothing ? null : JSON.stringify(counts));
    } else this.push(seq, STATUS[state.status], attempts, null, JSON.stringify(state));
  }

  push(seq: number, status: number, attempts: number, text: string | null, rest: string | null): void {
    this.#numbers.push(seq, status, attempts, text?.length ?? -1, rest?.length ?? -1);
    if (text !== null) this.#texts += text;
    if (rest !== null) this.#texts += rest;
  }

  packed(): PackedMarks {
    return { numbers: new Float64Array(this.#numbers), texts: this.#texts };
  }
}

export const NO_MARKS: PackedMarks = new MarkPacker().packed();
export const NO_APPENDS: PackedAppends = joinAppends([]);

const ACCEPTED: DeliveryState = { status: 'accepted' };
const NO_COUNTS: ReplyRest = [0, 0, 0];

/** The state that a mark, or a row, has in its two texts. */
export function stateOf(status: number, rest: string | null, text: string | null): DeliveryState {
  if (text === null) return rest === null ? ACCEPTED : (JSON.parse(rest) as DeliveryState);
  const [inputTokens, outputTokens, steps, by] = rest === null ? NO_COUNTS : (JSON.parse(rest) as ReplyRest);
  const reply = { message: { role: 'assistant', content: text }, usage: { inputTokens, outputTokens }, steps } as const;
  if (status !== STATUS.answered) return { status: 'committed', reply };
  return by === undefined ? { status: 'answered', reply } : { status: 'answered', reply, by };
}

/**
 * Packs the parts of a message that the host knows, as two JSON texts. What else an object holds may not survive it, or may change it
 * (`toJSON`): one such message must not fail those of its batch.
 */
export function packInbound(inbound: InboundMessage): PackedInbound {
  return { body: bodyOf(inbound), about: aboutOf(inbound) };
}

/** A dedupe key as the file holds it. No key begins as a JSON text does. */
export function fileKeyOf(key: DedupeKey): string {
  return isPlain(key) ? key : JSON.stringify(key);
}

function bodyOf({ message, context }: InboundMessage): string {
  const plain = plainMessage(message);
  return JSON.stringify(context ? { message: plain, context: plainContext(context) } : { message: plain });
}

function aboutOf({ id, channel, account, namespace, metadata, receivedAt, agent, queue }: InboundMessage): string {
  return JSON.stringify({ id, channel, account, namespace, metadata: { ...metadata }, receivedAt, agent, queue });
}

/** The text of a user's message that has nothing else, and that the file gives back as it is. */
function plainContentOf({ message, context }: InboundMessage): string | undefined {
  const { role, content, parts } = message;
  return role === 'user' && !parts && !context && isPlain(content) ? content : undefined;
}

function isBareAbout({ account, metadata, receivedAt, agent, queue }: InboundMessage): boolean {
  if (agent !== undefined || queue !== undefined || account === '' || !Number.isFinite(receivedAt)) return false;
  // A loop over the keys: to list them makes an array for each message.
  for (const key in metadata) if (Object.hasOwn(metadata, key)) return false;
  return true;
}

function plainContext({ mode, messages }: NonNullable<InboundMessage['context']>): object {
  return { mode, messages: messages.map(plainMessage) };
}

/** Every value of a part is a text: intake has seen to that. */
function plainMessage({ role, content, parts }: ChatMessage): object {
  return parts ? { role, content, parts: parts.map((part) => ({ ...part })) } : { role, content };
}

/** Tells whether the file gives a text back as it is: UTF-8 has no half of a pair, and a zero may be taken for the end. */
function isPlain(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}
