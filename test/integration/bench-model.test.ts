/** Holds the model to practise on to the forms that real clients expect of a provider. */
import { createAnthropic } from '@ai-sdk/anthropic';
import { generateText, streamText } from 'ai';
import { OpenAI } from 'openai';
import { describe, expect, it } from 'vitest';
import { type ModelServer, startModelServer } from '../../src/main/index.ts';
import { TokenPool } from '../../src/main/tokens/index.ts';
import { run, start } from '../support/commands.ts';

const MESSAGES = [
  { role: 'system', content: 'Be short.' },
  { role: 'user', content: 'What is an orrery?' },
] as const;
const QUICK = { ttftMs: 1, tokensPerSecond: 5_000, tokens: 20 };

const clientOf = ({ url }: ModelServer): OpenAI => new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 });

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function counted(text: string): Promise<[prompt: number, reply: number]> {
  await using pool = new TokenPool({ threads: 1 });
  const [prompt, reply] = await Promise.all([pool.countMessages(MESSAGES), pool.count([text])]);
  return [prompt.total, reply.total];
}

function ask(server: ModelServer, body: unknown, path = '/chat/completions'): Promise<Response> {
  return fetch(`${server.url}${path}`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

describe('startModelServer', () => {
  it('openai - is answered whole, with exact usage', async () => {
    await using server = await startModelServer(QUICK);
    const answer = await clientOf(server).chat.completions.create({ model: 'some', messages: [...MESSAGES] });
    const [choice] = answer.choices;
    const [prompt, reply] = await counted(choice!.message.content!);
    expect(answer).toMatchObject({ object: 'chat.completion', model: 'some' });
    expect([choice!.finish_reason, reply]).toEqual(['stop', 20]);
    expect(answer.usage).toEqual({ prompt_tokens: prompt, completion_tokens: 20, total_tokens: prompt + 20 });
    expect((await clientOf(server).models.list()).data.map(({ id }) => id)).toEqual(['practice']);
  });

  it('openai - is streamed a token at a time, with usage when asked for', async () => {
    await using server = await startModelServer(QUICK);
    const stream = await clientOf(server).chat.completions.create({
      model: 'some',
      messages: [...MESSAGES],
      stream: true,
      stream_options: { include_usage: true },
      max_completion_tokens: 7,
    });
    const chunks = await all(stream);
    const deltas = chunks.map(({ choices }) => choices[0]?.delta.content).filter((text) => text);
    expect(deltas).toHaveLength(7);
    const [prompt, reply] = await counted(deltas.join(''));
    expect(reply).toBe(7);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason).filter(Boolean)).toEqual(['length']);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: prompt, completion_tokens: 7 } });
    const plain = await ask(server, { messages: MESSAGES, stream: true });
    const text = await plain.text();
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    expect(text).not.toContain('usage');
  });

  it('anthropic - is answered whole and streamed, with usage', async () => {
    await using server = await startModelServer(QUICK);
    const model = createAnthropic({ baseURL: server.url, apiKey: 'none' })('claude-some');
    const whole = await generateText({
      model,
      instructions: 'Be short.',
      prompt: 'What is an orrery?',
      maxOutputTokens: 9,
    });
    const [prompt, reply] = await counted(whole.text);
    expect([whole.finishReason, reply, whole.usage.outputTokens, whole.usage.inputTokens]).toEqual([
      'length',
      9,
      9,
      prompt,
    ]);
    const streamed = streamText({
      model,
      instructions: 'Be short.',
      prompt: 'What is an orrery?',
      maxOutputTokens: 500,
    });
    const deltas = await all(streamed.textStream);
    expect(deltas).toHaveLength(20);
    expect(await streamed.finishReason).toBe('stop');
    expect(await streamed.usage).toMatchObject({ inputTokens: prompt, outputTokens: 20 });
  });

  it('seed - gives the nth request the same text', async () => {
    const texts = async (seed: number): Promise<unknown[]> => {
      await using server = await startModelServer({ ...QUICK, seed });
      const found: unknown[] = [];
      for (let i = 0; i < 3; i++) {
        const { choices } = (await (await ask(server, { messages: MESSAGES })).json()) as { choices: object[] };
        found.push(choices);
      }
      return found;
    };
    const first = await texts(4);
    expect(await texts(4)).toEqual(first);
    expect(await texts(5)).not.toEqual(first);
    expect(new Set(first.map((one) => JSON.stringify(one))).size).toBe(3);
  });

  it('max concurrency - turns away with 429 and Retry-After, and takes the next when one has ended', async () => {
    await using server = await startModelServer({ ttftMs: 60_000, maxConcurrency: 1, retryAfterSeconds: 3 });
    const leave = new AbortController();
    const first = await fetch(`${server.url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ messages: MESSAGES, stream: true }),
      signal: leave.signal,
    });
    const second = await ask(server, { messages: MESSAGES });
    expect([first.status, second.status, second.headers.get('retry-after')]).toEqual([200, 429, '3']);
    expect(await second.json()).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
    const anthropic = await ask(server, { messages: MESSAGES }, '/messages');
    expect(await anthropic.json()).toMatchObject({ type: 'error', error: { type: 'rate_limit_error' } });
    expect(server.stats()).toMatchObject({ requests: 3, turnedAway: 2, underWay: 1, mostUnderWay: 1 });
    leave.abort();
    await expect(first.text()).rejects.toMatchObject({ name: 'AbortError' });
    while (server.stats().underWay > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(server.stats().left).toBe(1);
  });

  it('failures - come with their status, and Retry-After where it belongs', async () => {
    await using full = await startModelServer({ ...QUICK, errorRate: 1, errorStatus: 503, retryAfterSeconds: 2 });
    const busy = await ask(full, { messages: MESSAGES });
    expect([busy.status, busy.headers.get('retry-after')]).toEqual([503, '2']);
    await using broken = await startModelServer({ ...QUICK, errorRate: 1, errorStatus: 500 });
    const failed = await ask(broken, { messages: MESSAGES });
    expect([failed.status, failed.headers.get('retry-after')]).toEqual([500, null]);
    expect(broken.stats()).toMatchObject({ requests: 1, failed: 1, answered: 0 });
  });

  it.each<[string, unknown, string]>([
    ['no JSON', '{', 'Expected the body to be JSON'],
    ['a list', [], 'Expected the body to be an object'],
    ['no messages', { messages: [] }, 'Expected `messages` to be a list that is not empty'],
    ['a message without a role', { messages: [{ content: 'a' }] }, 'Expected `messages[0].role`'],
    ['content that is none', { messages: [{ role: 'user', content: 3 }] }, 'Expected `messages[0].content`'],
    ['a bound that is none', { messages: MESSAGES, max_tokens: 0 }, 'Expected `max_tokens`'],
  ])('a request with %s - is refused with what was expected', async (_, body, message) => {
    await using server = await startModelServer(QUICK);
    const answer = await ask(server, body);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { message: expect.stringContaining(message) } });
    expect(server.stats()).toMatchObject({ refused: 1, underWay: 0 });
  });

  it('another path - is told which there are', async () => {
    await using server = await startModelServer(QUICK);
    const answer = await ask(server, {}, '/embeddings');
    expect(answer.status).toBe(404);
    expect(await answer.text()).toContain('POST /v1/chat/completions');
  });

  it('many streams at once - all come whole', async () => {
    await using server = await startModelServer({ ...QUICK, tokens: 50, jitter: 0.5 });
    const texts = await Promise.all(
      Array.from({ length: 200 }, async () => (await ask(server, { messages: MESSAGES, stream: true })).text()),
    );
    for (const text of texts) expect(text.match(/"content":" ?\w+"/g)).toHaveLength(50);
    expect(server.stats()).toMatchObject({ answered: 200, underWay: 0 });
  });

  it('close - cuts off what is under way, and may be called twice', async () => {
    const server = await startModelServer({ ttftMs: 60_000 });
    const asked = await ask(server, { messages: MESSAGES, stream: true });
    await Promise.all([server.close(), server.close()]);
    await expect(asked.text()).rejects.toThrow('terminated');
  });
});

describe('orrery bench model', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('%s - ends it with what it did', async (signal) => {
    await using running = start(['bench', 'model', '--ttft', '1', '--tps', '1000', '--tokens', '5', '--seed', '2']);
    const output = await running.until('As an agent');
    const url = output.match(/http:\/\/127\.0\.0\.1:\d+\/v1/)?.[0] ?? '';
    const answer = await fetch(`${url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ messages: MESSAGES }),
    });
    expect(await answer.json()).toMatchObject({ usage: { completion_tokens: 5 } });
    running.child.kill(signal);
    const { code, stdout, stderr } = await running.finished;
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('1 requests: 1 answered, 0 failed as drawn');
  });

  it('--json and --seed - are the model’s, though bench has them as well', async () => {
    await using running = start(['bench', 'model', '--ttft', '1', '--tokens', '5', '--seed', '2', '--json']);
    const output = await running.until('}\n');
    const { url, pid, model } = JSON.parse(output) as {
      url: string;
      pid: number;
      model: string;
    };
    expect([pid, model]).toEqual([running.child.pid, 'practice']);
    await using same = await startModelServer({ ttftMs: 1, tokens: 5, seed: 2 });
    const textOf = async (where: string): Promise<unknown> => {
      const answer = await fetch(`${where}/chat/completions`, {
        method: 'POST',
        body: JSON.stringify({ messages: MESSAGES }),
      });
      return ((await answer.json()) as { choices: unknown }).choices;
    };
    expect(await textOf(url)).toEqual(await textOf(same.url));
    running.child.kill('SIGTERM');
    const { code, stdout } = await running.finished;
    expect(code).toBe(0);
    expect(JSON.parse(stdout.slice(output.length))).toMatchObject({ requests: 1, answered: 1 });
  });

  it('wrong usage - is told with exit code 2', async () => {
    await using server = await startModelServer(QUICK);
    const { port } = new URL(server.url);
    const [number, share, taken, stray] = await Promise.all([
      run(['bench', 'model', '--ttft', 'soon']),
      run(['bench', 'model', '--error-rate', '2']),
      run(['bench', 'model', '--port', port]),
      run(['bench', 'model', '--max-in-flight', '3']),
    ]);
    expect([number.code, share.code, taken.code, stray.code]).toEqual([2, 2, 2, 2]);
    expect(stray.stderr).toContain('Expected no --max-in-flight with bench model');
    expect(number.stderr).toContain('Expected a number after --ttft, got "soon"');
    expect(share.stderr).toContain('Expected --error-rate to be a number from 0 to 1, got 2');
    expect(taken.stderr).toContain(`Port ${port} of 127.0.0.1 is taken`);
  });
});
