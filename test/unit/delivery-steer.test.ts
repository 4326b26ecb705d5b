/** The queue mode `steer`: what is offered to a running turn, what is taken, and every way in which it is not. */
import { describe, expect, test } from 'vitest';
import type { TurnOutcome } from '../../src/protocol/index.ts';
import { DeliveryUnderTest, tick } from '../support/delivery.ts';
import { AGAIN, CONTEXT, SUPERSEDED, balanced, begun, heard, offered, send } from '../support/queue.ts';

describe('steer', () => {
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
    const dispatch = d.slot.dispatch.bind(d.slot);
    const steer = d.slot.steer.bind(d.slot);
    d.slot.dispatch = (turns) => {
      order.push(...turns.map(({ message }) => message.content));
      return dispatch(turns);
    };
    d.slot.steer = (turn, messages) => {
      order.push(...messages.map(({ message }) => `offer ${message.content}`));
      return steer(turn, messages);
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
    // The turn may have taken it: which of the two did it is found out.
    await d.crashTrial({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    await d.reply('two');
    expect(heard(d)).toEqual(['one:ORRERY_WORKER_UNRESPONSIVE', 'two:two']);
    expect(d.letters.size).toBe(1);
    expect(d.begun.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
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
    await send(d, 'steer', ['four']);
    expect(offered(d, 'one')).toEqual(['three', 'four']);
    await d.reply('one', 'one', { steered: 2 });
    expect(heard(d)).toEqual(['two:ORRERY_CANCELLED', 'one:one', 'three:one', 'four:one']);
    expect(balanced(d)).toBe(true);
  });

  test('steer - cancelled after the turn took it, it is answered by that', async () => {
    const d = new DeliveryUnderTest();
    const ids = await send(d, 'steer', ['one', 'two', 'three']);
    // The turn has taken all of it.
    d.slot.unsteer = () => Promise.resolve([]);
    d.engine.cancel(ids[1] ?? '');
    await tick();
    expect(heard(d)).toEqual([]);
    await d.reply('one', 'all', { steered: 2 });
    expect(heard(d)).toEqual(['one:all', 'two:all', 'three:all']);
    expect(d.engine.sessions).toBe(0);
  });

  test('steer - cancelled after the turn took it, it is given up when the turn fails, and not offered again', async () => {
    const d = new DeliveryUnderTest();
    const ids = await send(d, 'steer', ['one', 'two', 'three']);
    d.slot.unsteer = () => Promise.resolve([]);
    d.engine.cancel(ids[1] ?? '');
    await d.fail('one', AGAIN);
    expect(heard(d)).toEqual(['two:ORRERY_CANCELLED']);
    expect(offered(d, 'one')).toEqual(['three']);
    await d.reply('one', 'both', { steered: 1 });
    expect(heard(d)).toEqual(['two:ORRERY_CANCELLED', 'one:both', 'three:both']);
    expect(balanced(d)).toBe(true);
    expect(d.engine.sessions).toBe(0);
  });

  test('steer - cancelled while the outcome was on its way without it, it is given up with that', async () => {
    const d = new DeliveryUnderTest();
    const ids = await send(d, 'steer', ['one', 'two', 'three']);
    // The turn has ended: the slot knows nothing of it any more.
    d.slot.unsteer = () => Promise.resolve([]);
    d.engine.cancel(ids[1] ?? '');
    await d.reply('one');
    await d.reply('three');
    expect(begun(d)).toEqual(['one', 'three']);
    expect(d.origin.answers.find(({ to }) => to === 'two')).toEqual({ to: 'two', text: 'ORRERY_CANCELLED' });
    expect(balanced(d)).toBe(true);
    expect(d.engine.sessions).toBe(0);
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
