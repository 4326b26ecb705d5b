/** The gateway as a channel: how it opens, drains and closes, and who is still answered. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { GatewayChannel } from '../../src/main/channels/gateway/index.ts';
import { FakeHost, GATEWAY_CONFIG, contextOf, post, raw, startGateway } from '../support/gateway.ts';

describe('life of the channel', () => {
  test('refuses to bind beyond loopback without a token', async () => {
    for (const host of ['0.0.0.0', '::', '192.168.1.5', 'example.org']) {
      const channel = new GatewayChannel({ ...GATEWAY_CONFIG, host }, new FakeHost(), { name: 'web', version: '0' });
      const connected = channel.connect(contextOf(new FakeHost(), new AbortController().signal));
      await expect(connected).rejects.toMatchObject({ code: 'ORRERY_OPEN_BIND' });
      expect(channel.address).toBeUndefined();
    }
  });

  test('binds to every interface with a token', async () => {
    await using g = await startGateway({ config: { host: '0.0.0.0', token: 'secret-token' } });
    const headers = { authorization: 'Bearer secret-token' };
    expect((await post(`${g.url}/api/chat`, { message: 'x' }, headers)).status).toBe(200);
  });

  test('says which port is in use, and that no retry helps', async () => {
    const other = createServer();
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const started = startGateway({ config: { port } });
    await expect(started).rejects.toMatchObject({ code: 'ORRERY_PORT_IN_USE', retryable: false });
    await expect(started).rejects.toThrow(String(port));
    other.close();
  });

  test('does not open when its owner ended it meanwhile', async () => {
    const channel = new GatewayChannel(GATEWAY_CONFIG, new FakeHost(), { name: 'web', version: '0' });
    const abort = new AbortController();
    const connected = channel.connect(contextOf(new FakeHost(), abort.signal));
    abort.abort(new Error('ended'));
    await expect(connected).rejects.toThrow('ended');
    expect(channel.address).toBeUndefined();
  });

  test('takes in nothing while draining and still answers who waits', async () => {
    await using g = await startGateway();
    const asked = post(`${g.url}/api/chat`, { message: 'x', agent: 'held' });
    const turn = await g.host.turn();
    g.channel.shutdown();
    for (const path of ['/api/chat', '/v1/chat/completions']) {
      const refused = await post(`${g.url}${path}`, { message: 'x' });
      expect([refused.status, refused.json['error']?.['code']]).toEqual([503, 'ORRERY_DRAINING']);
    }
    await turn.reply('late but here');
    expect((await asked).json['message']).toBe('late but here');
  });

  test('tells who still waits that the reply is kept, and leaves no connection behind', async () => {
    const g = await startGateway();
    const socket = connect(g.port, '127.0.0.1');
    await once(socket, 'connect');
    const asked = post(`${g.url}/api/chat`, { message: 'x', agent: 'held', id: 'm1' });
    const turn = await g.host.turn();
    const gone = once(socket, 'close');
    await g.channel.dispose();
    const answer = await asked;
    expect(answer.status).toBe(503);
    expect(answer.json['error']).toMatchObject({ code: 'ORRERY_CHANNEL_CLOSED', id: 'm1' });
    expect(answer.headers['x-should-retry']).toBe('false');
    await gone;
    await turn.reply('nobody waits');
    expect(g.host.sent).toEqual([[]]);
    await expect(raw(`${g.url}/healthz`)).rejects.toThrow('ECONNREFUSED');
    await g.channel.dispose();
  });

  test('answers who waits when the connection is to end now', async () => {
    await using g = await startGateway();
    const asked = post(`${g.url}/api/chat`, { message: 'x', agent: 'held' });
    await g.host.turn();
    g.abort.abort();
    expect((await asked).status).toBe(503);
  });

  test('serves again after it was closed, on a new connection of the same instance', async () => {
    const g = await startGateway();
    await g.channel.dispose();
    await g.channel.connect(contextOf(g.host, new AbortController().signal));
    const answer = await post(`${g.channel.address?.url}/api/chat`, { message: 'again' });
    expect(answer.json['message']).toBe('again');
    await g.channel.dispose();
  });

  test('sends the reply although its client left', async () => {
    await using g = await startGateway();
    const abort = new AbortController();
    const body = JSON.stringify({ message: 'x', agent: 'held', id: 'm1', namespace: 'n' });
    const headers = { 'content-type': 'application/json' };
    const asked = fetch(`${g.url}/api/chat`, { method: 'POST', body, headers, signal: abort.signal });
    const turn = await g.host.turn();
    abort.abort();
    await expect(asked).rejects.toThrow('aborted');
    await turn.reply('kept');
    expect(g.host.cancelled).toEqual([]);
    const again = await post(`${g.url}/api/chat`, body);
    expect(again.json['message']).toBe('kept');
  });
});
