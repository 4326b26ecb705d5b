/** Owns the shapes of a turn: what main asks of an agent runtime, and what comes of it. */
import type { WireError } from './errors.ts';
import type { DeliveryId, Reply, TurnContext, UserMessage } from './messages.ts';

/** Names one replica of an agent: the agent's name, with `#2`, `#3`... for further replicas. */
export type RuntimeId = string;

/** Names a turn between main and its slot: a number, because every turn is looked up several times. Never used twice in a generation. */
export type TurnKey = number;

/** A message that is answered by another one's turn. */
export interface JoinedMessage {
  readonly id: DeliveryId;
  readonly message: UserMessage;
}

export interface TurnRequest {
  readonly turn: TurnKey;
  readonly id: DeliveryId;
  readonly runtime: RuntimeId;
  /** The namespace in its written form: with the agent's name, the session. */
  readonly session: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Milliseconds that the turn may run, from its receipt; the deadline aborts `turn.signal`. */
  readonly timeoutMs: number;
  /** Whether text deltas are wanted. */
  readonly stream: boolean;
  readonly message: UserMessage;
  /** Further messages that the turn is to answer, in order of arrival; never with a `context`. */
  readonly joined?: readonly JoinedMessage[];
  readonly metadata?: Readonly<Record<string, string>>;
  readonly context?: TurnContext;
}

export type TurnOutcome =
  /** `answers`: the joined and steered deliveries that the commit recorded beside the turn's own, in order; absent for none. */
  | { readonly turn: TurnKey; readonly reply: Reply; readonly answers?: readonly DeliveryId[] }
  /** `streamed`: text deltas of the failed attempt have gone out, so that a listener must be told to forget them. */
  | { readonly turn: TurnKey; readonly error: WireError; readonly streamed: boolean };

/** Why a turn is aborted. `superseded`: it begins again together with a newer message. */
export type CancelCause = 'cancelled' | 'shutdown' | 'superseded';
