/** The queue mode `interrupt`: which turns a message aborts, and what begins again. */
import { describe, expect, test } from 'vitest';
import { MAX_JOINED, MAX_JOINED_CHARS } from '../../src/main/delivery/joining.ts';
import type { TurnOutcome } from '../../src/protocol/index.ts';
import { DeliveryUnderTest, tick } from '../support/delivery.ts';
import { AGAIN, CONTEXT, FINAL, SUPERSEDED, balanced, begun, heard, send } from '../support/queue.ts';

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

  test('interrupt - a turn that waits for its slot to be sent again is not aborted: the message joins it there', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'interrupt', ['one']);
    const call = Promise.withResolvers<readonly TurnOutcome[]>();
    d.slot.held = call.promise;
    await d.send('busy', 'bob');
    await tick();
    d.slot.held = undefined;
    // Its next attempt is ready, behind the call that is under way.
    await d.fail('one', AGAIN);
    expect(begun(d)).toEqual(['one']);
    await send(d, 'interrupt', ['two']);
    expect(d.slot.cancelled).toEqual([]);
    call.resolve([]);
    await tick();
    expect(begun(d)).toEqual(['one', 'one+two']);
    await send(d, 'interrupt', ['three']);
    expect(d.slot.cancelled).toHaveLength(1);
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
    await d.crash(d.slot, { intended: true });
    expect(begun(d)).toEqual(['one', 'one+two']);
    expect(d.slot.turn('one').attempt).toBe(1);
    await d.reply('one');
    expect(heard(d)).toEqual(['one:one', 'two:one']);
  });
});
