/**
 * Holds clients' connections open while agents take their threads down: a WebSocket that pings, an HTTP connection that is
 * kept alive and asked again and again, and a stream under way. None of them may end, and each must be answered.
 */
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { TestSocket, type Json } from '../support/gateway.ts';
import { BALANCED, SOON_KILLED, type HostUnderTest, actor, balance, eventually, startHost } from '../support/host.ts';

const MAX_HEAP_MB = 48;

async function startGatewayHost({ act, isolation }: Case): Promise<HostUnderTest> {
  const limits = { maxHeapMb: MAX_HEAP_MB };
  return startHost({
    // On two threads the first and third agent share one.
    agents: { culprit: actor(isolation && { isolation, limits }), well: actor(), neighbour: actor() },
    defaultAgent: 'well',
    channels: { web: { type: 'gateway', port: 0 } },
    workers: { maxHeapMb: MAX_HEAP_MB, ...(act === 'spin' || act === 'block' ? SOON_KILLED : {}) },
  });
}

function urlOf(host: HostUnderTest): string {
  const url = host.status.channels[0]?.url;
  if (url === undefined) throw new Error('the gateway has no address');
  return url;
}

/** One TCP connection that is asked for one thing after another, and must stay the same. */
class KeptConnection implements Disposable {
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly sockets: Set<Socket> = new Set();

  constructor(url: string) {
    this.#url = url;
  }

  async post(path: string, body: unknown): Promise<{ status: number | undefined; response: IncomingMessage }> {
    const sent = request(`${this.#url}${path}`, {
      method: 'POST',
      agent: this.#agent,
      headers: { 'content-type': 'application/json' },
    });
    sent.on('socket', (socket) => this.sockets.add(socket));
    const answered = once(sent, 'response');
    sent.end(JSON.stringify(body));
    const [response] = (await answered) as [IncomingMessage];
    return { status: response.statusCode, response };
  }

  async ask(body: unknown): Promise<Json> {
    const { response } = await this.post('/api/chat', body);
    return JSON.parse(await textOf(response)) as Json;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += String(chunk);
  return text;
}

/** A WebSocket that sends a ping as soon as the last one was answered. */
class Pinger implements Disposable {
  readonly socket: TestSocket;
  readonly closed: unknown[] = [];
  answered = 0;
  #stopped = false;
  readonly #running: Promise<void>;

  constructor(socket: TestSocket) {
    this.socket = socket;
    socket.ws.on('close', (code) => this.closed.push(code));
    this.#running = this.#run();
  }

  static async open(url: string): Promise<Pinger> {
    return new Pinger(await TestSocket.open(url));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.socket.send({ type: 'ping' });
      await this.socket.next('pong');
      this.answered += 1;
    }
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.socket[Symbol.dispose]();
  }
}

interface Case {
  readonly act: string;
  /** Default: on a shared thread. */
  readonly isolation?: 'process';
  /** Brings the fault about and resolves when its sender has been told. */
  readonly cause: (host: HostUnderTest) => Promise<unknown>;
}

function caseOf(act: string, isolation?: 'process'): Case {
  const rest = isolation ? { isolation } : {};
  return { act, cause: (host) => host.outcome('culprit', act, 'guilty'), ...rest };
}

const CASES: readonly Case[] = [
  ...['spin', 'throw', 'reject', 'exit 3', 'heap'].map((act) => caseOf(act)),
  ...['abort', 'huge', 'block'].map((act) => caseOf(act, 'process')),
  { act: 'restart by hand', cause: (host) => host.supervisor.agents.restart('culprit') },
];

describe('connections of clients', () => {
  test.each(CASES)('connections - none is closed and each is answered through $act', async (what) => {
    await using host = await startGatewayHost(what);
    const url = urlOf(host);
    using pinger = await Pinger.open(url);
    using kept = new KeptConnection(url);
    using streaming = new KeptConnection(url);
    const metadata = { gate: host.path('gate'), log: host.path('log') };

    expect(await kept.ask({ message: 'say before', metadata })).toMatchObject({ message: 'before 1' });
    // A stream whose first piece has come and whose rest waits for the gate.
    const chat = { message: 'tell', agent: 'well', namespace: 'stream', metadata };
    using teller = await TestSocket.open(url);
    const closed: unknown[] = [];
    teller.ws.on('close', (code) => closed.push(code));
    teller.send({ type: 'chat', id: 'told', ...chat });
    const stream = streaming.ask({ ...chat, namespace: 'whole' });
    await eventually(
      'both are under way',
      () => host.lines().filter((line) => line.endsWith('begin tell')).length === 2,
    );

    const before = pinger.answered;
    await what.cause(host);
    await eventually('pings went on', () => pinger.answered > before);
    for (const agent of ['well', 'neighbour']) {
      const answer = await kept.ask({ message: `say ${agent}`, agent, metadata });
      expect(answer).toMatchObject({ message: `${agent} 1` });
    }
    host.open();
    expect(await stream).toMatchObject({ message: 'told all' });
    await pinger.stop();
    expect(await teller.next('response')).toMatchObject({ id: 'told' });
    expect([...pinger.closed, ...closed]).toEqual([]);
    expect(kept.sockets.size).toBe(1);
    expect(streaming.sockets.size).toBe(1);
    expect(host.status.channels[0]).toMatchObject({ connected: true });
    expect(balance(host.status)).toEqual(BALANCED);
  });
});
