/** Runs suspects singly: who is one, in which order they are tried, what a verdict means for the others, and what is told of it. */
import { describe, expect, test } from 'vitest';
import { Delivery } from '../../src/main/delivery/delivery.ts';
import { MemoryJournal } from '../../src/main/delivery/index.ts';
import { Mailbox } from '../../src/main/delivery/mailbox.ts';
import { Quarantine } from '../../src/main/delivery/quarantine.ts';
import { OrreryError } from '../../src/protocol/index.ts';
import { inbound } from '../support/channels.ts';
import { DeliveryUnderTest, FakeQuarantine, FakeSlot, TestOrigin, tick } from '../support/delivery.ts';
import { balanced } from '../support/queue.ts';

const SPUN = { code: 'ORRERY_WORKER_UNRESPONSIVE' } as const;

/** Turns of as many sessions, named after their texts, all begun. */
async function begin(d: DeliveryUnderTest, ...texts: readonly string[]): Promise<void> {
  for (const text of texts) await d.send(text, text, { id: text });
  await tick();
}

function tried(d: DeliveryUnderTest): readonly string[] {
  return d.quarantine.slot.begun.map(({ message, attempt }) => `${message.content} ${attempt}`);
}

describe('several turns that a slot ended with', () => {
  test('quarantine - they are tried one at a time, the last begun first, while other sessions go on in the slot', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'two', 'three');
    expect(await d.crash(d.slot, SPUN)).toEqual({ guilty: undefined, poison: false, suspects: 3 });
    expect(tried(d)).toEqual(['three 1']);
    await begin(d, 'four');
    await d.reply('four');
    await d.reply('three');
    await d.reply('two');
    expect(tried(d)).toEqual(['three 1', 'two 1', 'one 1']);
    await d.reply('one');
    expect(d.origin.heard).toEqual(['four', 'three', 'two', 'one']);
    // Nobody does it alone: that is told, once.
    expect(d.quarantine.told).toEqual(['innocent a', 'innocent a', 'unexplained 0', 'innocent a']);
    expect(d.engine.quarantine.snapshot()).toEqual({ waiting: 0, runs: 3, innocent: 3, poison: 0 });
    expect(balanced(d)).toBe(true);
  });

  test('quarantine - once one is found guilty the others are let go to their slot, in their first attempt', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'two', 'guilty');
    await d.crash(d.slot, SPUN);
    await d.crashTrial(SPUN);
    expect(d.letters.list()).toMatchObject([
      { inbound: { id: 'guilty' }, reason: 'poison', attempts: 1, error: { code: SPUN.code, details: { agent: 'a' } } },
    ]);
    expect(tried(d)).toEqual(['guilty 1']);
    expect(d.slot.turn('one').attempt).toBe(1);
    expect(d.slot.turn('two').attempt).toBe(1);
    expect(d.quarantine.told).toEqual(['guilty a']);
    expect(d.engine.quarantine.snapshot()).toEqual({ waiting: 0, runs: 1, innocent: 0, poison: 1 });
  });

  test('quarantine - a crash alone explains the end too, and is an attempt: it may come through the next time', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'two');
    await d.crash(d.slot);
    await d.crashTrial();
    expect(d.slot.turn('one').attempt).toBe(1);
    expect(tried(d)).toEqual(['two 1', 'two 2']);
    await d.reply('two');
    await d.reply('one');
    expect(d.origin.heard).toEqual(['two', 'one']);
    // It is no mystery who did it.
    expect(d.quarantine.told).toEqual(['retry a', 'innocent a']);
    expect(d.engine.quarantine.cases).toBe(0);
  });

  test('quarantine - a suspect holds its session', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'two');
    await d.send('behind', 'one', { id: 'behind' });
    await d.crash(d.slot, SPUN);
    expect(d.slot.begun.map(({ message }) => message.content)).toEqual(['one', 'two']);
    await d.reply('two');
    await d.reply('one');
    expect(d.slot.turn('behind').attempt).toBe(1);
  });

  test('quarantine - a trial that fails without ending its slot is a failed attempt and no verdict', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'two');
    await d.crash(d.slot, SPUN);
    await d.fail('two', new OrreryError('ORRERY_MODEL_UNAVAILABLE', 'not now'));
    await tick();
    // Innocent, and tried again like any other.
    expect(d.slot.turn('two').attempt).toBe(2);
    await d.fail('one', new OrreryError('ORRERY_AGENT_FAILED', 'broken'));
    expect(d.letters.list()).toMatchObject([{ inbound: { id: 'one' }, reason: 'agent-error' }]);
  });

  test('quarantine - one that was cancelled while it waits is never tried, and the case goes on without it', async () => {
    const d = new DeliveryUnderTest();
    const one = await d.send('one', 'one');
    const two = await d.send('two', 'two');
    await tick();
    await d.crash(d.slot, SPUN);
    expect(d.engine.cancel(one.id)).toBe(true);
    expect(d.engine.quarantine.snapshot().waiting).toBe(1);
    // The one that runs is aborted, and its outcome decides.
    expect(d.engine.cancel(two.id)).toBe(true);
    expect(d.quarantine.slot.cancelled).toMatchObject([{ id: two.id, cause: 'cancelled' }]);
    await d.fail('two', new OrreryError('ORRERY_CANCELLED', 'cancelled'));
    expect(tried(d)).toEqual(['two 1']);
    expect(d.account.snapshot()).toMatchObject({ deadBy: { cancelled: 2 }, pending: 0 });
    expect(d.engine.quarantine.snapshot().waiting).toBe(0);
    // Nobody is left who could have done it.
    expect(d.quarantine.told).toContain('unexplained 0');
  });
});

