/** Runs model agents against a real HTTP server that speaks the providers' protocols. */
import { once } from 'node:events';
import { type RequestListener, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { LLMock } from '@copilotkit/aimock';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type ChatMessage, NO_USAGE, type Usage, type UserMessage } from '../../src/protocol/messages.ts';
import { type AgentDefinition, Namespace, type Turn } from '../../src/worker/agent.ts';
import { loadAgent } from '../../src/worker/load.ts';
import { type ModelAgentOptions, modelAgent } from '../../src/worker/models/index.ts';
import { agentContext } from '../support/agent-context.ts';

const mock = new LLMock({ port: 0 });
beforeAll(async () => {
  await mock.start();
});
afterAll(() => mock.stop());
afterEach(() => {
  mock.reset();
});

const PROVIDERS = ['openai', 'openai-compatible', 'anthropic'] as const;
type Provider = (typeof PROVIDERS)[number];
const MODELS: Readonly<Record<Provider, string>> = {
  openai: 'openai:gpt-4o',
  'openai-compatible': 'openai-compatible:llama3',
  anthropic: 'anthropic:claude-sonnet-4-5',
};

/** Waits that are too short to matter; what is waited for is tested in its own place. */
const AT_ONCE: NonNullable<ModelAgentOptions['retry']> = { backoff: { minMs: 1, maxMs: 2, jitter: 0 } };

/** As the loader makes it, but for the waits between calls. */
async function agent(provider: Provider, rest: Partial<ModelAgentOptions> = {}): Promise<AgentDefinition> {
  return modelAgent({
    model: MODELS[provider],
    baseUrl: `${mock.url}/v1`,
    apiKey: 'key-1',
    retry: AT_ONCE,
    ...rest,
  });
}

interface TestTurn extends Turn {
  readonly reported: { usage: Usage; steps: number };
}

function turnOf(
  message: string | Partial<UserMessage>,
  rest: {
    history?: readonly ChatMessage[];
    env?: Record<string, string>;
    signal?: AbortSignal;
    streamed?: boolean;
  } = {},
): TestTurn {
  const reported = { usage: NO_USAGE, steps: 0 };
  return {
    ...agentContext({ env: rest.env ?? {} }),
    id: 'd1',
    attempt: 1,
    message:
      typeof message === 'string' ? { role: 'user', content: message } : { role: 'user', content: '', ...message },
    namespace: Namespace.parse('web:alice'),
    history: rest.history ?? [],
    search: () => [],
    metadata: {},
    signal: rest.signal ?? new AbortController().signal,
    streamed: rest.streamed ?? true,
    report(usage, steps = 1) {
      reported.usage = usage;
      reported.steps += steps;
    },
    reported,
  };
}

async function deltas(definition: AgentDefinition, turn: Turn): Promise<string[]> {
  const answer = definition.respond(turn);
  if (!(Symbol.asyncIterator in answer)) return [await answer];
  const read: string[] = [];
  for await (const text of answer) read.push(text);
  return read;
}

/** What a promise fails with; it is handled from the start, however late it is looked at. */
function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** A server that answers as told, for what the mock does not do. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

const CHUNK = `data: ${JSON.stringify({
  id: 'c1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta: { role: 'assistant', content: 'half' }, finish_reason: null }],
})}\n\n`;

