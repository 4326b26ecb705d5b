/** Who may use the gateway: Host, Origin, tokens, the login cookie, marks of intent, rate limits. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { TestSocket, post, raw, refusedUpgrade, startGateway } from '../support/gateway.ts';

const TOKEN = 'chat-token';
const ADMIN = 'admin-token';

function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}

describe('Host', () => {
  test.each([
    'evil.example:8790',
    'evil.example',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '192.168.1.5',
    'a b',
    'user@localhost',
  ])('is refused when foreign - %j', async (host) => {
    await using g = await startGateway();
    for (const path of ['/', '/healthz', '/api/status', '/v1/models', '/nope']) {
      const answer = await raw(`${g.url}${path}`, { headers: { host } });
      expect([path, answer.status]).toEqual([path, 403]);
    }
    const chat = await post(`${g.url}/api/chat`, { message: 'x' }, { host });
    expect([chat.status, chat.json['error']?.['code']]).toEqual([403, 'ORRERY_FORBIDDEN']);
    expect(await refusedUpgrade(g.url, { host })).toBe(403);
    expect(g.host.received).toEqual([]);
  });

  test.each(['localhost', 'LOCALHOST:1234', '127.0.0.1', '[::1]:80', 'chat.example.org', 'chat.example.org:443'])(
    'is accepted when ours - %j',
    async (host) => {
      await using g = await startGateway({ config: { allowedHosts: ['Chat.example.org'] } });
      expect((await raw(`${g.url}/healthz`, { headers: { host } })).status).toBe(200);
    },
  );

  test.each(['GET /healthz HTTP/1.0\r\n\r\n', 'GET /healthz HTTP/1.1\r\nConnection: close\r\nHost:\r\n\r\n'])(
    'has to be sent - %j',
    async (request) => {
      await using g = await startGateway();
      const socket = connect(g.port, '127.0.0.1').setEncoding('utf8');
      socket.write(request);
      let answer = '';
      for await (const text of socket) answer += String(text);
      expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    },
  );

  test('may be any address, but no name, when bound to every interface', async () => {
    await using g = await startGateway({ config: { host: '0.0.0.0', token: TOKEN } });
    const statusOf = async (host: string): Promise<number> =>
      (await raw(`${g.url}/healthz`, { headers: { host } })).status;
    expect(await statusOf('192.168.1.5:8790')).toBe(200);
    expect(await statusOf('[fe80::1]:8790')).toBe(200);
    expect(await statusOf('evil.example:8790')).toBe(403);
  });
});

describe('Origin', () => {
  test.each(['http://evil.example', 'null', 'http://127.0.0.1:1', 'http://localhost', 'https://127.0.0.1'])(
    'is refused when foreign - %s',
    async (origin) => {
      await using g = await startGateway();
      expect((await post(`${g.url}/api/chat`, { message: 'x' }, { origin })).status).toBe(403);
      expect((await raw(`${g.url}/v1/models`, { headers: { origin } })).status).toBe(403);
      expect(await refusedUpgrade(g.url, { origin })).toBe(403);
    },
  );

  test('is accepted when it is the page itself or listed', async () => {
    await using g = await startGateway({ config: { allowedOrigins: ['https://chat.example.org'] } });
    for (const origin of [g.url, 'https://chat.example.org']) {
      expect((await post(`${g.url}/api/chat`, { message: 'x' }, { origin })).status).toBe(200);
      using _socket = await TestSocket.open(g.url, { origin });
    }
  });

  test('is not needed to see that a request crosses sites', async () => {
    await using g = await startGateway();
    const statusOf = async (headers: Record<string, string>): Promise<number> =>
      (await raw(`${g.url}/v1/models`, { headers })).status;
    expect(await statusOf({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' })).toBe(403);
    expect(await statusOf({ 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' })).toBe(403);
    expect(await statusOf({ 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' })).toBe(200);
    expect(await statusOf({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' })).toBe(200);
  });
});

test('an upgrade that is refused leaves no socket behind', async () => {
  await using g = await startGateway({ config: { token: TOKEN } });
  for (const [path, origin] of [
    ['/ws', 'http://evil.example'],
    ['/ws', g.url],
    ['/ws?x', 'http://evil.example'],
    ['/healthz', 'http://evil.example'],
  ] as const) {
    const socket = connect(g.port, '127.0.0.1').resume();
    const host = `127.0.0.1:${g.port}`;
    const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${'a'.repeat(22)}==`;
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\n${upgrade}\r\n\r\n`);
    await expect(once(socket, 'close')).resolves.toBeDefined();
  }
});

describe('a change', () => {
  test.each([
    '/api/drain',
    '/api/agents/echo/restart',
    '/api/channels/irc/restart',
    '/api/login',
    '/api/chat',
    '/api/dead-letters/d-1/replay',
  ])('has to be marked as meant - %s', async (path) => {
    await using g = await startGateway();
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data',
      'application/jsonp',
    ]) {
      const answer = await raw(`${g.url}${path}`, { method: 'POST', headers: { 'content-type': type }, body: '{}' });
      expect([type, answer.status]).toEqual([type, 403]);
    }
    expect((await raw(`${g.url}${path}`, { method: 'POST' })).status).toBe(403);
    expect([g.host.drained, g.host.restarted, g.host.received]).toEqual([0, [], []]);
  });
});

describe('tokens', () => {
  const config = { token: TOKEN, adminToken: ADMIN };
  const chatRoutes = ['/v1/models'];
  const adminRoutes = ['/metrics', '/api/status', '/api/dead-letters'];

  test('are asked for on every route but health and the page', async () => {
    await using g = await startGateway({ config });
    for (const path of [...chatRoutes, ...adminRoutes]) {
      for (const headers of [
        {},
        bearer('wrong'),
        bearer(''),
        { authorization: `Basic ${TOKEN}` },
        bearer(`${TOKEN} `.repeat(2)),
      ]) {
        const answer = await raw(`${g.url}${path}`, { headers });
        expect([path, headers, answer.status]).toEqual([path, headers, 401]);
        expect(answer.headers['www-authenticate']).toContain('Bearer');
      }
    }
    for (const path of ['/api/chat', '/v1/chat/completions', '/v1/tokens/count', '/api/drain']) {
      expect((await post(`${g.url}${path}`, { message: 'x' })).status).toBe(401);
    }
    expect(await refusedUpgrade(g.url, {})).toBe(401);
    expect(await refusedUpgrade(g.url, bearer('wrong'))).toBe(401);
    for (const path of ['/', '/healthz', '/readyz']) expect((await raw(`${g.url}${path}`)).status).toBe(200);
  });

  test('never count in a URL', async () => {
    await using g = await startGateway({ config });
    for (const query of [`token=${TOKEN}`, `access_token=${TOKEN}`, `api_key=${TOKEN}`]) {
      expect((await raw(`${g.url}/v1/models?${query}`)).status).toBe(401);
    }
  });

  test('tell chat from control', async () => {
    await using g = await startGateway({ config });
    for (const path of chatRoutes) {
      expect((await raw(`${g.url}${path}`, { headers: bearer(TOKEN) })).status).toBe(200);
      expect((await raw(`${g.url}${path}`, { headers: bearer(ADMIN) })).status).toBe(200);
    }
    for (const path of adminRoutes) {
      expect((await raw(`${g.url}${path}`, { headers: bearer(TOKEN) })).status).toBe(403);
      expect((await raw(`${g.url}${path}`, { headers: bearer(ADMIN) })).status).toBe(200);
    }
    expect((await post(`${g.url}/api/drain`, {}, bearer(TOKEN))).status).toBe(403);
    expect(g.host.drained).toBe(0);
    expect((await post(`${g.url}/api/drain`, {}, bearer(ADMIN))).status).toBe(202);
    using _socket = await TestSocket.open(g.url, bearer(TOKEN));
  });

  test('allow no control over HTTP when only the chat token is set', async () => {
    await using g = await startGateway({ config: { token: TOKEN } });
    const answer = await raw(`${g.url}/api/status`, { headers: bearer(TOKEN) });
    expect([answer.status, answer.json['error']?.['hint']]).toEqual([403, expect.stringContaining('adminToken')]);
  });

  test('leave chat open on loopback when only the admin token is set', async () => {
    await using g = await startGateway({ config: { adminToken: ADMIN } });
    expect((await post(`${g.url}/api/chat`, { message: 'x' })).status).toBe(200);
    expect((await raw(`${g.url}/api/status`)).status).toBe(403);
    expect((await raw(`${g.url}/api/status`, { headers: bearer(ADMIN) })).status).toBe(200);
  });

  test('are not asked for on loopback without any, whatever a client sends', async () => {
    await using g = await startGateway();
    expect((await raw(`${g.url}/api/status`, { headers: bearer('unused') })).status).toBe(200);
  });
});

describe('login', () => {
  const config = { token: TOKEN, adminToken: ADMIN };

  function cookieOf(answer: { headers: { 'set-cookie'?: string[] | undefined } }): string {
    return answer.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  }

  test('sets a cookie that scripts and other sites cannot use and that is not the token', async () => {
    await using g = await startGateway({ config });
    const answer = await post(`${g.url}/api/login`, { token: TOKEN });
    expect([answer.status, answer.json]).toEqual([200, { role: 'chat' }]);
    const [cookie] = answer.headers['set-cookie'] ?? [];
    expect(cookie).toMatch(/HttpOnly/i);
    expect(cookie).toMatch(/SameSite=Strict/i);
    expect(cookie).toMatch(/Path=\//i);
    expect(cookie).not.toContain(TOKEN);
    const headers = { cookie: `other=1; ${cookieOf(answer)}` };
    expect((await raw(`${g.url}/v1/models`, { headers })).status).toBe(200);
    expect((await raw(`${g.url}/api/status`, { headers })).status).toBe(403);
    expect((await post(`${g.url}/api/chat`, { message: 'x' }, headers)).status).toBe(200);
    using _socket = await TestSocket.open(g.url, headers);
  });

  test('carries the admin role of the admin token', async () => {
    await using g = await startGateway({ config });
    const answer = await post(`${g.url}/api/login`, { token: ADMIN });
    expect((await raw(`${g.url}/api/status`, { headers: { cookie: cookieOf(answer) } })).status).toBe(200);
  });

  test('marks the cookie as secure when the page came over TLS', async () => {
    await using g = await startGateway({ config: { ...config, allowedOrigins: ['https://chat.example.org'] } });
    const answer = await post(`${g.url}/api/login`, { token: TOKEN }, { origin: 'https://chat.example.org' });
    expect(answer.headers['set-cookie']?.[0]).toMatch(/Secure/i);
  });

  test('is refused for a wrong token, and limited', async () => {
    await using g = await startGateway({ config });
    const wrong = await post(`${g.url}/api/login`, { token: 'wrong' });
    expect([wrong.status, wrong.headers['set-cookie']]).toEqual([401, undefined]);
    const statuses: number[] = [];
    for (let i = 0; i < 25; i++) statuses.push((await post(`${g.url}/api/login`, { token: `wrong-${i}` })).status);
    expect(statuses[0]).toBe(401);
    expect(statuses.at(-1)).toBe(429);
    expect((await raw(`${g.url}/v1/models`, { headers: bearer(TOKEN) })).status).toBe(200);
  });

  test('is a 403 from another origin', async () => {
    await using g = await startGateway({ config });
    expect((await post(`${g.url}/api/login`, { token: TOKEN }, { origin: 'http://evil.example' })).status).toBe(403);
  });

  test('ends with logout, and so do the connections that it opened', async () => {
    await using g = await startGateway({ config });
    const cookie = cookieOf(await post(`${g.url}/api/login`, { token: TOKEN }));
    using socket = await TestSocket.open(g.url, { cookie });
    const out = await raw(`${g.url}/api/logout`, { method: 'POST', headers: { cookie, 'x-orrery': '1' } });
    expect(out.status).toBe(200);
    expect((await raw(`${g.url}/v1/models`, { headers: { cookie } })).status).toBe(401);
    socket.send({ type: 'chat', message: 'x' });
    const [code] = (await once(socket.ws, 'close')) as [number];
    expect(code).toBe(1008);
    expect(g.host.received).toEqual([]);
  });
});

describe('rate limit', () => {
  test('answers 429 with Retry-After in both forms, spares health, and counts wrong tokens and frames', async () => {
    await using g = await startGateway({ config: { rateLimitPerMinute: 4, token: TOKEN } });
    using socket = await TestSocket.open(g.url, bearer(TOKEN));
    expect((await raw(`${g.url}/v1/models`, { headers: bearer('wrong') })).status).toBe(401);
    expect((await raw(`${g.url}/v1/models`, { headers: bearer(TOKEN) })).status).toBe(200);
    socket.send({ type: 'chat', id: 'a', message: 'x' });
    await socket.next('response', 'a');
    socket.send({ type: 'chat', id: 'b', message: 'x' });
    expect(await socket.next('error', 'b')).toMatchObject({ error: { code: 'ORRERY_RATE_LIMITED' } });
    const openAi = await raw(`${g.url}/v1/models`, { headers: bearer(TOKEN) });
    expect([openAi.status, openAi.json['error']?.['type']]).toEqual([429, 'rate_limit_error']);
    expect(Number(openAi.headers['retry-after'])).toBeGreaterThan(0);
    const plain = await post(`${g.url}/api/chat`, { message: 'x' }, bearer(TOKEN));
    expect([plain.status, plain.json['error']?.['code']]).toEqual([429, 'ORRERY_RATE_LIMITED']);
    expect((await raw(`${g.url}/healthz`)).status).toBe(200);
  });
});
