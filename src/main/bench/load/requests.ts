/**
 * Owns the requests to one target: each is sent, read to its end and timed. They go over Node's own HTTP client, since `fetch` takes two to
 * three times its CPU time for each request, and what the driver needs is missing on the machine that it measures.
 */
import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { type Fault, StreamReader, readError, readRetryAfter, readWhole } from './completion.ts';
import type { Answered, Failed, Outcome } from './outcome.ts';

export interface RequestOptions {
  /** Of `chat/completions`. */
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly stream: boolean;
  readonly timeoutMs: number;
  readonly now: () => number;
}

/** What is said in one request. */
export interface Said {
  readonly body: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Of an answer that is not streamed, and of an error. */
const MAX_BODY = 16 * 1024 * 1024;
/** Connections that are kept for the next request. */
const MAX_FREE = 4_096;

/** Codes of a certificate whose authority is not known here. */
const UNKNOWN_AUTHORITY = /SELF_SIGNED_CERT|UNABLE_TO_(?:VERIFY|GET_ISSUER)/;

export class Requests implements Disposable {
  readonly #o: RequestOptions;
  readonly #agent: HttpAgent;
  readonly #request: typeof httpRequest;
  readonly #live = new Set<() => void>();

  constructor(options: RequestOptions) {
    this.#o = options;
    const isSecure = options.url.protocol === 'https:';
    const Agent = isSecure ? HttpsAgent : HttpAgent;
    this.#agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: MAX_FREE });
    this.#request = isSecure ? httpsRequest : httpRequest;
  }

  /** Sends one and reads its answer. Never rejects. */
  send({ body, headers }: Said): Promise<Outcome> {
    return new Promise((resolve) => {
      const { timeoutMs, url } = this.#o;
      const outgoing = this.#request(url, {
        method: 'POST',
        agent: this.#agent,
        headers: { ...this.#o.headers, ...headers, 'content-length': body.length },
      });
      const end = (outcome: Outcome): void => {
        clearTimeout(timer);
        this.#live.delete(cut);
        resolve(outcome);
      };
      const give = (kind: 'timeout' | 'cut', message: string): void => {
        end({ ok: false, endedAt: this.#o.now(), kind, message });
        outgoing.destroy();
      };
      const cut = (): void => give('cut', 'given up, since the run was to end');
      const timer = setTimeout(() => give('timeout', `no whole answer within ${timeoutMs} ms`), timeoutMs);
      this.#live.add(cut);
      this.#hear(outgoing, end);
      outgoing.end(body);
    });
  }

  /** Gives up whatever is under way. */
  cut(): void {
    for (const cut of this.#live) cut();
  }

  [Symbol.dispose](): void {
    this.cut();
    this.#agent.destroy();
  }

  #hear(outgoing: ClientRequest, end: (outcome: Outcome) => void): void {
    const broke = (error: NodeJS.ErrnoException): void =>
      end({
        ok: false,
        endedAt: this.#o.now(),
        kind: 'connection',
        ...(error.code === undefined ? {} : { code: error.code }),
        message: messageOf(error),
      });
    outgoing.on('error', broke);
    outgoing.on('response', (response) => {
      // Of a response that breaks off, `error` may come on it alone.
      response.on('error', broke);
      const { statusCode = 0 } = response;
      if (statusCode < 200 || statusCode > 299) this.#hearError(response, statusCode, end);
      else if (this.#o.stream) this.#hearStream(response, end);
      else this.#hearWhole(response, end);
    });
  }

  #hearStream(response: IncomingMessage, end: (outcome: Outcome) => void): void {
    const { now } = this.#o;
    const reader = new StreamReader();
    response.setEncoding('utf8');
    response.on('data', (part: string) => reader.push(part, now()));
    response.on('end', () => end(settled(reader.end(now()), now())));
  }

  #hearWhole(response: IncomingMessage, end: (outcome: Outcome) => void): void {
    const { now } = this.#o;
    collect(response, (body) => end(settled(readWhole(body, now()), now())));
  }

  #hearError(response: IncomingMessage, status: number, end: (outcome: Outcome) => void): void {
    const retryAfterMs = readRetryAfter(response.headers['retry-after']);
    collect(response, (body) => {
      const { code, message } = readError(body);
      end({
        ok: false,
        endedAt: this.#o.now(),
        kind: 'http',
        status,
        ...(code === undefined ? {} : { code }),
        message: message === '' ? `HTTP ${status}` : message,
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      });
    });
  }
}

/** A dropped connection may come without words, and what OpenSSL says of a certificate does not tell what to do. */
function messageOf({ code = 'the connection failed', message }: NodeJS.ErrnoException): string {
  if (!UNKNOWN_AUTHORITY.test(code)) return message === '' ? code : message;
  return "the authority of the server's certificate is not trusted: name the file with it in NODE_EXTRA_CA_CERTS";
}

function settled(found: Answered | Fault, endedAt: number): Outcome {
  return 'ok' in found ? found : ({ ok: false, endedAt, ...found } satisfies Failed);
}

/** What goes beyond the bound is read, so that the connection stays of use, and not kept. */
function collect(response: IncomingMessage, done: (body: string) => void): void {
  let body = '';
  response.setEncoding('utf8');
  response.on('data', (part: string) => {
    if (body.length < MAX_BODY) body += part;
  });
  response.on('end', () => done(body));
}
