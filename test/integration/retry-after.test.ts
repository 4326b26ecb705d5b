/** A real host between a provider that limits the rate and a caller over HTTP: who waits, for how long, and what the caller is told. */
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { post } from '../support/gateway.ts';
import { type HostUnderTest, startHost } from '../support/host.ts';

/** A provider that refuses every call with this `Retry-After`; returns its address and counts what it was asked. */
async function limited(retryAfter: string): Promise<{ readonly url: string; calls: number }> {
  const provider = { url: '', calls: 0 };
  const server = createServer((request, response) => {
    provider.calls += 1;
    request.resume();
    response.writeHead(429, { 'content-type': 'application/json', 'retry-after': retryAfter });
    response.end(JSON.stringify({ error: { message: 'the quota of today is used up' } }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  provider.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  return provider;
}

async function hostOf(baseUrl: string): Promise<{ readonly host: HostUnderTest; readonly url: string }> {
  const host = await startHost({
    agents: { model: { model: 'openai-compatible:llama3', baseUrl } },
    channels: { web: { type: 'gateway', port: 0 } },
  });
  const url = host.supervisor.channels.list()[0]?.url;
  if (url === undefined) throw new Error('the gateway has no address');
  return { host, url };
}

test.each([
  ['a day', '86400'],
  ['more than a timer can count', '2592000'],
])('Retry-After - goes to the caller, and the session goes on, when the provider says %s', async (_, seconds) => {
  const provider = await limited(seconds);
  const { host, url } = await hostOf(provider.url);
  await using _host = host;
  const chat = { message: 'hi', id: 'm1', namespace: 'n' };
  const first = await post(`${url}/api/chat`, chat);
  expect(first.status).toBe(502);
  expect(first.json['error']).toMatchObject({ code: 'ORRERY_MODEL_UNAVAILABLE', id: 'm1' });
  expect(first.headers).toMatchObject({ 'retry-after': seconds, 'x-should-retry': 'false' });
  expect(provider.calls).toBe(1);

  const next = await post(`${url}/api/chat`, { ...chat, id: 'm2' });
  expect(next.headers).toMatchObject({ 'retry-after': seconds, 'x-should-retry': 'false' });

  const messages = [{ role: 'user', content: 'hello' }];
  const openAi = await post(`${url}/v1/chat/completions`, { model: 'model', messages });
  expect(openAi.status).toBe(502);
  expect(openAi.headers).toMatchObject({ 'retry-after': seconds, 'x-should-retry': 'false' });
  expect(host.supervisor.status().messages).toMatchObject({ pending: 0, dead: 3 });
});
