/**
 * Owns what gateway tests run against: a real gateway on a free port with a small host in memory behind it. Tests that need
 * no say over a turn's course use the URL alone, so they can run against a supervisor with the agents `echo` and `fails` too.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter, once } from 'node:events';
import { type IncomingHttpHeaders, request as httpRequest } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { WebSocket } from 'ws';
import { GatewayChannel } from '../../src/main/channels/gateway/index.ts';
import type { GatewayConfig } from '../../src/main/config/types.ts';
import { type FakeAgent, FakeHost, contextOf } from './gateway-host.ts';

export { FakeHost, contextOf } from './gateway-host.ts';

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
