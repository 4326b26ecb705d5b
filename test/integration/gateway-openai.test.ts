/** The gateway as OpenAI's clients see it: the stock `openai` client, and its wire form where the client hides it. */
import OpenAI, { AuthenticationError, InternalServerError, NotFoundError } from 'openai';
import { describe, expect, test } from 'vitest';
import { OrreryError } from '../../src/protocol/index.ts';
import { type GatewayUnderTest, post, raw, startGateway } from '../support/gateway.ts';

const USER = { role: 'user', content: 'hello there' } as const;

function clientOf(g: GatewayUnderTest, apiKey = 'unused'): OpenAI {
  return new OpenAI({ baseURL: `${g.url}/v1`, apiKey });
}

describe('a completion', () => {
  test('is answered by the agent that the model names, two side by side', async () => {
    await using g = await startGateway({
      agents: { loud: (turn) => turn.reply(turn.inbound.message.content.toUpperCase()) },
    });
    const client = clientOf(g);
    const ask = (model: string): Promise<OpenAI.ChatCompletion> =>
      client.chat.completions.create({ model, messages: [USER] });
    const [plain, loud, prefixed, byDefault] = await Promise.all([
      ask('echo'),
      ask('loud'),
      ask('orrery/loud'),
      ask('orrery'),
    ]);
    expect(plain).toMatchObject({
      object: 'chat.completion',
      model: 'echo',
      choices: [{ index: 0, message: { role: 'assistant', content: 'hello there' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 },
    });
    expect(loud.choices[0]?.message.content).toBe('HELLO THERE');
    expect(prefixed.model).toBe('loud');
    expect(byDefault.model).toBe('echo');
    expect(g.host.received.map((m) => m.agent)).toEqual(['echo', 'loud', 'loud', undefined]);
  });

  test('takes the whole history and keeps no session, each in a namespace of its own', async () => {
    await using g = await startGateway();
    const messages = [
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'two' },
      { role: 'developer', content: 'be polite' },
      { role: 'user', content: 'three' },
    ] as const;
    await clientOf(g).chat.completions.create({ model: 'echo', messages: [...messages] });
    await clientOf(g).chat.completions.create({ model: 'echo', messages: [...messages] });
    const [first, second] = g.host.received;
    expect(first?.context).toEqual({
      mode: 'replace',
      messages: [messages[0], messages[1], messages[2], { role: 'system', content: 'be polite' }],
    });
    expect(first?.message).toEqual({ role: 'user', content: 'three' });
    expect(first?.namespace).toMatch(/^web:v1:/);
    expect(first?.namespace).not.toBe(second?.namespace);
  });

  test('appends what follows the last answer to the named session', async () => {
    await using g = await startGateway();
    const headers = { 'x-orrery-session': 'user:7' };
    const ask = (messages: OpenAI.ChatCompletionMessageParam[]): Promise<unknown> =>
      clientOf(g).chat.completions.create({ model: 'echo', messages }, { headers });
    await ask([
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'one' },
    ]);
    await ask([
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'one' },
      { role: 'user', content: 'two' },
    ]);
    expect(g.host.received.map((m) => [m.namespace, m.message.content, m.context])).toEqual([
      ['web:user:7', 'one', { mode: 'append', messages: [{ role: 'system', content: 'be brief' }] }],
      ['web:user:7', 'two', undefined],
    ]);
  });

  test('takes content parts, texts joined and images kept', async () => {
    await using g = await startGateway();
    await clientOf(g).chat.completions.create({
      model: 'echo',
      messages: [
        {
          role: 'system',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'look' },
            { type: 'image_url', image_url: { url: 'https://example.org/cat.png' } },
          ],
        },
      ],
    });
    expect(g.host.received[0]?.context?.messages).toEqual([{ role: 'system', content: 'a\nb' }]);
    expect(g.host.received[0]?.message).toEqual({
      role: 'user',
      content: 'look',
      parts: [
        { type: 'text', text: 'look' },
        { type: 'image', url: 'https://example.org/cat.png' },
      ],
    });
  });

  test('gives the stored answer for a repeated Idempotency-Key, and 409 for another body', async () => {
    await using g = await startGateway();
    const ask = (content: string): Promise<OpenAI.ChatCompletion> =>
      clientOf(g).chat.completions.create(
        { model: 'echo', messages: [{ role: 'user', content }] },
        { headers: { 'Idempotency-Key': 'k: 1' }, maxRetries: 2 },
      );
    const first = await ask('x');
    expect(first.id).toBe('chatcmpl-k: 1');
    expect((await ask('x')).choices).toEqual(first.choices);
    await expect(ask('y')).rejects.toMatchObject({ status: 409, code: 'ORRERY_ID_CONFLICT' });
    expect(g.host.received).toHaveLength(3); // the client did not try the conflict again
  });

  test.each([
    ['n > 1', { n: 2 }],
    ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }],
    ['functions', { functions: [{ name: 'f' }] }],
    ['a required tool', { tool_choice: 'required' }],
    ['a response format', { response_format: { type: 'json_object' } }],
    ['logprobs', { logprobs: true }],
    ['stop', { stop: ['\n'] }],
    ['audio', { modalities: ['text', 'audio'] }],
    ['tool calls in the history', { messages: [{ role: 'assistant', tool_calls: [{ id: 'a' }] }, USER] }],
    ['tool answers', { messages: [{ role: 'tool', content: 'x', tool_call_id: 'a' }, USER] }],
    ['audio parts', { messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: {} }] }] }],
  ])('is a 400 for what is not supported - %s', async (_what, extra) => {
    await using g = await startGateway();
    const answer = await post(`${g.url}/v1/chat/completions`, { model: 'echo', messages: [USER], ...extra });
    expect(answer.status).toBe(400);
    expect(answer.json['error']).toMatchObject({
      code: 'ORRERY_UNSUPPORTED',
      type: 'invalid_request_error',
      param: null,
    });
    expect(g.host.received).toEqual([]);
  });

  test.each([
    ['no messages', { messages: [] }],
    ['messages that are no array', { messages: 'x' }],
    ['an unknown role', { messages: [{ role: 'wizard', content: 'x' }] }],
    ['a last message that is not from the user', { messages: [USER, { role: 'assistant', content: 'x' }] }],
    ['no content', { messages: [{ role: 'user' }] }],
    [
      'a local file as image',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }] }] },
    ],
    ['a model that is no string', { model: 7 }],
    ['a stream that is no flag', { stream: 'yes' }],
  ])('is a 400 for a malformed request - %s', async (_what, extra) => {
    await using g = await startGateway();
    const answer = await post(`${g.url}/v1/chat/completions`, { model: 'echo', messages: [USER], ...extra });
    expect([answer.status, answer.json['error']?.['code']]).toEqual([400, 'ORRERY_BAD_REQUEST']);
  });

  test('takes the sampling parameters that every client sends', async () => {
    await using g = await startGateway();
    const settings = {
      temperature: 0.2,
      max_tokens: 10,
      top_p: 1,
      n: 1,
      tools: [],
      stop: null,
      tool_choice: 'auto',
      user: 'u',
    };
    expect((await post(`${g.url}/v1/chat/completions`, { model: 'echo', messages: [USER], ...settings })).status).toBe(
      200,
    );
  });
});

