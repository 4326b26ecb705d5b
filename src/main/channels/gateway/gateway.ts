/**
 * Owns the gateway as a channel: its address, its life from `connect` to `dispose`, and answers on their way to who waits.
 * Routes are server.ts's. One instance serves one connection after another, never two at once.
 */
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import {
  OrreryError,
  type OutboundError,
  type OutboundMessage,
  type OutboundTarget,
  toWire,
} from '../../../protocol/index.ts';
import type { GatewayConfig } from '../../config/types.ts';
import type { Channel, ChannelContext, SendReceipt } from '../channel.ts';
import { Access, isLoopback } from './access.ts';
import type { GatewayHost } from './host.ts';
import { Intake } from './intake.ts';
import { loadPage } from './page.ts';
import { buildServer } from './server.ts';
import type { SocketConnection } from './socket.ts';
import { type Outcome, Waiters } from './waiters.ts';

export interface GatewayAddress {
  readonly host: string;
  readonly port: number;
  /** Where this machine reaches it, without a slash at the end. */
  readonly url: string;
}

export interface GatewayOptions {
  /** The channel's name. */
  readonly name: string;
  /** The host's version. */
  readonly version: string;
  /** Milliseconds between two pings of a WebSocket; a peer that missed one is cut off. Default 30 s. */
  readonly pingMs?: number;
}

export const DEFAULT_PING_MS = 30_000;
/** What is still being written when the gateway closes gets this long in milliseconds. */
export const CLOSE_GRACE_MS = 1000;

/** What lives from `connect` to `dispose`. */
interface Session {
  readonly ctx: ChannelContext;
  readonly app: FastifyInstance;
  readonly intake: Intake;
  readonly connections: Set<SocketConnection>;
  readonly sockets: ReadonlySet<Socket>;
  readonly onAbort: () => void;
  readonly pulse: NodeJS.Timeout;
  readonly address: GatewayAddress;
}

export class GatewayChannel implements Channel {
  readonly type = 'gateway';
  readonly #config: GatewayConfig;
  readonly #host: GatewayHost;
  readonly #options: GatewayOptions;
  readonly #waiters = new Waiters();
  #session: Session | undefined;

  constructor(config: GatewayConfig, host: GatewayHost, options: GatewayOptions) {
    this.#config = config;
    this.#host = host;
    this.#options = options;
  }

  /** Where it listens; undefined while it does not. */
  get address(): GatewayAddress | undefined {
    return this.#session?.address;
  }

  /** Rejects with `ORRERY_OPEN_BIND`, `ORRERY_PORT_IN_USE` or `ORRERY_CONFIG_INVALID`, which no retry mends. */
  async connect(ctx: ChannelContext): Promise<void> {
    const config = this.#config;
    if (!config.token && !isLoopback(config.host)) {
      throw new OrreryError('ORRERY_OPEN_BIND', `The gateway may not listen on ${config.host} without a token`);
    }
    ctx.signal.throwIfAborted();
    const access = new Access(config);
    const intake = new Intake(ctx, this.#waiters, config.agent);
    const connections = new Set<SocketConnection>();
    const page = await loadPage();
    const { name, version } = this.#options;
    const app = await buildServer({
      name,
      version,
      config,
      host: this.#host,
      intake,
      access,
      log: ctx.log,
      page,
      connections,
    });
    const sockets = trackSockets(app);
    try {
      await listen(app, config);
      ctx.signal.throwIfAborted();
    } catch (error) {
      await app.close();
      throw error;
    }
    const address = addressOf(app);
    access.bound(address.port);
    app.server.on('error', (error) => ctx.closed(error));
    const onAbort = (): void => this.#giveUp();
    ctx.signal.addEventListener('abort', onAbort, { once: true });
    const pulse = setInterval(() => {
      for (const connection of connections) connection.beat();
    }, this.#options.pingMs ?? DEFAULT_PING_MS);
    this.#session = { ctx, app, intake, connections, sockets, onAbort, pulse, address };
  }

  /** Succeeds also when nobody waits any more: the reply is kept under its id. */
  async send(out: OutboundMessage): Promise<SendReceipt> {
    return this.#settle(out.target, { status: 'answered', reply: out.reply });
  }

  async sendError(out: OutboundError): Promise<void> {
    this.#settle(out.target, { status: 'failed', error: out.error });
  }

  left(out: OutboundError): void {
    this.#settle(out.target, { status: 'failed', error: out.error });
  }

  /** Refuses what comes from now on with `ORRERY_DRAINING`; the server stays up, and who waits is still answered. */
  shutdown(): void {
    this.#session?.intake.stop();
  }

  /** Closes the server and every socket. Who still waits is told that the reply is kept under its id. */
  async dispose(): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    const { ctx, app, intake, connections, sockets, onAbort, pulse } = session;
    clearInterval(pulse);
    ctx.signal.removeEventListener('abort', onAbort);
    intake.stop();
    this.#giveUp();
    await nextTurn(); // those who waited write their answers first
    for (const connection of connections) connection.close();
    // Browsers open connections ahead of need; one that asked for nothing yet is not idle to the HTTP server.
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
    const grace = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, CLOSE_GRACE_MS);
    try {
      await app.close();
    } finally {
      clearTimeout(grace);
    }
  }

  #settle({ namespace, inReplyTo }: OutboundTarget, outcome: Outcome): SendReceipt {
    return { ids: this.#waiters.settle(namespace, inReplyTo, outcome) ? [inReplyTo] : [] };
  }

  #giveUp(): void {
    const error = new OrreryError('ORRERY_CHANNEL_CLOSED', 'The gateway closed before the answer came', {
      hint: 'The reply is kept under its id: ask again with the same one.',
    });
    this.#waiters.settleAll({ status: 'failed', error: toWire(error) });
  }
}

/** Holds every open socket, upgraded ones too, of which the HTTP server keeps no list. */
function trackSockets(app: FastifyInstance): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
}

async function listen(app: FastifyInstance, { host, port }: GatewayConfig): Promise<void> {
  try {
    // `localhost` would be two servers, one for each family; a browser finds the one either way.
    await app.listen({ host: host === 'localhost' ? '127.0.0.1' : host.replace(/^\[|\]$/g, ''), port });
  } catch (error) {
    const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EADDRINUSE') {
      throw new OrreryError('ORRERY_PORT_IN_USE', `Port ${port} on ${host} is already in use`, {
        cause: error,
        hint: 'Give another port (`--port N`, or 0 for any free one), or stop what listens there.',
        details: { host, port },
      });
    }
    if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
      throw new OrreryError('ORRERY_CONFIG_INVALID', `The gateway cannot listen on ${host}, port ${port} (${code})`, {
        cause: error,
        hint: 'Give a host of this machine and a port that this user may bind.',
      });
    }
    throw error;
  }
}

function addressOf(app: FastifyInstance): GatewayAddress {
  const { address: host, port, family } = app.server.address() as AddressInfo;
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : family === 'IPv6' ? `[${host}]` : host;
  return { host, port, url: `http://${reachable}:${port}` };
}
