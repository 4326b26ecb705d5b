/** Owns the small host in memory behind a gateway under test: it accepts, routes and answers by the supervisor's contract. */
import { EventEmitter, once } from 'node:events';
import { type Logger, pino } from 'pino';
import type { DeadLetter, Readiness, Status } from '../../src/main/api.ts';
import type { Channel, ChannelContext } from '../../src/main/channels/channel.ts';
import type { CountedMessage } from '../../src/protocol/encodings.ts';
import type { GatewayHost, TokenCount } from '../../src/main/channels/gateway/host.ts';
import {
  type Accepted,
  type DeliveredReply,
  type DeliveryListener,
  type InboundMessage,
  OrreryError,
  type StoredMessage,
  type WireError,
  toWire,
} from '../../src/protocol/index.ts';

export interface Delivery {
  readonly id: string;
  readonly agent: string;
  readonly inbound: InboundMessage;
  readonly listener: DeliveryListener | undefined;
  /** What a repeated message has to match. */
  readonly body: string;
  outcome?: { reply: DeliveredReply } | { error: WireError };
}

/** One turn in a test's hands. */
export class FakeTurn {
  readonly delivery: Delivery;
  readonly #host: FakeHost;

  constructor(host: FakeHost, delivery: Delivery) {
    this.#host = host;
    this.delivery = delivery;
  }

  get inbound(): InboundMessage {
    return this.delivery.inbound;
  }

  delta(text: string): void {
    this.delivery.listener?.delta?.(text);
  }

  reset(): void {
    this.delivery.listener?.reset?.();
  }

  reply(content: string): Promise<void> {
    return this.#host.answer(this.delivery, content);
  }

  fail(error: Error): Promise<void> {
    return this.#host.kill(this.delivery, error);
  }
}

export type FakeAgent = (turn: FakeTurn) => Promise<void>;

/** Answers in two deltas. */
const echo: FakeAgent = async (turn) => {
  const { content } = turn.inbound.message;
  const half = Math.ceil(content.length / 2);
  turn.delta(content.slice(0, half));
  turn.delta(content.slice(half));
  await turn.reply(content);
};

const fails: FakeAgent = (turn) => turn.fail(new OrreryError('ORRERY_AGENT_FAILED', 'The agent threw: no luck'));

/** The host behind the gateway. `held` is the agent whose turns wait in {@link turn} for the test. */
export class FakeHost implements GatewayHost {
  readonly events: EventEmitter = new EventEmitter();
  readonly received: InboundMessage[] = [];
  readonly cancelled: string[] = [];
  readonly restarted: string[] = [];
  /** Receipts that the gateway gave for replies and errors. */
  readonly sent: string[][] = [];
  ready: Readiness = { ready: true, reasons: [] };
  drained = 0;
  /** By agent and stored namespace. */
  readonly sessions: Map<string, readonly StoredMessage[]> = new Map();
  /** Thrown by the next `accept`. */
  refuse: Error | undefined;
  /** Awaited by `accept` before it answers. */
  gate: Promise<void> | undefined;
  channel: Channel | undefined;
  /** Dead letters by id. */
  readonly letters: Map<string, DeadLetter> = new Map();
  readonly deadLetters: GatewayHost['deadLetters'] = {
    list: ({ limit = 100, after } = {}) => {
      const all = [...this.letters.values()];
      const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
      return Promise.resolve(all.slice(from, from + limit));
    },
    replay: (id) => this.#takeLetter(id, 'replay'),
    drop: async (id) => {
      await this.#takeLetter(id, 'drop');
    },
  };
  readonly #agents: Map<string, FakeAgent>;
  readonly #deliveries = new Map<string, Delivery>();
  readonly #held: FakeTurn[] = [];
  #count = 0;

  constructor(agents: Readonly<Record<string, FakeAgent>> = {}) {
    const held: FakeAgent = async (turn) => {
      this.#held.push(turn);
      this.events.emit('held');
    };
    this.#agents = new Map(Object.entries({ echo, held, fails, ...agents }));
  }

