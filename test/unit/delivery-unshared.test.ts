/** A shared turn that is too large for the model's context: nobody dies of what another one said. */
import { expect, test } from 'vitest';
import { OrreryError } from '../../src/protocol/index.ts';
import { DeliveryUnderTest, tick } from '../support/delivery.ts';
import { AGAIN, SUPERSEDED, balanced, begun, heard, offered, send } from '../support/queue.ts';

const TOO_LARGE = new OrreryError('ORRERY_CONTEXT_TOO_LARGE', 'too large');

test('unshared - messages that are too large together run alone, uncounted, in their order; one that is too large itself dies', async () => {
  const d = new DeliveryUnderTest();
  await send(d, 'collect', ['one', 'two', 'three', 'four']);
  await d.reply('one');
  await send(d, 'collect', ['late']);
  await d.fail('two', TOO_LARGE);
  expect(d.slot.turn('two').attempt).toBe(1);
  await d.reply('two');
  await d.fail('three', TOO_LARGE);
  await d.reply('four');
  await d.reply('late');
  expect(begun(d)).toEqual(['one', 'two+three+four', 'two', 'three', 'four', 'late']);
  expect(heard(d)).toEqual(['one:one', 'two:two', 'three:ORRERY_CONTEXT_TOO_LARGE', 'four:four', 'late:late']);
  expect(d.letters.list()).toMatchObject([{ reason: 'agent-error', attempts: 1, inbound: { id: 'three' } }]);
  expect(balanced(d)).toBe(true);
  expect(d.engine.sessions).toBe(0);
});

test('unshared - the mark lasts over further attempts, and those behind join each other', async () => {
  const d = new DeliveryUnderTest();
  await send(d, 'collect', ['one', 'two', 'three']);
  await d.reply('one');
  await d.fail('two', TOO_LARGE);
  await d.fail('two', AGAIN);
  await d.fail('two', AGAIN);
  await send(d, 'collect', ['four', 'five']);
  await d.fail('two', AGAIN);
  await d.reply('three');
  await d.reply('four');
  expect(begun(d)).toEqual(['one', 'two+three', 'two', 'two', 'two', 'three', 'four+five']);
  expect(heard(d).slice(1, 3)).toEqual(['two:ORRERY_MODEL_UNAVAILABLE', 'three:three']);
});

test('unshared - an interrupted turn that is too large with the newer message is finished alone, and not interrupted again', async () => {
  const d = new DeliveryUnderTest();
  await send(d, 'interrupt', ['one', 'two']);
  await d.fail('one', SUPERSEDED);
  await d.fail('one', TOO_LARGE);
  await send(d, 'interrupt', ['three']);
  await d.reply('one');
  await d.reply('two');
  await d.reply('three');
  expect(d.slot.cancelled.map(({ id, cause }) => [id, cause])).toHaveLength(1);
  expect(begun(d)).toEqual(['one', 'one+two', 'one', 'two', 'three']);
  expect(balanced(d)).toBe(true);
});

test('unshared - one that was cancelled meanwhile is given up, the others run alone', async () => {
  const d = new DeliveryUnderTest();
  const [, , three = ''] = await send(d, 'collect', ['one', 'two', 'three', 'four']);
  await d.reply('one');
  expect(d.engine.cancel(three)).toBe(true);
  await d.fail('two', TOO_LARGE);
  await d.reply('two');
  await d.reply('four');
  await tick();
  expect(begun(d)).toEqual(['one', 'two+three+four', 'two', 'four']);
  expect(heard(d).toSorted()).toEqual(['four:four', 'one:one', 'three:ORRERY_CANCELLED', 'two:two']);
});

test('unshared - a turn that was offered messages runs again without them, and they have turns of their own', async () => {
  const d = new DeliveryUnderTest();
  await send(d, 'steer', ['one', 'two', 'three']);
  expect(offered(d, 'one')).toEqual(['two', 'three']);
  await d.fail('one', TOO_LARGE);
  expect(offered(d, 'one')).toEqual([]);
  expect(d.slot.turn('one').attempt).toBe(1);
  await d.reply('one');
  expect(offered(d, 'two')).toEqual(['three']);
  await d.reply('two', 'both', { steered: 1 });
  expect(heard(d)).toEqual(['one:one', 'two:both', 'three:both']);
  expect(balanced(d)).toBe(true);
});