describe('suspects that are given up', () => {
  test('quarantine - one that was cancelled when the slot ended is no suspect, and the end stays unexplained without it', async () => {
    const d = new DeliveryUnderTest();
    const one = await d.send('one', 'one');
    await d.send('two', 'two');
    await tick();
    d.engine.cancel(one.id);
    expect(await d.crash(d.slot, SPUN)).toMatchObject({ suspects: 1 });
    expect(d.origin.heard).toEqual(['ORRERY_CANCELLED']);
    await d.reply('two');
    expect(d.quarantine.told).toEqual(['unexplained 0', 'innocent a']);
    expect(d.engine.quarantine.cases).toBe(0);
  });

  test('quarantine - one that was cancelled in a trial whose end shows nothing is forgotten, and the case goes on without it', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one');
    const two = await d.send('two', 'two');
    await tick();
    await d.crash(d.slot, SPUN);
    d.engine.cancel(two.id);
    await d.crashTrial({ intended: true });
    expect(d.origin.heard).toEqual(['ORRERY_CANCELLED']);
    await d.reply('one');
    expect(tried(d)).toEqual(['two 1', 'one 1']);
    expect(d.quarantine.told).toEqual(['unexplained 0', 'innocent a']);
    expect(d.engine.quarantine.cases).toBe(0);
  });

  test('quarantine - one that is cancelled while its slot comes up is not begun, nor tried again when none could be had', async () => {
    const d = new DeliveryUnderTest();
    const one = await d.send('one', 'one');
    const two = await d.send('two', 'two');
    await tick();
    const coming = Promise.withResolvers<void>();
    d.quarantine.coming = coming.promise;
    d.quarantine.closed = new OrreryError('ORRERY_AGENT_START', 'does not start');
    await d.crash(d.slot, SPUN);
    for (const { id } of [one, two]) expect(d.engine.cancel(id)).toBe(true);
    coming.resolve();
    for (let i = 0; i < 3; i++) await tick();
    expect(d.quarantine.opened).toHaveLength(1);
    // Neither there nor anywhere else.
    expect(d.begun).toHaveLength(2);
    expect(d.account.snapshot()).toMatchObject({ deadBy: { cancelled: 2 }, pending: 0 });
    expect(d.engine.quarantine.snapshot().waiting).toBe(0);
  });

  test('quarantine - one that is left to the next process while its slot comes up is not begun', async () => {
    class Durable extends MemoryJournal {
      override readonly durable: boolean = true;
    }
    const bounds = { dedupeRetentionMs: 1_000, replyRetentionMs: 1_000, maxDeadLetters: 10 };
    const d = new DeliveryUnderTest({ journal: new Durable({ ...bounds, idPrefix: 't' }) });
    await begin(d, 'one', 'two');
    const coming = Promise.withResolvers<void>();
    d.quarantine.coming = coming.promise;
    await d.crash(d.slot, SPUN);
    d.engine.abandon(new OrreryError('ORRERY_INTERRUPTED', 'stop'));
    coming.resolve();
    await tick();
    expect(tried(d)).toEqual([]);
    expect(d.account.snapshot()).toMatchObject({ dead: 0, pending: 2 });
  });
});

