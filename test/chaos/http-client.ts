/** Owns the clients of `/api/chat` and of `/v1/chat/completions`: one request a message, streamed ones among them. */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { ANSWER_MS, type Client, type Result } from './client.ts';
import type { HostLink } from './host-link.ts';
import { namespaceOf } from './ledger.ts';
import { type PlannedMessage, type PlannedSession, textOf } from './plan.ts';

interface Call {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: object;
  readonly read: (text: string) => Result;
}

interface ErrorBody {
  readonly error?: { readonly code?: string; readonly id?: string; readonly message?: string };
}

export class HttpClient implements Client {
  readonly #link: HostLink;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #underWay = new Set<ClientRequest>();
  #url = '';

  constructor(link: HostLink) {
    this.#link = link;
  }

  async open(): Promise<number> {
    this.#url = await this.#link.url;
    return this.#link.generation;
  }

  ask(session: PlannedSession, message: PlannedMessage): Promise<Result> {
    return this.#call(session.way === 'chat' ? chatCall(session, message) : completionCall(session, message));
  }

  drop(share: number, random: () => number): number {
    const dropped = [...this.#underWay].filter(() => random() < share);
    for (const one of dropped) one.destroy(new Error('dropped by the run'));
    return dropped.length;
  }

  close(): void {
    this.#agent.destroy();
  }

  #call({ path, headers, body, read }: Call): Promise<Result> {
    const bytes = Buffer.from(JSON.stringify(body));
    const { promise, resolve } = Promise.withResolvers<Result>();
    const lost = (error: Error): void => resolve({ kind: 'lost', why: error.message });
    const asked = request(
      new URL(path, this.#url),
      {
        method: 'POST',
        agent: this.#agent,
        headers: { 'content-type': 'application/json', 'content-length': bytes.length, ...headers },
      },
      (response) => void answerOf(response, read).then(resolve, lost),
    );
    this.#underWay.add(asked);
    asked.setTimeout(ANSWER_MS, () => asked.destroy(new Error('no answer in time')));
    asked.on('error', lost);
    asked.on('close', () => this.#underWay.delete(asked));
    asked.end(bytes);
    return promise;
  }
}

function chatCall(session: PlannedSession, message: PlannedMessage): Call {
  const { id } = message;
  return {
    path: '/api/chat',
    headers: {},
    body: { id, message: textOf(message), namespace: namespaceOf(session), agent: session.agent },
    read: (text) => {
      const answer = JSON.parse(text) as { message: string; namespace: string; id: string };
      const namespace = answer.id === id ? answer.namespace : `${answer.namespace} under ${answer.id}`;
      return { kind: 'answered', text: answer.message, namespace };
    },
  };
}

function completionCall(session: PlannedSession, message: PlannedMessage): Call {
  const { id } = message;
  const stream = id.endsWith('2') || id.endsWith('7');
  return {
    path: '/v1/chat/completions',
    headers: { 'idempotency-key': id, ...(session.kept ? { 'x-orrery-session': namespaceOf(session) } : {}) },
    body: { model: session.agent, stream, messages: [{ role: 'user', content: textOf(message) }] },
    read: (text) => (stream ? readStream(text) : readCompletion(text)),
  };
}

function readCompletion(text: string): Result {
  const { choices } = JSON.parse(text) as { choices: readonly { message: { content: string } }[] };
  return { kind: 'answered', text: choices[0]?.message.content ?? '' };
}

function readStream(text: string): Result {
  let content = '';
  for (const event of text.split('\n\n')) {
    const data = event.slice(event.indexOf('data: ') + 'data: '.length);
    if (data === '[DONE]') return { kind: 'answered', text: content };
    if (event.startsWith('event: error')) return failure(JSON.parse(data) as ErrorBody, true);
    if (!event.startsWith('data: ')) continue;
    const { choices } = JSON.parse(data) as { choices: readonly { delta: { content?: string } }[] };
    content += choices[0]?.delta.content ?? '';
  }
  return { kind: 'lost', why: 'the stream ended before its end' };
}

async function answerOf(response: IncomingMessage, read: Call['read']): Promise<Result> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += String(chunk);
  if (!response.complete) return { kind: 'lost', why: 'the answer was cut off' };
  return response.statusCode === 200 ? read(text) : failure(JSON.parse(text) as ErrorBody, false);
}

function failure({ error = {} }: ErrorBody, streamed: boolean): Result {
  const { code = 'no code', id } = error;
  return id === undefined && !streamed ? { kind: 'refused', code } : { kind: 'failed', code };
}
