/** Owns the adapter contract: what a chat network, a test or any other way in implements. It holds no state. */
import type { Logger } from 'pino';
import type {
  Accepted,
  DeliveryListener,
  InboundMessage,
  OutboundError,
  OutboundMessage,
  OutboundTarget,
} from '../../protocol/index.ts';

/** What an adapter gets for one connection. */
export interface ChannelContext {
  /** Aborts when the connection is to end now, its turns included. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** The channel's name and metadata as configured. */
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * Hands a message in. Resolves when it is durably accepted, or when it is a duplicate; rejects with a typed error when
   * intake refuses it (then nothing of it is kept). An adapter acknowledges to its network only after it resolved.
   */
  accept(inbound: InboundMessage, listener?: DeliveryListener): Promise<Accepted>;
  /** Tells that the connection ended: without a cause the input ended by itself, with one it is connected again. */
  closed(cause?: unknown): void;
}

/** What a send gave: enough to edit the message later where the network has edits. */
export interface SendReceipt {
  /** The network's ids of the messages sent, in order (a long reply is split). */
  readonly ids: readonly string[];
}

export interface SendOptions {
  /** Idempotency key: the same for every attempt to send the same answer. */
  readonly key: string;
  readonly signal: AbortSignal;
}

/** One adapter. An instance serves one connection after another, never two at once. */
export interface Channel {
  /** The network's name, such as `discord`. */
  readonly type: string;
  /** Resolves when open. Rejects with `retryable: false` (or a configuration code) when no retry can mend it. */
  connect(ctx: ChannelContext): Promise<void>;
  send(out: OutboundMessage, options: SendOptions): Promise<SendReceipt>;
  /**
   * As `send`, for a channel inside the process: all is done when it returns, and nothing can be edited later. A throw is a rejection. The
   * host prefers it: a promise for each reply is a detour on the hot path.
   */
  sendNow?(out: OutboundMessage): void;
  sendError(error: OutboundError, options: SendOptions): Promise<void>;
  /** Present when the network has edits, so that text can be streamed by editing. */
  edit?(receipt: SendReceipt, out: OutboundMessage): Promise<void>;
  startTyping?(target: OutboundTarget): Disposable;
  /**
   * Hears that the host stops before a message is answered, and that the next one does it. Present where callers wait for
   * their answers: they are told so.
   */
  left?(error: OutboundError): void;
  /** Tells what is worth knowing of the connection, for the status: counters, and facts such as a name. */
  health?(): Readonly<Record<string, number | string>>;
  /** Stops taking in; what is in flight may still be sent until `ctx.signal` aborts. */
  shutdown(): void;
  /** Releases what the connection holds (sockets, listeners); awaited when it is over. */
  dispose?(): Promise<void>;
}
