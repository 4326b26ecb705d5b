/** Runs model agents in real threads, with the real providers against a real HTTP server that speaks their protocols. */
import { LLMock } from '@copilotkit/aimock';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AgentConfig } from '../../src/main/config/input.ts';
import type { StoredMessage } from '../../src/protocol/index.ts';
import { type HostUnderTest, eventually, fixture, startHost } from '../support/host.ts';

const mock = new LLMock({ port: 0 });
beforeAll(async () => {
  await mock.start();
  vi.stubEnv('MODEL_URL', `${mock.url}/v1`);
});
afterAll(() => mock.stop());
afterEach(() => {
  mock.reset();
});

const MODELS = {
  openai: 'openai:gpt-4o',
  'openai-compatible': 'openai-compatible:llama3',
  anthropic: 'anthropic:claude-sonnet-4-5',
} as const;
type Provider = keyof typeof MODELS;
const PROVIDERS = Object.keys(MODELS) as Provider[];

const model = (name: string, rest: AgentConfig = {}): AgentConfig => ({
  model: name,
  baseUrl: `${mock.url}/v1`,
  apiKey: 'key-1',
  ...rest,
});
const TOOLED: AgentConfig = { use: fixture('tooled'), env: ['MODEL_URL'] };
const USAGE = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12, input_tokens: 7, output_tokens: 5 };

/** Every text of a request's body, in its order. */
const bodies = (): string[] => mock.getRequests().map(({ body }) => JSON.stringify(body));

const history = (host: HostUnderTest, agent: string): Promise<readonly StoredMessage[]> =>
  host.supervisor.sessions.read(agent, 'test:alice').catch(() => []);

