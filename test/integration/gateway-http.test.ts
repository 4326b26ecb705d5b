/** The gateway's plain HTTP routes: answers, status codes, error forms, duplicates, control. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { OrreryError } from '../../src/protocol/index.ts';
import type { DeadLetter } from '../../src/main/api.ts';
import { inbound } from '../support/channels.ts';
import { post, raw, startGateway, until } from '../support/gateway.ts';

describe('POST /api/chat', () => {
  test('answers with message, namespace, agent, usage and id', async () => {
    await using g = await startGateway();
    const answer = await post(`${g.url}/api/chat`, {
      message: 'hello',
      namespace: 'room:1',
      metadata: { peer: 'ann' },
      id: 'm1',
    });
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({
      message: 'hello',
      namespace: 'room:1',
      agent: 'echo',
      usage: { inputTokens: 3, outputTokens: 5 },
      id: 'm1',
    });
    expect(g.host.received[0]).toMatchObject({
      id: 'm1',
      channel: 'web',
      namespace: 'web:room:1',
      message: { role: 'user', content: 'hello' },
      metadata: { peer: 'ann' },
    });
    expect(g.host.received[0]).not.toHaveProperty('agent');
    expect(g.host.received[0]).not.toHaveProperty('context');
  });

  test('makes up an id and a namespace of its own when none is sent, and the id asks for the same message again', async () => {
    await using g = await startGateway();
    const first = await post(`${g.url}/api/chat`, { message: 'hello' });
    const second = await post(`${g.url}/api/chat`, { message: 'hello' });
    expect(first.json['namespace']).not.toBe(second.json['namespace']);
    const again = await post(`${g.url}/api/chat`, { message: 'hello', id: first.json['id'] });
    expect(again.json).toEqual(first.json);
  });

  test.each([
    ['naemspace', 'did you mean `namespace`?'],
    ['session', 'did you mean `namespace`?'],
    ['Agent', 'did you mean `agent`?'],
    ['qqqqq', 'got "qqqqq"'],
  ])('refuses a body with the unknown key %s, and says what is known', async (key, end) => {
    await using g = await startGateway();
    const answer = await post(`${g.url}/api/chat`, { message: 'hello', [key]: 'bob' });
    expect(answer.status).toBe(400);
    expect(answer.json['error']).toMatchObject({ code: 'ORRERY_BAD_REQUEST' });
    const message = String(answer.json['error']?.['message']);
    expect(message).toContain(`the keys message, namespace, agent, metadata, queue, id, got "${key}"`);
    expect(message.endsWith(end)).toBe(true);
    expect(g.host.received).toEqual([]);
  });

  test('passes the agent on as named outright, and an unknown one is a 404', async () => {
    await using g = await startGateway();
    await post(`${g.url}/api/chat`, { message: 'hello', agent: 'echo' });
    expect(g.host.received[0]?.agent).toBe('echo');
    const answer = await post(`${g.url}/api/chat`, { message: 'hello', agent: 'nobody' });
    expect(answer.status).toBe(404);
    expect(answer.json['error']).toMatchObject({ code: 'ORRERY_AGENT_UNKNOWN' });
    expect(answer.json['error']).not.toHaveProperty('id');
  });

  test("uses the channel's agent unless the caller names one", async () => {
    await using g = await startGateway({ config: { agent: 'fails' } });
    expect((await post(`${g.url}/api/chat`, { message: 'x' })).status).toBe(502);
    expect((await post(`${g.url}/api/chat`, { message: 'x', agent: 'echo' })).status).toBe(200);
  });

  test('answers a failed turn with its status, the id, and no leave to send it again', async () => {
    await using g = await startGateway();
    const answer = await post(`${g.url}/api/chat`, { message: 'x', agent: 'fails', id: 'm7' });
    expect(answer.status).toBe(502);
    expect(answer.headers['x-should-retry']).toBe('false');
    expect(answer.json['error']).toMatchObject({
      code: 'ORRERY_AGENT_FAILED',
      message: 'The agent threw: no luck',
      id: 'm7',
    });
    const again = await post(`${g.url}/api/chat`, { message: 'x', agent: 'fails', id: 'm7' });
    expect([again.status, again.json]).toEqual([answer.status, answer.json]);
    expect(g.host.received).toHaveLength(2);
  });

  test('answers a passed deadline with 504', async () => {
    await using g = await startGateway();
    const asked = post(`${g.url}/api/chat`, { message: 'x', agent: 'held' });
    const turn = await g.host.turn();
    await turn.fail(new OrreryError('ORRERY_TURN_DEADLINE', 'The turn took too long'));
    expect((await asked).status).toBe(504);
  });

  test('tells a message in flight from an answered one and from another body', async () => {
    await using g = await startGateway();
    const body = { message: 'x', agent: 'held', id: 'm1', namespace: 'n' };
    const first = post(`${g.url}/api/chat`, body);
    const turn = await g.host.turn();

    const inFlight = await post(`${g.url}/api/chat`, body);
    expect(inFlight.status).toBe(409);
    expect(inFlight.json['error']).toMatchObject({ code: 'ORRERY_DUPLICATE_IN_FLIGHT', id: 'm1' });
    expect(inFlight.headers['x-should-retry']).toBe('false');

    await turn.reply('done');
    expect((await first).json['message']).toBe('done');
    const stored = await post(`${g.url}/api/chat`, body);
    expect(stored.json).toEqual((await first).json);

    const other = await post(`${g.url}/api/chat`, { ...body, message: 'y' });
    expect(other.status).toBe(409);
    expect(other.json['error']).toMatchObject({ code: 'ORRERY_ID_CONFLICT', id: 'm1' });
    expect(other.headers['x-should-retry']).toBe('false');
  });

  test('gives the answer to the accepted message only when another body came under the same id meanwhile', async () => {
    await using g = await startGateway();
    const gate = Promise.withResolvers<void>();
    const first = post(`${g.url}/api/chat`, { message: 'x', agent: 'held', id: 'm1', namespace: 'n' });
    const turn = await g.host.turn();
    g.host.gate = gate.promise;
    const second = post(`${g.url}/api/chat`, { message: 'y', agent: 'held', id: 'm1', namespace: 'n' });
    await until(() => g.host.received.length === 2);
    await turn.reply('for x'); // while the second waits for its acceptance under the same key
    gate.resolve();
    expect((await first).json['message']).toBe('for x');
    expect((await second).status).toBe(409);
  });

  test.each([
    [
      '429 with Retry-After when shed',
      new OrreryError('ORRERY_MAILBOX_FULL', 'full', { retryAfterMs: 2500 }),
      429,
      '3',
      undefined,
    ],
    ['429 with a second when no time is known', new OrreryError('ORRERY_OVERLOADED', 'full'), 429, '1', undefined],
    ['503 while starting', new OrreryError('ORRERY_STARTING', 'not yet'), 503, undefined, undefined],
    [
      '503 and no retry when the agent is escalated',
      new OrreryError('ORRERY_AGENT_ESCALATED', 'no'),
      503,
      undefined,
      'false',
    ],
    ['500 without details for anything unexpected', new Error('secret detail'), 500, undefined, 'false'],
  ])('answers a refused message with %s', async (_what, error, status, retryAfter, shouldRetry) => {
    await using g = await startGateway();
    g.host.refuse = error;
    const answer = await post(`${g.url}/api/chat`, { message: 'x' });
    expect(answer.status).toBe(status);
    expect(answer.headers['retry-after']).toBe(retryAfter);
    expect(answer.headers['x-should-retry']).toBe(shouldRetry);
    expect(answer.json['error']).not.toHaveProperty('id');
    expect(answer.text).not.toContain('secret');
    expect((await post(`${g.url}/api/chat`, { message: 'x' })).status).toBe(200);
  });
});

describe('bad input', () => {
  test.each([
    ['invalid JSON', '{"message": '],
    ['an empty body', ''],
    ['a body that is no object', '[1]'],
    ['no message', {}],
    ['an empty message', { message: '' }],
    ['a message that is no string', { message: { content: 'x' } }],
    ['a namespace with an empty segment', { message: 'x', namespace: 'a::b' }],
    ['a namespace that is no string', { message: 'x', namespace: 7 }],
    ['metadata that is not all strings', { message: 'x', metadata: { a: 1 } }],
    ['an id with a line break', { message: 'x', id: 'a\nb' }],
    ['an id that is too long', { message: 'x', id: 'a'.repeat(300) }],
    ['a prototype in the body', '{"message":"x","__proto__":{"a":1}}'],
  ])('is a 400 - %s', async (_what, body) => {
    await using g = await startGateway();
    const answer = await post(`${g.url}/api/chat`, body);
    expect(answer.status).toBe(400);
    expect(answer.json['error']?.['code']).toMatch(/^ORRERY_BAD_(REQUEST|NAMESPACE)$/);
    expect(answer.json['error']?.['message']).toBeTypeOf('string');
    expect(g.host.received).toEqual([]);
  });

  test('is a 413 for a body of 2 MiB, told in words', async () => {
    await using g = await startGateway();
    const big = { message: 'x'.repeat(2 * 1024 * 1024) };
    const answer = await fetch(`${g.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(big),
    });
    expect(answer.status).toBe(413);
    expect(await answer.json()).toMatchObject({ error: { code: 'ORRERY_TOO_LARGE' } });
    expect((await post(`${g.url}/api/chat`, { message: 'still here' })).status).toBe(200);
  });

  test('is a 413 for a large body of unknown length', async () => {
    await using g = await startGateway();
    const answer = await raw(`${g.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' },
      body: `"${'x'.repeat(2 * 1024 * 1024)}"`,
    });
    expect(answer.status).toBe(413);
  });

  test('is a 404 in the documented form for an unknown route, and in OpenAI form below /v1', async () => {
    await using g = await startGateway();
    expect((await raw(`${g.url}/nope`)).json).toMatchObject({ error: { code: 'ORRERY_NOT_FOUND' } });
    const openAi = await raw(`${g.url}/v1/nope`);
    expect(openAi.status).toBe(404);
    expect(openAi.json['error']).toMatchObject({ code: 'ORRERY_NOT_FOUND', type: 'not_found_error', param: null });
  });

  test('is a 400 for a WebSocket route without an upgrade', async () => {
    await using g = await startGateway();
    const answer = await raw(`${g.url}/ws`);
    expect([answer.status, answer.json['error']?.['code']]).toEqual([400, 'ORRERY_BAD_REQUEST']);
  });

  test('is a 400 for a path that does not decode', async () => {
    await using g = await startGateway();
    const answer = await raw(`${g.url}/api/agents/%zz/restart`, { method: 'POST', headers: { 'x-orrery': '1' } });
    expect([answer.status, answer.json['error']?.['code']]).toEqual([400, 'ORRERY_BAD_REQUEST']);
  });

  test('takes any content type that is marked as meant', async () => {
    await using g = await startGateway();
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'x-orrery': '1' };
    expect((await post(`${g.url}/api/chat`, { message: 'x' }, headers)).status).toBe(200);
  });
});

describe('health and metrics', () => {
  test('says alive, ready, and why not', async () => {
    await using g = await startGateway();
    expect((await raw(`${g.url}/healthz`)).json).toEqual({ status: 'ok', version: '1.2.3' });
    expect((await raw(`${g.url}/readyz`)).json).toEqual({ ready: true, reasons: [] });
    g.host.ready = { ready: false, reasons: ['saturated'] };
    const saturated = await raw(`${g.url}/readyz`);
    expect([saturated.status, saturated.json]).toEqual([503, { ready: false, reasons: ['saturated'] }]);
    g.host.ready = { ready: true, reasons: [] };
    g.channel.shutdown();
    const draining = await raw(`${g.url}/readyz`);
    expect([draining.status, draining.json]).toEqual([503, { ready: false, reasons: ['draining'] }]);
    expect((await raw(`${g.url}/healthz`)).status).toBe(200);
  });

  test('gives Prometheus text', async () => {
    await using g = await startGateway();
    const answer = await raw(`${g.url}/metrics`);
    expect(answer.headers['content-type']).toContain('text/plain; version=0.0.4');
    expect(answer.text).toContain('orrery_messages_received_total 0');
  });
});

describe('status and control', () => {
  const marked = { method: 'POST', headers: { 'x-orrery': '1' } };

  test('gives the status', async () => {
    await using g = await startGateway();
    expect((await raw(`${g.url}/api/status`)).json).toMatchObject({ state: 'running', defaultAgent: 'echo' });
  });

  test('restarts agents and channels, and an unknown one is a 404', async () => {
    await using g = await startGateway();
    expect((await raw(`${g.url}/api/agents/echo/restart`, marked)).json).toEqual({ name: 'echo', restarts: 1 });
    expect((await raw(`${g.url}/api/channels/irc/restart`, marked)).json).toEqual({ name: 'irc', connected: true });
    expect(g.host.restarted).toEqual(['agent:echo', 'channel:irc']);
    expect((await raw(`${g.url}/api/agents/x/restart`, marked)).status).toBe(404);
    expect((await raw(`${g.url}/api/channels/x/restart`, marked)).status).toBe(404);
  });

  test('dead letters are listed in pages, put back and dropped, and an unknown one is a 404', async () => {
    await using g = await startGateway();
    const letters = ['d-1', 'd-2', 'd-3'].map(letterOf);
    for (const letter of letters) g.host.letters.set(letter.id, letter);
    const at = `${g.url}/api/dead-letters`;
    expect((await raw(at)).json).toEqual({ deadLetters: letters });
    expect((await raw(`${at}?limit=1&after=d-1`)).json).toEqual({ deadLetters: [letters[1]] });
    for (const limit of ['0', '1001', 'x']) expect((await raw(`${at}?limit=${limit}`)).status).toBe(400);

    const replayed = await raw(`${at}/d-1/replay`, marked);
    expect([replayed.status, replayed.json]).toEqual([
      202,
      { id: 'd-1', agent: 'echo', namespace: 'web:alice', status: 'accepted' },
    ]);
    const dropped = await raw(`${at}/d-2`, { ...marked, method: 'DELETE' });
    expect([dropped.status, dropped.json]).toEqual([200, { id: 'd-2', dropped: true }]);
    expect(g.host.restarted).toEqual(['replay:d-1', 'drop:d-2']);
    expect((await raw(`${at}/d-1/replay`, marked)).status).toBe(404);
    expect((await raw(`${at}/d-2`, { ...marked, method: 'DELETE' })).status).toBe(404);
  });

  test('answers before it restarts itself', async () => {
    await using g = await startGateway();
    const restarted = once(g.host.events, 'restarted');
    const answer = await raw(`${g.url}/api/channels/web/restart`, marked);
    expect([answer.status, answer.json]).toEqual([202, { name: 'web', status: 'restarting' }]);
    await restarted;
    expect(g.host.restarted).toEqual(['channel:web']);
  });

  test('begins the drain and answers', async () => {
    await using g = await startGateway();
    const answer = await raw(`${g.url}/api/drain`, marked);
    expect([answer.status, answer.json]).toEqual([202, { status: 'draining' }]);
    expect(g.host.drained).toBe(1);
  });
});

describe('POST /v1/tokens/count', () => {
  test('counts texts and messages', async () => {
    await using g = await startGateway();
    const texts = await post(`${g.url}/v1/tokens/count`, { encoding: 'cl100k_base', texts: ['ab', 'c'] });
    expect(texts.json).toEqual({ counts: [2, 1], total: 3, exact: true });
    const messages = await post(`${g.url}/v1/tokens/count`, {
      model: 'gpt-4o',
      messages: [
        { role: 'user', content: 'abcd' },
        { role: 'assistant', content: null },
      ],
    });
    expect(messages.json).toEqual({ counts: [4, 0], total: 7, exact: true });
  });

  test('is no exact count when a message calls tools', async () => {
    await using g = await startGateway();
    const call = { id: 'c1', type: 'function', function: { name: 'look', arguments: '{}' } };
    const messages = [
      { role: 'user', content: 'abcd', refusal: null },
      { role: 'assistant', content: null, tool_calls: [call] },
    ];
    const answer = await post(`${g.url}/v1/tokens/count`, { messages });
    expect(answer.json).toEqual({ counts: [4, 0], total: 7, exact: false });
    const before = await post(`${g.url}/v1/tokens/count`, { messages: messages.slice(0, 1) });
    expect(before.json).toEqual({ counts: [4], total: 7, exact: true });
  });

  test('counts the texts among the parts of a message, and says that it did not count the others', async () => {
    await using g = await startGateway();
    const content = [
      { type: 'text', text: 'abc' },
      { type: 'image_url', image_url: { url: 'data:,' } },
    ];
    const answer = await post(`${g.url}/v1/tokens/count`, { messages: [{ role: 'user', content }] });
    expect(answer.json).toEqual({ counts: [3], total: 6, exact: false });
  });

  test.each([
    ['neither texts nor messages', {}],
    ['both', { texts: [], messages: [] }],
    ['encoding and model', { texts: [], encoding: 'a', model: 'b' }],
    ['texts that are no strings', { texts: [1] }],
    ['messages without content', { messages: [{ role: 'user' }] }],
    ['a message without a role', { messages: [{ content: 'a' }] }],
    ['a part that has no type', { messages: [{ role: 'user', content: ['a'] }] }],
  ])('is a 400 in OpenAI form - %s', async (_what, body) => {
    await using g = await startGateway();
    const answer = await post(`${g.url}/v1/tokens/count`, body);
    expect(answer.status).toBe(400);
    expect(answer.json['error']).toMatchObject({ type: 'invalid_request_error', code: 'ORRERY_BAD_REQUEST' });
  });
});

function letterOf(id: string): DeadLetter {
  const about = { id, agent: 'echo', reason: 'exhausted', attempts: 3, crashes: 0, replays: 0 } as const;
  return { ...about, acceptedAt: 1, diedAt: 2, inbound: inbound({ id: `m-${id}`, namespace: 'web:alice' }) };
}
