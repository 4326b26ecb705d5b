/** The queue modes: who shares a turn, who is answered by it, and what becomes of the others. */
import { describe, expect, test } from 'vitest';
import { MAX_JOINED, MAX_JOINED_CHARS } from '../../src/main/delivery/joining.ts';
import { type InboundMessage, OrreryError, type QueueMode, type TurnOutcome } from '../../src/protocol/index.ts';
import { DeliveryUnderTest, tick } from '../support/delivery.ts';

const AGAIN = new OrreryError('ORRERY_MODEL_UNAVAILABLE', 'not now');
const FINAL = new OrreryError('ORRERY_AGENT_FAILED', 'broken');
const SUPERSEDED = new OrreryError('ORRERY_SUPERSEDED', 'a newer message came');
const CANCELLED = new OrreryError('ORRERY_CANCELLED', 'cancelled');

function balanced(d: DeliveryUnderTest): boolean {
  const m = d.account.snapshot();
  return (
    m.received === m.rejected + m.inIntake + m.accepted &&
    m.accepted === m.answered + m.dead + m.pending &&
    m.pending === d.engine.pending
  );
}

/** Sends texts one after another, each with its own id, and returns the deliveries' ids. */
async function send(
  d: DeliveryUnderTest,
  queue: QueueMode,
  texts: readonly string[],
  over: Partial<InboundMessage> = {},
): Promise<string[]> {
  const ids: string[] = [];
  for (const text of texts) ids.push((await d.send(text, 'alice', { id: text, queue, ...over })).id);
  await tick();
  return ids;
}

/** The texts of the turns that the slot was given, those that share one joined with `+`. */
function begun(d: DeliveryUnderTest): readonly string[] {
  return d.slot.begun.map(({ message, joined = [] }) =>
    [message.content, ...joined.map((other) => other.message.content)].join('+'),
  );
}

function heard(d: DeliveryUnderTest): readonly string[] {
  return d.origin.answers.map(({ to, text }) => `${to}:${text}`);
}

const CONTEXT = { mode: 'append', messages: [] } as const;

