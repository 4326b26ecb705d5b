/**
 * Owns the channel of a benchmark: a case is a message like any other, and its answer is what the host sends back. It measures when
 * its turn began, when the first text came and when the answer did. It knows neither suites nor scores.
 */
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

/** A question under way; a class for the reason that `asking.ts` tells. */
class Asked {
  readonly question: Question;
  at = 0;
  begunAt: number | undefined;
  firstAt: number | undefined;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;

  constructor(question: Question, resolve: (answer: Answer) => void, reject: (error: unknown) => void) {
    this.question = question;
    this.resolve = resolve;
    this.reject = reject;
  }
}

/** A question as the host takes it in; a class as {@link Asked} is. */
class CaseMessage implements InboundMessage {
  readonly id: string;
  readonly channel: string;
  readonly namespace: string;
  readonly message: InboundMessage['message'];
  readonly metadata: InboundMessage['metadata'];
  readonly receivedAt: number = Date.now();
  readonly agent: string;
  declare readonly context?: TurnContext;

  constructor(id: string, channel: string, { agent, session, text, context, metadata }: Question) {
    this.id = id;
    this.channel = channel;
    this.namespace = `${channel}:${session}`;
    this.message = { role: 'user', content: text };
    this.metadata = metadata;
    this.agent = agent;
    if (context) this.context = context;
  }
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

/** What puts a question to an agent. */
export type Asker = Pick<DatasetChannel, 'ask'>;

export class DatasetChannel implements Channel {
  readonly type = 'dataset';
  readonly #asked = new KeyTable<Asked>();
  #ctx: ChannelContext | undefined;

  connect(ctx: ChannelContext): Promise<void> {
    this.#ctx = ctx;
    return Promise.resolve();
  }

  /** Puts a question; rejects with the error that became of it. While the host has no room it is handed in again. */
  ask(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#put(new Asked(question, resolve, reject));
    });
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

  #put(asked: Asked): void {
    const ctx = this.#ctx;
    if (!ctx) {
      asked.reject(new OrreryError('ORRERY_CHANNEL_CLOSED', 'The dataset channel is not connected'));
      return;
    }
    asked.at = performance.now();
    const key = this.#asked.add(asked);
    const inbound = new CaseMessage(String(key), ctx.name, asked.question);
    const listener = asked.question.stream ? timed(asked) : undefined;
    ctx.accept(inbound, listener).catch((error: unknown) => this.#refused(key, error));
  }

  #refused(key: number, error: unknown): void {
    const asked = this.#asked.delete(key);
    if (!asked) return;
    if (!SHED.has(codeOf(error) ?? '')) {
      asked.reject(error);
      return;
    }
    const retryAfterMs = error instanceof OrreryError ? error.retryAfterMs : undefined;
    setTimeout(() => this.#put(asked), Math.max(MIN_SHED_MS, retryAfterMs ?? 0));
  }

  #take({ inReplyTo }: OutboundTarget): Asked | undefined {
    return this.#asked.delete(Number(inReplyTo));
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