describe.each(PROVIDERS)('%s', (provider) => {
  it('streams the answer in pieces and reports what the provider counted', async () => {
    mock.onMessage(
      'hello',
      {
        content: 'Good day to you, stranger.',
        usage: { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12, input_tokens: 7, output_tokens: 5 },
      },
      { chunkSize: 4 },
    );
    const turn = turnOf('hello');
    const pieces = await deltas(await agent(provider), turn);
    expect(pieces.join('')).toBe('Good day to you, stranger.');
    expect(pieces.length).toBeGreaterThan(3);
    expect(turn.reported).toEqual({ usage: { inputTokens: 7, outputTokens: 5 }, steps: 1 });
  });

  it('asks for the whole answer when nobody reads the pieces', async () => {
    mock.onMessage('hello', {
      content: 'Good day to you, stranger.',
      usage: { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12, input_tokens: 7, output_tokens: 5 },
    });
    const turn = turnOf('hello', { streamed: false });
    expect(await deltas(await agent(provider), turn)).toEqual(['Good day to you, stranger.']);
    expect(turn.reported).toEqual({ usage: { inputTokens: 7, outputTokens: 5 }, steps: 1 });
    expect(mock.getRequests()).toHaveLength(1);
    expect(mock.getRequests()[0]?.body).not.toMatchObject({ stream: true });
  });

  it.each([true, false])('asks again when the provider fails once - streamed %s', async (streamed) => {
    mock.nextRequestError(500, { message: 'Oops' });
    mock.onMessage('hello', { content: 'Here I am.' });
    const turn = turnOf('hello', { streamed });
    expect((await deltas(await agent(provider), turn)).join('')).toBe('Here I am.');
    expect(mock.getRequests()).toHaveLength(2);
    expect(turn.reported.steps).toBe(1);
  });

  it('sends system text, history and message in order, once', async () => {
    mock.onMessage('third', { content: 'ok' });
    const history: ChatMessage[] = [
      { role: 'user', content: 'first' },
      { role: 'assistant', content: 'second' },
      { role: 'system', content: 'extra rule' },
    ];
    await deltas(
      await agent(provider, { system: 'be brief', temperature: 0.5, maxOutputTokens: 99 }),
      turnOf('third', { history }),
    );
    const requests = mock.getRequests();
    expect(requests).toHaveLength(1);
    const body = JSON.stringify(requests[0]?.body);
    const order = ['be brief', 'extra rule', 'first', 'second', 'third'].map((text) => body.indexOf(text));
    expect(order.every((at) => at >= 0)).toBe(true);
    expect(body.indexOf('first')).toBeLessThan(body.indexOf('second'));
    expect(body.indexOf('second')).toBeLessThan(body.indexOf('third'));
    expect(body).toContain('0.5');
    expect(body).toContain('99');
  });

  it('hands an image on by its address and by its bytes', async () => {
    let body = '';
    const baseUrl = await serve((request, response) => {
      request.setEncoding('utf8').on('data', (text: string) => (body += text));
      request.on('end', () => response.writeHead(400).end());
    });
    const parts = [
      { type: 'image', url: 'https://example.org/cat.png' },
      { type: 'image', url: 'data:image/png;base64,iVBORw0KGgo=' },
    ] as const;
    const asked = deltas(await agent(provider, { baseUrl }), turnOf({ content: 'what is this', parts }));
    await expect(asked).rejects.toMatchObject({ code: 'ORRERY_MODEL_FAILED' });
    expect(body).toContain('what is this');
    expect(body).toContain('https://example.org/cat.png');
    expect(body).toContain('iVBORw0KGgo=');
  });

  // The mock ends every answer of the Responses API as a complete one.
  it.skipIf(provider === 'openai').each([true, false])(
    'an answer of blanks that ran out of tokens is a failure - streamed %s',
    async (streamed) => {
      mock.onMessage('hello', { content: '', finishReason: 'length' });
      const failure = await failureOf(deltas(await agent(provider), turnOf('hello', { streamed })));
      expect(failure).toMatchObject({
        code: 'ORRERY_MODEL_FAILED',
        message: expect.stringMatching(/limit of tokens.*maxOutputTokens/),
      });
    },
  );

  it('names an image of the history where the provider refuses it, and goes on', async () => {
    const sent: string[] = [];
    const baseUrl = await serve((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (text: string) => (body += text));
      request.on('end', () => {
        sent.push(body);
        response.writeHead(400).end();
      });
    });
    const url = 'https://example.org/expired.png';
    const parts = [{ type: 'image', url }] as const;
    const history: ChatMessage[] = [
      { role: 'user', content: 'look', parts },
      { role: 'assistant', content: 'a cat' },
    ];
    const asked = deltas(await agent(provider, { baseUrl }), turnOf('and now', { history }));
    // Refused again: that is once more and no oftener.
    await expect(asked).rejects.toMatchObject({ code: 'ORRERY_MODEL_FAILED' });
    expect(sent.map((body) => body.includes(`[image image ${url}]`))).toEqual([false, true]);
    sent.length = 0;
    // An image of the message itself is what the turn is about.
    await expect(deltas(await agent(provider, { baseUrl }), turnOf({ content: 'look', parts }))).rejects.toMatchObject({
      code: 'ORRERY_MODEL_FAILED',
    });
    expect(sent).toHaveLength(1);
  });

  it('skips a fallback without a key, and tells of it as the cause when it was the last hope', async () => {
    mock.on({ predicate: () => true }, { error: { message: 'Oops' }, status: 500 });
    const keyless = { model: provider === 'anthropic' ? 'openai:gpt-4o' : 'anthropic:claude-sonnet-4-5', apiKey: '' };
    const alone = await agent(provider, { fallback: [keyless] });
    expect(await failureOf(deltas(alone, turnOf('hello')))).toMatchObject({
      code: 'ORRERY_MODEL_UNAVAILABLE',
      cause: { code: 'ORRERY_MODEL_KEY_MISSING' },
    });
    mock.reset();
    mock.on({ predicate: ({ model }) => model !== 'gpt-4o-mini' }, { error: { message: 'Oops' }, status: 500 });
    mock.onMessage('hello', { content: 'I stand in.' });
    const last = { model: 'openai:gpt-4o-mini', baseUrl: `${mock.url}/v1`, apiKey: 'key-1' };
    const pair = await agent(provider, { fallback: [keyless, last] });
    expect((await deltas(pair, turnOf('hello'))).join('')).toBe('I stand in.');
  });

  it('a refusal is final when the key is wrong', async () => {
    mock.nextRequestError(401, { message: 'Incorrect key', type: 'authentication_error' });
    await expect(deltas(await agent(provider), turnOf('hello'))).rejects.toMatchObject({
      code: 'ORRERY_MODEL_FAILED',
      retryable: false,
      message: expect.stringContaining('401: Incorrect key'),
      details: { model: MODELS[provider], status: 401 },
    });
    expect(mock.getRequests()).toHaveLength(1);
  });

  it('is unavailable for as long as Retry-After says when the provider limits the rate', async () => {
    mock.on(
      { predicate: () => true },
      { error: { message: 'Slow down', type: 'rate_limit_error' }, status: 429, retryAfter: 7 },
    );
    const hasty = await agent(provider, { retry: { ...AT_ONCE, maxWaitMs: 6_999 } });
    await expect(deltas(hasty, turnOf('hello'))).rejects.toMatchObject({
      code: 'ORRERY_MODEL_UNAVAILABLE',
      retryable: true,
      retryAfterMs: 7000,
    });
    // A wait that a turn does not make is delivery's.
    expect(mock.getRequests()).toHaveLength(1);
  });

  it('is unavailable after three calls when the provider goes on failing', async () => {
    mock.on({ predicate: () => true }, { error: { message: 'Oops' }, status: 500 });
    await expect(deltas(await agent(provider), turnOf('hello'))).rejects.toMatchObject({
      code: 'ORRERY_MODEL_UNAVAILABLE',
      message: expect.stringContaining('500'),
    });
    expect(mock.getRequests()).toHaveLength(3);
  });

  it('is unavailable when the stream is cut half-way', async () => {
    mock.onMessage(
      'hello',
      { content: 'Good day to you, stranger, and many more.' },
      { chunkSize: 4, truncateAfterChunks: 6 },
    );
    const turn = turnOf('hello');
    await expect(deltas(await agent(provider), turn)).rejects.toMatchObject({ code: 'ORRERY_MODEL_UNAVAILABLE' });
    expect(turn.reported.steps).toBe(0);
  });

  it('is unavailable when nobody listens', async () => {
    const definition = await agent(provider, { baseUrl: 'http://127.0.0.1:1/v1' });
    await expect(deltas(definition, turnOf('hello'))).rejects.toMatchObject({ code: 'ORRERY_MODEL_UNAVAILABLE' });
  });

  it.each([true, false])(
    'an abort reaches the provider and ends the turn with its reason - streamed %s',
    async (streamed) => {
      const closed = Promise.withResolvers<void>();
      const begun = Promise.withResolvers<void>();
      const baseUrl = await serve((request, response) => {
        response.on('close', () => closed.resolve());
        request.resume().on('end', () => begun.resolve());
      });
      const controller = new AbortController();
      const definition = await agent(provider, { baseUrl });
      const failure = failureOf(deltas(definition, turnOf('hello', { signal: controller.signal, streamed })));
      await begun.promise;
      controller.abort(new Error('enough'));
      expect(await failure).toMatchObject({ message: 'enough' });
      await closed.promise;
    },
  );

  it('prints nothing', async () => {
    const spies = (['log', 'info', 'warn', 'error', 'debug'] as const).map((name) => vi.spyOn(console, name));
    onTestFinished(() => void vi.restoreAllMocks());
    mock.onMessage('hello', { content: 'ok' });
    // A temperature out of range and a reasoning model make providers warn.
    const model = provider === 'openai' ? 'openai:o3' : MODELS[provider];
    await deltas(await agent(provider, { model, temperature: 1.5 }), turnOf('hello'));
    await expect(deltas(await agent(provider), turnOf('nothing fits'))).rejects.toThrow(MODELS[provider]);
    for (const spy of spies) expect(spy).not.toHaveBeenCalled();
  });
});

