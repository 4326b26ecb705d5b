import { afterEach, describe, expect, test, vi } from 'vitest';
import { OrreryError, type TurnOutcome } from '../../src/protocol/index.ts';
import { DeliveryUnderTest, runtimeOf, tick } from '../support/delivery.ts';

const AGAIN = new OrreryError('ORRERY_MODEL_UNAVAILABLE', 'not now');
const FINAL = new OrreryError('ORRERY_AGENT_FAILED', 'broken');

function balanced(d: DeliveryUnderTest): boolean {
  const m = d.account.snapshot();
  return (
    m.received === m.rejected + m.inIntake + m.accepted &&
    m.accepted + m.recovered + m.replayed === m.answered + m.dead + m.pending &&
    m.pending === d.engine.pending
  );
}

afterEach(() => {
  vi.useRealTimers();
});

test('delivery - a message that comes a second time leaves no mailbox behind', async () => {
  const d = new DeliveryUnderTest();
  await d.send('one', 'alice', { id: 'same' });
  await d.reply('one');
  expect(await d.send('one', 'alice', { id: 'same' })).toMatchObject({ status: 'duplicate', state: 'answered' });
  expect(d.engine.sessions).toBe(0);
});

describe('cancel', () => {
  test('delivery - cancelled while it waits in its mailbox, it is never begun', async () => {
    const d = new DeliveryUnderTest();
    await d.send('first');
    const { id } = await d.send('second');
    await d.send('third');
    expect(d.engine.cancel(id)).toBe(true);
    await tick();
    expect(d.origin.heard).toEqual(['ORRERY_CANCELLED']);
    await d.reply('first');
    await d.reply('third');
    expect(d.origin.heard).toEqual(['ORRERY_CANCELLED', 'first', 'third']);
    expect(d.slot.begun.map((turn) => turn.message.content)).toEqual(['first', 'third']);
    expect(d.letters.get(id)).toMatchObject({ reason: 'cancelled', attempts: 0 });
    expect(balanced(d)).toBe(true);
  });

  test('delivery - cancelled while its runtime has no turn free, it is never begun', async () => {
    const d = new DeliveryUnderTest({ maxTurnsPerAgent: 1 });
    await d.send('first', 'alice');
    const { id } = await d.send('second', 'bob');
    await d.send('third', 'carol');
    expect(d.engine.cancel(id)).toBe(true);
    await d.reply('first');
    await d.reply('third');
    expect(d.origin.heard.toSorted()).toEqual(['ORRERY_CANCELLED', 'first', 'third']);
    expect(d.slot.begun.map((turn) => turn.message.content)).toEqual(['first', 'third']);
    expect(d.engine.pending).toBe(0);
    expect(d.engine.sessions).toBe(0);
  });

  test('delivery - cancelled before its batch left, it is never begun, and its typing indicator ends', async () => {
    const d = new DeliveryUnderTest();
    // While one call is under way, what comes waits for the next one.
    const call = Promise.withResolvers<readonly TurnOutcome[]>();
    d.slot.held = call.promise;
    await d.send('first', 'alice');
    await tick();
    d.slot.held = undefined;
    const { id } = await d.send('second', 'bob');
    expect(d.origin.typingNow).toBe(2);
    expect(d.engine.cancel(id)).toBe(true);
    expect(d.origin.typingNow).toBe(1);
    call.resolve([]);
    await tick();
    expect(d.slot.begun).toEqual([]);
    expect(d.origin.heard).toEqual(['ORRERY_CANCELLED']);
    expect(d.letters.get(id)).toMatchObject({ reason: 'cancelled' });
    expect(d.engine.roster.running('a')).toBe(1);
  });

  test('delivery - cancelled while it runs, its outcome decides: the abort, or a reply that was committed before', async () => {
    const d = new DeliveryUnderTest();
    const one = await d.send('one', 'alice');
    const two = await d.send('two', 'bob');
    expect(d.engine.cancel(one.id)).toBe(true);
    expect(d.engine.cancel(two.id)).toBe(true);
    expect(d.slot.cancelled.map(({ id }) => id)).toEqual([one.id, two.id]);
    await d.fail('one', new OrreryError('ORRERY_CANCELLED', 'cancelled'));
    await d.reply('two');
    expect(d.origin.heard).toEqual(['ORRERY_CANCELLED', 'two']);
    expect(d.letters.get(one.id)).toMatchObject({ reason: 'cancelled' });
  });

  test('delivery - cancelled while it runs, it is not run again when that attempt fails or its slot ends', async () => {
    const d = new DeliveryUnderTest();
    const one = await d.send('one', 'alice');
    const two = await d.send('two', 'bob');
    for (const { id } of [one, two]) d.engine.cancel(id);
    // The failure of the one was on its way when the abort was sent; the other's slot dies before it heard of it.
    await d.fail('one', AGAIN);
    await d.crash(d.slot, { intended: true });
    await tick();
    expect(d.origin.heard).toEqual(['ORRERY_CANCELLED', 'ORRERY_CANCELLED']);
    expect(d.slot.begun).toHaveLength(2);
    expect(d.engine.pending).toBe(0);
    expect(balanced(d)).toBe(true);
  });

  test('delivery - cancelled while it waits to be retried, the next of its session goes on', async () => {
    const d = new DeliveryUnderTest({ retry: { minMs: 60_000, maxMs: 60_000, jitter: 0 } });
    const { id } = await d.send('first');
    await d.send('second');
    await d.fail('first', AGAIN);
    expect(d.slot.running.size).toBe(0);
    expect(d.engine.cancel(id)).toBe(true);
    await tick();
    await d.reply('second');
    expect(d.origin.heard).toEqual(['ORRERY_CANCELLED', 'second']);
    d.engine.close();
  });

  test('delivery - cancel says false of what is over or was never there', async () => {
    const d = new DeliveryUnderTest();
    const { id } = await d.send('first');
    await d.reply('first');
    expect(d.engine.cancel(id)).toBe(false);
    expect(d.engine.cancel('unknown')).toBe(false);
    expect(d.origin.heard).toEqual(['first']);
  });
});

