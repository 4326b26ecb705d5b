/** Owns the HTTP server's frame: what every request passes, how errors go out, which routes there are. Not what they do. */
import fastifyRateLimit from '@fastify/rate-limit';
import fastifyWebsocket, { type WebSocket } from '@fastify/websocket';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Logger } from 'pino';
import { Namespace, OrreryError } from '../../../protocol/index.ts';
import type { GatewayConfig } from '../../config/types.ts';
import type { Access } from './access.ts';
import { MAX_NAMESPACE_LENGTH, readChat, readObject } from './ask.ts';
import { completionHandler } from './completions.ts';
import { describeError, openAiBody, plainBody } from './errors.ts';
import type { GatewayHost } from './host.ts';
import { type Intake, byOf } from './intake.ts';
import { loginRoutes } from './login.ts';
import type { Role } from './logins.ts';
import { controlRoutes, deadLetterRoutes, healthRoutes, modelRoutes, tokenRoutes } from './operations.ts';
import { type PageFile, pageRoutes } from './page.ts';
import { sessionRoutes } from './sessions.ts';
import { SocketConnection } from './socket.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may use the route; every route says so. */
    access?: Role | 'open';
  }
}

export interface ServerOptions {
  /** The channel's name. */
  readonly name: string;
  /** The host's version. */
  readonly version: string;
  readonly config: GatewayConfig;
  readonly host: GatewayHost;
  readonly intake: Intake;
  readonly access: Access;
  readonly log: Logger;
  readonly page: readonly PageFile[];
  /** Open WebSockets; the server adds and removes them. */
  readonly connections: Set<SocketConnection>;
}

/** A request has to arrive whole within this many milliseconds; its answer may take longer. */
const REQUEST_TIMEOUT_MS = 60_000;
const RATE_WINDOW_MS = 60_000;
/** Characters of one path parameter as it is sent: a namespace, of which each character may be written as nine. */
const MAX_PARAM_LENGTH = 9 * MAX_NAMESPACE_LENGTH;
const SOCKET_PATH = '/ws';
/** Frames above the limit and below this multiple get an error in words; beyond it the connection ends (RFC 6455, 1009). */
const HARD_FRAME_FACTOR = 4;

export async function buildServer(o: ServerOptions): Promise<FastifyInstance> {
  const { access, config } = o;
  const app = fastify({
    logger: false, // a child logger per request costs more than the request; see `logRequests`
    bodyLimit: config.maxBodyBytes,
    requestTimeout: REQUEST_TIMEOUT_MS,
    return503OnClosing: false, // the routes say so in their own form
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    // An `Upgrade` to anything else (such as h2c) is left out, as RFC 9110 allows, and the request answered as it is.
    http: { shouldUpgradeCallback: (request) => request.url?.split('?', 1)[0] === SOCKET_PATH },
    frameworkErrors: (error, request, reply) => sendError(o.log, error, request, reply),
  });
  app.setErrorHandler((error, request, reply) => sendError(o.log, error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const what = `${request.method} ${request.url.split('?', 1)[0]?.slice(0, 200)}`;
    sendError(o.log, new OrreryError('ORRERY_NOT_FOUND', `There is no route ${what}`), request, reply);
  });
  app.addHook('onRequest', (request, _reply, done) => {
    try {
      access.checkSource(request.headers);
      access.checkIntent(request.method, request.headers);
    } catch (error) {
      done(asError(error));
      return;
    }
    done();
  });
  if (o.log.isLevelEnabled('debug')) logRequests(app, o.log);
  readAnyTypeAsJson(app);
  await app.register(fastifyRateLimit, {
    global: config.rateLimitPerMinute !== undefined,
    max: config.rateLimitPerMinute ?? Number.MAX_SAFE_INTEGER,
    timeWindow: RATE_WINDOW_MS,
    errorResponseBuilder: (_request, { ttl }) => rateLimited(ttl),
  });
  guardRoutes(app, access);

  healthRoutes(app, operations(o));
  modelRoutes(app, operations(o));
  controlRoutes(app, operations(o));
  deadLetterRoutes(app, operations(o));
  tokenRoutes(app, operations(o));
  sessionRoutes(app, { channel: o.name, agent: config.agent, host: o.host, access });
  pageRoutes(app, o.page);
  await loginRoutes(app, access);
  const root = new Namespace(o.name).key;
  app.post('/v1/chat/completions', { config: { access: 'chat' } }, completionHandler(root, o.intake));
  app.post('/api/chat', { config: { access: 'chat' } }, chatHandler(root, o.intake));
  await socketRoute(app, o, root);
  return app;
}