describe('streams', () => {
  it('an abort between two deltas closes the request', async () => {
    const closed = Promise.withResolvers<void>();
    const baseUrl = await serve((_, response) => {
      response.on('close', () => closed.resolve());
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(CHUNK);
    });
    const controller = new AbortController();
    const definition = await agent('openai-compatible', { baseUrl });
    const answer = definition.respond(turnOf('hello', { signal: controller.signal }));
    if (!(Symbol.asyncIterator in answer)) throw new Error('Expected a stream');
    const iterator = answer[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: false, value: 'half' });
    const failure = failureOf(iterator.next());
    controller.abort(new Error('enough'));
    expect(await failure).toMatchObject({ message: 'enough' });
    await closed.promise;
  });

  it('a reader that leaves early closes the request', async () => {
    const closed = Promise.withResolvers<void>();
    const baseUrl = await serve((_, response) => {
      response.on('close', () => closed.resolve());
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(CHUNK);
    });
    const answer = (await agent('openai-compatible', { baseUrl })).respond(turnOf('hello'));
    if (!(Symbol.asyncIterator in answer)) throw new Error('Expected a stream');
    const read: string[] = [];
    for await (const text of answer) {
      read.push(text);
      break;
    }
    expect(read).toEqual(['half']);
    await closed.promise;
  });

  it.each([
    ['ends without a finish', (): string => CHUNK],
    ['holds what is not JSON', (): string => `${CHUNK}data: {"id":\n\n`],
    ['is empty', (): string => ''],
  ])('is unavailable when the stream %s', async (_, text) => {
    const baseUrl = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(text());
    });
    await expect(deltas(await agent('openai-compatible', { baseUrl }), turnOf('hello'))).rejects.toMatchObject({
      code: 'ORRERY_MODEL_UNAVAILABLE',
    });
  });

  it('connections are kept and used again', async () => {
    let connections = 0;
    const baseUrl = await serve((request, response) => {
      request.resume();
      if (request.socket.bytesWritten === 0) connections++;
      const end = CHUNK.replace('"finish_reason":null', '"finish_reason":"stop"');
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`${end}data: [DONE]\n\n`);
    });
    const definition = await agent('openai-compatible', { baseUrl });
    for (let i = 0; i < 20; i++) expect(await deltas(definition, turnOf('hello'))).toEqual(['half']);
    // The next request may leave before the last one's connection is free again, so that there are two of them.
    expect(connections).toBeLessThanOrEqual(2);
  });
});

