/**
 * Owns the model to practise on: a server that answers as a provider does, at a pace that is known, with words that mean nothing. It keeps
 * nothing of what it is asked.
 */
import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OrreryError } from '../../../protocol/errors.ts';
import { type CountedMessage, TokenPool } from '../../tokens/index.ts';
import { type Body, type Form, type Head, anthropicForm, openaiForm } from './forms.ts';
import { type ModelServerOptions, type ResolvedOptions, resolveModelOptions } from './options.ts';
import { type Planned, planReply } from './plan.ts';

/** A server that stands in for a provider. Disposing of it closes it. */
export interface ModelServer extends AsyncDisposable {
  /** Where it is asked, with `/v1`: the base URL of OpenAI's clients. Anthropic's take the same. */
  readonly url: string;
  stats(): ModelStats;
  /** Takes no more requests and cuts off those under way. Idempotent. */
  close(): Promise<void>;
}

export interface ModelStats {
  readonly requests: number;
  /** Answered to the end. */
  readonly answered: number;
  /** Failed because chance had it so, and turned away because too many were under way. */
  readonly failed: number;
  readonly turnedAway: number;
  /** Requests that could not be read. */
  readonly refused: number;
  /** Left by their caller, or cut off by the end. */
  readonly left: number;
  /** Replies under way now, and the most there ever were. */
  readonly underWay: number;
  readonly mostUnderWay: number;
}

const FORMS: ReadonlyMap<string, Form> = new Map([openaiForm, anthropicForm].map((form) => [form.path, form]));
/** Of a request, in bytes. */
const MAX_BODY = 16 * 1024 * 1024;
/** Prompts whose count is known still. */
const MAX_COUNTED = 1_000;
const KEEP_ALIVE_MS = 60_000;

/**
 * Starts a model to practise on. Rejects with `ORRERY_BENCH_INVALID` for an option that is not right, and `ORRERY_PORT_IN_USE`.
 */
export async function startModelServer(options: ModelServerOptions = {}): Promise<ModelServer> {
  const model = new PracticeModel(resolveModelOptions(options));
  await model.listen();
  return model;
}