function operations(o: ServerOptions): Parameters<typeof healthRoutes>[1] {
  return { channel: o.name, version: o.version, host: o.host, log: o.log, draining: () => o.intake.stopped };
}

/** Asks each route who may use it, after the rate limit: guessing tokens is limited too. */
function guardRoutes(app: FastifyInstance, access: Access): void {
  app.addHook('onRoute', (route) => {
    const needed = route.config?.access;
    if (needed === undefined) throw new Error(`The route ${route.url} does not say who may use it`);
    if (needed === 'open') return;
    const before = route.onRequest === undefined ? [] : [route.onRequest].flat();
    route.onRequest = [
      ...before,
      (request, _reply, done) => {
        try {
          access.demand(request.headers, needed);
        } catch (error) {
          done(asError(error));
          return;
        }
        done();
      },
    ];
  });
}

/** Requests that are marked as meant may come with any content type; a body is JSON or absent. */
function readAnyTypeAsJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  for (const type of ['application/json', '*']) {
    app.addContentTypeParser(type, { parseAs: 'string' }, (request, body, done) => {
      if (body === '') done(null, undefined);
      else void parse(request, String(body), done);
    });
  }
}

function chatHandler(root: string, intake: Intake): (request: FastifyRequest) => Promise<object> {
  return async (request) => {
    intake.check();
    const ask = readChat(root, readObject(request.body));
    const reply = await intake.ask(ask);
    const { message, agent, usage } = reply;
    return { message: message.content, namespace: ask.echo, agent, usage, id: ask.id, ...byOf(reply) };
  };
}

/** Registers the WebSocket in a scope of its own, so that no other route pays for its hooks. */
async function socketRoute(app: FastifyInstance, o: ServerOptions, root: string): Promise<void> {
  const { access, config, connections } = o;
  const limited = config.rateLimitPerMinute !== undefined;
  const limit = app.createRateLimit();
  await app.register(async (scope) => {
    await scope.register(fastifyWebsocket, {
      options: { maxPayload: config.maxBodyBytes * HARD_FRAME_FACTOR, perMessageDeflate: false },
      errorHandler: (error, socket) => {
        o.log.debug({ err: error }, 'a WebSocket failed');
        socket.terminate();
      },
    });
    const serve = (socket: WebSocket, request: FastifyRequest): void => {
      const grant = access.demand(request.headers, 'chat');
      const connection = new SocketConnection(socket, {
        root,
        intake: o.intake,
        log: o.log,
        maxFrameBytes: config.maxBodyBytes,
        cancel: (delivery) => o.host.cancel(delivery),
        authorized: () => access.stands(grant),
        admit: async () => {
          if (!limited) return;
          const state = await limit(request);
          if (!state.isAllowed && state.isExceeded) throw rateLimited(state.ttl);
        },
      });
      connections.add(connection);
      socket.on('close', () => connections.delete(connection));
    };
    scope.route({
      method: 'GET',
      url: SOCKET_PATH,
      config: { access: 'chat' },
      wsHandler: serve,
      handler: () => {
        throw new OrreryError('ORRERY_BAD_REQUEST', 'This route speaks WebSocket: ask for an upgrade');
      },
    });
  });
}

function logRequests(app: FastifyInstance, log: Logger): void {
  app.addHook('onResponse', (request, reply, done) => {
    const { method, url, ip } = request;
    const { statusCode, elapsedTime } = reply;
    log.debug({ method, path: url.split('?', 1)[0], ip, statusCode, elapsedMs: elapsedTime }, 'request');
    done();
  });
}

function sendError(log: Logger, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const answer = describeError(error);
  if (answer.error.code === 'ORRERY_INTERNAL')
    log.error({ err: error, path: request.url.split('?', 1)[0] }, 'a request failed');
  const body = request.url.startsWith('/v1/') ? openAiBody(answer) : plainBody(answer);
  if (request.raw.headers.upgrade !== undefined) {
    // An upgraded socket is nobody's: the HTTP server let go of it, and no WebSocket took it.
    void reply.header('connection', 'close');
    reply.raw.once('finish', () => request.raw.socket.destroySoon());
  }
  void reply
    .code(answer.status)
    .headers({ ...answer.headers, 'x-content-type-options': 'nosniff' })
    .send(body);
}

function rateLimited(ttlMs: number): OrreryError {
  return new OrreryError('ORRERY_RATE_LIMITED', 'Too many requests came from this address', { retryAfterMs: ttlMs });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('refused', { cause: error });
}