/** What a promise fails with; it is handled from the start, however late it is looked at. */
const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe.each(PROVIDERS)('%s', (provider) => {
  const start = (): Promise<HostUnderTest> =>
    startHost({ agents: { helper: model(MODELS[provider], { system: 'Be brief.' }) } });

  it('streams a conversation, and stores what was said with its tokens', async () => {
    await using host = await start();
    mock.onMessage('second', { content: 'The second answer, in several pieces.', usage: USAGE }, { chunkSize: 5 });
    mock.onMessage('first', { content: 'The first answer.', usage: USAGE }, { chunkSize: 5 });
    await host.ask('helper', 'first');
    const deltas: string[] = [];
    const onDelta = (text: string): unknown => deltas.push(text);
    const reply = await host.supervisor.inject(host.message('helper', 'second'), { onDelta });
    expect(reply).toMatchObject({ usage: { inputTokens: 7, outputTokens: 5 }, steps: 1 });
    expect(reply.message.content).toBe('The second answer, in several pieces.');
    expect(deltas.join('')).toBe(reply.message.content);
    const order = ['Be brief.', 'first', 'The first answer.', 'second'].map((text) => bodies()[1]?.indexOf(text) ?? -1);
    expect(order.every((at) => at >= 0)).toBe(true);
    expect(order.slice(1)).toEqual(order.slice(1).toSorted((a, b) => a - b));
    // As a chat counts them: what frames a message, its role, its text.
    expect((await history(host, 'helper')).map(({ role, tokens }) => [role, tokens])).toEqual([
      ['user', 5],
      ['assistant', 8],
      ['user', 5],
      ['assistant', 12],
    ]);
  });

  it('waits as long as the provider asks for, and says nothing of it', async () => {
    await using host = await start();
    mock.on(
      { predicate: () => mock.getRequests().length === 0 },
      { error: { message: 'Slow down', type: 'rate_limit_error' }, status: 429, retryAfter: 1 },
    );
    mock.onMessage('hello', { content: 'Here I am.' });
    expect(await host.ask('helper', 'hello')).toBe('Here I am.');
    const [first, second, ...others] = mock.getRequests().map(({ timestamp }) => timestamp);
    expect(others).toEqual([]);
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(1_000);
    expect(host.status.messages).toMatchObject({ answered: 1, dead: 0 });
  });

  it('asks again when the provider fails once', async () => {
    await using host = await start();
    mock.nextRequestError(500, { message: 'Oops' });
    mock.onMessage('hello', { content: 'Here I am.' });
    expect(await host.ask('helper', 'hello')).toBe('Here I am.');
    expect(mock.getRequests()).toHaveLength(2);
  });

  it('a stream that is cut half-way is told anew as a whole', async () => {
    await using host = await start();
    const whole = 'Good day to you, stranger, and many more.';
    const cut = { chunkSize: 4, truncateAfterChunks: 6, latency: 20 };
    mock.on({ predicate: () => mock.getRequests().length === 0 }, { content: whole }, cut);
    mock.onMessage('hello', { content: whole }, { chunkSize: 4 });
    const deltas: string[] = [];
    const onDelta = (text: string): unknown => deltas.push(text);
    const reply = await host.supervisor.inject(host.message('helper', 'hello'), { onDelta });
    expect(reply.message.content).toBe(whole);
    // What was heard of the first attempt came before all of the second.
    expect(deltas.join('').length).toBeGreaterThan(whole.length);
    expect(deltas.join('').endsWith(whole)).toBe(true);
    expect(mock.getRequests()).toHaveLength(2);
    expect((await history(host, 'helper')).map(({ content }) => content)).toEqual(['hello', whole]);
  });

  it('sends less when the model’s window was smaller than thought, and gives up when that is too much', async () => {
    await using host = await start();
    const tooLong = {
      error: { message: 'prompt is too long: 900 tokens > 500 maximum', code: 'context_length_exceeded' },
      status: 400,
    };
    mock.onMessage('short', { content: 'word '.repeat(200) });
    for (const text of ['short a', 'short b', 'short c']) await host.ask('helper', text);
    mock.clearRequests();
    mock.reset();
    mock.on({ predicate: () => mock.getRequests().length !== 1 }, tooLong);
    mock.onMessage('now', { content: 'It fits.' });
    expect(await host.ask('helper', 'now')).toBe('It fits.');
    const [long = '', fitting = '', ...others] = bodies();
    expect(others).toEqual([]);
    expect(long).toContain('short a');
    expect(fitting).not.toContain('short a');
    for (const text of ['Be brief.', 'short c', 'now']) expect(fitting).toContain(text);
    mock.clearRequests();
    mock.reset();
    mock.on({ predicate: () => true }, tooLong);
    const outcome = await host.outcome('helper', 'now');
    expect(outcome).toMatchObject({ code: 'ORRERY_CONTEXT_TOO_LARGE' });
    expect(mock.getRequests()).toHaveLength(2);
  });

  it('an abort closes the call, and the session knows nothing of the turn', async () => {
    await using host = await start();
    mock.onMessage('first', { content: 'ok' });
    await host.ask('helper', 'first');
    mock.onMessage('second', { content: 'word '.repeat(5_000) }, { chunkSize: 5, latency: 20 });
    const message = host.message('helper', 'second');
    const begun = Promise.withResolvers<void>();
    const abort = new AbortController();
    const answer = host.supervisor.inject(message, { signal: abort.signal, onDelta: () => begun.resolve() });
    const failed = failureOf(answer);
    await begun.promise;
    abort.abort();
    expect(await failed).toMatchObject({ code: 'ORRERY_CANCELLED' });
    expect((await history(host, 'helper')).map(({ content }) => content)).toEqual(['first', 'ok']);
    expect(await host.ask('helper', 'first')).toBe('ok');
  });

  it('calls tools in a loop, keeps calls with their results, and goes on from them in the next turn', async () => {
    await using host = await startHost({ agents: { tooled: TOOLED } });
    const toolCalls = [
      { name: 'weather', arguments: '{"city":"Oslo"}' },
      { name: 'weather', arguments: '{"city":"Nowhere"}' },
    ];
    mock.on(
      { userMessage: 'how warm', hasToolResult: false },
      { content: 'I look.', toolCalls, usage: USAGE },
      { chunkSize: 4 },
    );
    mock.on({ userMessage: 'how warm', hasToolResult: true }, { content: 'It has 21 degrees.', usage: USAGE });
    mock.onMessage('thanks', { content: 'You are welcome.', usage: USAGE });
    const metadata = { model: MODELS[provider], log: host.path('log'), who: 'Ada' };
    const reply = await host.send('tooled', 'how warm is it', { id: 'd1', metadata });
    expect(reply.message.content).toBe('I look.\n\nIt has 21 degrees.');
    expect(reply).toMatchObject({ usage: { inputTokens: 14, outputTokens: 10 }, steps: 2 });
    const delivery = reply.id;
    expect(host.lines().filter((line) => !line.startsWith('result '))).toEqual([
      `step 1 of ${MODELS[provider]}, 0 left out`,
      `call ${delivery}:1:0 weather`,
      `call ${delivery}:1:1 weather`,
      `weather ${delivery}:1:0 Oslo`,
      `weather ${delivery}:1:1 Nowhere`,
      'end tool-calls "I look."',
      `step 2 of ${MODELS[provider]}, 0 left out`,
      'end stop "I look.\n\nIt has 21 degrees."'.split('\n')[0],
      'It has 21 degrees."',
    ]);
    // In the order in which the tools are done.
    expect(
      host
        .lines()
        .filter((line) => line.startsWith('result '))
        .toSorted(),
    ).toEqual([`result ${delivery}:1:0 {"city":"Oslo","degrees":21}`, `result ${delivery}:1:1 There is no such city`]);
    expect(bodies()[1]).toContain('You look things up for Ada.');
    await host.send('tooled', 'thanks', { metadata: { model: MODELS[provider] } });
    for (const text of ['Oslo', 'degrees', 'There is no such city', 'It has 21 degrees.'])
      expect(bodies()[2]).toContain(text);
    const said = await history(host, 'tooled');
    expect(said.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant', 'user', 'assistant']);
    expect(said.every(({ tokens = 0 }) => tokens > 0)).toBe(true);
  });

  it('cuts a tool’s result that takes more than its share, for good', async () => {
    await using host = await startHost({ agents: { tooled: TOOLED } });
    mock.on({ userMessage: 'report', hasToolResult: false }, { toolCalls: [{ name: 'report', arguments: '{}' }] });
    mock.on({ userMessage: 'report', hasToolResult: true }, { content: 'It is long.' });
    await host.send('tooled', 'report', { metadata: { model: MODELS[provider] } });
    expect(bodies()[1]).toMatch(/line 0 of a long report.*\[cut: the rest of \d+ tokens is left out\]/);
    expect(bodies()[1]).not.toContain('line 499');
    const [, , result] = await history(host, 'tooled');
    expect(result?.content).toContain('[cut:');
    expect(result?.tokens).toBeLessThanOrEqual(300 + 16);
  });
});

describe('a tool loop', () => {
  it('that is aborted while a tool runs leaves the session as it was', async () => {
    await using host = await startHost({ agents: { tooled: TOOLED } });
    mock.onMessage('wait', { content: 'One moment.', toolCalls: [{ name: 'wait', arguments: '{}' }] });
    mock.onMessage('hello', { content: 'Hello.' });
    await host.ask('tooled', 'hello');
    const message = host.message('tooled', 'wait');
    const abort = new AbortController();
    const answer = host.supervisor.inject(message, { signal: abort.signal });
    const failed = failureOf(answer);
    await eventually('the tool waits', () => host.lines().some((line) => line.startsWith('waits ')));
    abort.abort();
    expect(await failed).toMatchObject({ code: 'ORRERY_CANCELLED' });
    await eventually('the tool heard of it', () => host.lines().includes('waited'));
    expect((await history(host, 'tooled')).map(({ content }) => content)).toEqual(['hello', 'Hello.']);
    expect(mock.getRequests()).toHaveLength(2);
  });

  it('runs no tool of an answer that was cut off, and gives it the same key when the turn is tried again', async () => {
    await using host = await startHost({ agents: { tooled: TOOLED } });
    const toolCalls = [{ name: 'weather', arguments: '{"city":"Oslo"}' }];
    const looks = { content: 'I look it up for you.', toolCalls };
    mock.on({ predicate: () => mock.getRequests().length === 0 }, looks, {
      chunkSize: 4,
      truncateAfterChunks: 4,
      latency: 20,
    });
    // The second step fails for as long as it is tried in the first whole attempt.
    mock.on(
      { predicate: () => mock.getRequests().length === 2 },
      { content: 'It has 21 degrees.' },
      { chunkSize: 4, truncateAfterChunks: 3, latency: 20 },
    );
    mock.on({ userMessage: 'how warm', hasToolResult: false }, looks);
    mock.on({ userMessage: 'how warm', hasToolResult: true }, { content: 'It has 21 degrees.' });
    const deltas: string[] = [];
    const message = host.message('tooled', 'how warm');
    const reply = await host.supervisor.inject(message, { onDelta: (text) => deltas.push(text) });
    expect(reply.message.content).toBe('I look it up for you.\n\nIt has 21 degrees.');
    // Three attempts: cut in the first step, cut in the second, whole. The tool ran in the last two, under one key.
    expect(host.lines().filter((line) => line.startsWith('weather '))).toEqual([
      `weather ${reply.id}:1:0 Oslo`,
      `weather ${reply.id}:1:0 Oslo`,
    ]);
    expect((await history(host, 'tooled')).map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant']);
  });

  it('ends after its steps: the last one may call nothing, and an answer there is the reply', async () => {
    await using host = await startHost({ agents: { tooled: TOOLED } });
    const toolCalls = [{ name: 'weather', arguments: '{"city":"Oslo"}' }];
    mock.on({ userMessage: 'how warm', predicate: () => mock.getRequests().length < 3 }, { toolCalls });
    mock.onMessage('how warm', { content: 'That was enough.' });
    expect(await host.ask('tooled', 'how warm')).toBe('That was enough.');
    expect(bodies().map((body) => /"tool_choice":"(\w+)"/.exec(body)?.[1])).toEqual(['auto', 'auto', 'auto', 'none']);
    mock.reset();
    mock.onMessage('for ever', { toolCalls });
    expect(await host.outcome('tooled', 'for ever', 'bob')).toMatchObject({ code: 'ORRERY_MODEL_ENDLESS' });
    expect(mock.getRequests()).toHaveLength(4);
  });

  it('a run without tools offers none, and leaves nothing in the session', async () => {
    await using host = await startHost({ agents: { tooled: TOOLED } });
    mock.onMessage('hello', { content: 'yes', usage: USAGE });
    const reply = await host.send('tooled', 'hello', { metadata: { triage: '1' } });
    expect(reply).toMatchObject({ message: { content: 'triage says yes' }, usage: { inputTokens: 7 }, steps: 1 });
    expect(mock.getRequests()[0]?.body).not.toHaveProperty('tools');
    expect(bodies()[0]).toContain('Is this for you?');
    expect((await history(host, 'tooled')).map(({ content }) => content)).toEqual(['hello', 'triage says yes']);
  });
});

describe('several models', () => {
  const fallback = ['openai:gpt-4o-mini'];

  it.each([
    ['refuses for good', 401, 1],
    ['is not available', 503, 3],
  ])('another model answers when the first %s', async (_, status, calls) => {
    await using host = await startHost({ agents: { helper: model('openai:gpt-4o', { fallback }) } });
    mock.on({ model: 'gpt-4o' }, { error: { message: 'No', type: 'error' }, status });
    mock.on({ model: 'gpt-4o-mini' }, { content: 'I stand in.', usage: USAGE });
    const reply = await host.send('helper', 'hello');
    expect(reply).toMatchObject({ message: { content: 'I stand in.' }, usage: { inputTokens: 7 }, steps: 1 });
    const asked = mock.getRequests().map(({ body }) => (body !== null && 'model' in body ? body.model : ''));
    expect(asked).toEqual([...Array.from({ length: calls }, () => 'gpt-4o'), 'gpt-4o-mini']);
  });

  it('goes over to another provider in the middle of a turn, and its hooks hear of it', async () => {
    await using host = await startHost({ agents: { tooled: TOOLED } });
    const toolCalls = [{ name: 'weather', arguments: '{"city":"Oslo"}' }];
    mock.on({ model: 'llama3', hasToolResult: true }, { error: { message: 'No such model' }, status: 404 });
    mock.on({ model: 'gpt-4o' }, { error: { message: 'Oops' }, status: 500 });
    mock.on({ hasToolResult: false }, { toolCalls });
    mock.on({ model: /claude/, hasToolResult: true }, { content: 'It has 21 degrees.' });
    expect(await host.ask('tooled', 'how warm')).toBe('It has 21 degrees.');
    expect(host.lines().filter((line) => line.includes(' then '))).toEqual([
      'ORRERY_MODEL_FAILED then openai:gpt-4o',
      'ORRERY_MODEL_UNAVAILABLE then openai:gpt-4o',
      'ORRERY_MODEL_UNAVAILABLE then openai:gpt-4o',
      'ORRERY_MODEL_UNAVAILABLE then anthropic:claude-sonnet-4-5',
    ]);
  });

  it('a message asks for one of them, and for no other', async () => {
    await using host = await startHost({ agents: { helper: model('openai:gpt-4o', { fallback }) } });
    mock.onMessage('hello', { content: 'Here.' });
    await host.send('helper', 'hello', { metadata: { model: 'openai:gpt-4o-mini' } });
    expect(mock.getRequests()[0]?.body).toMatchObject({ model: 'gpt-4o-mini' });
    const other = host.send('helper', 'hello', { metadata: { model: 'openai:o3' } });
    await expect(other).rejects.toMatchObject({
      code: 'ORRERY_BAD_REQUEST',
      message: expect.stringContaining('gpt-4o-mini'),
    });
    expect(mock.getRequests()).toHaveLength(1);
  });
});

describe('a long conversation', () => {
  const context = { maxTokens: 700, reservedForOutput: 100 };
  const talk = async (host: HostUnderTest, texts: readonly string[]): Promise<void> => {
    for (const text of texts) await host.ask('helper', `${text} ${'word '.repeat(60)}`);
  };

  it('is cut to the newest messages that have room; all of it stays in the session', async () => {
    await using host = await startHost({
      agents: { helper: model('openai:gpt-4o', { system: 'Be brief.', context }) },
    });
    mock.onMessage('word', { content: 'yes '.repeat(60) });
    await talk(host, ['one', 'two', 'three', 'four', 'five', 'six', 'seven']);
    const last = bodies().at(-1) ?? '';
    expect(
      ['one', 'two', 'three', 'four', 'five', 'six', 'seven'].filter((text) => last.includes(`${text} word`)),
    ).toEqual(['three', 'four', 'five', 'six', 'seven']);
    expect(last).toContain('Be brief.');
    expect(await history(host, 'helper')).toHaveLength(14);
    const long = await host.outcome('helper', 'word '.repeat(2_000));
    expect(long).toMatchObject({ code: 'ORRERY_CONTEXT_TOO_LARGE' });
    expect(bodies()).toHaveLength(7);
  });

  it('is summed up when it was configured so, once, and goes on from the summary', async () => {
    const summing = { ...context, compaction: 'summary' } as const;
    await using host = await startHost({ agents: { helper: model('openai:gpt-4o', { context: summing }) } });
    mock.on({ systemMessage: 'You keep the memory' }, { content: 'They counted to two.', usage: USAGE });
    mock.onMessage('word', { content: 'yes '.repeat(60), usage: USAGE });
    await talk(host, ['one', 'two', 'three', 'four', 'five', 'six']);
    const summaries = bodies().filter((body) => body.includes('You keep the memory'));
    expect(summaries).toHaveLength(1);
    expect(summaries[0]).toContain('one word');
    const last = bodies().at(-1) ?? '';
    expect(last).toContain('Summary of the earlier conversation:\\nThey counted to two.');
    expect(last).not.toContain('one word');
    expect(last).toContain('six word');
    const session = await history(host, 'helper');
    expect(session.filter(({ role }) => role === 'system')).toHaveLength(1);
    expect(session.filter(({ role }) => role === 'user')).toHaveLength(6);
  });

  it('is summed up now and then, not at every turn, when the system prompt takes half of the window', async () => {
    const summing = { maxTokens: 2_200, reservedForOutput: 200, compaction: 'summary' } as const;
    const system = 'rule '.repeat(1_100);
    await using host = await startHost({ agents: { helper: model('openai:gpt-4o', { system, context: summing }) } });
    mock.on({ systemMessage: 'You keep the memory' }, { content: 'They said words.' });
    mock.onMessage('word', { content: 'yes '.repeat(100) });
    await talk(
      host,
      Array.from({ length: 16 }, (_, i) => `turn ${i}`),
    );
    const summaries = bodies().filter((body) => body.includes('You keep the memory'));
    expect(summaries.length).toBeGreaterThan(1);
    expect(summaries.length).toBeLessThan(6);
  });

  it('is asked for a summary once in a turn, also when that fails', async () => {
    const summing = { ...context, compaction: 'summary' } as const;
    await using host = await startHost({
      agents: { helper: model('openai:gpt-4o', { context: summing }) },
      delivery: { maxAttempts: 1 },
    });
    mock.onMessage('word', { content: 'yes '.repeat(60) });
    await talk(host, ['one', 'two', 'three', 'four']);
    mock.clearRequests();
    mock.reset();
    mock.on({ predicate: () => true }, { error: { message: 'Oops' }, status: 500 });
    await host.outcome('helper', `five ${'word '.repeat(200)}`);
    expect(bodies().filter((body) => body.includes('You keep the memory'))).toHaveLength(1);
    expect(bodies()).toHaveLength(1 + 3);
  });
});
