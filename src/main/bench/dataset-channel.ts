/**
 * Owns the channel of a benchmark: a case is a message like any other, and its answer is what the host sends back. It measures when
 * its turn began, when the first text came and when the answer did. It knows neither suites nor scores.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { KeyTable } from '../../lib/key-table.ts';
import {
  type DeliveredReply,
  type DeliveryListener,
  type InboundMessage,
  OrreryError,
  type OutboundError,
  type OutboundMessage,
  type OutboundTarget,
  type TurnContext,
  codeOf,
  fromWire,
} from '../../protocol/index.ts';
import type { Channel, ChannelContext, SendReceipt } from '../channels/index.ts';

export interface Question {
  readonly agent: string;
  /** The session, below the channel's name. */
  readonly session: string;
  readonly text: string;
  readonly context: TurnContext | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** Whether the first text is to be timed. */
  readonly stream: boolean;
}

/** Times are in milliseconds from the question on. */
export interface Answer {
  readonly reply: DeliveredReply;
  readonly queueMs: number;
  readonly firstTokenMs: number | null;
  readonly totalMs: number;
}

interface Asked {
  readonly at: number;
  begunAt: number | undefined;
  firstAt: number | undefined;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** The host has no room at the moment: nothing was kept of the message, and it is handed in again. */
const SHED: ReadonlySet<string> = new Set([
  'ORRERY_OVERLOADED',
  'ORRERY_MAILBOX_FULL',
  'ORRERY_RATE_LIMITED',
  'ORRERY_STARTING',
]);
const MIN_SHED_MS = 50;
const NOTHING: Disposable = { [Symbol.dispose]: () => undefined };
const NO_SENDS: SendReceipt = { ids: [] };

export class DatasetChannel implements Channel {
  readonly type = 'dataset';
  readonly #asked = new KeyTable<Asked>();
  #ctx: ChannelContext | undefined;

  connect(ctx: ChannelContext): Promise<void> {
    this.#ctx = ctx;
    return Promise.resolve();
  }

  /** Puts a question; rejects with the error that became of it. While the host has no room it is handed in again. */
  async ask(question: Question): Promise<Answer> {
    for (;;) {
      try {
        return await this.#ask(question);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        const { cause } = error;
        if (!SHED.has(codeOf(cause) ?? '')) throw cause;
        const retryAfterMs = cause instanceof OrreryError ? cause.retryAfterMs : undefined;
        await sleep(Math.max(MIN_SHED_MS, retryAfterMs ?? 0));
      }
    }
  }

  send(out: OutboundMessage): Promise<SendReceipt> {
    this.sendNow(out);
    return Promise.resolve(NO_SENDS);
  }

  sendNow({ target, reply }: OutboundMessage): void {
    const asked = this.#take(target);
    if (!asked) return;
    const { at, begunAt = at, firstAt } = asked;
    const now = performance.now();
    const firstTokenMs = firstAt === undefined ? null : firstAt - at;
    asked.resolve({ reply, queueMs: begunAt - at, firstTokenMs, totalMs: now - at });
  }

  sendError({ target, error }: OutboundError): Promise<void> {
    this.#take(target)?.reject(fromWire(error));
    return Promise.resolve();
  }

  /** The host calls it when the turn begins. */
  startTyping(target: OutboundTarget): Disposable {
    const asked = this.#asked.get(Number(target.inReplyTo));
    // Of several attempts the first one ended the wait.
    if (asked) asked.begunAt ??= performance.now();
    return NOTHING;
  }

  left({ target, error }: OutboundError): void {
    this.#take(target)?.reject(fromWire(error));
  }

  shutdown(): void {
    // The runner puts no more questions.
  }

  /** Nothing comes any more. */
  dispose(): Promise<void> {
    const closed = new OrreryError('ORRERY_INTERRUPTED', 'The run ended before the answer');
    for (const asked of this.#asked.values()) asked.reject(closed);
    return Promise.resolve();
  }

  #ask({ agent, session, text, context, metadata, stream }: Question): Promise<Answer> {
    const ctx = this.#ctx;
    if (!ctx) throw new OrreryError('ORRERY_CHANNEL_CLOSED', 'The dataset channel is not connected');
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const asked: Asked = { at: performance.now(), begunAt: undefined, firstAt: undefined, resolve, reject };
    const key = this.#asked.add(asked);
    const inbound: InboundMessage = {
      id: String(key),
      channel: ctx.name,
      namespace: `${ctx.name}:${session}`,
      message: { role: 'user', content: text },
      metadata,
      receivedAt: Date.now(),
      agent,
      ...(context === undefined ? {} : { context }),
    };
    ctx.accept(inbound, stream ? timed(asked) : undefined).catch((error: unknown) => {
      this.#asked.delete(key);
      reject(new Refused(error));
    });
    return promise;
  }

  #take({ inReplyTo }: OutboundTarget): Asked | undefined {
    return this.#asked.delete(Number(inReplyTo));
  }
}

/** Tells a message that was not accepted from one that failed. */
class Refused extends Error {
  constructor(cause: unknown) {
    super('not accepted', { cause });
  }
}

function timed(asked: Asked): DeliveryListener {
  return {
    delta: () => {
      asked.firstAt ??= performance.now();
    },
    reset: () => {
      asked.firstAt = undefined;
    },
  };
}
