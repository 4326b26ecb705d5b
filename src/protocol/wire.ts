/**
 * Owns the packed form of turns and outcomes between main and a slot. A structured clone writes every key of every object
 * again: a batch as one flat list costs an eighth of the same batch of objects, and half of a list of tuples.
 */
import type { WireError } from './errors.ts';
import { type DeliveryId, NO_USAGE, type Reply } from './messages.ts';
import type { TurnKey, TurnOutcome, TurnRequest } from './turns.ts';

/** What of a turn is seldom there. */
type TurnRest = Partial<Pick<TurnRequest, 'attempt' | 'timeoutMs' | 'stream' | 'joined' | 'metadata' | 'context'>> & {
  readonly parts?: TurnRequest['message']['parts'];
};

/** Six places a turn: key, id, runtime, session, content, and its {@link TurnRest} or null. */
export type WireTurns = readonly TurnPlace[];
type TurnPlace = TurnKey | string | TurnRest | null;
const TURN_PLACES = 6;

/**
 * Three places an outcome. A reply: the turn's key, content, and `[inputTokens, outputTokens, steps]`, with the ids of what it answers beside its
 * own, or null for none of all that. A failure: key, error, and whether text went out before it.
 */
export type WireOutcomes = readonly OutcomePlace[];
export type OutcomePlace = TurnKey | string | WireError | ReplyCounts | boolean | null;
type ReplyCounts = readonly [inputTokens: number, outputTokens: number, steps: number, answers?: readonly DeliveryId[]];
const OUTCOME_PLACES = 3;

export function packTurns(turns: readonly TurnRequest[], defaultTimeoutMs: number): WireTurns {
  const wire: TurnPlace[] = [];
  for (const turn of turns) {
    const { turn: key, id, runtime, session, message } = turn;
    wire.push(key, id, runtime, session, message.content, restOf(turn, defaultTimeoutMs));
  }
  return wire;
}

export function unpackTurns(wire: WireTurns, defaultTimeoutMs: number): readonly TurnRequest[] {
  const turns: TurnRequest[] = [];
  for (let i = 0; i < wire.length; i += TURN_PLACES) {
    const key = wire[i] as TurnKey;
    const id = wire[i + 1] as string;
    const runtime = wire[i + 2] as string;
    const session = wire[i + 3] as string;
    const content = wire[i + 4] as string;
    const rest = wire[i + 5] as TurnRest | null;
    const message = { role: 'user', content } as const;
    const turn = { turn: key, id, runtime, session, attempt: 1, timeoutMs: defaultTimeoutMs, stream: false, message };
    if (!rest) {
      turns.push(turn);
      continue;
    }
    const { parts, ...fields } = rest;
    turns.push({ ...turn, ...fields, ...(parts && { message: { ...message, parts } }) });
  }
  return turns;
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

function restOf(turn: TurnRequest, defaultTimeoutMs: number): TurnRest | null {
  const { message, attempt, timeoutMs, stream, joined, metadata, context } = turn;
  const { parts } = message;
  const named = metadata !== undefined && !isEmpty(metadata);
  const usual = attempt === 1 && timeoutMs === defaultTimeoutMs && !stream && !parts && !context && !joined && !named;
  if (usual) return null;
  return {
    ...(attempt === 1 ? {} : { attempt }),
    ...(timeoutMs === defaultTimeoutMs ? {} : { timeoutMs }),
    ...(stream ? { stream } : {}),
    ...(parts === undefined ? {} : { parts }),
    ...(joined === undefined ? {} : { joined }),
    ...(named ? { metadata } : {}),
    ...(context === undefined ? {} : { context }),
  };
}

function isEmpty(record: Readonly<Record<string, string>>): boolean {
  for (const key in record) if (Object.hasOwn(record, key)) return false;
  return true;
}