describe('collect', () => {
  test('collect - what waits becomes one turn, and each sender gets the reply under its own id, in order', async () => {
    const d = new DeliveryUnderTest();
    const [, two] = await send(d, 'collect', ['one', 'two', 'three', 'four']);
    expect(begun(d)).toEqual(['one']);
    await d.reply('one');
    expect(begun(d)).toEqual(['one', 'two+three+four']);
    await d.reply('two', 'all three');
    expect(heard(d)).toEqual(['one:one', 'two:all three', 'three:all three', 'four:all three']);
    expect(d.origin.replies.map(({ reply }) => reply.by)).toEqual([undefined, undefined, two, two]);
    expect(d.account.snapshot()).toMatchObject({ accepted: 4, answered: 4, pending: 0 });
    expect(d.engine.sessions).toBe(0);
    // The same id again gets the stored reply.
    expect(await d.send('four', 'alice', { id: 'four' })).toMatchObject({
      status: 'duplicate',
      state: 'answered',
      reply: { message: { content: 'all three' }, by: two },
    });
  });

  test('collect - the mode of the origin holds for messages that ask for none', async () => {
    const d = new DeliveryUnderTest();
    d.origin.mode = 'collect';
    for (const text of ['one', 'two', 'three']) await d.send(text);
    await d.send('own', 'alice', { queue: 'followup' });
    await d.reply('one');
    await d.reply('two');
    await tick();
    expect(begun(d)).toEqual(['one', 'two+three', 'own']);
  });

  test('collect - messages join until the request is sent, also while their agent has no turn free', async () => {
    const d = new DeliveryUnderTest({ maxTurnsPerAgent: 1 });
    await d.send('busy', 'bob');
    await send(d, 'collect', ['one', 'two']);
    await d.reply('busy');
    expect(begun(d)).toEqual(['busy', 'one+two']);
  });

  test('collect - a message that waits for its own turn stands between two that would join', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'collect', ['one', 'two', 'three']);
    await send(d, 'followup', ['alone']);
    await send(d, 'collect', ['four', 'five']);
    await send(d, 'collect', ['with a context'], { context: CONTEXT });
    await send(d, 'collect', ['six']);
    for (const lead of ['one', 'two', 'alone', 'four', 'with a context', 'six']) await d.reply(lead);
    expect(begun(d)).toEqual(['one', 'two+three', 'alone', 'four+five', 'with a context', 'six']);
    expect(balanced(d)).toBe(true);
  });

  test('collect - a turn is bounded in messages and in characters; the rest is the next one', async () => {
    const d = new DeliveryUnderTest();
    const names = Array.from({ length: MAX_JOINED + 3 }, (_, i) => `m${i}`);
    await send(d, 'collect', ['first', ...names]);
    await d.reply('first');
    expect(d.slot.turn('m0').joined).toHaveLength(MAX_JOINED);
    await d.reply('m0');
    expect(begun(d).at(-1)).toBe(`m${MAX_JOINED + 1}+m${MAX_JOINED + 2}`);
    const half = 'x'.repeat(MAX_JOINED_CHARS / 2);
    await send(d, 'collect', ['short', half, `${half}y`]);
    await d.reply(`m${MAX_JOINED + 1}`);
    expect(begun(d).at(-1)).toBe(`short+${half}`);
  });

  test('collect - each message has its place in the bound of the mailbox, joined or not', async () => {
    const d = new DeliveryUnderTest({ mailboxSize: 3 });
    await send(d, 'collect', ['one', 'two', 'three']);
    await d.reply('one');
    expect(begun(d)).toEqual(['one', 'two+three']);
    await send(d, 'collect', ['four']);
    await expect(d.send('five', 'alice')).rejects.toMatchObject({ code: 'ORRERY_MAILBOX_FULL' });
  });

  test('collect - everybody who listens hears the text, and that it is taken back', async () => {
    const d = new DeliveryUnderTest();
    await d.send('busy', 'alice');
    const told: string[] = [];
    for (const name of ['a', 'b', 'c']) {
      const listener = { delta: (text: string) => told.push(`${name}:${text}`), reset: () => told.push(`${name}!`) };
      await d.send(name, 'alice', { queue: 'collect' }, name === 'b' ? undefined : listener);
    }
    await d.reply('busy');
    expect(d.slot.turn('a')).toMatchObject({ stream: true });
    d.engine.delta(0, d.slot.turn('a').turn, 'wro');
    await d.fail('a', AGAIN, true);
    d.engine.delta(0, d.slot.turn('a').turn, 'ri');
    await d.reply('a', 'right');
    expect(told).toEqual(['a:wro', 'c:wro', 'a!', 'c!', 'a:ri', 'c:ri', 'a:ght', 'c:ght']);
  });

  test('collect - a turn streams when only one that was joined to it listens', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'collect', ['busy', 'deaf']);
    await d.send('hears', 'alice', { queue: 'collect' }, { delta: () => undefined });
    await d.reply('busy');
    expect(d.slot.turn('deaf').stream).toBe(true);
  });

  test('collect - a failed turn is tried again with the same members and what came since; each has its own attempts', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'collect', ['one', 'two', 'three']);
    await d.reply('one');
    await d.fail('two', AGAIN);
    expect(d.slot.turn('two').attempt).toBe(2);
    await send(d, 'collect', ['late']);
    await d.fail('two', AGAIN);
    expect(begun(d)).toEqual(['one', 'two+three', 'two+three', 'two+three+late']);
    await d.fail('two', AGAIN);
    // Two and three have used up their attempts; the late one has two left.
    expect(heard(d)).toEqual(['one:one', 'two:ORRERY_MODEL_UNAVAILABLE', 'three:ORRERY_MODEL_UNAVAILABLE']);
    expect(d.letters.list().map(({ reason, attempts }) => [reason, attempts])).toEqual([
      ['exhausted', 3],
      ['exhausted', 3],
    ]);
    expect(d.slot.turn('late').attempt).toBe(2);
    await d.reply('late');
    expect(balanced(d)).toBe(true);
    expect(d.engine.sessions).toBe(0);
  });

  test('collect - a final failure is one for all: each sender is told, each is a dead letter', async () => {
    const d = new DeliveryUnderTest();
    const ids = await send(d, 'collect', ['one', 'two', 'three']);
    await send(d, 'followup', ['next']);
    await d.reply('one');
    await d.fail('two', FINAL);
    await d.reply('next');
    expect(heard(d)).toEqual(['one:one', 'two:ORRERY_AGENT_FAILED', 'three:ORRERY_AGENT_FAILED', 'next:next']);
    for (const id of ids.slice(1)) {
      expect(d.letters.get(id)).toMatchObject({ reason: 'agent-error', error: { code: 'ORRERY_AGENT_FAILED' } });
    }
    expect(d.account.snapshot()).toMatchObject({ answered: 2, dead: 2, pending: 0 });
  });

  test('collect - a cancelled message that waits is taken out, and does not come into the turn', async () => {
    const d = new DeliveryUnderTest();
    const ids = await send(d, 'collect', ['one', 'two', 'three', 'four']);
    expect(d.engine.cancel(ids[2] ?? '')).toBe(true);
    await d.reply('one');
    expect(begun(d)).toEqual(['one', 'two+four']);
    await d.reply('two');
    expect(heard(d)).toEqual(['three:ORRERY_CANCELLED', 'one:one', 'two:two', 'four:two']);
  });

  test.each([
    ['the first', 0, 'two+three'],
    ['a joined one', 1, 'one+three'],
  ])(
    'collect - when %s of a running turn is cancelled the turn ends, and the others begin again uncounted',
    async (_, at, again) => {
      const d = new DeliveryUnderTest({ maxAttempts: 1 });
      await send(d, 'collect', ['busy']);
      const ids = await send(d, 'collect', ['one', 'two', 'three']);
      await d.reply('busy');
      const id = ids[at] ?? '';
      expect(d.engine.cancel(id)).toBe(true);
      expect(d.slot.cancelled).toMatchObject([{ id: ids[0], cause: 'cancelled' }]);
      expect(heard(d)).toEqual(['busy:busy']);
      await d.fail('one', CANCELLED);
      expect(begun(d)).toEqual(['busy', 'one+two+three', again]);
      expect(d.letters.get(id)).toMatchObject({ reason: 'cancelled' });
      await d.fail(again.split('+')[0] ?? '', AGAIN);
      expect(d.origin.errors.map(({ error }) => error.code)).toEqual([
        'ORRERY_CANCELLED',
        'ORRERY_MODEL_UNAVAILABLE',
        'ORRERY_MODEL_UNAVAILABLE',
      ]);
      expect(d.letters.list()[0]).toMatchObject({ reason: 'exhausted', attempts: 1 });
      expect(balanced(d)).toBe(true);
    },
  );

  test('collect - a cancelled member of a turn that committed before the abort reached it is answered', async () => {
    const d = new DeliveryUnderTest();
    const ids = await send(d, 'collect', ['busy', 'one', 'two']);
    await d.reply('busy');
    d.engine.cancel(ids[2] ?? '');
    await d.reply('one');
    expect(heard(d)).toEqual(['busy:busy', 'one:one', 'two:one']);
    expect(d.engine.cancel(ids[2] ?? '')).toBe(false);
  });

  test('collect - when all are cancelled, or their channel stops, nobody is left and the session goes on', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'collect', ['busy', 'one', 'two']);
    await d.reply('busy');
    d.engine.abort('shutdown', d.origin);
    await d.fail('one', new OrreryError('ORRERY_INTERRUPTED', 'stopping'));
    expect(heard(d)).toEqual(['busy:busy', 'one:ORRERY_INTERRUPTED', 'two:ORRERY_INTERRUPTED']);
    expect(d.account.snapshot()).toMatchObject({ deadBy: { shutdown: 2 }, pending: 0 });
    expect(begun(d)).toHaveLength(2);
    expect(d.engine.sessions).toBe(0);
  });

  test('collect - a turn that its slot took along begins again: uncounted when not begun, poison for all when it did it alone', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'collect', ['busy', 'one', 'two']);
    await d.reply('busy');
    await d.crash(d.slot, { begun: 0 });
    expect(d.slot.turn('one')).toMatchObject({ attempt: 1, joined: [{ message: { content: 'two' } }] });
    await d.crash(d.slot, { code: 'ORRERY_WORKER_UNRESPONSIVE' });
    expect(d.letters.list().map(({ reason }) => reason)).toEqual(['poison', 'poison']);
    expect(heard(d).slice(1)).toEqual(['one:ORRERY_WORKER_UNRESPONSIVE', 'two:ORRERY_WORKER_UNRESPONSIVE']);
    expect(balanced(d)).toBe(true);
  });

  test('collect - those whom the outcome does not name wait again, before all that came later', async () => {
    const d = new DeliveryUnderTest({ maxAttempts: 1 });
    await send(d, 'collect', ['busy', 'one', 'two', 'three']);
    await d.reply('busy');
    await send(d, 'collect', ['four']);
    // The first had been committed alone, before its thread died.
    await d.reply('one', 'stored', { joined: false });
    expect(begun(d)).toEqual(['busy', 'one+two+three', 'two+three+four']);
    expect(d.slot.turn('two').attempt).toBe(1);
    await d.reply('two');
    expect(heard(d)).toEqual(['busy:busy', 'one:stored', 'two:two', 'three:two', 'four:two']);
  });

  test('collect - when the threads are gone every member is given up, in order', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'collect', ['busy', 'one', 'two']);
    await d.reply('busy');
    d.engine.abandon(new OrreryError('ORRERY_INTERRUPTED', 'the end'));
    await tick();
    expect(heard(d)).toEqual(['busy:busy', 'one:ORRERY_INTERRUPTED', 'two:ORRERY_INTERRUPTED']);
    expect(balanced(d)).toBe(true);
  });
});