class PracticeModel implements ModelServer {
  readonly #o: ResolvedOptions;
  readonly #pool = new TokenPool({ threads: 1 });
  readonly #counted = new Map<string, Promise<number>>();
  readonly #server = createServer((request, response) => {
    this.#take(request, response).catch(() => response.destroy());
  });
  readonly #stats = {
    requests: 0,
    answered: 0,
    failed: 0,
    turnedAway: 0,
    refused: 0,
    left: 0,
    underWay: 0,
    mostUnderWay: 0,
  };
  #closed: Promise<void> | undefined;

  constructor(options: ResolvedOptions) {
    this.#o = options;
    this.#server.keepAliveTimeout = KEEP_ALIVE_MS;
  }

  get url(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}/v1`;
  }

  async listen(): Promise<void> {
    const { host, port } = this.#o;
    // The first count reads the vocabulary: better now than in somebody's first token.
    const warm = this.#count([{ role: 'user', content: '' }]);
    this.#server.listen(port, host === 'localhost' ? '127.0.0.1' : host);
    try {
      await once(this.#server, 'listening');
      await warm;
    } catch (error) {
      await Promise.allSettled([warm]);
      await this.close();
      throw listenError(error, host, port);
    }
  }

  stats(): ModelStats {
    return { ...this.#stats };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    if (this.#server.listening) {
      const closed = once(this.#server, 'close');
      this.#server.close();
      this.#server.closeAllConnections();
      await closed;
    }
    await this.#pool.close();
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://x').pathname;
    if (request.method === 'GET' && path === '/v1/models') {
      const { model } = this.#o;
      json(response, 200, { object: 'list', data: [{ id: model, object: 'model', created: 0, owned_by: 'orrery' }] });
      return;
    }
    const form = request.method === 'POST' ? FORMS.get(path) : undefined;
    if (!form) {
      request.resume();
      const known = ['GET /v1/models', ...[...FORMS.keys()].map((one) => `POST ${one}`)].join(', ');
      json(response, 404, openaiForm.error(404, `There is no ${request.method ?? ''} ${path}; there is ${known}`));
      return;
    }
    await this.#answer(form, request, response);
  }

  async #answer(form: Form, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const stats = this.#stats;
    const n = stats.requests;
    stats.requests += 1;
    const refuse = (status: number, why: string): void => {
      stats.refused += 1;
      json(response, status, form.error(status, why));
    };
    const text = await readBody(request);
    if (text === undefined) {
      refuse(413, `Expected at most ${MAX_BODY} bytes`);
      return;
    }
    const began = performance.now();
    let body: Body;
    let messages: readonly CountedMessage[];
    let most: number | undefined;
    try {
      body = readObject(text);
      messages = form.messages(body);
      most = form.most(body);
    } catch (error) {
      refuse(400, error instanceof Error ? error.message : String(error));
      return;
    }
    const planned = planReply(n, most, this.#o);
    if (planned.fails || stats.underWay >= this.#o.maxConcurrency) {
      this.#turnAway(form, response, planned.fails);
      return;
    }
    const { model } = body;
    const head: Head = {
      n,
      model: typeof model === 'string' && model !== '' ? model : this.#o.model,
      created: Math.floor(Date.now() / 1_000),
    };
    stats.underWay += 1;
    stats.mostUnderWay = Math.max(stats.mostUnderWay, stats.underWay);
    try {
      const inputTokens = this.#count(messages);
      const isWhole = await (body['stream'] === true
        ? stream({ form, head, body, planned, inputTokens, began, response })
        : whole({ form, head, body, planned, inputTokens, began, response }));
      stats[isWhole ? 'answered' : 'left'] += 1;
    } finally {
      stats.underWay -= 1;
    }
  }

  #turnAway(form: Form, response: ServerResponse, fails: boolean): void {
    const { errorStatus, retryAfterSeconds, maxConcurrency } = this.#o;
    const status = fails ? errorStatus : 429;
    this.#stats[fails ? 'failed' : 'turnedAway'] += 1;
    if (status === 429 || status === 503) response.setHeader('retry-after', String(retryAfterSeconds));
    const why = fails
      ? 'This request was drawn to fail'
      : `At most ${maxConcurrency} requests are answered at once: try again later`;
    json(response, status, form.error(status, why));
  }

  /** Callers ask the same again and again: what was counted lately is not counted again. */
  #count(messages: readonly CountedMessage[]): Promise<number> {
    const key = JSON.stringify(messages);
    const known = this.#counted.get(key);
    if (known) return known;
    const counting = this.#pool.countMessages(messages, { encoding: 'o200k_base' }).then(({ total }) => total);
    const [oldest] = this.#counted.keys();
    if (oldest !== undefined && this.#counted.size >= MAX_COUNTED) this.#counted.delete(oldest);
    this.#counted.set(key, counting);
    return counting;
  }
}

interface Reply {
  readonly form: Form;
  readonly head: Head;
  readonly body: Body;
  readonly planned: Planned;
  readonly inputTokens: Promise<number>;
  /** When the request had come. */
  readonly began: number;
  readonly response: ServerResponse;
}

/** Writes each token when it is due; resolves to false when the caller left before the end. */
async function stream({ form, head, body, planned, inputTokens, began, response }: Reply): Promise<boolean> {
  const { pieces, due, isCut } = planned;
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  response.flushHeaders();
  const piece = form.piece(head);
  const input = await inputTokens;
  let text = form.first(head, input);
  for (let at = 0; at < pieces.length && !response.destroyed;) {
    await wait(began + (due[at] ?? 0), response);
    // What has become due meanwhile goes in one write, and keeps its events.
    const now = performance.now() - began;
    do {
      text += piece(pieces[at] ?? '');
      at += 1;
    } while (at < pieces.length && (due[at] ?? 0) <= now);
    if (at === pieces.length) break;
    if (!response.write(text)) await drained(response);
    text = '';
  }
  if (response.destroyed) return false;
  return ended(response, text + form.last(head, { inputTokens: input, outputTokens: pieces.length, isCut }, body));
}

async function whole({ form, head, planned, inputTokens, began, response }: Reply): Promise<boolean> {
  const { pieces, due, isCut } = planned;
  await wait(began + (due.at(-1) ?? 0), response);
  const input = await inputTokens;
  if (response.destroyed) return false;
  const body = form.whole(head, pieces.join(''), { inputTokens: input, outputTokens: pieces.length, isCut });
  response.writeHead(200, { 'content-type': 'application/json' });
  return ended(response, JSON.stringify(body));
}

/** Ends a response; resolves to whether it could be sent. */
function ended(response: ServerResponse, text: string): Promise<boolean> {
  return new Promise((resolve) => {
    response.once('finish', () => resolve(true));
    response.once('close', () => resolve(response.writableFinished));
    response.end(text);
  });
}

/**
 * Waits until a time, never shorter, or until the response is closed. One timer a reply is enough: Node keeps those of the same wait in one list, and what
 * many streams cost are their writes.
 */
async function wait(until: number, response: ServerResponse): Promise<void> {
  // The loop's own time stands still while it works, so that a timer may fire early by what has passed of it.
  for (let left = until - performance.now(); left > 0 && !response.destroyed; left = until - performance.now()) {
    await pause(Math.ceil(left), response);
  }
}

function pause(ms: number, response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      response.off('close', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    response.once('close', done);
  });
}

function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.once('drain', done);
    response.once('close', done);
  });
}

/** Resolves to undefined for one that is too large, and rejects when the caller leaves. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request) {
    size += (part as Buffer).length;
    if (size <= MAX_BODY) parts.push(part as Buffer);
    else parts.length = 0;
  }
  return size > MAX_BODY ? undefined : Buffer.concat(parts).toString('utf8');
}

function readObject(text: string): Body {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new TypeError('Expected the body to be JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError('Expected the body to be an object');
  }
  return value as Body;
}

function json(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

function listenError(error: unknown, host: string, port: number): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE') {
    return new OrreryError('ORRERY_PORT_IN_USE', `Port ${port} of ${host} is taken`, {
      hint: 'Give another --port, or 0 for any free one.',
    });
  }
  if (code === undefined || (error as NodeJS.ErrnoException).syscall === undefined) return error;
  return new OrreryError('ORRERY_BENCH_INVALID', `The model cannot listen on ${host}, port ${port} (${code})`, {
    cause: error,
    hint: 'Give an address of this machine with --host, and a port that this user may open.',
  });
}
