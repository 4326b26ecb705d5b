/** The queue mode `collect`: who joins a turn, who is answered by it, and what becomes of the others. */
import { describe, expect, test } from 'vitest';
import { MAX_JOINED, MAX_JOINED_CHARS } from '../../src/main/delivery/joining.ts';
import { OrreryError, type QueueMode } from '../../src/protocol/index.ts';
import { DeliveryUnderTest, tick } from '../support/delivery.ts';
import { AGAIN, CANCELLED, CONTEXT, FINAL, balanced, begun, heard, send } from '../support/queue.ts';

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

  test('collect - a cancelled member that the turn turns out not to have answered is given up, and not run', async () => {
    const d = new DeliveryUnderTest();
    const ids = await send(d, 'collect', ['busy', 'one', 'two']);
    await d.reply('busy');
    d.engine.cancel(ids[2] ?? '');
    await d.reply('one', 'stored', { joined: false });
    expect(heard(d)).toEqual(['busy:busy', 'one:stored', 'two:ORRERY_CANCELLED']);
    expect(begun(d)).toEqual(['busy', 'one+two']);
    expect(d.engine.sessions).toBe(0);
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

  test('collect - a turn that took its slot along is taken apart: each is tried alone, and only the guilty one dies', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'collect', ['busy', 'one', 'two']);
    await d.reply('busy');
    await d.crash(d.slot, { begun: 0 });
    expect(d.slot.turn('one')).toMatchObject({ attempt: 1, joined: [{ message: { content: 'two' } }] });
    await d.crash(d.slot, { code: 'ORRERY_WORKER_UNRESPONSIVE' });
    expect(begun(d).slice(3)).toEqual(['one']);
    await d.reply('one');
    await d.crashTrial({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    // Not the first of that thread: something that the first left behind may have done it.
    await d.crashTrial({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    expect(d.begun.slice(3).map(({ message, attempt }) => [message.content, attempt])).toEqual([
      ['one', 1],
      ['two', 1],
      ['two', 1],
    ]);
    expect(heard(d).slice(1)).toEqual(['one:one', 'two:ORRERY_WORKER_UNRESPONSIVE']);
    expect(d.letters.list().map(({ reason }) => reason)).toEqual(['poison']);
    expect(d.quarantine.told).toEqual(['innocent a', 'guilty a']);
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
