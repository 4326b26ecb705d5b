/**
 * Owns what gateway tests run against: a real gateway on a free port, and behind it a small host in memory that accepts,
 * routes and answers by the same contract as the supervisor. Tests that need no say over a turn's course use the URL alone,
 * so they can run against a supervisor with the agents `echo` and `fails` as well.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter, once } from 'node:events';
import { type IncomingHttpHeaders, request as httpRequest } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type Logger, pino } from 'pino';
import { WebSocket } from 'ws';
import type { Readiness, Status } from '../../src/main/api.ts';
import type { Channel, ChannelContext } from '../../src/main/channels/channel.ts';
import { GatewayChannel } from '../../src/main/channels/gateway/gateway.ts';
import type { GatewayHost, TokenCount } from '../../src/main/channels/gateway/host.ts';
import type { GatewayConfig } from '../../src/main/config/types.ts';
import {
  type Accepted,
  type DeliveredReply,
  type DeliveryListener,
  type InboundMessage,
  OrreryError,
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
  /** Thrown by the next `accept`. */
  refuse: Error | undefined;
  /** Awaited by `accept` before it answers. */
  gate: Promise<void> | undefined;
  channel: Channel | undefined;
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
      journal: 'memory',
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

  drain(): void {
    this.drained += 1;
  }

  countTokens(texts: readonly string[]): Promise<TokenCount> {
    const counts = Uint32Array.from(texts, (t) => t.length);
    return Promise.resolve({ counts, total: counts.reduce((a, b) => a + b, 0), exact: true });
  }

  countMessageTokens(messages: readonly { content: string }[]): Promise<{ total: number; exact: boolean }> {
    return Promise.resolve({ total: messages.reduce((sum, m) => sum + m.content.length, 0), exact: true });
  }

  #route({ agent, metadata }: InboundMessage): string {
    const name = agent ?? metadata['agent'] ?? this.defaultAgent();
    if (this.#agents.has(name)) return name;
    if (agent !== undefined) throw new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent "${name}"`);
    return this.defaultAgent();
  }
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

export const GATEWAY_CONFIG: GatewayConfig = {
  type: 'gateway',
  host: '127.0.0.1',
  port: 0,
  maxBodyBytes: 1024 * 1024,
  allowedHosts: [],
  allowedOrigins: [],
};

export interface GatewayUnderTest extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly host: FakeHost;
  readonly channel: GatewayChannel;
  readonly abort: AbortController;
  /** What the gateway told its owner of its end. */
  readonly closed: unknown[];
  /** Sockets that the gateway holds open. */
  connections(): number;
  /** Cuts every connection, as a network would. */
  dropConnections(): void;
  /** Bytes that wait for the gateway's readers. */
  waitingBytes(): number;
}

export interface GatewayTestOptions {
  readonly config?: Partial<GatewayConfig>;
  readonly agents?: Readonly<Record<string, FakeAgent>>;
  readonly pingMs?: number;
  readonly log?: Logger;
}

export async function startGateway(options: GatewayTestOptions = {}): Promise<GatewayUnderTest> {
  const host = new FakeHost(options.agents);
  const channel = new GatewayChannel({ ...GATEWAY_CONFIG, ...options.config }, host, {
    name: 'web',
    version: '1.2.3',
    ...(options.pingMs === undefined ? {} : { pingMs: options.pingMs }),
  });
  host.channel = channel;
  const abort = new AbortController();
  const closed: unknown[] = [];
  const sockets = new Set<Socket>();
  const onSocket = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    if (socket.localPort !== channel.address?.port) return;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  subscribe('net.server.socket', onSocket);
  await channel.connect(contextOf(host, abort.signal, closed, options.log));
  const { address } = channel;
  if (!address) throw new Error('the gateway has no address');
  return {
    url: address.url,
    port: address.port,
    host,
    channel,
    abort,
    closed,
    connections: () => sockets.size,
    dropConnections: () => {
      for (const socket of sockets) socket.destroy();
    },
    waitingBytes: () => [...sockets].reduce((sum, socket) => sum + socket.writableLength, 0),
    [Symbol.asyncDispose]: async () => {
      unsubscribe('net.server.socket', onSocket);
      await channel.dispose();
    },
  };
}

export function contextOf(
  host: FakeHost,
  signal: AbortSignal,
  closed: unknown[] = [],
  log: Logger = pino({ level: 'silent' }),
): ChannelContext {
  return { signal, log, name: 'web', metadata: {}, accept: host.accept, closed: (cause) => closed.push(cause) };
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: Json;
}

// Answers are read loosely: what is expected of them stands in the test.
export type Json = { readonly [key: string]: Json } & readonly Json[] & string & number & boolean;

/** Sends exactly the given headers, `Host` included, on a connection of its own. */
export async function raw(
  url: string,
  o: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<RawAnswer> {
  const request = httpRequest(url, { method: o.method ?? 'GET', headers: o.headers ?? {}, agent: false });
  const answered = once(request, 'response');
  request.on('error', () => undefined); // an early answer to a large body resets the upload
  request.end(o.body);
  const [response] = (await answered) as [AsyncIterable<Buffer> & { statusCode: number; headers: IncomingHttpHeaders }];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  return { status: response.statusCode, headers: response.headers, text, json: parse(text) };
}

export function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<RawAnswer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return raw(url, {
    method: 'POST',
    body: text,
    headers: { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)), ...headers },
  });
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return {} as Json;
  }
}

/** A `ws` client that keeps the frames it got, so that none is missed between two awaits. */
export class TestSocket implements Disposable {
  readonly ws: WebSocket;
  readonly frames: Json[] = [];
  readonly #events = new EventEmitter();

  private constructor(ws: WebSocket) {
    this.ws = ws;
    ws.on('message', (data: Buffer) => {
      this.frames.push(JSON.parse(data.toString('utf8')) as Json);
      this.#events.emit('frame');
    });
    ws.on('error', () => undefined);
  }

  static async open(url: string, headers: Record<string, string> = {}): Promise<TestSocket> {
    const socket = new TestSocket(new WebSocket(`${url.replace(/^http/, 'ws')}/ws`, { headers }));
    await once(socket.ws, 'open');
    return socket;
  }

  send(frame: unknown): void {
    this.ws.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  /** Resolves with the first frame of a type (and id) and takes it and all frames before it away. */
  async next(type: string, id?: string): Promise<Json> {
    for (;;) {
      const at = this.frames.findIndex((f) => f['type'] === type && (id === undefined || f['id'] === id));
      const found = this.frames[at];
      if (found !== undefined) {
        this.frames.splice(0, at + 1);
        return found;
      }
      await once(this.#events, 'frame');
    }
  }

  [Symbol.dispose](): void {
    this.ws.terminate();
  }
}

/** Tries to open a WebSocket and returns the status that it was refused with. */
export async function refusedUpgrade(url: string, headers: Record<string, string>): Promise<number> {
  const ws = new WebSocket(`${url.replace(/^http/, 'ws')}/ws`, { headers });
  ws.on('error', () => undefined);
  ws.on('open', () => ws.terminate());
  const [, response] = (await Promise.race([
    once(ws, 'unexpected-response'),
    once(ws, 'open').then(() => [undefined, { statusCode: 101 }]),
  ])) as [unknown, { statusCode: number; destroy?(): void }];
  response.destroy?.();
  ws.terminate();
  return response.statusCode;
}

/** Waits until a condition holds; for states that no event tells of. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await delay(5);
}
