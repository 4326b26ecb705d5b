/** Runs the queue modes on real threads: what shares a turn, what it commits, and what each sender gets. */
import { describe, expect, test } from 'vitest';
import type { DeliveredReply, InboundMessage, QueueMode } from '../../src/protocol/index.ts';
import { BALANCED, type HostUnderTest, balance, eventually, fixture, startHost } from '../support/host.ts';
import { type RawAnswer, TestSocket, post } from '../support/gateway.ts';

const JOINS = { use: fixture('joins') };

function begin(): Promise<HostUnderTest> {
  return startHost({ agents: { joins: JOINS } });
}

/** Sends a message in the one session, under its text as its id. */
function send(
  host: HostUnderTest,
  queue: QueueMode,
  text: string,
  over: Partial<InboundMessage> = {},
): Promise<DeliveredReply> {
  return host.send('joins', text, { id: text, queue, ...over });
}

/** Sends one and waits until its turn runs. */
async function running(
  host: HostUnderTest,
  queue: QueueMode,
  text: string,
): Promise<{ readonly answer: Promise<DeliveredReply> }> {
  const answer = send(host, queue, text);
  answer.catch(() => undefined); // looked at by its test
  await logged(host, `begin ${text}`);
  return { answer };
}

async function logged(host: HostUnderTest, line: string): Promise<void> {
  await eventually(`the log has "${line}"`, () => host.lines().includes(line));
}

function texts(replies: readonly DeliveredReply[]): readonly string[] {
  return replies.map(({ message }) => message.content);
}

async function history(host: HostUnderTest): Promise<unknown> {
  return JSON.parse((await send(host, 'followup', 'history')).message.content);
}

/** A message that came again gets what is kept under its id, and runs nothing. */
async function sameAgain(
  host: HostUnderTest,
  replies: readonly DeliveredReply[],
  sent: readonly string[],
): Promise<void> {
  const { length } = host.lines();
  expect(await Promise.all(sent.map((text) => send(host, 'followup', text)))).toEqual(replies);
  expect(host.lines()).toHaveLength(length);
}

