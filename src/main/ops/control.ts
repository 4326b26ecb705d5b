/**
 * Owns the control socket of a running supervisor: HTTP over a Unix socket that only this user reaches. It decides nothing;
 * what commands ask for is the supervisor's to do.
 */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { ERRORS, OrreryError, type WireError, asOrreryError, messageOf, toWire } from '../../protocol/index.ts';
import type { DrainReport, Supervisor } from '../api.ts';
import { type ChatLine, type ChatRequest, type DrainRequest, MAX_SOCKET_PATH_BYTES } from './control-protocol.ts';
import { unusable } from './lock.ts';

/** A chat message may be as long as any other; intake judges it. This bounds what is read before. */
const MAX_BODY_BYTES = 16 * 1_048_576;
/** Answers under way get this long when the socket closes. */
const CLOSE_WAIT_MS = 1_000;
/** As many as a journal may keep. */
const ALL_LETTERS = { limit: 1_000_000 };
/** The channel of messages that come over the control socket. */
export const CHAT_CHANNEL = 'terminal';

export interface ControlHost {
  readonly supervisor: Pick<Supervisor, 'status' | 'reload' | 'agents' | 'channels' | 'deadLetters' | 'inject'>;
  /** Drains and lets the process end after the report was answered. */
  drain(o: DrainRequest): Promise<DrainReport>;
  readonly log: Logger;
}

export interface ControlServer {
  readonly socket: string;
  /** Stops listening, lets answers under way finish for a second, and removes the socket. */
  close(): Promise<void>;
}

/** Opens the control socket of a data directory that is locked. Its directory is private before the socket exists. */
export async function startControl(host: ControlHost, dataDir: string): Promise<ControlServer> {
  const { directory, socket } = await placeSocket(dataDir);
  const server = createServer(handler(host));
  try {
    await listen(server, socket);
    await chmod(socket, 0o600);
  } catch (error) {
    server.close();
    throw new OrreryError('ORRERY_CONFIG_INVALID', `The control socket ${socket} did not open: ${messageOf(error)}`, {
      cause: error,
      hint: 'Give a data directory on a file system that has Unix sockets, with --data-dir.',
    });
  }
  return {
    socket,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const timer = setTimeout(() => server.closeAllConnections(), CLOSE_WAIT_MS);
      await closed;
      clearTimeout(timer);
      try {
        await rm(directory, { recursive: true, force: true });
      } catch (error) {
        // The data directory turned read-only: the next supervisor removes what stays.
        host.log.warn({ err: error, directory }, 'the control socket could not be removed');
      }
    },
  };
}

/** The caller has the data directory's lock: what lies there is of a supervisor that is gone. */
async function placeSocket(dataDir: string): Promise<{ readonly directory: string; readonly socket: string }> {
  const near = join(dataDir, 'control');
  const name = 'supervisor.sock';
  if (Buffer.byteLength(join(near, name)) > MAX_SOCKET_PATH_BYTES) {
    const directory = await mkdtemp(join(tmpdir(), 'orrery-')); // mode 0700
    return { directory, socket: join(directory, name) };
  }
  try {
    await rm(near, { recursive: true, force: true });
    await mkdir(near, { mode: 0o700 });
  } catch (error) {
    throw unusable(dataDir, error);
  }
  return { directory: near, socket: join(near, name) };
}

