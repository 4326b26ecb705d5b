/** What delivery makes of a time to come back that another side names: a model's provider, or the network that a reply is sent to. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { MAX_HOLD_MS, maxHoldMs } from '../../src/main/delivery/holding.ts';
import { OrreryError } from '../../src/protocol/index.ts';
import { DeliveryUnderTest, tick } from '../support/delivery.ts';
import { balanced, begun, heard, send } from '../support/queue.ts';

const DAYS_30 = 30 * 24 * 3_600_000;

function unavailable(retryAfterMs: number): OrreryError {
  return new OrreryError('ORRERY_MODEL_UNAVAILABLE', 'not now', { retryAfterMs });
}

afterEach(() => {
  vi.useRealTimers();
});

/** Advances time, and lets the immediates that follow run. */
async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

describe('holding', () => {
  test('holding - a session is held for a minute at most, for longer where the backoff is, and never for what a timer cannot count', () => {
    expect(maxHoldMs({ minMs: 5, maxMs: 20, jitter: 0 })).toBe(MAX_HOLD_MS);
    expect(maxHoldMs({ minMs: 5, maxMs: 90_000, jitter: 0 })).toBe(90_000);
    expect(maxHoldMs({ minMs: 5, maxMs: Number.MAX_SAFE_INTEGER, jitter: 0 })).toBe(2 ** 31 - 1);
  });
});

describe('retry', () => {
  test.each([MAX_HOLD_MS + 1, 24 * 3_600_000, DAYS_30])(
    'retry - is given up at once and the sender told when to come back, when that is in %d ms',
    async (retryAfterMs) => {
      const d = new DeliveryUnderTest();
      const { id } = await d.send('first');
      await d.send('second');
      await d.fail('first', unavailable(retryAfterMs));
      await d.reply('second');
      expect(begun(d)).toEqual(['first', 'second']);
      expect(d.origin.heard).toEqual(['ORRERY_MODEL_UNAVAILABLE', 'second']);
      expect(d.origin.errors[0]?.error).toMatchObject({ retryAfterMs, details: { attempts: 1 } });
      expect(d.letters.get(id)).toMatchObject({ reason: 'exhausted', attempts: 1, error: { retryAfterMs } });
      expect(d.account.retries).toBe(0);
      expect(balanced(d)).toBe(true);
    },
  );

  test('retry - all who share the turn are told when to come back, when it is too late for each', async () => {
    const d = new DeliveryUnderTest();
    await send(d, 'collect', ['one', 'two', 'three']);
    await d.reply('one');
    await d.fail('two', unavailable(DAYS_30));
    expect(heard(d)).toEqual(['one:one', 'two:ORRERY_MODEL_UNAVAILABLE', 'three:ORRERY_MODEL_UNAVAILABLE']);
    expect(d.origin.errors.map(({ error }) => error.retryAfterMs)).toEqual([DAYS_30, DAYS_30]);
    expect(d.engine.sessions).toBe(0);
  });

  test('retry - a time within the bound is kept to, to its end', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
    const d = new DeliveryUnderTest();
    await d.send('first');
    await pass(0);
    const failed = d.fail('first', unavailable(MAX_HOLD_MS));
    await pass(MAX_HOLD_MS - 1);
    await failed;
    expect(begun(d)).toEqual(['first']);
    await pass(10);
    expect(begun(d)).toEqual(['first', 'first']);
    expect(d.origin.heard).toEqual([]);
  });

  test('retry - a slot that names a time far off holds the session for the bound, for the message has no fault', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
    const d = new DeliveryUnderTest();
    await d.send('first');
    await pass(0);
    const failed = d.fail('first', new OrreryError('ORRERY_SLOT_NOT_READY', 'not yet', { retryAfterMs: DAYS_30 }));
    await pass(MAX_HOLD_MS - 1);
    await failed;
    expect(begun(d)).toEqual(['first']);
    await pass(10);
    expect(begun(d)).toEqual(['first', 'first']);
    expect(d.slot.turn('first').attempt).toBe(1);
  });
});

describe('send', () => {
  test.each([MAX_HOLD_MS + 1, DAYS_30, Infinity])(
    'send - is undeliverable at once when its network says to come back in %d ms, and the session goes on',
    async (retryAfterMs) => {
      const d = new DeliveryUnderTest();
      d.origin.sends.push(() => Promise.reject(Object.assign(new Error('flooded'), { retryAfterMs })));
      const { id } = await d.send('one');
      await d.reply('one');
      await d.send('two');
      await d.reply('two');
      await tick();
      expect(d.origin.heard).toEqual(['two']);
      expect(d.letters.get(id)).toMatchObject({ reason: 'undeliverable', error: { code: 'ORRERY_UNDELIVERABLE' } });
      expect(d.account.snapshot()).toMatchObject({ answered: 1, dead: 1, pending: 0 });
    },
  );

  test("send - a network's time within the bound is kept to", async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
    const d = new DeliveryUnderTest();
    d.origin.sends.push(() => Promise.reject(Object.assign(new Error('slow down'), { retryAfterMs: MAX_HOLD_MS })));
    await d.send('one');
    await pass(0);
    const replied = d.reply('one');
    await pass(MAX_HOLD_MS - 1);
    await replied;
    expect(d.origin.heard).toEqual([]);
    await pass(10);
    expect(d.origin.heard).toEqual(['one']);
  });
});