describe('queue modes on real threads', () => {
  test('collect - what waited is one message to the agent, three in its session, and one reply under three ids', async () => {
    await using host = await begin();
    const first = await running(host, 'collect', 'hold one');
    const waiting = ['two', 'three', 'four'];
    const rest = waiting.map((text) => send(host, 'collect', text));
    host.open();
    expect((await first.answer).message.content).toBe('hold one');
    const replies = await Promise.all(rest);
    expect(texts(replies)).toEqual(['two+three+four', 'two+three+four', 'two+three+four']);
    expect(new Set(replies.map(({ id }) => id)).size).toBe(3);
    expect(replies.map(({ by }) => by)).toEqual([undefined, replies[0]?.id, replies[0]?.id]);
    await sameAgain(host, replies, waiting);
    expect(await history(host)).toEqual(['hold one', 'hold one', 'two', 'three', 'four', 'two+three+four']);
    expect(balance(host.status)).toEqual(BALANCED);
    expect(host.status.messages).toMatchObject({ answered: 5, dead: 0, pending: 0 });
  });

  test('collect - images and files of all messages reach the agent in their order', async () => {
    await using host = await begin();
    const first = await running(host, 'collect', 'hold one');
    const image = { type: 'image', url: 'https://example.org/a.png' } as const;
    const message = { role: 'user', content: 'look', parts: [image] } as const;
    const rest = [
      send(host, 'collect', 'two'),
      send(host, 'collect', 'three', { message }),
      send(host, 'collect', 'four'),
    ];
    host.open();
    await first.answer;
    expect(texts(await Promise.all(rest))).toEqual(Array.from({ length: 3 }, () => 'two+look+four'));
    expect(host.lines()).toContain('parts two look https://example.org/a.png four');
  });

  test('collect - a turn that fails is a dead letter for each, and the session keeps nothing of it', async () => {
    await using host = await begin();
    const first = await running(host, 'collect', 'hold one');
    const rest = ['fail now', 'two'].map((text) => send(host, 'collect', text));
    host.open();
    await first.answer;
    const failed = await Promise.allSettled(rest);
    expect(failed).toMatchObject([
      { status: 'rejected', reason: { code: 'ORRERY_AGENT_FAILED' } },
      { status: 'rejected', reason: { code: 'ORRERY_AGENT_FAILED' } },
    ]);
    expect((await host.supervisor.deadLetters.list()).map(({ inbound }) => inbound.id)).toEqual(['two', 'fail now']);
    expect(await history(host)).toEqual(['hold one', 'hold one']);
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('collect - a listener of each of them hears the text', async () => {
    await using host = await begin();
    const first = await running(host, 'collect', 'hold one');
    const heard = { two: '', three: '' };
    const rest = (['two', 'three'] as const).map((text) =>
      host.supervisor.inject(host.message('joins', text, { id: text, queue: 'collect' }), {
        onDelta: (delta) => {
          heard[text] += delta;
        },
      }),
    );
    host.open();
    await first.answer;
    await Promise.all(rest);
    expect(heard).toEqual({ two: 'two+three', three: 'two+three' });
  });

  test('interrupt - the running turn is aborted and begins again with the new message; the session has no trace of the abort', async () => {
    await using host = await begin();
    const one = await running(host, 'interrupt', 'hold one');
    const two = send(host, 'interrupt', 'two');
    await logged(host, 'begin hold one+two');
    const three = send(host, 'interrupt', 'three');
    await logged(host, 'begin hold one+two+three');
    host.open();
    const replies = await Promise.all([one.answer, two, three]);
    expect(texts(replies)).toEqual(Array.from({ length: 3 }, () => 'hold one+two+three'));
    await sameAgain(host, replies, ['hold one', 'two', 'three']);
    expect(host.lines().filter((line) => line.startsWith('end'))).toEqual(['end hold one+two+three']);
    expect(await history(host)).toEqual(['hold one', 'two', 'three', 'hold one+two+three']);
    expect(balance(host.status)).toEqual(BALANCED);
    expect(host.status.messages).toMatchObject({ dead: 0 });
  });

  test('steer - the turn takes what comes while it runs, and its one commit answers all of it', async () => {
    await using host = await begin();
    const one = await running(host, 'steer', 'loop one');
    const two = send(host, 'steer', 'two');
    await logged(host, 'took two');
    const three = send(host, 'steer', 'three');
    await logged(host, 'took three');
    host.open();
    const replies = await Promise.all([one.answer, two, three]);
    expect(texts(replies)).toEqual(Array.from({ length: 3 }, () => 'loop one | two | three'));
    expect(replies.map(({ by }) => by)).toEqual([undefined, replies[0]?.id, replies[0]?.id]);
    await sameAgain(host, replies, ['loop one', 'two', 'three']);
    expect(await history(host)).toEqual(['loop one', 'two', 'three', 'loop one | two | three']);
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('steer - what the turn does not take is the next one, in order', async () => {
    await using host = await begin();
    const one = await running(host, 'steer', 'hold one');
    const rest = ['two', 'three'].map((text) => send(host, 'steer', text));
    host.open();
    expect(texts(await Promise.all([one.answer, ...rest]))).toEqual(['hold one', 'two', 'three']);
    expect(await history(host)).toEqual(['hold one', 'hold one', 'two', 'two', 'three', 'three']);
  });

  test('steer - a message that was taken back before the turn looked is never seen by it', async () => {
    await using host = await begin();
    const one = await running(host, 'steer', 'hold one');
    const abort = new AbortController();
    const two = host.supervisor.inject(host.message('joins', 'two', { id: 'two', queue: 'steer' }), abort);
    await eventually('both are under way', () => host.status.messages.pending === 2);
    abort.abort();
    await expect(two).rejects.toMatchObject({ code: 'ORRERY_CANCELLED' });
    host.open();
    expect((await one.answer).message.content).toBe('hold one');
    expect(host.lines()).not.toContain('begin two');
  });

  test('queue - a drain waits for all that share a turn, and for those behind it', async () => {
    await using host = await begin();
    const answers = [(await running(host, 'steer', 'loop one')).answer, send(host, 'steer', 'two')];
    await logged(host, 'took two');
    for (const text of ['three', 'four']) answers.push(send(host, 'collect', text));
    const drained = host.supervisor.drain();
    host.open();
    expect(await drained).toMatchObject({ clean: true, answered: 4, unfinished: 0 });
    expect(texts(await Promise.all(answers))).toEqual(['loop one | two', 'loop one | two', 'three+four', 'three+four']);
  });
});

describe('queue modes over the gateway', () => {
  test('gateway - its sessions have the modes of its configuration, and a caller may ask for another one', async () => {
    await using host = await startHost({
      agents: { joins: JOINS },
      channels: {
        web: { type: 'gateway', port: 0, queue: { mode: 'collect', sessions: { 'web:now:*': 'interrupt' } } },
      },
    });
    const url = host.supervisor.channels.list()[0]?.url ?? '';
    const metadata = { gate: host.path('gate'), log: host.path('log') };
    const chat = (message: string, namespace: string, rest = {}): Promise<RawAnswer> =>
      post(`${url}/api/chat`, { message, namespace, id: message, metadata, ...rest });

    const first = chat('hold one', 'room:1');
    await logged(host, 'begin hold one');
    // Each has a connection of its own: the next one is sent when this one was taken in.
    const waiting: Promise<RawAnswer>[] = [];
    for (const [message, rest] of [['two'], ['three'], ['alone', { queue: 'followup' }]] as const) {
      waiting.push(chat(message, 'room:1', rest));
      await eventually('it waits', () => host.status.messages.pending === 1 + waiting.length);
    }
    const now = chat('hold a', 'now:1');
    await logged(host, 'begin hold a');
    const also = chat('b', 'now:1');
    await logged(host, 'begin hold a+b');
    const steered = chat('loop x', 'room:2');
    await logged(host, 'begin loop x');
    const later = chat('y', 'room:2', { queue: 'steer' });
    await logged(host, 'took y');
    host.open();

    const answers = await Promise.all([first, ...waiting, now, also, steered, later]);
    expect(answers.map(({ status, json }) => [status, json['id'], json['message']])).toEqual([
      [200, 'hold one', 'hold one'],
      [200, 'two', 'two+three'],
      [200, 'three', 'two+three'],
      [200, 'alone', 'alone'],
      [200, 'hold a', 'hold a+b'],
      [200, 'b', 'hold a+b'],
      [200, 'loop x', 'loop x | y'],
      [200, 'y', 'loop x | y'],
    ]);
    // Who was joined says which delivery's turn answered; who led it says nothing.
    const by = answers.map(({ json }) => json['by']);
    expect(by).toEqual([
      undefined,
      undefined,
      expect.any(String),
      undefined,
      undefined,
      expect.any(String),
      undefined,
      expect.any(String),
    ]);
    expect(new Set(by.filter(Boolean)).size).toBe(3);
    expect((await chat('three', 'room:1')).json).toEqual(answers[2]?.json);
  });

  test('gateway - a WebSocket asks for a mode too, and one that is none is refused', async () => {
    await using host = await startHost({ agents: { joins: JOINS }, channels: { web: { type: 'gateway', port: 0 } } });
    const url = host.supervisor.channels.list()[0]?.url ?? '';
    const metadata = { gate: host.path('gate'), log: host.path('log') };
    using socket = await TestSocket.open(url);
    const chat = (message: string, queue: string): void =>
      socket.send({ type: 'chat', id: message, message, namespace: 'room:1', metadata, queue });
    chat('hold one', 'interrupt');
    await logged(host, 'begin hold one');
    chat('two', 'interrupt');
    await logged(host, 'begin hold one+two');
    host.open();
    const responses = [await socket.next('response'), await socket.next('response')];
    expect(responses.map((frame) => [frame['id'], frame['message']])).toEqual([
      ['hold one', 'hold one+two'],
      ['two', 'hold one+two'],
    ]);
    expect(responses.map((frame) => 'by' in frame)).toEqual([false, true]);
    chat('three', 'jump');
    expect(await socket.next('error')).toMatchObject({
      id: 'three',
      error: { code: 'ORRERY_BAD_REQUEST', message: expect.stringMatching(/followup, .*got "jump"$/) },
    });
    const refused = await post(`${url}/api/chat`, { message: 'x', queue: 7 });
    expect(refused.status).toBe(400);
    expect(refused.json['error']).toMatchObject({
      code: 'ORRERY_BAD_REQUEST',
      message: expect.stringMatching(/got 7$/),
    });
  });
});