describe('a turn that the dying thread could name', () => {
  test('quarantine - it alone counts an attempt and is tried apart; the other turns of its agent go on at once', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'guilty', 'three');
    expect(await d.crash(d.slot, { blamedTurn: 2 })).toEqual({ guilty: 'a', poison: false, suspects: 0 });
    expect([d.slot.turn('one').attempt, d.slot.turn('three').attempt]).toEqual([1, 1]);
    expect(tried(d)).toEqual(['guilty 2']);
    await d.crashTrial();
    await d.crashTrial();
    expect(tried(d)).toEqual(['guilty 2', 'guilty 3']);
    expect(d.letters.list()).toMatchObject([{ inbound: { id: 'guilty' }, reason: 'poison', attempts: 3 }]);
    expect(d.quarantine.told).toEqual(['retry a', 'guilty a']);
  });

  test('quarantine - on a slot of its own the only turn is known as well, whatever the thread could tell', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one');
    expect(await d.crash(d.slot, { own: true })).toEqual({ guilty: 'a', poison: false, suspects: 0 });
    expect(tried(d)).toEqual(['one 2']);
    await d.reply('one');
    // Who did it was known, also when it does not do it again.
    expect(d.quarantine.told).toEqual(['innocent a']);
    expect(d.engine.quarantine.cases).toBe(0);
  });

  test('quarantine - one that is over leaves no suspect: what it left behind did it', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'over', 'one');
    await d.reply('over');
    expect(await d.crash(d.slot, { blamedTurn: 1 })).toEqual({ guilty: undefined, poison: false, suspects: 0 });
    expect(d.slot.turn('one').attempt).toBe(1);
    expect(d.quarantine.opened).toEqual([]);
  });

  test('quarantine - of several that began together the thread cannot tell which: they alone are tried', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'two', 'three');
    expect(await d.crash(d.slot, { blamedTurn: 2, blamedTo: 3 })).toMatchObject({ suspects: 2 });
    expect(tried(d)).toEqual(['three 1']);
    expect(d.slot.turn('one').attempt).toBe(1);
  });

  test('quarantine - an agent whose thread named no turn has all its turns tried singly', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'two');
    await d.crash(d.slot, { blamed: true });
    await d.reply('two');
    await d.reply('one');
    expect(tried(d)).toEqual(['two 1', 'one 1']);
  });
});

