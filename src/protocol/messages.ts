/** Owns the shapes of what people and agents say to each other. Plain data only: all of it crosses threads. */

import type { WireError } from './errors.ts';

/** Identifies one message's journey through the host: unique in a `dataDir`. */
export type DeliveryId = string;

/** A piece of a message that is not plain text. References, never bytes: an attachment stays where its network has it. */
export type MessagePart =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image'; readonly url: string; readonly mediaType?: string }
  | { readonly type: 'file'; readonly url: string; readonly name?: string; readonly mediaType?: string };

export interface UserMessage {
  readonly role: 'user';
  readonly content: string;
  readonly parts?: readonly MessagePart[];
}

/** One line of a session's history. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  readonly parts?: readonly MessagePart[];
}

/** A line of a session as it is stored: when it was committed (Unix time in milliseconds) and by which delivery. */
export interface StoredMessage extends ChatMessage {
  readonly timestamp: number;
  readonly delivery?: DeliveryId;
  readonly tokens?: number;
}

/** Tokens as the provider reported them, summed over the turn's steps; zero for agents that call no model. */
export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** What a turn produced. */
export interface Reply {
  readonly message: { readonly role: 'assistant'; readonly content: string };
  readonly usage: Usage;
  /** Model calls that the turn took; 0 for agents that call no model. */
  readonly steps: number;
}

/**
 * What a message does that comes while its session has others: `followup` waits for a turn of its own; `collect` joins what waits into one turn;
 * `interrupt` aborts the running turn, which begins again with it; `steer` is put into the running turn before its next step.
 */
export type QueueMode = 'followup' | 'collect' | 'interrupt' | 'steer';

export const QUEUE_MODES: readonly QueueMode[] = ['followup', 'collect', 'interrupt', 'steer'];

/** Tells whether a value names a queue mode. */
export function isQueueMode(value: unknown): value is QueueMode {
  return QUEUE_MODES.some((mode) => mode === value);
}

/** A caller's own context for a turn: `replace` = the whole history, and no session is kept; `append` = said before the message. */
export interface TurnContext {
  readonly mode: 'replace' | 'append';
  readonly messages: readonly ChatMessage[];
}

/** A platform event, as every channel hands it in. */
export interface InboundMessage {
  /** The platform's own id where it has one; with channel, account and namespace it is the dedupe key. */
  readonly id: string;
  /** The channel's name in the configuration. */
  readonly channel: string;
  readonly account?: string;
  /** The session's namespace in its written form, such as `discord:guild-1:room-2`. */
  readonly namespace: string;
  readonly message: UserMessage;
  /** Facts for routing and for the agent; all strings. `agent` names an agent under the default routing. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Unix time in milliseconds. */
  readonly receivedAt: number;
  readonly context?: TurnContext;
  /** An agent that the caller named outright: no rule applies, and one that does not exist is `ORRERY_AGENT_UNKNOWN`. */
  readonly agent?: string;
  /** The queue mode of this message. Default: its channel's for the session. */
  readonly queue?: QueueMode;
}

/** The answer to an accepted message: what the channel sends, and what is kept under the message's id. */
export interface DeliveredReply extends Reply {
  /** The delivery's id. */
  readonly id: DeliveryId;
  readonly agent: string;
  /** The namespace in its written form. */
  readonly namespace: string;
  /**
   * The delivery whose turn answered this one too, where it was joined to that: the same reply goes out under each id, and a
   * network where all read the same room need send only the one without `by`.
   */
  readonly by?: DeliveryId;
}

/**
 * The answer of intake. `accepted`: it is in the journal, and is answered or becomes a dead letter. `duplicate`: the same
 * message came before; what became of it is told, and nothing is run again.
 */
export type Accepted =
  | { readonly status: 'accepted'; readonly id: DeliveryId; readonly agent: string }
  | { readonly status: 'duplicate'; readonly id: DeliveryId; readonly agent: string; readonly state: 'pending' }
  | {
      readonly status: 'duplicate';
      readonly id: DeliveryId;
      readonly agent: string;
      readonly state: 'answered';
      readonly reply: DeliveredReply;
    }
  | {
      readonly status: 'duplicate';
      readonly id: DeliveryId;
      readonly agent: string;
      readonly state: 'dead';
      readonly error: WireError;
    };

/** Where an answer goes: what the inbound message said of its origin. */
export interface OutboundTarget {
  readonly channel: string;
  readonly account?: string;
  readonly namespace: string;
  /** The inbound message's id. */
  readonly inReplyTo: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface OutboundMessage {
  readonly target: OutboundTarget;
  readonly reply: DeliveredReply;
}

export interface OutboundError {
  readonly target: OutboundTarget;
  readonly delivery: DeliveryId;
  readonly agent: string;
  readonly error: WireError;
}

/** Hears of a delivery while it runs. Deltas are provisional until the reply: `reset` takes back all that came so far. */
export interface DeliveryListener {
  delta?(text: string): void;
  reset?(): void;
}

export const NO_USAGE: Usage = { inputTokens: 0, outputTokens: 0 };
