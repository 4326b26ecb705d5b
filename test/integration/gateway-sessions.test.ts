/** Asks the gateway for conversations: which ones a caller may see, in what form, and how one is cleared. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StoredMessage } from '../../src/protocol/index.ts';
import { type GatewayUnderTest, type RawAnswer, post, raw, startGateway } from '../support/gateway.ts';
import { type HostUnderTest, actor, eventually, startHost } from '../support/host.ts';

const TOLD: readonly StoredMessage[] = [
  {
    role: 'user',
    content: 'hi',
    timestamp: 1,
    delivery: 'd1',
    parts: [{ type: 'image', url: 'https://example.org/a' }],
  },
  { role: 'assistant', content: 'hello', timestamp: 1, delivery: 'd1', tokens: 7 },
];

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

function errorOf(answer: RawAnswer): readonly unknown[] {
  return [answer.status, answer.json['error']?.['code']];
}

describe('the routes to sessions', () => {
  let gateway: GatewayUnderTest;

  beforeEach(async () => {
    gateway = await startGateway({ config: { token: 'user', adminToken: 'admin' } });
    for (const key of ['echo web:alice', 'echo web:a%3Ab:ü', 'held web:alice', 'echo irc:room']) {
      gateway.host.sessions.set(key, TOLD);
    }
  });

  afterEach(() => gateway[Symbol.asyncDispose]());

  function ask(path: string, token = 'user', method = 'GET'): Promise<RawAnswer> {
    const headers = { host: `127.0.0.1:${gateway.port}`, 'x-orrery': '1', ...bearer(token) };
    return raw(`${gateway.url}/api/sessions/${path}`, { method, headers });
  }

  test('gateway - a session comes as its namespace was sent, with its agent and its messages', async () => {
    const answer = await ask('alice');
    expect([answer.status, answer.json]).toEqual([
      200,
      {
        namespace: 'alice',
        agent: 'echo',
        messages: [
          { role: 'user', content: 'hi', timestamp: 1 },
          { role: 'assistant', content: 'hello', timestamp: 1, tokens: 7 },
        ],
      },
    ]);
    expect((await ask('alice?agent=held')).json).toMatchObject({ agent: 'held', namespace: 'alice' });
    expect((await ask(encodeURIComponent('a%3Ab:ü'))).json).toMatchObject({ namespace: 'a%3Ab:ü' });
  });

  test('gateway - what is not there is a 404: the agent, the session, another one below it', async () => {
    expect(errorOf(await ask('alice?agent=nobody'))).toEqual([404, 'ORRERY_AGENT_UNKNOWN']);
    expect(errorOf(await ask('bob'))).toEqual([404, 'ORRERY_NOT_FOUND']);
    expect(errorOf(await ask('alic'))).toEqual([404, 'ORRERY_NOT_FOUND']);
    // Another channel's session is not found by climbing: a namespace stays below its gateway.
    for (const path of ['irc:room', '..%2Firc:room', 'web:alice']) {
      expect(errorOf(await ask(path))).toEqual([404, 'ORRERY_NOT_FOUND']);
    }
  });

  test('gateway - a namespace that is none, or a key given twice, is a 400', async () => {
    expect(errorOf(await ask('a::b'))).toEqual([400, 'ORRERY_BAD_NAMESPACE']);
    expect(errorOf(await ask('x'.repeat(1_025)))).toEqual([400, 'ORRERY_BAD_REQUEST']);
    expect(errorOf(await ask('alice?agent=echo&agent=held'))).toEqual([400, 'ORRERY_BAD_REQUEST']);
    // The longest that is one, in the longest way to write it.
    expect(errorOf(await ask(encodeURIComponent('\u{1F600}'.repeat(512))))).toEqual([404, 'ORRERY_NOT_FOUND']);
  });

  test("gateway - its token sees its own channel's sessions, the admin token those of others too", async () => {
    expect((await ask('alice?channel=web')).status).toBe(200);
    for (const method of ['GET', 'DELETE']) {
      expect(errorOf(await ask('room?channel=irc', 'user', method))).toEqual([403, 'ORRERY_FORBIDDEN']);
      expect(errorOf(await ask('alice', 'wrong', method))).toEqual([401, 'ORRERY_UNAUTHORIZED']);
    }
    expect((await ask('room?channel=irc', 'admin')).json).toMatchObject({ namespace: 'room', agent: 'echo' });
    expect((await ask('room?channel=irc', 'admin', 'DELETE')).status).toBe(200);
    expect(gateway.host.sessions.has('echo irc:room')).toBe(false);
  });

  test('gateway - a session is cleared once, and only by a request that is marked as meant', async () => {
    const unmarked = await raw(`${gateway.url}/api/sessions/alice`, { method: 'DELETE', headers: bearer('user') });
    expect(errorOf(unmarked)).toEqual([403, 'ORRERY_FORBIDDEN']);
    const cleared = await ask('alice', 'user', 'DELETE');
    expect([cleared.status, cleared.json]).toEqual([200, { namespace: 'alice', agent: 'echo', cleared: true }]);
    expect(errorOf(await ask('alice', 'user', 'DELETE'))).toEqual([404, 'ORRERY_NOT_FOUND']);
    expect(gateway.host.sessions.has('held web:alice')).toBe(true);
  });
});

describe.each(['sqlite', 'memory'] as const)('sessions in a running host, kept in %s', (store) => {
  let host: HostUnderTest;
  let url: string;

  beforeEach(async () => {
    host = await startHost({
      agents: { actor: actor({ replicas: 2 }) },
      channels: { web: { type: 'gateway', port: 0 } },
      sessions: { store },
      delivery: { maxAttempts: 2 },
    });
    url = host.supervisor.channels.list()[0]?.url ?? '';
  });

  afterEach(() => host[Symbol.asyncDispose]());

  async function contents(namespace: string): Promise<readonly string[]> {
    const { json } = await raw(`${url}/api/sessions/${namespace}`, { headers: { host: new URL(url).host } });
    const { messages = [] } = json as { readonly messages?: readonly { readonly content: string }[] };
    return messages.map(({ content }) => content);
  }

  async function say(message: string, namespace: string): Promise<string> {
    return (await post(`${url}/api/chat`, { message, namespace })).json['message'] ?? '';
  }

  function clear(namespace: string): Promise<RawAnswer> {
    return raw(`${url}/api/sessions/${namespace}`, {
      method: 'DELETE',
      headers: { 'x-orrery': '1', host: new URL(url).host },
    });
  }

  test('sessions - what was said is read, listed and cleared, each session by itself', async () => {
    const names = Array.from({ length: 8 }, (_, i) => `room:${i}`);
    for (const name of names) await say(`say ${name}`, name);
    for (const name of names) expect(await contents(name)).toEqual([`say ${name}`, `${name} 1`]);
    const { sessions } = host.supervisor;
    expect((await sessions.list('actor', 'web:room')).toSorted()).toEqual(names.map((name) => `web:${name}`));
    expect(await sessions.list('actor', 'web:roo')).toEqual([]);
    expect(await sessions.list('actor')).toHaveLength(8);
    await expect(sessions.list('nobody')).rejects.toMatchObject({ code: 'ORRERY_AGENT_UNKNOWN' });
    await expect(sessions.read('actor', 'a::b')).rejects.toMatchObject({ code: 'ORRERY_BAD_NAMESPACE' });
    expect(await sessions.read('actor', 'web:room:3', { maxMessages: 1 })).toMatchObject([{ content: 'room:3 1' }]);
    expect((await clear('room:3')).status).toBe(200);
    expect(await contents('room:3')).toEqual([]);
    expect(await contents('room:4')).toHaveLength(2);
    expect(await say('history', 'room:3')).toBe('[]');
  });

  test('sessions - a turn that runs while its session is cleared runs again, and brings nothing back', async () => {
    const session = { namespace: 'web:held' };
    await host.send('actor', 'say before', session);
    const held = host.send('actor', 'hold', session);
    await eventually('the turn holds', () => host.lines().some((line) => line.endsWith('begin hold')));
    await host.supervisor.sessions.clear('actor', 'web:held');
    host.open();
    // The second attempt found the gate open and the session empty.
    expect((await held).message.content).toBe('held 2');
    expect(await contents('held')).toEqual(['hold', 'held 2']);
  });
});
