/** The gateway's WebSocket: every frame, its bounds, dead peers, slow readers. */
import { EventEmitter, once } from 'node:events';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import { DELTA_HIGH_WATER_BYTES } from '../../src/main/channels/gateway/deltas.ts';
import { Intake } from '../../src/main/channels/gateway/intake.ts';
import { MAX_IN_FLIGHT, SocketConnection } from '../../src/main/channels/gateway/socket.ts';
import { Waiters } from '../../src/main/channels/gateway/waiters.ts';
import { OrreryError } from '../../src/protocol/index.ts';
import { FakeHost, TestSocket, contextOf, post, startGateway, until } from '../support/gateway.ts';

describe('chat', () => {
  test('streams deltas and ends with the response', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'chat', id: 'm1', message: 'hello there', namespace: 'room:1', metadata: { peer: 'ann' } });
    const response = await socket.next('response');
    expect(response).toEqual({
      type: 'response',
      id: 'm1',
      message: 'hello there',
      namespace: 'room:1',
      agent: 'echo',
      usage: { inputTokens: 3, outputTokens: 5 },
    });
    expect(g.host.received[0]).toMatchObject({ id: 'm1', namespace: 'web:room:1', metadata: { peer: 'ann' } });
  });

  test('sends each delta with its id, several messages at once', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'chat', id: 'a', message: 'x', agent: 'held', namespace: 'a' });
    const a = await g.host.turn();
    socket.send({ type: 'chat', id: 'b', message: 'y', agent: 'held', namespace: 'b' });
    const b = await g.host.turn();
    b.delta('from b');
    expect(await socket.next('text_delta')).toEqual({ type: 'text_delta', id: 'b', text: 'from b' });
    a.delta('from a');
    expect(await socket.next('text_delta')).toEqual({ type: 'text_delta', id: 'a', text: 'from a' });
    await a.reply('from a');
    expect(await socket.next('response')).toMatchObject({ id: 'a', message: 'from a' });
    await b.reply('from b, all');
    expect(await socket.next('text_delta')).toEqual({ type: 'text_delta', id: 'b', text: ', all' });
    expect(await socket.next('response')).toMatchObject({ id: 'b', message: 'from b, all' });
  });

  test('makes up an id when none is sent', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'chat', message: 'x' });
    const { id } = await socket.next('response');
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('takes its text back with reset, and the text after it is the reply', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'chat', id: 'm1', message: 'x', agent: 'held' });
    const turn = await g.host.turn();
    turn.delta('bad');
    turn.reset();
    turn.delta('go');
    await turn.reply('good');
    await socket.next('text_delta');
    expect(await socket.next('reset')).toEqual({ type: 'reset', id: 'm1' });
    expect(await socket.next('text_delta')).toMatchObject({ text: 'go' });
    expect(await socket.next('text_delta')).toMatchObject({ text: 'od' });
    expect(await socket.next('response')).toMatchObject({ message: 'good' });
  });

  test('answers a failed turn with an error that carries the id', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'chat', id: 'm1', message: 'x', agent: 'fails' });
    expect(await socket.next('error')).toEqual({
      type: 'error',
      id: 'm1',
      error: {
        code: 'ORRERY_AGENT_FAILED',
        message: 'The agent threw: no luck',
        hint: expect.any(String) as string,
        id: 'm1',
      },
    });
    socket.send({ type: 'chat', id: 'm2', message: 'x', agent: 'nobody' });
    const refused = await socket.next('error', 'm2');
    expect(refused).toMatchObject({ error: { code: 'ORRERY_AGENT_UNKNOWN' } });
    expect(refused['error']).not.toHaveProperty('id');
  });

  test('gives the stored answer again after a reconnect, and says when it is still under way', async () => {
    await using g = await startGateway();
    const frame = { type: 'chat', id: 'm1', message: 'x', agent: 'held', namespace: 'n' };
    const first = await TestSocket.open(g.url);
    first.send(frame);
    const turn = await g.host.turn();
    first[Symbol.dispose]();
    using second = await TestSocket.open(g.url);
    second.send(frame);
    expect(await second.next('error', 'm1')).toMatchObject({ error: { code: 'ORRERY_DUPLICATE_IN_FLIGHT', id: 'm1' } });
    await turn.reply('kept');
    expect(g.host.cancelled).toEqual([]);
    second.send(frame);
    expect(await second.next('response', 'm1')).toMatchObject({ message: 'kept' });
  });

  test('is bounded for one connection', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    for (let i = 0; i <= MAX_IN_FLIGHT; i++) socket.send({ type: 'chat', id: `m${i}`, message: 'x', agent: 'held' });
    expect(await socket.next('error')).toMatchObject({ id: `m${MAX_IN_FLIGHT}`, error: { code: 'ORRERY_OVERLOADED' } });
    expect(g.host.received).toHaveLength(MAX_IN_FLIGHT);
    const turn = await g.host.turn();
    await turn.reply('done');
    await socket.next('response');
    socket.send({ type: 'chat', id: 'more', message: 'x' });
    await socket.next('response', 'more');
  });

  test('is refused while draining, and what is under way is still answered', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'chat', id: 'a', message: 'x', agent: 'held' });
    const turn = await g.host.turn();
    g.channel.shutdown();
    socket.send({ type: 'chat', id: 'b', message: 'x' });
    expect(await socket.next('error', 'b')).toMatchObject({ error: { code: 'ORRERY_DRAINING' } });
    await turn.reply('done');
    await socket.next('response', 'a');
  });
});

