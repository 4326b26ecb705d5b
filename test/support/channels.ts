/** Owns the in-process channel of the tests, a host that answers as a test says, and a clock that only a test moves. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Channel, ChannelContext, SendOptions, SendReceipt } from '../../src/main/channels/channel.ts';
import type { Clock } from '../../src/main/channels/connection.ts';
import type { AgentRef, ChannelHost, ChannelManager } from '../../src/main/channels/manager.ts';
import {
  type Accepted,
  type DeliveryListener,
  type InboundMessage,
  NO_USAGE,
  OrreryError,
  type OutboundError,
  type OutboundMessage,
  type OutboundTarget,
} from '../../src/protocol/index.ts';

/** Hands over values one by one; asking before there is one waits. */
export class Inbox<T> {
  readonly all: T[] = [];
  #read = 0;
  #waiting: PromiseWithResolvers<T>[] = [];

  push(value: T): void {
    this.all.push(value);
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return;
    this.#read += 1;
    waiting.resolve(value);
  }

  next(): Promise<T> {
    if (this.#read < this.all.length) {
      const value = this.all[this.#read] as T;
      this.#read += 1;
      return Promise.resolve(value);
    }
    const waiting = Promise.withResolvers<T>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }
}

let ids = 0;

/** Builds an inbound message; what a test does not care about is filled in. */
export function inbound(over: Partial<InboundMessage> = {}): InboundMessage {
  ids += 1;
  return {
    id: `m${String(ids)}`,
    channel: 'memory',
    namespace: 'memory:alice',
    message: { role: 'user', content: 'hello' },
    metadata: {},
    receivedAt: Date.now(),
    ...over,
  };
}

export function targetOf(message: InboundMessage): OutboundTarget {
  return {
    channel: message.channel,
    namespace: message.namespace,
    inReplyTo: message.id,
    metadata: message.metadata,
  };
}

export function replyTo(
  message: InboundMessage,
  content: string,
  agent = 'echo',
  id = `d-${message.id}`,
): OutboundMessage {
  return {
    target: targetOf(message),
    reply: {
      message: { role: 'assistant', content },
      usage: NO_USAGE,
      steps: 0,
      id,
      agent,
      namespace: message.namespace,
    },
  };
}

/** One connection of a {@link MemoryChannel}, as its network sees it. */
export interface MemoryConnection {
  readonly ctx: ChannelContext;
  /** Says something on this connection, also when it is over. */
  say(text: string, over?: Partial<InboundMessage>, listener?: DeliveryListener): Promise<Accepted>;
}

/**
 * A whole adapter in memory: its network is the test. Its input stays open until the test ends it.
 */
export class MemoryChannel implements Channel {
  readonly type: string;
  readonly sent: Inbox<OutboundMessage> = new Inbox();
  readonly errors: Inbox<OutboundError> = new Inbox();
  /** What the user got to see, in order. */
  readonly heard: Inbox<{ readonly text: string; readonly error: boolean }> = new Inbox();
  readonly keys: string[] = [];
  /** Every call of `connect` that came as far as its context. */
  readonly connections: Inbox<MemoryConnection> = new Inbox();
  /** What happened, in order: connect, open, shutdown, abort, dispose. */
  readonly events: string[] = [];
  #typing = new Set<object>();
  #live: MemoryConnection | undefined;
  #takesIn = false;
  #connects: (() => Promise<void>)[] = [];
  #disposes: (() => Promise<void>)[] = [];

  constructor(type = 'memory') {
    this.type = type;
  }

  /** Indicators shown at the moment. */
  get typing(): number {
    return this.#typing.size;
  }

  /** Decides the next calls of `connect`, one each; later ones open at once. */
  onConnect(...behaviours: (() => Promise<void>)[]): this {
    this.#connects.push(...behaviours);
    return this;
  }

  onDispose(...behaviours: (() => Promise<void>)[]): this {
    this.#disposes.push(...behaviours);
    return this;
  }

