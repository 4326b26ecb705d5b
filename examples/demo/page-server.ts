/** Owns the demo's own HTTP server: the page's files, the live line as server-sent events, and the restart of an agent. */
import { readFile, readdir } from 'node:fs/promises';
import { extname } from 'node:path';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { AddressInfo } from 'node:net';
import type { Supervisor } from '../../src/main/index.ts';
import { LiveLine } from './live-line.ts';

const HOST = '127.0.0.1';
const FOLDER: URL = new URL('page/', import.meta.url);
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
};

export class PageServer {
  readonly #app: FastifyInstance = fastify({ logger: false, forceCloseConnections: true });
  #hosts: ReadonlySet<string> = new Set();
  #supervisor: Supervisor | undefined;
  #gateway = '';
  #line: LiveLine | undefined;

  /** Listens, and returns the origins under which the page may be opened, the one to print first. */
  async listen(port: number): Promise<readonly [string, ...string[]]> {
    this.#guard();
    await this.#routes();
    await this.#app.listen({ host: HOST, port });
    const bound = (this.#app.server.address() as AddressInfo).port;
    const hosts = [`${HOST}:${bound}`, `localhost:${bound}`] as const;
    this.#hosts = new Set(hosts);
    return [`http://${hosts[0]}`, `http://${hosts[1]}`];
  }

  /** Begins to tell of a supervisor whose gateway listens on `gateway` (`host:port`). */
  serve(supervisor: Supervisor, gateway: string): void {
    this.#supervisor = supervisor;
    this.#gateway = gateway;
    this.#line = new LiveLine(supervisor);
  }

  async close(): Promise<void> {
    this.#line?.close();
    await this.#app.close();
  }

  /** Answers under its own names only, and lets no other site change anything. */
  #guard(): void {
    this.#app.addHook('onRequest', async (request, reply) => {
      const { host = '', origin } = request.headers;
      const isForeign = origin !== undefined && origin !== `http://${host}`;
      if (!this.#hosts.has(host) || isForeign) return reply.code(403).send('forbidden');
      if (!this.#supervisor) return reply.code(503).send('starting');
    });
  }

  async #routes(): Promise<void> {
    const app = this.#app;
    for (const name of await readdir(FOLDER)) {
      const type = TYPES[extname(name)];
      if (type === undefined) continue;
      const body = await readFile(new URL(name, FOLDER));
      app.get(name === 'index.html' ? '/' : `/${name}`, (_request, reply) =>
        reply.headers(this.#headers()).type(type).send(body),
      );
    }
    app.get('/events', (request, reply) => this.#events(request, reply));
    app.post<{ Params: { name: string } }>('/agents/:name/restart', async ({ params }) => {
      await this.#supervisor?.agents.restart(params.name);
      return {};
    });
  }

  #headers(): Record<string, string> {
    return {
      'content-security-policy': `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' ws://${this.#gateway}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
    };
  }

  #events(request: FastifyRequest, reply: FastifyReply): void {
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    raw.write(`event: gateway\ndata: ${JSON.stringify(`ws://${this.#gateway}/ws`)}\n\n`);
    const leave = this.#line?.follow((line) => raw.write(`data: ${JSON.stringify(line)}\n\n`));
    request.raw.once('close', () => leave?.());
  }
}