describe('cancel', () => {
  test('cancels the turn, and its error says so', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'chat', id: 'm1', message: 'x', agent: 'held' });
    const turn = await g.host.turn();
    socket.send({ type: 'cancel', id: 'm1' });
    expect(await socket.next('error', 'm1')).toMatchObject({ error: { code: 'ORRERY_CANCELLED', id: 'm1' } });
    expect(g.host.cancelled).toEqual([turn.delivery.id]);
  });

  test('waits for the acceptance when it comes before it', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    const gate = Promise.withResolvers<void>();
    g.host.gate = gate.promise;
    socket.send({ type: 'chat', id: 'm1', message: 'x', agent: 'held' });
    await until(() => g.host.received.length === 1);
    socket.send({ type: 'cancel', id: 'm1' });
    socket.send({ type: 'ping' });
    await socket.next('pong');
    expect(g.host.cancelled).toEqual([]);
    gate.resolve();
    expect(await socket.next('error', 'm1')).toMatchObject({ error: { code: 'ORRERY_CANCELLED' } });
  });

  test('reaches a message of an earlier connection once it was asked for again', async () => {
    await using g = await startGateway();
    const frame = { type: 'chat', id: 'm1', message: 'x', agent: 'held', namespace: 'n' };
    const first = await TestSocket.open(g.url);
    first.send(frame);
    const turn = await g.host.turn();
    first[Symbol.dispose]();
    using second = await TestSocket.open(g.url);
    second.send({ type: 'cancel', id: 'm1' });
    expect(await second.next('error', 'm1')).toMatchObject({ error: { code: 'ORRERY_NOT_FOUND' } });
    second.send(frame);
    await second.next('error', 'm1');
    second.send({ type: 'cancel', id: 'm1' });
    await until(() => g.host.cancelled.length === 1);
    expect(g.host.cancelled).toEqual([turn.delivery.id]);
  });
});

describe('other frames', () => {
  test('ping is answered with pong', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'ping' });
    expect(await socket.next('pong')).toEqual({ type: 'pong' });
    socket.send({ type: 'ping', id: 7 });
    expect(await socket.next('pong')).toEqual({ type: 'pong', id: 7 });
  });

  test.each([
    ['no JSON', '{"type": '],
    ['no object', '[]'],
    ['no type', '{}'],
    ['an unknown type', '{"type":"tool_approval_response"}'],
    ['a chat without a message', '{"type":"chat","id":"m1"}'],
    ['a chat with a bad namespace', '{"type":"chat","message":"x","namespace":"::"}'],
    ['a chat with an unknown key', '{"type":"chat","message":"x","sesion":"bob"}'],
    ['a cancel without an id', '{"type":"cancel"}'],
  ])('get an error and keep the connection - %s', async (_what, frame) => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send(frame);
    const { error } = await socket.next('error');
    expect(error?.['code']).toMatch(/^ORRERY_BAD_(REQUEST|NAMESPACE)$/);
    socket.send({ type: 'chat', message: 'still here' });
    expect(await socket.next('response')).toMatchObject({ message: 'still here' });
  });

  test('with a key that a chat does not know name it, the known ones and the one that was probably meant', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'chat', id: 'm1', message: 'x', naemspace: 'bob' });
    expect(await socket.next('error')).toMatchObject({
      id: 'm1',
      error: {
        message:
          'Expected the keys type, message, namespace, agent, metadata, queue, id, got "naemspace"; did you mean `namespace`?',
      },
    });
    expect(g.host.received).toEqual([]);
  });

  test('that are binary get an error', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.ws.send(Buffer.from('{"type":"ping"}'), { binary: true });
    expect(await socket.next('error')).toMatchObject({ error: { code: 'ORRERY_BAD_REQUEST' } });
  });

  test('that are too large get an error, and far larger ones end the connection', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'chat', message: 'x'.repeat(2 * 1024 * 1024) });
    expect(await socket.next('error')).toMatchObject({ error: { code: 'ORRERY_TOO_LARGE' } });
    socket.send({ type: 'chat', message: 'x'.repeat(5 * 1024 * 1024) });
    const [code] = (await once(socket.ws, 'close')) as [number];
    expect(code).toBe(1009);
    expect(g.host.received).toEqual([]);
  });
});