describe('errors in the client', () => {
  test('are its own classes, and a failed turn is not asked again', async () => {
    await using g = await startGateway({ config: { token: 'right' } });
    const ask = (model: string, key = 'right'): Promise<unknown> =>
      clientOf(g, key).chat.completions.create({ model, messages: [USER] });
    await expect(ask('echo', 'wrong')).rejects.toBeInstanceOf(AuthenticationError);
    await expect(ask('nobody')).rejects.toBeInstanceOf(NotFoundError);
    const before = g.host.received.length;
    const failed: unknown = await ask('fails').catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(InternalServerError);
    expect(failed).toMatchObject({
      status: 502,
      code: 'ORRERY_AGENT_FAILED',
      error: { id: g.host.received.at(-1)?.id },
    });
    expect(g.host.received).toHaveLength(before + 1);
  });

  test('tell it to come back when nothing was accepted', async () => {
    await using g = await startGateway();
    g.host.refuse = new OrreryError('ORRERY_OVERLOADED', 'full');
    const answer = await clientOf(g).chat.completions.create({ model: 'echo', messages: [USER] });
    expect(answer.choices[0]?.message.content).toBe('hello there');
    expect(g.host.received).toHaveLength(2);
  });

  test('say what is wrong with a key for a message', async () => {
    await using g = await startGateway();
    const answer = await post(
      `${g.url}/v1/chat/completions`,
      { messages: [USER] },
      { 'idempotency-key': 'k'.repeat(300) },
    );
    expect([answer.status, answer.json['error']?.['message']]).toEqual([
      400,
      expect.stringContaining('Idempotency-Key'),
    ]);
  });
});

describe('GET /v1/models', () => {
  test('lists the agents, and finds one', async () => {
    await using g = await startGateway();
    const models = await clientOf(g).models.list();
    expect(models.data.map((m) => m.id)).toEqual(['echo', 'held', 'fails']);
    expect(models.data[0]).toMatchObject({ object: 'model', owned_by: 'orrery', default: true });
    expect((await clientOf(g).models.retrieve('held')).id).toBe('held');
    expect((await raw(`${g.url}/v1/models/orrery/held`)).json['id']).toBe('held');
    await expect(clientOf(g).models.retrieve('nobody')).rejects.toBeInstanceOf(NotFoundError);
  });
});
