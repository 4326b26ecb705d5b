/**
 * Owns the packed form of turns and outcomes between main and a slot. A structured clone writes every key of every object
 * again: a batch of tuples costs a quarter of the same batch of objects. What has its usual value is left out.
 */
import type { WireError } from './errors.ts';
import { type DeliveryId, NO_USAGE, type Reply } from './messages.ts';
import type { TurnOutcome, TurnRequest } from './turns.ts';

/** What of a turn is seldom there. */
type TurnRest = Partial<Pick<TurnRequest, 'attempt' | 'timeoutMs' | 'stream' | 'metadata' | 'context'>> & {
  readonly parts?: TurnRequest['message']['parts'];
};

export type WireTurn = readonly [id: DeliveryId, runtime: string, session: string, content: string, rest?: TurnRest];

export type WireOutcome =
  | readonly [id: DeliveryId, content: string]
  | readonly [id: DeliveryId, content: string, inputTokens: number, outputTokens: number, steps: number]
  | readonly [id: DeliveryId, error: WireError, streamed: boolean];

export function packTurn(turn: TurnRequest, defaultTimeoutMs: number): WireTurn {
  const { id, runtime, session, message, attempt, timeoutMs, stream, metadata, context } = turn;
  const usual =
    attempt === 1 &&
    timeoutMs === defaultTimeoutMs &&
    !stream &&
    message.parts === undefined &&
    context === undefined &&
    isEmpty(metadata);
  if (usual) return [id, runtime, session, message.content];
  const rest: TurnRest = {
    ...(attempt === 1 ? {} : { attempt }),
    ...(timeoutMs === defaultTimeoutMs ? {} : { timeoutMs }),
    ...(stream ? { stream } : {}),
    ...(message.parts === undefined ? {} : { parts: message.parts }),
    ...(metadata === undefined || isEmpty(metadata) ? {} : { metadata }),
    ...(context === undefined ? {} : { context }),
  };
  return [id, runtime, session, message.content, rest];
}

export function unpackTurn(turn: WireTurn, defaultTimeoutMs: number): TurnRequest {
  const [id, runtime, session, content, rest] = turn;
  if (rest === undefined) {
    const message = { role: 'user', content } as const;
    return { id, runtime, session, attempt: 1, timeoutMs: defaultTimeoutMs, stream: false, message };
  }
  const { attempt = 1, timeoutMs = defaultTimeoutMs, stream = false, parts, metadata, context } = rest;
  return {
    id,
    runtime,
    session,
    attempt,
    timeoutMs,
    stream,
    message: parts === undefined ? { role: 'user', content } : { role: 'user', content, parts },
    ...(metadata === undefined ? {} : { metadata }),
    ...(context === undefined ? {} : { context }),
  };
}

export function packOutcome(outcome: TurnOutcome): WireOutcome {
  if (!('reply' in outcome)) return [outcome.id, outcome.error, outcome.streamed];
  const { message, usage, steps } = outcome.reply;
  if (usage === NO_USAGE && steps === 0) return [outcome.id, message.content];
  return [outcome.id, message.content, usage.inputTokens, usage.outputTokens, steps];
}

export function unpackOutcome(outcome: WireOutcome): TurnOutcome {
  const [id, content] = outcome;
  if (typeof content !== 'string') return { id, error: content, streamed: outcome[2] === true };
  return { id, reply: replyOf(content, outcome) };
}

function replyOf(content: string, outcome: WireOutcome): Reply {
  const message = { role: 'assistant', content } as const;
  if (outcome.length !== 5) return { message, usage: NO_USAGE, steps: 0 };
  const [, , inputTokens, outputTokens, steps] = outcome;
  return { message, usage: { inputTokens, outputTokens }, steps };
}

function isEmpty(record: Readonly<Record<string, string>> | undefined): boolean {
  for (const key in record) if (Object.hasOwn(record, key)) return false;
  return true;
}