describe('interrupt', () => {
  test('interrupt - aborts the running turn, which begins again with the new message; nothing counts as an attempt', async () => {
    const d = new DeliveryUnderTest({ maxAttempts: 1 });
    const [one] = await send(d, 'interrupt', ['one', 'two']);
    expect(d.slot.cancelled).toMatchObject([{ id: one, cause: 'superseded' }]);
    await send(d, 'interrupt', ['three']);
    expect(d.slot.cancelled).toHaveLength(1);
    await d.fail('one', SUPERSEDED);
    expect(begun(d)).toEqual(['one', 'one+two+three']);
    expect(d.slot.turn('one').attempt).toBe(1);
    await send(d, 'interrupt', ['four']);
    expect(d.slot.cancelled).toHaveLength(2);
    await d.fail('one', SUPERSEDED);
    await d.reply('one', 'all of it');
    expect(heard(d)).toEqual(['one', 'two', 'three', 'four'].map((to) => `${to}:all of it`));
    expect(balanced(d)).toBe(true);
    expect(d.account.snapshot()).toMatchObject({ answered: 4, dead: 0 });
  });

  test('interrupt - a turn that committed before the abort reached it is answered, and the new message is the next turn', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'interrupt', ['one', 'two']);
    await d.reply('one');
    await d.reply('two');
    expect(begun(d)).toEqual(['one', 'two']);
    expect(heard(d)).toEqual(['one:one', 'two:two']);
  });

  test('interrupt - text of the aborted attempt is taken back', async () => {
    const d = new DeliveryUnderTest();
    const told: string[] = [];
    await d.send('one', 'alice', {}, { delta: (text) => told.push(text), reset: () => told.push('RESET') });
    d.engine.delta(0, d.slot.turn('one').turn, 'half an ans');
    await send(d, 'interrupt', ['two']);
    await d.fail('one', SUPERSEDED);
    await d.reply('one', 'whole');
    expect(told).toEqual(['half an ans', 'RESET', 'whole']);
  });

  test('interrupt - joins with all that wait before it, whatever their mode', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'followup', ['one', 'two']);
    await send(d, 'collect', ['three']);
    await send(d, 'interrupt', ['now']);
    await send(d, 'followup', ['later']);
    await d.fail('one', SUPERSEDED);
    expect(begun(d)).toEqual(['one', 'one+two+three+now']);
    await d.reply('one', 'all');
    await d.reply('later');
    expect(heard(d)).toEqual(['one:all', 'two:all', 'three:all', 'now:all', 'later:later']);
  });

  test('interrupt - a turn with a context of its own is not interrupted, nor one that the new message cannot join', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'followup', ['own'], { context: CONTEXT });
    await send(d, 'interrupt', ['one']);
    expect(d.slot.cancelled).toEqual([]);
    await d.reply('own');
    await send(d, 'interrupt', ['x'.repeat(MAX_JOINED_CHARS)]);
    expect(d.slot.cancelled).toEqual([]);
    await d.reply('one');
    expect(begun(d)).toHaveLength(3);
  });

  test('interrupt - who keeps interrupting is answered once the bound is reached', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'interrupt', ['m0']);
    for (let i = 1; i <= MAX_JOINED; i++) {
      await send(d, 'interrupt', [`m${i}`]);
      await d.fail('m0', SUPERSEDED);
    }
    await send(d, 'interrupt', ['beyond']);
    expect(d.slot.cancelled).toHaveLength(MAX_JOINED);
    await d.reply('m0', 'all');
    await d.reply('beyond');
    expect(heard(d)).toHaveLength(MAX_JOINED + 2);
    expect(heard(d).at(-1)).toBe('beyond:beyond');
  });

  test('interrupt - a message that comes while the turn waits to be tried again joins it then, and is not hurried', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'interrupt', ['one']);
    // Within one tick: the timer of the next attempt has not run yet.
    const failed = d.fail('one', AGAIN);
    const sent = d.send('two', 'alice', { id: 'two', queue: 'interrupt' });
    expect(begun(d)).toEqual(['one']);
    await Promise.all([failed, sent]);
    expect(d.slot.cancelled).toEqual([]);
    expect(begun(d)).toEqual(['one', 'one+two']);
    expect(d.slot.turn('one').attempt).toBe(2);
  });

  test('interrupt - a turn that failed for good before the abort reached it is dead, and the new message goes on alone', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'interrupt', ['one', 'two']);
    await d.fail('one', FINAL);
    await d.reply('two');
    expect(heard(d)).toEqual(['one:ORRERY_AGENT_FAILED', 'two:two']);
  });

  test('interrupt - of a turn that is cancelled as well the cancelled message dies, and the new one goes on', async () => {
    const d = new DeliveryUnderTest();
    const [one] = await send(d, 'interrupt', ['one', 'two']);
    d.engine.cancel(one ?? '');
    await d.fail('one', SUPERSEDED);
    await d.reply('two');
    expect(begun(d)).toEqual(['one', 'two']);
    expect(heard(d)).toEqual(['one:ORRERY_CANCELLED', 'two:two']);
  });

  test('interrupt - the slot dies before it heard of the abort: the next attempt has both', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'interrupt', ['one', 'two']);
    await d.crash(d.slot);
    expect(begun(d)).toEqual(['one', 'one+two']);
    // The thread died of it, or may have: that counts for the one that ran.
    expect(d.slot.turn('one').attempt).toBe(2);
    await d.reply('one');
    expect(heard(d)).toEqual(['one:one', 'two:one']);
  });
});

