/**
 * Owns what a chat network's driver does for the shared frame ({@link NetworkChannel}). Who may talk, sessions, splitting over retries, streaming and errors are the frame's; a driver knows its network and nothing else.
 */
import type { Logger } from 'pino';
import type { ChannelMemory } from './memory.ts';
import type { NetworkMessage, Place } from './message.ts';

/** One live connection, as its driver sees it. */
export interface Link {
  /** Aborts when the connection is to end now. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Outlives the connection, and the adapter. */
  readonly memory: ChannelMemory;
  /**
   * Hands a message in, in the order in which messages came. Resolves to true when it is dealt with for good (accepted, not for the bot,
   * or refused and its sender told), to false when it was not taken because the channel is stopping: then a network with
   * history hands it in again on its next connection. Never rejects.
   */
  take(message: NetworkMessage): Promise<boolean>;
  /** Tells that the connection is lost, or failed for good where the error says so. */
  lost(cause: unknown): void;
}

/** To whom an answer goes. */
export interface Recipient {
  readonly kind: Place['kind'];
  readonly target: string;
  /** The name of who asked. */
  readonly author: string;
  /** Id of the message that is answered. */
  readonly inReplyTo: string;
}

export interface PostOptions {
  /** The same for every attempt to post this message: at most 25 characters. */
  readonly nonce: string;
  /** Id of the message that this one replies to; only for the first of a reply. */
  readonly replyTo?: string;
  readonly signal: AbortSignal;
}

export interface Posted {
  readonly id: string;
  /** What stands there, where the network tells: another text means that an earlier attempt was found by its nonce. */
  readonly text?: string;
}

export interface NetworkDriver {
  /** The network's name, such as `discord`. */
  readonly type: string;
  /** True when what was said while nobody was connected is handed in by the next connection. */
  readonly hasHistory: boolean;
  /** Milliseconds after which the network forgets an indicator of typing. */
  readonly typingMs?: number;
  /** Milliseconds between two edits of a reply that is being written. */
  readonly editPaceMs?: number;
  /** Resolves when messages are taken in. Rejects as `Channel.connect` does; also when `link.signal` aborts. */
  open(link: Link): Promise<void>;
  /** Ends the connection and releases what it holds; also one that never opened. Never rejects. */
  close(): Promise<void>;
  /** Puts a reply into the network's form: the texts of its messages, in order. */
  compose(text: string, to: Recipient): readonly string[];
  /** Posts one message. Rejects with a typed error; `retryAfterMs` where the network names it. */
  post(target: string, text: string, options: PostOptions): Promise<Posted>;
  /** Resolves when the network is known to have what was posted there; on a network whose `post` knows it is absent. */
  confirm?(target: string): Promise<void>;
  edit?(target: string, id: string, text: string): Promise<void>;
  /** Takes a message back; goes with `edit`. */
  remove?(target: string, id: string): Promise<void>;
  /** Shows once that an answer is being written. */
  showTyping?(target: string): Promise<void>;
  /** What is worth knowing of the connection, for the status. */
  health?(): Readonly<Record<string, number | string>>;
}