describe('a connection', () => {
  test('is cut off when its peer answers no ping', async () => {
    await using g = await startGateway({ pingMs: 20 });
    using dead = await TestSocket.open(g.url);
    dead.ws.pause();
    await until(() => g.connections() === 0);
    expect(dead.frames).toEqual([]);
  });

  test('is pinged at each beat, kept while its peer answers, and cut off at the beat after one that it did not', () => {
    const calls: string[] = [];
    const ws = Object.assign(new EventEmitter(), {
      ping: () => calls.push('ping'),
      terminate: () => calls.push('terminate'),
    });
    const connection = new SocketConnection(ws as EventEmitter as WebSocket, {
      root: 'web',
      intake: new Intake(contextOf(new FakeHost(), new AbortController().signal), new Waiters(), undefined),
      log: pino({ level: 'silent' }),
      maxFrameBytes: 1024,
      cancel: () => false,
      authorized: () => true,
      admit: async () => undefined,
    });
    connection.beat();
    ws.emit('pong');
    connection.beat();
    expect(calls).toEqual(['ping', 'ping']);
    connection.beat();
    expect(calls).toEqual(['ping', 'ping', 'terminate']);
  });

  test('costs little memory when its peer reads nothing, and misses no text in the end', async () => {
    await using g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'chat', id: 'm1', message: 'x', agent: 'held' });
    const turn = await g.host.turn();
    socket.ws.pause();
    const piece = 'abcdefgh'.repeat(2048);
    const pieces = 1000;
    let most = 0;
    for (let i = 0; i < pieces; i++) {
      turn.delta(piece);
      most = Math.max(most, g.waitingBytes());
      if (i % 50 === 0) await new Promise(setImmediate);
    }
    expect(most).toBeGreaterThan(DELTA_HIGH_WATER_BYTES);
    expect(most).toBeLessThan(4 * DELTA_HIGH_WATER_BYTES);
    const whole = piece.repeat(pieces);
    await turn.reply(whole);
    socket.ws.resume();
    let text = '';
    while (text.length < whole.length) text += (await socket.next('text_delta'))['text'];
    expect(text === whole).toBe(true);
    const { message } = await socket.next('response');
    expect(message === whole).toBe(true);
  });

  test('is cut off when its peer asks for more and more and reads nothing', async () => {
    await using g = await startGateway({ agents: { long: (turn) => turn.reply('x'.repeat(1024 * 1024)) } });
    using socket = await TestSocket.open(g.url);
    socket.ws.pause();
    for (let i = 0; g.connections() > 0; i++) {
      socket.send({ type: 'chat', id: `m${i}`, message: 'x', agent: 'long' });
      await new Promise(setImmediate);
    }
    expect(g.host.received.length).toBeGreaterThan(3);
    expect(g.host.received.length).toBeLessThan(200);
    const kept = await post(`${g.url}/api/chat`, { message: 'y' });
    expect(kept.status).toBe(200);
  });

  test('is told that the gateway goes, after what it waited for', async () => {
    const g = await startGateway();
    using socket = await TestSocket.open(g.url);
    socket.send({ type: 'chat', id: 'm1', message: 'x', agent: 'held' });
    const turn = await g.host.turn();
    const closed = once(socket.ws, 'close');
    await g.channel.dispose();
    const [code] = (await closed) as [number];
    expect(code).toBe(1001);
    expect(socket.frames).toMatchObject([
      { type: 'error', id: 'm1', error: { code: 'ORRERY_CHANNEL_CLOSED', id: 'm1' } },
    ]);
    await until(() => g.connections() === 0);
    await turn.fail(new OrreryError('ORRERY_INTERRUPTED', 'late')); // nobody waits, and nothing throws
  });
});