describe('retries', () => {
  test('delivery - a retryable error is tried again up to the bound, and holds its session', async () => {
    const d = new DeliveryUnderTest();
    const { id } = await d.send('first');
    await d.send('second');
    for (let attempt = 1; attempt <= 3; attempt++) {
      expect(d.slot.turn('first').attempt).toBe(attempt);
      expect(d.slot.running.size).toBe(1);
      await d.fail('first', AGAIN);
    }
    await d.reply('second');
    expect(d.origin.heard).toEqual(['ORRERY_MODEL_UNAVAILABLE', 'second']);
    expect(d.origin.errors[0]?.error.details).toMatchObject({ attempts: 3 });
    expect(d.letters.get(id)).toMatchObject({ reason: 'exhausted', attempts: 3 });
    expect(d.account.retries).toBe(2);
  });

  test('delivery - other sessions go on while one waits for its retry', async () => {
    const d = new DeliveryUnderTest({ retry: { minMs: 60_000, maxMs: 60_000, jitter: 0 } });
    await d.send('stuck', 'alice');
    await d.fail('stuck', AGAIN);
    for (let i = 0; i < 5; i++) {
      await d.send(`free ${i}`, 'bob');
      await d.reply(`free ${i}`);
    }
    expect(d.origin.heard).toEqual(Array.from({ length: 5 }, (_, i) => `free ${i}`));
    d.engine.close();
  });

  test.each([
    ['it is cancelled', (d: DeliveryUnderTest, id: string) => d.engine.cancel(id)],
    ['the host stops', (d: DeliveryUnderTest) => d.engine.close()],
  ])('delivery - one that waits for its retry leaves no timer when %s', async (_, end) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
    const d = new DeliveryUnderTest({ retry: { minMs: 60_000, maxMs: 60_000, jitter: 0 } });
    const { id } = await d.send('first');
    await vi.advanceTimersByTimeAsync(0);
    const failed = d.fail('first', AGAIN);
    await vi.advanceTimersByTimeAsync(10);
    await failed;
    expect(vi.getTimerCount()).toBe(1);
    end(d, id);
    await vi.advanceTimersByTimeAsync(10);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('delivery - text of a failed attempt is taken back before the next one, and the joined rest is the reply', async () => {
    const d = new DeliveryUnderTest();
    const told: string[] = [];
    const listener = { delta: (text: string) => told.push(text), reset: () => told.push('RESET') };
    await d.send('first', 'alice', {}, listener);
    d.engine.delta(0, d.slot.turn('first').turn, 'wrong');
    await d.fail('first', AGAIN, true);
    const { turn } = d.slot.turn('first');
    d.engine.delta(0, turn, 'ri');
    await d.reply('first', 'right');
    // What was on its way when the reply came is in the reply, and not told twice.
    d.engine.delta(0, turn, 'ght');
    expect(told).toEqual(['wrong', 'RESET', 'ri', 'ght']);
  });

  test('delivery - a listener that throws harms nobody', async () => {
    const d = new DeliveryUnderTest();
    const listener = {
      delta: () => {
        throw new Error('the listener is broken');
      },
    };
    await d.send('first', 'alice', {}, listener);
    await d.send('other', 'bob');
    d.engine.delta(0, d.slot.turn('first').turn, 'fi');
    await d.reply('first');
    await d.reply('other');
    expect(d.origin.heard).toEqual(['first', 'other']);
  });

  test('delivery - turns that were not begun when their slot died are run again uncounted, in their order', async () => {
    const d = new DeliveryUnderTest();
    for (const session of ['a', 'b', 'c']) await d.send(session, session);
    await d.crash(d.slot, { begun: 1 });
    expect(d.slot.begun.slice(3).map((t) => [t.message.content, t.attempt])).toEqual([
      ['b', 1],
      ['c', 1],
    ]);
    // The one that had begun is tried alone.
    expect(d.quarantine.slot.begun.map((t) => [t.message.content, t.attempt])).toEqual([['a', 1]]);
  });

  test('delivery - a message that holds its thread alone is poison at once; one that only dies with it is tried again', async () => {
    const d = new DeliveryUnderTest();
    const spin = await d.send('spin');
    await d.crash(d.slot, { code: 'ORRERY_WORKER_UNRESPONSIVE' });
    expect(d.letters.get(spin.id)).toMatchObject({ reason: 'poison', attempts: 1, error: { details: { agent: 'a' } } });
    const exit = await d.send('exit');
    await d.crash(d.slot, { blamed: true });
    for (let i = 0; i < 2; i++) await d.crashTrial();
    expect(d.letters.get(exit.id)).toMatchObject({ reason: 'poison', attempts: 3 });
    expect(balanced(d)).toBe(true);
  });

  test('delivery - one that crashes in its last attempt is poison, also when the others only failed', async () => {
    const d = new DeliveryUnderTest({ maxAttempts: 2 });
    const { id } = await d.send('first');
    await d.fail('first', AGAIN);
    await d.crash(d.slot, { own: true });
    expect(d.letters.get(id)).toMatchObject({ reason: 'poison', attempts: 2 });
    expect(d.quarantine.opened).toEqual([]);
    expect(balanced(d)).toBe(true);
  });

  test('delivery - a turn whose agent is stopped under it is run again when that comes back, uncounted', async () => {
    const d = new DeliveryUnderTest({ maxAttempts: 1 });
    await d.send('first');
    await d.send('second');
    for (let i = 0; i < 3; i++) await d.fail('first', new OrreryError('ORRERY_INTERRUPTED', 'the agent was stopped'));
    expect(d.slot.begun.map(({ message, attempt }) => [message.content, attempt])).toEqual(
      Array.from({ length: 4 }, () => ['first', 1]),
    );
    await d.reply('first');
    await d.reply('second');
    expect(d.origin.heard).toEqual(['first', 'second']);
  });

  test('delivery - an intended end of a slot costs nobody an attempt', async () => {
    const d = new DeliveryUnderTest();
    await d.send('first');
    for (let i = 0; i < 5; i++) await d.crash(d.slot, { intended: true });
    expect(d.slot.turn('first').attempt).toBe(1);
  });
});

describe('order of what a session hears', () => {
  test('delivery - the error of one message comes before the reply to the next, however fast that is', async () => {
    const d = new DeliveryUnderTest();
    await d.send('first');
    await d.send('second');
    // The next turn ends in the tick in which it began.
    d.slot.dispatch = (turns) =>
      Promise.resolve(
        turns.map(({ turn, message }) => ({
          turn,
          reply: {
            message: { role: 'assistant', content: message.content },
            usage: { inputTokens: 0, outputTokens: 0 },
            steps: 0,
          },
        })),
      );
    await d.fail('first', FINAL);
    await tick();
    expect(d.origin.heard).toEqual(['ORRERY_AGENT_FAILED', 'second']);
  });

  test('delivery - a send that takes its time, or is tried again, holds back the later ones of its session only', async () => {
    const d = new DeliveryUnderTest();
    const slow = Promise.withResolvers<void>();
    d.origin.sends.push(() => Promise.reject(new Error('the network blinked')));
    await d.send('one', 'alice');
    d.origin.sends.push(() => slow.promise);
    await d.send('two', 'alice');
    await d.send('other', 'bob');
    await d.reply('one');
    await d.reply('two');
    await d.reply('other');
    await tick();
    expect(d.origin.heard).toEqual(['other']);
    slow.resolve();
    await tick();
    expect(d.origin.heard).toEqual(['other', 'one', 'two']);
    expect(d.engine.sessions).toBe(0);
  });

  test('delivery - what cannot be sent is undeliverable after its bound, and the session goes on', async () => {
    const d = new DeliveryUnderTest();
    const failing = (): Promise<void> => Promise.reject(new Error('the network is gone'));
    d.origin.sends.push(failing, failing, failing);
    const { id } = await d.send('one');
    await d.reply('one');
    await d.send('two');
    await d.reply('two');
    await tick();
    expect(d.origin.heard).toEqual(['two']);
    expect(d.letters.get(id)).toMatchObject({ reason: 'undeliverable', error: { code: 'ORRERY_UNDELIVERABLE' } });
    expect(d.account.snapshot()).toMatchObject({ answered: 1, dead: 1, pending: 0 });
  });
});

describe('intake', () => {
  test('intake - a full mailbox refuses with when to come back, and other sessions are not concerned', async () => {
    const d = new DeliveryUnderTest({ mailboxSize: 2 });
    await d.send('one');
    await d.send('two');
    await expect(d.send('three')).rejects.toMatchObject({
      code: 'ORRERY_MAILBOX_FULL',
      retryAfterMs: expect.any(Number),
    });
    await expect(d.send('four', 'bob')).resolves.toMatchObject({ status: 'accepted' });
    await d.reply('one');
    await expect(d.send('five')).resolves.toMatchObject({ status: 'accepted' });
    expect(d.account.snapshot()).toMatchObject({ received: 5, rejected: 1, rejectedBy: { ORRERY_MAILBOX_FULL: 1 } });
  });

  test('intake - messages of one moment cannot pass the bound together', async () => {
    const d = new DeliveryUnderTest({ mailboxSize: 2, maxPending: 3 });
    const results = await Promise.allSettled(['a', 'a', 'a', 'b', 'c'].map((session, i) => d.send(String(i), session)));
    expect(results.map((r) => (r.status === 'fulfilled' ? 'accepted' : (r.reason as OrreryError).code))).toEqual([
      'accepted',
      'accepted',
      'ORRERY_MAILBOX_FULL',
      'accepted',
      'ORRERY_OVERLOADED',
    ]);
    expect(d.engine.pending).toBe(3);
    expect(balanced(d)).toBe(true);
  });

  test('intake - a refused message leaves no mailbox behind', async () => {
    const d = new DeliveryUnderTest({ maxPending: 1 });
    await d.send('one', 'alice');
    await expect(d.send('two', 'bob')).rejects.toMatchObject({ code: 'ORRERY_OVERLOADED' });
    await expect(d.send('three', 'bad::name')).rejects.toMatchObject({ code: 'ORRERY_BAD_NAMESPACE' });
    expect(d.engine.sessions).toBe(1);
  });

  test('intake - the same id gets the stored answer, a pending one says so, another body is a conflict', async () => {
    const d = new DeliveryUnderTest();
    const id = 'same';
    const first = await d.send('text', 'alice', { id });
    expect(await d.send('text', 'alice', { id })).toMatchObject({
      status: 'duplicate',
      state: 'pending',
      id: first.id,
    });
    await expect(d.send('other', 'alice', { id })).rejects.toMatchObject({ code: 'ORRERY_ID_CONFLICT' });
    await d.reply('text', 'answer');
    expect(await d.send('text', 'alice', { id })).toMatchObject({
      status: 'duplicate',
      state: 'answered',
      reply: { id: first.id, message: { content: 'answer' } },
    });
    expect(d.slot.begun).toHaveLength(1);
    expect(d.origin.heard).toEqual(['answer']);
    // The same id elsewhere is another message.
    expect(await d.send('text', 'bob', { id })).toMatchObject({ status: 'accepted' });
    expect(d.account.snapshot()).toMatchObject({ received: 5, accepted: 2, rejected: 3 });
  });

  test('intake - two with the same id in one moment are one delivery', async () => {
    const d = new DeliveryUnderTest();
    const [one, two] = await Promise.all([d.send('text', 'alice', { id: 'x' }), d.send('text', 'alice', { id: 'x' })]);
    expect([one.status, two.status]).toEqual(['accepted', 'duplicate']);
    await d.reply('text');
    expect(d.origin.heard).toEqual(['text']);
    expect(d.engine.sessions).toBe(0);
  });

  test('intake - a message that died gives its error to the same id', async () => {
    const d = new DeliveryUnderTest();
    await d.send('text', 'alice', { id: 'x' });
    await d.fail('text', FINAL);
    expect(await d.send('text', 'alice', { id: 'x' })).toMatchObject({
      status: 'duplicate',
      state: 'dead',
      error: { code: 'ORRERY_AGENT_FAILED' },
    });
  });

  test('intake - while it is closed everything is refused and counted', async () => {
    const d = new DeliveryUnderTest();
    d.intake.close(new OrreryError('ORRERY_DRAINING', 'stopping'));
    await expect(d.send('text')).rejects.toMatchObject({ code: 'ORRERY_DRAINING' });
    expect(d.account.snapshot()).toMatchObject({ received: 1, rejected: 1, rejectedBy: { ORRERY_DRAINING: 1 } });
  });
});

describe('a dead runtime', () => {
  test('delivery - what waits for it and what comes later is answered at once, and a restart takes new messages', async () => {
    const d = new DeliveryUnderTest({ maxTurnsPerAgent: 1 });
    await d.send('running', 'alice');
    await d.send('waiting', 'bob', { id: 'waiting' });
    await d.send('behind', 'bob', { id: 'behind' });
    const error = { name: 'OrreryError', code: 'ORRERY_AGENT_ESCALATED', message: 'given up' };
    d.engine.roster.dead('a', error);
    await d.send('later', 'carol');
    await tick();
    expect(d.origin.heard).toEqual(Array.from({ length: 3 }, () => 'ORRERY_AGENT_ESCALATED'));
    // In the order of the session.
    expect(d.origin.errors.map(({ target }) => target.inReplyTo).slice(0, 2)).toEqual(['waiting', 'behind']);
    await d.reply('running');
    d.engine.roster.waiting('a');
    await d.send('after', 'dave');
    d.up(d.slot);
    await tick();
    await d.reply('after');
    expect(d.origin.heard.slice(3)).toEqual(['running', 'after']);
    expect(d.account.snapshot()).toMatchObject({ dead: 3, deadBy: { 'agent-stopped': 3 }, pending: 0 });
  });

  test('delivery - the sessions of a dead replica go on with another one', async () => {
    const d = new DeliveryUnderTest({ slots: 2 });
    const [lost] = d.slots;
    if (!lost) throw new Error('no slot');
    d.engine.roster.dead(runtimeOf(lost), { name: 'OrreryError', message: 'gone', code: 'ORRERY_AGENT_STOPPED' });
    for (let i = 0; i < 20; i++) {
      await d.send(`t${i}`, `s${i}`);
      await d.reply(`t${i}`);
    }
    expect(lost.begun).toEqual([]);
    expect(d.origin.heard).toHaveLength(20);
  });
});

describe('the journal in memory', () => {
  test('journal - an id is forgotten after its retention, and then it is a new message', async () => {
    const d = new DeliveryUnderTest();
    const first = await d.send('text', 'alice', { id: 'x' });
    await d.reply('text');
    d.now = 999;
    expect(await d.send('text', 'alice', { id: 'x' })).toMatchObject({ status: 'duplicate', id: first.id });
    d.now = 1_000;
    expect(await d.send('text', 'alice', { id: 'x' })).toMatchObject({ status: 'accepted' });
  });

  test('journal - an unfinished message is never forgotten', async () => {
    const d = new DeliveryUnderTest();
    await d.send('text', 'alice', { id: 'x' });
    d.now = 1_000_000;
    expect(await d.send('text', 'alice', { id: 'x' })).toMatchObject({ status: 'duplicate', state: 'pending' });
  });

  test('journal - messages with parts or a context are compared by them', async () => {
    const d = new DeliveryUnderTest();
    const context = (content: string) => ({ mode: 'append', messages: [{ role: 'user', content }] }) as const;
    await d.send('text', 'alice', { id: 'x', context: context('a') });
    expect(await d.send('text', 'alice', { id: 'x', context: context('a') })).toMatchObject({ status: 'duplicate' });
    await expect(d.send('text', 'alice', { id: 'x', context: context('b') })).rejects.toMatchObject({
      code: 'ORRERY_ID_CONFLICT',
    });
  });

  test('journal - no other message answers for one whose names run together alike', async () => {
    const d = new DeliveryUnderTest();
    await d.send('text', 'b', { id: 'c\nd', account: 'x' });
    const near = await d.send('text', 'b\nc', { id: 'd', account: 'x' });
    expect(near.status).toBe('accepted');
  });

  test('dead letters - the newest come first, and the oldest go beyond the bound', async () => {
    const d = new DeliveryUnderTest({ maxDeadLetters: 2 });
    for (const text of ['one', 'two', 'three']) {
      await d.send(text);
      await d.fail(text, FINAL);
    }
    expect(d.letters.list().map(({ inbound }) => inbound.message.content)).toEqual(['three', 'two']);
  });
});