  /** The next turn of the agent `held`. */
  async turn(): Promise<FakeTurn> {
    while (this.#held.length === 0) await once(this.events, 'held');
    const turn = this.#held.shift();
    if (!turn) throw new Error('no turn is held');
    return turn;
  }

  #takeLetter(id: string, what: string): Promise<DeadLetter> {
    const letter = this.letters.get(id);
    if (!letter) return Promise.reject(new OrreryError('ORRERY_NOT_FOUND', `There is no dead letter "${id}"`));
    this.letters.delete(id);
    this.restarted.push(`${what}:${id}`);
    return Promise.resolve(letter);
  }

  accept = async (inbound: InboundMessage, listener?: DeliveryListener): Promise<Accepted> => {
    this.received.push(inbound);
    this.events.emit('received');
    await this.gate;
    const { refuse } = this;
    this.refuse = undefined;
    if (refuse) throw refuse;
    const agent = this.#route(inbound);
    const key = JSON.stringify([inbound.channel, inbound.namespace, inbound.id]);
    const { message, metadata, context } = inbound;
    const body = JSON.stringify([agent, message, metadata, context]);
    const earlier = this.#deliveries.get(key);
    if (earlier) return duplicateOf(earlier, body);
    this.#count += 1;
    const delivery: Delivery = { id: `d${this.#count}`, agent, inbound, listener, body };
    this.#deliveries.set(key, delivery);
    setImmediate(() => {
      void this.#agents.get(agent)?.(new FakeTurn(this, delivery));
    });
    return { status: 'accepted', id: delivery.id, agent };
  };

  async answer(delivery: Delivery, content: string): Promise<void> {
    const { inbound, id, agent } = delivery;
    const reply: DeliveredReply = {
      id,
      agent,
      namespace: inbound.namespace,
      message: { role: 'assistant', content },
      usage: { inputTokens: 3, outputTokens: 5 },
      steps: 1,
    };
    delivery.outcome = { reply };
    const receipt = await this.channel?.send(
      { target: targetOf(inbound), reply },
      { key: id, signal: new AbortController().signal },
    );
    this.sent.push([...(receipt?.ids ?? [])]);
    this.events.emit('sent');
  }

  async kill(delivery: Delivery, cause: Error): Promise<void> {
    const error = toWire(cause);
    delivery.outcome = { error };
    const { inbound, id, agent } = delivery;
    await this.channel?.sendError(
      { target: targetOf(inbound), delivery: id, agent, error },
      { key: id, signal: new AbortController().signal },
    );
  }