describe('steer', () => {
  function offered(d: DeliveryUnderTest, lead: string): readonly string[] {
    return (d.slot.steered.get(d.slot.turn(lead).turn) ?? []).map(({ message }) => message.content);
  }

  test('steer - is offered to the running turn; what that took is answered by it, what it did not take is next, in order', async () => {
    const d = new DeliveryUnderTest();
    const [one] = await send(d, 'steer', ['one', 'two', 'three', 'four']);
    expect(offered(d, 'one')).toEqual(['two', 'three', 'four']);
    await d.reply('one', 'answer', { steered: 2 });
    expect(heard(d)).toEqual(['one:answer', 'two:answer', 'three:answer']);
    expect(d.origin.replies.map(({ reply }) => reply.by)).toEqual([undefined, one, one]);
    expect(begun(d)).toEqual(['one', 'four']);
    await d.reply('four');
    expect(balanced(d)).toBe(true);
    expect(d.engine.sessions).toBe(0);
  });

  test('steer - behind an agent that takes nothing it is one turn after another', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'steer', ['one', 'two', 'three']);
    for (const text of ['one', 'two', 'three']) await d.reply(text);
    expect(begun(d)).toEqual(['one', 'two', 'three']);
    expect(heard(d)).toEqual(['one:one', 'two:two', 'three:three']);
  });

  test('steer - what waits when a turn is sent is offered to it, behind it on the way', async () => {
    const d = new DeliveryUnderTest();
    const order: string[] = [];
    const { dispatch, steer } = d.slot;
    d.slot.dispatch = (turns) => {
      order.push(...turns.map(({ message }) => message.content));
      return dispatch.call(d.slot, turns);
    };
    d.slot.steer = (turn, messages) => {
      order.push(...messages.map(({ message }) => `offer ${message.content}`));
      return steer.call(d.slot, turn, messages);
    };
    const call = Promise.withResolvers<readonly TurnOutcome[]>();
    d.slot.held = call.promise;
    await d.send('busy', 'bob');
    await tick();
    d.slot.held = undefined;
    await send(d, 'steer', ['one', 'two']);
    expect(order).toEqual(['busy']);
    call.resolve([]);
    await tick();
    expect(order).toEqual(['busy', 'one', 'offer two']);
  });

  test('steer - does not overtake a message that waits for its own turn, nor one with a context', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'steer', ['one', 'two']);
    await send(d, 'followup', ['own']);
    await send(d, 'steer', ['three']);
    expect(offered(d, 'one')).toEqual(['two']);
    await d.reply('one', 'one', { steered: 1 });
    expect(offered(d, 'own')).toEqual(['three']);
    await d.reply('own', 'own', { steered: 1 });
    await send(d, 'followup', ['stateless'], { context: CONTEXT });
    await send(d, 'steer', ['four']);
    expect(offered(d, 'stateless')).toEqual([]);
    expect(heard(d)).toEqual(['one:one', 'two:one', 'own:own', 'three:own']);
  });

  test('steer - a turn that is tried again is offered it again, and only the turn counts attempts', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'steer', ['one', 'two']);
    await d.fail('one', AGAIN);
    await d.fail('one', AGAIN);
    expect(offered(d, 'one')).toEqual(['two']);
    await d.fail('one', AGAIN);
    expect(heard(d)).toEqual(['one:ORRERY_MODEL_UNAVAILABLE']);
    expect(d.slot.turn('two').attempt).toBe(1);
    await d.reply('two');
    expect(balanced(d)).toBe(true);
  });

  test('steer - never dies with the turn that it was offered to', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'steer', ['one', 'two']);
    await d.crash(d.slot, { code: 'ORRERY_WORKER_UNRESPONSIVE' });
    await d.reply('two');
    expect(heard(d)).toEqual(['one:ORRERY_WORKER_UNRESPONSIVE', 'two:two']);
    expect(d.letters.size).toBe(1);
  });

  test('steer - after the death of an innocent slot the turn and the offer are there again, uncounted', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'steer', ['one', 'two']);
    await d.crash(d.slot, { intended: true });
    expect(d.slot.turn('one').attempt).toBe(1);
    expect(offered(d, 'one')).toEqual(['two']);
    await d.reply('one', 'both', { steered: 1 });
    expect(heard(d)).toEqual(['one:both', 'two:both']);
  });

  test('steer - cancelled before the turn took it, it is taken back at once', async () => {
    const d = new DeliveryUnderTest();
    const ids = await send(d, 'steer', ['one', 'two', 'three']);
    expect(d.engine.cancel(ids[1] ?? '')).toBe(true);
    await tick();
    expect(heard(d)).toEqual(['two:ORRERY_CANCELLED']);
    expect(offered(d, 'one')).toEqual(['three']);
    expect(d.slot.cancelled).toEqual([]);
    await d.reply('one', 'one', { steered: 1 });
    expect(heard(d)).toEqual(['two:ORRERY_CANCELLED', 'one:one', 'three:one']);
    expect(balanced(d)).toBe(true);
  });

  test('steer - cancelled after the turn took it, the outcome decides: answered by it, or given up with its end', async () => {
    for (const ends of ['answered', 'failed'] as const) {
      const d = new DeliveryUnderTest();
      const ids = await send(d, 'steer', ['one', 'two', 'three']);
      // The turn has taken all of it.
      d.slot.unsteer = () => Promise.resolve([]);
      d.engine.cancel(ids[1] ?? '');
      await tick();
      expect(heard(d)).toEqual([]);
      if (ends === 'answered') {
        await d.reply('one', 'all', { steered: 2 });
        expect(heard(d)).toEqual(['one:all', 'two:all', 'three:all']);
      } else {
        await d.fail('one', AGAIN);
        expect(heard(d)).toEqual(['two:ORRERY_CANCELLED']);
        expect(offered(d, 'one')).toEqual(['three']);
        await d.reply('one', 'both', { steered: 1 });
        expect(heard(d)).toEqual(['two:ORRERY_CANCELLED', 'one:both', 'three:both']);
      }
      expect(balanced(d)).toBe(true);
      expect(d.engine.sessions).toBe(0);
    }
  });

  test('steer - what the running turn was offered joins with an interrupt', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'steer', ['one', 'two']);
    await send(d, 'interrupt', ['now']);
    await d.fail('one', SUPERSEDED);
    expect(begun(d)).toEqual(['one', 'one+two+now']);
    await d.reply('one', 'all');
    expect(heard(d)).toEqual(['one:all', 'two:all', 'now:all']);
  });
});

describe('a mode that is none', () => {
  test('queue - is refused with the names of those there are', async () => {
    const d = new DeliveryUnderTest();
    const queue = JSON.parse('"nextup"') as QueueMode;
    await expect(d.send('one', 'alice', { queue })).rejects.toMatchObject({
      code: 'ORRERY_BAD_REQUEST',
      message: 'Expected `queue` to be "followup" or "collect" or "interrupt" or "steer", got "nextup"',
    });
  });
});