describe('trials', () => {
  test('quarantine - a thread that an innocent turn used before proves nothing: the next is tried again on a fresh one', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'two');
    await d.crash(d.slot, SPUN);
    await d.reply('two');
    await d.crashTrial(SPUN);
    expect(tried(d)).toEqual(['two 1', 'one 1', 'one 1']);
    await d.reply('one');
    expect(d.origin.heard).toEqual(['two', 'one']);
    expect(d.letters.size).toBe(0);
  });

  test('quarantine - an end that the thread said another agent did proves nothing', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'two');
    await d.crash(d.slot, SPUN);
    // Code of another agent, which was started there before.
    await d.crashTrial({ blamedRuntime: 'other' });
    expect(tried(d)).toEqual(['two 1', 'two 1']);
    expect(d.letters.size).toBe(0);
    // Of this one, and of no turn of it.
    await d.crashTrial({ blamedRuntime: 'a', ...SPUN });
    expect(d.letters.list()).toMatchObject([{ inbound: { id: 'two' }, reason: 'poison' }]);
    expect(d.slot.turn('one').attempt).toBe(1);
  });

  test('quarantine - suspects of an end go before the messages of an agent that runs apart', async () => {
    const d = new DeliveryUnderTest({ slots: 2 });
    const apart: string[] = [];
    const suspects: string[] = [];
    // Sessions have their replica by their hash.
    for (let i = 0; apart.length < 3 || suspects.length < 2; i++) {
      await begin(d, `s${i}`);
      const mine = [...d.slot.running.values()].some(({ message }) => message.content === `s${i}`);
      (mine ? suspects : apart).push(`s${i}`);
    }
    for (const text of apart) await d.reply(text);
    d.engine.roster.apart('a#2');
    for (const text of apart) await d.send(`more ${text}`, text, { id: `more ${text}` });
    await tick();
    await d.crash(d.slot, SPUN);
    for (let left = apart.length + suspects.length; left > 0; left--) {
      const [turn] = d.quarantine.slot.running.values();
      await d.reply(turn?.message.content ?? '');
    }
    // The one that ran already is not disturbed.
    const [first, ...later] = apart.map((text) => `more ${text} 1`);
    expect(tried(d)).toEqual([first, ...suspects.toReversed().map((text) => `${text} 1`), ...later]);
  });

  test('quarantine - an agent that does not start there is tried as often as a turn, and its messages are given up one by one', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'two');
    d.quarantine.closed = new OrreryError('ORRERY_AGENT_START', 'does not start');
    await d.crash(d.slot, SPUN);
    for (let i = 0; d.engine.pending > 0 && i < 20; i++) await tick();
    expect(
      d.letters
        .list()
        .map(({ inbound: { id }, reason }) => `${id} ${reason}`)
        .toSorted(),
    ).toEqual(['one exhausted', 'two exhausted']);
    expect(d.quarantine.opened).toHaveLength(6);
    expect(balanced(d)).toBe(true);
  });

  test('quarantine - what waits there for an agent that is given up is answered at once', async () => {
    const d = new DeliveryUnderTest();
    await begin(d, 'one', 'two', 'three');
    await d.crash(d.slot, SPUN);
    d.engine.roster.dead('a', { name: 'OrreryError', code: 'ORRERY_AGENT_ESCALATED', message: 'too often' });
    await d.crashTrial(SPUN);
    expect(d.origin.heard).toEqual(['ORRERY_AGENT_ESCALATED', 'ORRERY_AGENT_ESCALATED', SPUN.code]);
    expect(d.engine.quarantine.snapshot().waiting).toBe(0);
  });

  test('quarantine - a runtime that runs apart has all its messages tried singly until it is let back', async () => {
    const d = new DeliveryUnderTest();
    d.engine.roster.apart('a');
    await begin(d, 'one', 'two', 'three');
    expect(tried(d)).toEqual(['one 1']);
    await d.reply('one');
    expect(tried(d)).toEqual(['one 1', 'two 1']);
    d.engine.roster.waiting('a');
    d.engine.quarantine.release('a');
    d.up(d.slot);
    await tick();
    expect(d.slot.turn('three').attempt).toBe(1);
    await d.reply('two');
    await d.reply('three');
    expect(d.origin.heard).toEqual(['one', 'two', 'three']);
  });
});

test('quarantine - suspects of an end are tried singly also when their agent, which ran apart, is let back', async () => {
  const d = new DeliveryUnderTest();
  await begin(d, 'one', 'two', 'three');
  await d.crash(d.slot, SPUN);
  d.engine.roster.waiting('a');
  d.engine.quarantine.release('a');
  d.up(d.slot);
  await tick();
  expect(d.slot.running.size).toBe(0);
  for (const text of ['three', 'two', 'one']) await d.reply(text);
  expect(tried(d)).toEqual(['three 1', 'two 1', 'one 1']);
  expect(d.quarantine.told).toContain('unexplained 0');
});

describe('deliveries that an earlier process left', () => {
  function left(): { readonly quarantine: Quarantine; readonly host: FakeQuarantine; readonly delivery: Delivery } {
    const host = new FakeQuarantine(new FakeSlot(99));
    const quarantine = new Quarantine({
      host: () => host,
      run: () => undefined,
      place: () => undefined,
      unopened: () => undefined,
    });
    const mailbox = new Mailbox<Delivery>('a');
    return { quarantine, host, delivery: new Delivery('d', 1, inbound(), 'a', new TestOrigin(), mailbox) };
  }

  test.each([
    { crashes: 1, place: 'thread' },
    { crashes: 2, place: 'process' },
  ])('quarantine - a suspect of $crashes ends of the process is tried in a $place', ({ crashes, place }) => {
    const { quarantine, host, delivery } = left();
    quarantine.recovered(delivery, { crashes, dispatched: true });
    quarantine.add(delivery, 'a');
    expect(host.opened).toEqual([{ runtime: 'a', place }]);
  });

  test.each([
    { crashes: 3, dispatched: true, plan: 'poison' },
    { crashes: 1, dispatched: false, plan: 'normal' },
  ])('quarantine - is $plan, and no suspect, after $crashes ends, dispatched: $dispatched', ({ plan, ...facts }) => {
    const { quarantine, delivery } = left();
    expect(quarantine.recovered(delivery, facts)).toBe(plan);
    expect(delivery.suspicion).toBeUndefined();
  });
});