  async connect(ctx: ChannelContext): Promise<void> {
    this.events.push('connect');
    const connection: MemoryConnection = {
      ctx,
      say: (text, over, listener) =>
        ctx.accept(
          inbound({
            channel: ctx.name,
            namespace: `${ctx.name}:alice`,
            message: { role: 'user', content: text },
            ...over,
          }),
          listener,
        ),
    };
    ctx.signal.addEventListener('abort', () => {
      this.events.push('abort');
      if (this.#live === connection) this.#live = undefined;
    });
    this.connections.push(connection);
    const refuse = new OrreryError('ORRERY_CHANNEL_CLOSED', 'aborted while connecting');
    const aborted = Promise.withResolvers<never>();
    ctx.signal.addEventListener('abort', () => aborted.reject(refuse));
    await Promise.race([this.#connects.shift()?.(), aborted.promise]);
    if (ctx.signal.aborted) throw refuse;
    this.#live = connection;
    this.#takesIn = true;
    this.events.push('open');
  }

  /** A user says something; rejects when the network is not connected or its input was stopped. */
  say(text: string, over: Partial<InboundMessage> = {}, listener?: DeliveryListener): Promise<Accepted> {
    if (this.#live === undefined || !this.#takesIn) return Promise.reject(new Error('the network is not connected'));
    return this.#live.say(text, over, listener);
  }

  /** The input ends by itself. */
  end(): void {
    this.#takesIn = false;
    this.#live?.ctx.closed();
  }

  /** The network breaks the connection. */
  drop(cause: unknown = new Error('connection reset')): void {
    this.#takesIn = false;
    this.#live?.ctx.closed(cause);
  }

  send(out: OutboundMessage, { key }: SendOptions): Promise<SendReceipt> {
    this.keys.push(key);
    this.sent.push(out);
    this.heard.push({ text: out.reply.message.content, error: false });
    return Promise.resolve({ ids: [`sent-${String(this.sent.all.length)}`] });
  }

  sendError(out: OutboundError, { key }: SendOptions): Promise<void> {
    this.keys.push(key);
    this.errors.push(out);
    this.heard.push({ text: `${out.error.code ?? 'error'}: ${out.error.message}`, error: true });
    return Promise.resolve();
  }

  startTyping(): Disposable {
    const shown = {};
    this.#typing.add(shown);
    return { [Symbol.dispose]: () => this.#typing.delete(shown) };
  }

  shutdown(): void {
    this.#takesIn = false;
    this.events.push('shutdown');
  }

  async dispose(): Promise<void> {
    this.events.push('dispose');
    await this.#disposes.shift()?.();
  }
}

/** Stands in for intake and delivery: keeps what was accepted, and answers it when and as a test says. */
export class TestHost implements ChannelHost {
  readonly accepted: Inbox<{ message: InboundMessage; agent: string; manager: ChannelManager }> = new Inbox();
  readonly aborted: ChannelManager[] = [];
  /** Answers at once, with what the user said. */
  echo = true;
  #pending = new Set<string>();
  #seen = new Set<string>();
  /** The last echo: they are sent one after another. */
  #echoed: Promise<void> = Promise.resolve();
  #idle: PromiseWithResolvers<void>[] = [];

  async accept(message: InboundMessage, o: Parameters<ChannelHost['accept']>[1]): Promise<Accepted> {
    const agent = message.metadata['agent'] ?? o.defaultAgent;
    if (o.agents === undefined ? agent !== o.defaultAgent : !o.agents.has(agent)) {
      throw new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent "${agent}"`);
    }
    const id = `d-${message.id}`;
    if (this.#seen.has(message.id)) return { status: 'duplicate', id, agent, state: 'pending' };
    this.#seen.add(message.id);
    this.#pending.add(message.id);
    this.accepted.push({ message, agent, manager: o.manager });
    if (this.echo) this.#echoed = this.#echoed.then(() => this.#echo(message, o.manager, agent));
    return { status: 'accepted', id, agent };
  }

  async answer(message: InboundMessage, text: string, manager: ChannelManager, agent?: string): Promise<void> {
    await manager.send(replyTo(message, text, agent), { key: message.id, signal: new AbortController().signal });
    this.#settle(message.id);
  }

  /** Tries again as delivery does, until the answer is sent or its message given up. */
  async #echo(message: InboundMessage, manager: ChannelManager, agent: string): Promise<void> {
    while (this.#pending.has(message.id)) {
      try {
        return await this.answer(message, message.message.content, manager, agent);
      } catch (error) {
        if (error instanceof OrreryError && !error.retryable) return;
        await delay(5);
      }
    }
  }

  abort(manager: ChannelManager): void {
    this.aborted.push(manager);
    for (const id of this.#pending) this.#settle(id);
  }

  settled(): Promise<void> {
    if (this.#pending.size === 0) return Promise.resolve();
    const idle = Promise.withResolvers<void>();
    this.#idle.push(idle);
    return idle.promise;
  }

  /** The agents of this host, by name. */
  agents(...names: string[]): ReadonlyMap<string, AgentRef> {
    return new Map(names.map((name) => [name, { name, host: this }]));
  }

  #settle(id: string): void {
    this.#pending.delete(id);
    if (this.#pending.size > 0) return;
    for (const idle of this.#idle.splice(0)) idle.resolve();
  }
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #now: number;
  #random: number;
  #timers = new Set<{ at: number; run: () => void }>();

  constructor(now = 1_000_000, random = 1) {
    this.#now = now;
    this.#random = random;
  }

  now(): number {
    return this.#now;
  }

  random(): number {
    return this.#random;
  }

  after(ms: number, run: () => void): Disposable {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => this.#timers.delete(timer) };
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Moves time on, runs what became due in its order, and lets everything that follows from it run. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await turn();
    for (;;) {
      const [due] = [...this.#timers].filter((t) => t.at <= end).toSorted((a, b) => a.at - b.at);
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = due.at;
      due.run();
      await turn();
    }
    this.#now = end;
  }
}

/** Lets every promise callback that is ready run, and those that follow from them. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
