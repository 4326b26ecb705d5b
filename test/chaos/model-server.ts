/**
 * Owns the model of a run: a local OpenAI-compatible server that answers as the counting agent does, tells the ledger of every
 * call, and can be made to stall or to fail.
 */
import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { countedReply, readText } from './plan.ts';

export interface ModelListener {
  called(id: string): void;
  /** An answer left in full. */
  answered(id: string): void;
}

interface Completion {
  readonly stream?: boolean;
  readonly messages: readonly { readonly role: string; readonly content: unknown }[];
}

const USAGE = { prompt_tokens: 10, completion_tokens: 4, total_tokens: 14 };

export class ModelServer {
  readonly #listener: ModelListener;
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch(() => response.destroy());
  });
  readonly #asked = new Set<string>();
  #stalled: Promise<void> = Promise.resolve();
  readonly #released = Promise.withResolvers<void>();
  #errors = 0;

  constructor(listener: ModelListener) {
    this.#listener = listener;
    this.#server.keepAliveTimeout = 60_000;
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  /** Holds all answers for so long; resolves when they go on. */
  stall(ms: number): Promise<void> {
    this.#stalled = delay(ms);
    return this.#stalled;
  }

  /** Lets calls that are held begin. */
  release(): void {
    this.#released.resolve();
  }

  /** Fails so many of the next calls: with a status, or by an end in the middle. */
  fail(calls: number): void {
    this.#errors += calls;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
    const { messages, stream = false } = JSON.parse(body) as Completion;
    const said = messages.filter(({ role }) => role === 'user').map(({ content }) => textIn(content));
    const asked = readText(said.at(-1) ?? '');
    if (!asked) {
      response.writeHead(400).end(`{"error":{"message":"not a message of this run: ${said.length}"}}`);
      return;
    }
    const { id, act, workMs } = asked;
    this.#listener.called(id);
    await this.#stalled;
    if (act === 'held') await this.#released.promise;
    if (workMs > 0) await delay(workMs);
    if (act === 'fail') {
      response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"message":"fails as asked"}}');
      return;
    }
    const isFirst = !this.#asked.has(id);
    this.#asked.add(id);
    if (this.#errors > 0 || (act === 'flaky' && isFirst)) {
      if (this.#errors > 0) this.#errors -= 1;
      if (this.#errors % 2 === 0) response.writeHead(503, { 'retry-after-ms': '20' }).end('{"error":{"message":"no"}}');
      else response.destroy();
      return;
    }
    const text = countedReply(said.length, id);
    response.once('finish', () => this.#listener.answered(id));
    if (stream) streamed(response, text);
    else whole(response, text);
  }
}

const HEAD = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'chaos' };

function whole(response: ServerResponse, content: string): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(
    JSON.stringify({
      ...HEAD,
      object: 'chat.completion',
      choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
      usage: USAGE,
    }),
  );
}

function streamed(response: ServerResponse, content: string): void {
  const event = (choices: readonly object[], rest: object = {}): string =>
    `data: ${JSON.stringify({ ...HEAD, object: 'chat.completion.chunk', choices, ...rest })}\n\n`;
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(
    event([{ index: 0, delta: { role: 'assistant', content: content.slice(0, 2) }, finish_reason: null }]),
  );
  response.write(event([{ index: 0, delta: { content: content.slice(2) }, finish_reason: null }]));
  response.write(event([{ index: 0, delta: {}, finish_reason: 'stop' }]));
  response.end(`${event([], { usage: USAGE })}data: [DONE]\n\n`);
}

function textIn(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((part: { readonly text?: string }) => part.text ?? '').join('');
}