function listen(server: Server, socket: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

type Route = (parts: readonly string[], request: IncomingMessage, response: ServerResponse) => Promise<void>;

function handler(host: ControlHost): (request: IncomingMessage, response: ServerResponse) => void {
  const { supervisor, log } = host;
  const running = new Map<string, AbortController>();
  const routes: Readonly<Record<string, Route>> = {
    'GET status': (_, __, response) => answer(response, supervisor.status()),
    'POST agents/*/restart': async ([, name = ''], _, response) =>
      answer(response, await supervisor.agents.restart(name)),
    'POST channels/*/restart': async ([, name = ''], _, response) =>
      answer(response, await supervisor.channels.restart(name)),
    'POST reload': async (_, __, response) => answer(response, await supervisor.reload()),
    'POST drain': async (_, request, response) =>
      answer(response, await host.drain(await bodyOf<DrainRequest>(request))),
    'GET dead-letters': async (_, __, response) => answer(response, await supervisor.deadLetters.list(ALL_LETTERS)),
    'GET dead-letters/*': async ([, id = ''], __, response) => answer(response, await supervisor.deadLetters.get(id)),
    'POST dead-letters/*/replay': async ([, id = ''], __, response) =>
      answer(response, await supervisor.deadLetters.replay(id)),
    'DELETE dead-letters/*': async ([, id = ''], __, response) => {
      await supervisor.deadLetters.drop(id);
      await answer(response, { id, dropped: true });
    },
    'POST chat': async (_, request, response) => {
      await chat(supervisor, await bodyOf<ChatRequest>(request), running, response);
    },
    'POST chat/*/cancel': ([, id = ''], __, response) => {
      running.get(id)?.abort();
      return answer(response, { cancelled: running.has(id) });
    },
  };

  return (request, response) => {
    void serve(request, response);
  };

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts = (request.url ?? '/').slice(1).split('/').map(decodeURIComponent);
    const pattern = parts.map((part, i) => (i === 1 ? '*' : part)).join('/');
    try {
      const route = routes[`${request.method ?? ''} ${pattern}`];
      if (route === undefined) {
        throw new OrreryError(
          'ORRERY_NOT_FOUND',
          `The control socket has no ${request.method ?? ''} /${parts.join('/')}`,
        );
      }
      await route(parts, request, response);
    } catch (error) {
      log.debug({ err: error, path: request.url }, 'a command failed');
      const typed = asOrreryError(error, 'ORRERY_INTERNAL');
      if (response.headersSent) response.destroy();
      else await answer(response, { error: withoutStack(typed) }, ERRORS[typed.code].http);
    }
  }
}

/** A client that goes away does not cancel its turn, as everywhere; `chat/ID/cancel` does. */
async function chat(
  supervisor: ControlHost['supervisor'],
  { id, text, namespace, agent }: Partial<ChatRequest>,
  running: Map<string, AbortController>,
  response: ServerResponse,
): Promise<void> {
  if (typeof id !== 'string' || typeof text !== 'string' || typeof namespace !== 'string') {
    throw new OrreryError('ORRERY_BAD_REQUEST', 'Expected `id`, `text` and `namespace` to be strings');
  }
  const controller = new AbortController();
  running.set(id, controller);
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  const write = (line: ChatLine): void => {
    response.write(`${JSON.stringify(line)}\n`);
  };
  try {
    const inbound = {
      id,
      channel: CHAT_CHANNEL,
      namespace,
      message: { role: 'user', content: text },
      metadata: {},
      receivedAt: Date.now(),
      ...(agent === undefined ? {} : { agent }),
    } as const;
    const onDelta = (delta: string): void => write({ delta });
    write({ reply: await supervisor.inject(inbound, { signal: controller.signal, onDelta }) });
  } catch (error) {
    write({ error: withoutStack(error) });
  } finally {
    running.delete(id);
    response.end();
  }
}

async function bodyOf<T extends object>(request: IncomingMessage): Promise<Partial<T>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new OrreryError('ORRERY_TOO_LARGE', `Expected at most ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  try {
    const body: unknown = bytes === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString('utf8'));
    if (typeof body === 'object' && body !== null) return body;
  } catch {
    // answered below like any other body that is no object
  }
  throw new OrreryError('ORRERY_BAD_REQUEST', 'Expected a JSON object');
}

async function answer(response: ServerResponse, body: unknown, status = 200): Promise<void> {
  response.writeHead(status, { 'content-type': 'application/json' });
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    response.end(JSON.stringify(body), resolve);
  });
}

function withoutStack(error: unknown): WireError {
  const { stack: _, ...wire } = toWire(error);
  return wire;
}