  agents(): { name: string; status: string }[] {
    return [...this.#agents.keys()].map((name) => ({ name, status: 'idle' }));
  }

  defaultAgent(): string {
    return 'echo';
  }

  readiness(): Readiness {
    return this.ready;
  }

  status(): Status {
    return {
      version: '0.0.0',
      pid: 1,
      state: 'running',
      startedAt: 0,
      journal: { kind: 'memory', status: 'ok', appends: 0, marks: 0 },
      defaultAgent: 'echo',
      agents: [],
      slots: [],
      channels: [],
      messages: {
        received: this.received.length,
        rejected: 0,
        inIntake: 0,
        accepted: this.received.length,
        recovered: 0,
        replayed: 0,
        answered: 0,
        dead: 0,
        pending: 0,
        rejectedBy: {},
        deadBy: {},
      },
      zombies: 0,
      quarantine: { waiting: 0, runs: 0, innocent: 0, poison: 0 },
      loopDelayMs: { p50: 0, p99: 0, max: 0 },
    };
  }

  metrics(): Promise<string> {
    return Promise.resolve('# TYPE orrery_messages_received_total counter\norrery_messages_received_total 0\n');
  }

  cancel(id: string): boolean {
    const delivery = [...this.#deliveries.values()].find((d) => d.id === id);
    if (!delivery || delivery.outcome) return false;
    this.cancelled.push(id);
    void this.kill(delivery, new OrreryError('ORRERY_CANCELLED', 'The turn was cancelled'));
    return true;
  }

  restartAgent(name: string): Promise<unknown> {
    if (!this.#agents.has(name)) return Promise.reject(new OrreryError('ORRERY_AGENT_UNKNOWN', `No agent ${name}`));
    this.restarted.push(`agent:${name}`);
    return Promise.resolve({ name, restarts: 1 });
  }

  restartChannel(name: string): Promise<unknown> {
    if (name !== 'web' && name !== 'irc')
      return Promise.reject(new OrreryError('ORRERY_NOT_FOUND', `No channel ${name}`));
    this.restarted.push(`channel:${name}`);
    this.events.emit('restarted');
    return Promise.resolve({ name, connected: true });
  }

  async readSession(agent: string, namespace: string): Promise<readonly StoredMessage[]> {
    const messages = this.#sessionOf(agent, namespace);
    if (messages.length === 0) throw missing(namespace);
    return messages;
  }

  async clearSession(agent: string, namespace: string): Promise<void> {
    if (this.#sessionOf(agent, namespace).length === 0) throw missing(namespace);
    this.sessions.delete(`${agent} ${namespace}`);
  }

  drain(): void {
    this.drained += 1;
  }

  countTokens(texts: readonly string[]): Promise<TokenCount> {
    const counts = Uint32Array.from(texts, (t) => t.length);
    return Promise.resolve({ counts, total: counts.reduce((a, b) => a + b, 0), exact: true });
  }

  countMessageTokens(messages: readonly CountedMessage[]): Promise<TokenCount> {
    const parts = messages.map(({ content }) => (typeof content === 'string' ? [{ text: content }] : (content ?? [])));
    const counts = Uint32Array.from(parts, (of) => of.reduce((sum, { text }) => sum + (text?.length ?? 0), 0));
    const exact = parts.every((of) => of.every(({ text }) => text !== undefined));
    return Promise.resolve({ counts, total: counts.reduce((a, b) => a + b, 3), exact });
  }

  #sessionOf(agent: string, namespace: string): readonly StoredMessage[] {
    if (!this.#agents.has(agent)) throw new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent "${agent}"`);
    return this.sessions.get(`${agent} ${namespace}`) ?? [];
  }

  #route({ agent, metadata }: InboundMessage): string {
    const name = agent ?? metadata['agent'] ?? this.defaultAgent();
    if (this.#agents.has(name)) return name;
    if (agent !== undefined) throw new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent "${name}"`);
    return this.defaultAgent();
  }
}

function missing(namespace: string): OrreryError {
  return new OrreryError('ORRERY_NOT_FOUND', `There is no session ${namespace}`);
}

function targetOf({ channel, namespace, id, metadata }: InboundMessage): {
  channel: string;
  namespace: string;
  inReplyTo: string;
  metadata: InboundMessage['metadata'];
} {
  return { channel, namespace, inReplyTo: id, metadata };
}

function duplicateOf(earlier: Delivery, body: string): Accepted {
  if (earlier.body !== body) throw new OrreryError('ORRERY_ID_CONFLICT', 'The id was used with another body');
  const { id, agent, outcome } = earlier;
  if (!outcome) return { status: 'duplicate', state: 'pending', id, agent };
  return 'reply' in outcome
    ? { status: 'duplicate', state: 'answered', id, agent, reply: outcome.reply }
    : { status: 'duplicate', state: 'dead', id, agent, error: outcome.error };
}

export function contextOf(
  host: FakeHost,
  signal: AbortSignal,
  closed: unknown[] = [],
  log: Logger = pino({ level: 'silent' }),
): ChannelContext {
  return { signal, log, name: 'web', metadata: {}, accept: host.accept, closed: (cause) => closed.push(cause) };
}
