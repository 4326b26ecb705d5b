/**
 * Owns the packed form of turns and outcomes between main and a slot. A structured clone writes every key of every object
 * again: a batch as one flat list costs an eighth of the same batch of objects, and half of a list of tuples.
 */
import type { WireError } from './errors.ts';
import { type DeliveryId, NO_USAGE, type Reply, type TurnContext } from './messages.ts';
import type { TurnKey, TurnOutcome, TurnRequest } from './turns.ts';

/** What of a turn is seldom there. */
type TurnRest = Partial<Pick<TurnRequest, 'attempt' | 'timeoutMs' | 'stream' | 'joined' | 'context'>> & {
  readonly parts?: TurnRequest['message']['parts'];
};

/**
 * Seven places a turn: key, id, runtime, session, content, what of {@link TurnRest} there is, and how many metadata follow; of each of those the name
 * and the value. In place of a rest stands null for none, and `true` for nothing but a history of its own that is empty.
 */
export type WireTurns = readonly TurnPlace[];
type TurnPlace = TurnKey | string | TurnRest | true | null;

/**
 * Three places an outcome. A reply: the turn's key, content, and `[inputTokens, outputTokens, steps]`, with the ids of what it answers beside its
 * own, or null for none of all that. A failure: key, error, and whether text went out before it.
 */
export type WireOutcomes = readonly OutcomePlace[];
export type OutcomePlace = TurnKey | string | WireError | ReplyCounts | boolean | null;
type ReplyCounts = readonly [inputTokens: number, outputTokens: number, steps: number, answers?: readonly DeliveryId[]];
const OUTCOME_PLACES = 3;

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** A history of its own that is empty: a question that nothing came before, as benchmarks and stateless callers put it. */
const NO_HISTORY: TurnContext = Object.freeze({ mode: 'replace', messages: Object.freeze([]) });

export function packTurns(turns: readonly TurnRequest[], defaultTimeoutMs: number): WireTurns {
  const wire: TurnPlace[] = [];
  for (const turn of turns) {
    const { turn: key, id, runtime, session, message, metadata } = turn;
    const count = wire.push(key, id, runtime, session, message.content, restOf(turn, defaultTimeoutMs), 0);
    for (const name in metadata) if (Object.hasOwn(metadata, name)) wire.push(name, metadata[name] ?? '');
    wire[count - 1] = (wire.length - count) / 2;
  }
  return wire;
}

export function unpackTurns(wire: WireTurns, defaultTimeoutMs: number): readonly TurnRequest[] {
  const turns: TurnRequest[] = [];
  for (let at = 0; at < wire.length;) {
    const key = wire[at++] as TurnKey;
    const id = wire[at++] as string;
    const runtime = wire[at++] as string;
    const session = wire[at++] as string;
    const content = wire[at++] as string;
    const rest = wire[at++] as TurnRest | true | null;
    const named = wire[at++] as number;
    const message = { role: 'user', content } as const;
    const turn: Writable<TurnRequest> = {
      turn: key,
      id,
      runtime,
      session,
      attempt: 1,
      timeoutMs: defaultTimeoutMs,
      stream: false,
      message,
    };
    if (named > 0) turn.metadata = metadataOf(wire, at, named);
    at += 2 * named;
    if (rest === true) turn.context = NO_HISTORY;
    else if (rest) {
      const { parts, ...fields } = rest;
      Object.assign(turn, fields);
      if (parts) turn.message = { ...message, parts };
    }
    turns.push(turn);
  }
  return turns;
}

function metadataOf(wire: WireTurns, from: number, count: number): Readonly<Record<string, string>> {
  const metadata: Record<string, string> = {};
  for (let i = 0; i < count; i++) {
    const name = wire[from + 2 * i] as string;
    const value = wire[from + 2 * i + 1] as string;
    // This one name is not set but inherited from otherwise.
    if (name === '__proto__') Object.defineProperty(metadata, name, { value, enumerable: true, configurable: true });
    else metadata[name] = value;
  }
  return metadata;
}

/** Adds an outcome to those that go out together. */
export function packOutcome(outcome: TurnOutcome, wire: OutcomePlace[]): void {
  if (!('reply' in outcome)) {
    wire.push(outcome.turn, outcome.error, outcome.streamed);
    return;
  }
  const { answers, reply } = outcome;
  const { message, usage, steps } = reply;
  const { inputTokens, outputTokens } = usage;
  if (answers) wire.push(outcome.turn, message.content, [inputTokens, outputTokens, steps, answers]);
  else if (usage === NO_USAGE && steps === 0) wire.push(outcome.turn, message.content, null);
  else wire.push(outcome.turn, message.content, [inputTokens, outputTokens, steps]);
}

export function unpackOutcomes(wire: WireOutcomes): readonly TurnOutcome[] {
  const outcomes: TurnOutcome[] = [];
  for (let i = 0; i < wire.length; i += OUTCOME_PLACES) {
    const turn = wire[i] as TurnKey;
    const said = wire[i + 1] as string | WireError;
    if (typeof said !== 'string') {
      outcomes.push({ turn, error: said, streamed: wire[i + 2] === true });
      continue;
    }
    const counts = wire[i + 2] as ReplyCounts | null;
    const answers = counts?.[3];
    const reply = replyOf(said, counts);
    outcomes.push(answers ? { turn, reply, answers } : { turn, reply });
  }
  return outcomes;
}

function replyOf(content: string, counts: ReplyCounts | null): Reply {
  const message = { role: 'assistant', content } as const;
  if (!counts) return { message, usage: NO_USAGE, steps: 0 };
  const [inputTokens, outputTokens, steps] = counts;
  return { message, usage: { inputTokens, outputTokens }, steps };
}

function restOf(turn: TurnRequest, defaultTimeoutMs: number): TurnRest | true | null {
  const { message, attempt, timeoutMs, stream, joined, context } = turn;
  const { parts } = message;
  if (attempt === 1 && timeoutMs === defaultTimeoutMs && !stream && !parts && !joined) {
    if (!context) return null;
    if (context.mode === 'replace' && context.messages.length === 0) return true;
  }
  const rest: Writable<TurnRest> = {};
  if (attempt !== 1) rest.attempt = attempt;
  if (timeoutMs !== defaultTimeoutMs) rest.timeoutMs = timeoutMs;
  if (stream) rest.stream = stream;
  if (parts) rest.parts = parts;
  if (joined) rest.joined = joined;
  if (context) rest.context = context;
  return rest;
}