describe('keys', () => {
  const context = agentContext();
  it.each([['anthropic', 'ANTHROPIC_API_KEY']] as const)(
    '%s - the start fails when the key is not in the agent’s own env',
    async (provider, variable) => {
      vi.stubEnv(variable, 'key-of-the-process');
      onTestFinished(() => void vi.unstubAllEnvs());
      let sent = '';
      const baseUrl = await serve((request, response) => {
        sent = `${request.headers.authorization ?? ''}${String(request.headers['x-api-key'] ?? '')}`;
        response.writeHead(401).end();
      });
      const definition = await loadAgent({ kind: 'model', spec: { model: MODELS[provider], baseUrl } });
      await expect(definition.start?.({ ...context, env: {} })).rejects.toMatchObject({
        code: 'ORRERY_MODEL_KEY_MISSING',
        hint: expect.stringContaining(variable),
      });
      const env = { [variable]: 'own-key' };
      await definition.start?.({ ...context, env });
      await expect(deltas(definition, turnOf('hello', { env }))).rejects.toMatchObject({ code: 'ORRERY_MODEL_FAILED' });
      expect(sent).toMatch(/^(?:Bearer )?own-key$/);
    },
  );

  it('openai - the process’s base URL is not used', async () => {
    let asked = 0;
    const elsewhere = await serve((_, response) => {
      asked++;
      response.writeHead(500).end();
    });
    vi.stubEnv('OPENAI_BASE_URL', elsewhere);
    onTestFinished(() => void vi.unstubAllEnvs());
    mock.onMessage('hello', { content: 'ok' });
    expect(await deltas(await agent('openai'), turnOf('hello'))).toEqual(['ok']);
    expect(asked).toBe(0);
  });

  it('openai-compatible - works without a key and sends none', async () => {
    let authorization: string | undefined = 'unset';
    const baseUrl = await serve((request, response) => {
      ({ authorization } = request.headers);
      response.writeHead(404).end();
    });
    vi.stubEnv('OPENAI_API_KEY', 'key-of-the-process');
    onTestFinished(() => void vi.unstubAllEnvs());
    const definition = await agent('openai-compatible', { baseUrl, apiKey: '' });
    await expect(deltas(definition, turnOf('hello'))).rejects.toMatchObject({ code: 'ORRERY_MODEL_FAILED' });
    expect(authorization).toBeUndefined();
  });

  it('an error keeps neither the key nor the conversation', async () => {
    mock.nextRequestError(400, { message: 'bad' });
    const definition = await agent('openai', { apiKey: 'sk-very-secret' });
    const seen = inspect(await failureOf(deltas(definition, turnOf('private words'))), { depth: 10, showHidden: true });
    expect(seen).toContain('400');
    expect(seen).not.toContain('sk-very-secret');
    expect(seen).not.toContain('private words');
  });
});
