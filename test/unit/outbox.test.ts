/** What becomes of replies whose channel is down, and of those that a stop finds unsent. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { MemoryJournal, type PendingDelivery } from '../../src/main/delivery/index.ts';
import type { Origin } from '../../src/main/delivery/origin.ts';
import { OrreryError } from '../../src/protocol/index.ts';
import { inbound } from '../support/channels.ts';
import { DeliveryUnderTest, TestOrigin, replyOf, tick } from '../support/delivery.ts';
import { eventually } from '../support/host.ts';

/** A channel that can be down. */
class Channel extends TestOrigin {
  #down: PromiseWithResolvers<void> | undefined;
  #isUnaware = false;
  /** Sends that did not reach it. */
  missed = 0;

  close(): void {
    this.#down = Promise.withResolvers();
  }

  /** It is down, and has not noticed: it says that it can be reached. */
  break(): void {
    this.close();
    this.#isUnaware = true;
  }

  open(): void {
    this.#isUnaware = false;
    this.#down?.resolve();
    this.#down = undefined;
  }

  reachable(): Promise<void> | undefined {
    return this.#isUnaware ? undefined : this.#down?.promise;
  }

  override reply(out: Parameters<Origin['reply']>[0]): void | Promise<void> {
    if (!this.#down) return super.reply(out);
    this.missed += 1;
    return Promise.reject(new OrreryError('ORRERY_CHANNEL_CLOSED', 'down'));
  }

  override error(out: Parameters<Origin['error']>[0]): void | Promise<void> {
    if (!this.#down) return super.error(out);
    return Promise.reject(new OrreryError('ORRERY_CHANNEL_CLOSED', 'down'));
  }
}

async function send(d: DeliveryUnderTest, channel: Channel, content: string, session = content): Promise<string> {
  const message = { role: 'user', content } as const;
  const answer = await d.intake.accept(inbound({ namespace: `memory:${session}`, message }), () => 'a', channel);
  await tick();
  return answer.id;
}

/** What an earlier process left. */
function left(content: string): PendingDelivery {
  const namespace = `memory:${content}`;
  const message = { role: 'user', content } as const;
  const facts = { attempts: 0, crashes: 0, replays: 0, acceptedAt: 0, state: { status: 'accepted' } } as const;
  return { id: `old-${content}`, agent: 'a', namespace, inbound: inbound({ namespace, message }), ...facts };
}

describe('a channel that is down', () => {
  test('outbox - holds its replies and errors until it is open again, in order, however often it is tried', async () => {
    const d = new DeliveryUnderTest({ maxSends: 1 });
    const channel = new Channel();
    await send(d, channel, 'one', 's');
    await send(d, channel, 'two', 's');
    await send(d, channel, 'three', 's');
    channel.close();
    await d.reply('one');
    await d.fail('two', new OrreryError('ORRERY_AGENT_FAILED', 'broken'));
    await d.reply('three');
    expect(channel.heard).toEqual([]);
    expect(d.account.snapshot()).toMatchObject({ answered: 0, dead: 0, pending: 3 });
    expect(channel.book.held).toBe(1);
    for (let i = 0; i < 3; i++) {
      // It opens, and is closed again before the reply got out.
      channel.open();
      channel.close();
      await tick();
      expect(channel.heard).toEqual([]);
    }
    channel.open();
    await tick();
    expect(channel.heard).toEqual(['one', 'ORRERY_AGENT_FAILED', 'three']);
    expect(d.account.snapshot()).toMatchObject({ answered: 2, dead: 1, pending: 0 });
    expect(channel.book.held).toBe(0);
  });

  test('outbox - holds no more than its bound: what is over is undeliverable, and other channels go on', async () => {
    const d = new DeliveryUnderTest({ maxHeld: 2 });
    const channel = new Channel();
    for (const content of ['one', 'two', 'three']) await send(d, channel, content);
    channel.close();
    for (const content of ['one', 'two', 'three']) await d.reply(content);
    expect(d.letters.list().map(({ inbound: { message }, reason }) => [message.content, reason])).toEqual([
      ['three', 'undeliverable'],
    ]);
    await d.send('elsewhere');
    await tick();
    await d.reply('elsewhere');
    expect(d.origin.heard).toEqual(['elsewhere']);
    channel.open();
    await tick();
    expect(channel.heard).toEqual(['one', 'two']);
    expect(d.account.snapshot()).toMatchObject({ answered: 3, dead: 1, pending: 0 });
  });

  test('outbox - tells every sender of an error that a start found, however many of them wait for the channel to open', async () => {
    const d = new DeliveryUnderTest({ maxHeld: 1 });
    const channel = new Channel();
    channel.close();
    const expired = new OrreryError('ORRERY_EXPIRED', 'too old');
    for (const content of ['one', 'two', 'three']) d.engine.bury(left(content), channel, 'expired', expired);
    await tick();
    channel.open();
    await d.engine.idle();
    await eventually('all were told', () => channel.heard.length === 3);
    expect(d.account.snapshot()).toMatchObject({ dead: 3, pending: 0 });
    expect(channel.book.held).toBe(0);
  });

  test('outbox - holds all that an earlier process had: at a start no channel is open yet', async () => {
    const d = new DeliveryUnderTest({ maxHeld: 1 });
    const channel = new Channel();
    channel.close();
    for (const content of ['one', 'two', 'three']) {
      const message = inbound({ namespace: `memory:${content}`, message: { role: 'user', content } });
      const about = { id: content, agent: 'a', namespace: message.namespace, attempts: 1, crashes: 0, replays: 0 };
      const state = { status: 'committed', reply: replyOf(content) } as const;
      d.engine.adopt({ ...about, state, inbound: message, acceptedAt: Date.now() }, channel);
    }
    await tick();
    expect(d.letters.size).toBe(0);
    channel.open();
    await tick();
    expect(channel.heard).toEqual(['one', 'two', 'three']);
  });

  test('outbox - tries again what a channel did not reach that has not noticed yet, and takes none of it for a refusal', async () => {
    const d = new DeliveryUnderTest({ maxSends: 1, retry: { minMs: 1, maxMs: 2, jitter: 0 } });
    const channel = new Channel();
    await send(d, channel, 'one', 's');
    await send(d, channel, 'two', 's');
    channel.break();
    await d.reply('one');
    await d.reply('two');
    await eventually('it was tried', () => channel.missed > 5);
    expect(channel.book.held).toBe(1);
    channel.open();
    await d.engine.idle();
    expect(channel.heard).toEqual(['one', 'two']);
    expect(d.account.snapshot()).toMatchObject({ answered: 2, dead: 0 });
    expect(channel.book.held).toBe(0);
  });

  test('outbox - gives up what a channel never reached that does not notice, when its bound is over', async () => {
    const d = new DeliveryUnderTest({ maxHeldMs: 20, retry: { minMs: 1, maxMs: 2, jitter: 0 } });
    const channel = new Channel();
    const id = await send(d, channel, 'one');
    channel.break();
    await d.reply('one');
    await d.engine.idle();
    expect(d.letters.get(id)).toMatchObject({ reason: 'undeliverable' });
    expect(channel.book.held).toBe(0);
  });

  test('outbox - holds a reply no longer than its bound', async () => {
    const d = new DeliveryUnderTest({ maxHeldMs: 1 });
    const channel = new Channel();
    const id = await send(d, channel, 'one');
    channel.close();
    await d.reply('one');
    await d.engine.idle();
    expect(d.letters.get(id)).toMatchObject({ reason: 'undeliverable' });
    expect(channel.book.held).toBe(0);
  });
});

describe('what the journal and the sender hear', () => {
  class Marked extends MemoryJournal {
    readonly marks: string[] = [];

    override mark(...[id, state, attempts]: Parameters<MemoryJournal['mark']>): void {
      this.marks.push(`${id} ${state.status} ${attempts}`);
      super.mark(id, state, attempts);
    }
  }

  function marked(): { readonly d: DeliveryUnderTest; readonly journal: Marked } {
    const bounds = { dedupeRetentionMs: 1_000, replyRetentionMs: 1_000, maxDeadLetters: 10 };
    const journal = new Marked({ ...bounds, idPrefix: 't' });
    return { d: new DeliveryUnderTest({ journal }), journal };
  }

  test('ledger - the journal hears of each step: who has it, with which attempt, and its reply before that is sent', async () => {
    const { d, journal } = marked();
    const channel = new Channel();
    const id = await send(d, channel, 'one');
    await d.fail('one', new OrreryError('ORRERY_MODEL_UNAVAILABLE', 'not now'));
    await d.fail('one', new OrreryError('ORRERY_SLOT_NOT_READY', 'moving'));
    channel.close();
    await d.reply('one');
    const steps = ['dispatched 1', 'retrying 1', 'dispatched 2', 'retrying 1', 'dispatched 2', 'committed 2'];
    expect(journal.marks).toEqual(steps.map((step) => `${id} ${step}`));
    channel.open();
    await tick();
    expect(journal.marks.at(-1)).toBe(`${id} answered 2`);
  });

  test('outbox - a message whose sender cannot be told of its error is over all the same', async () => {
    const d = new DeliveryUnderTest();
    const { id } = await d.send('one');
    await d.send('two');
    await tick();
    for (let i = 0; i < 3; i++) d.origin.sends.push(() => Promise.reject(new Error('no network')));
    await d.fail('one', new OrreryError('ORRERY_AGENT_FAILED', 'broken'));
    await d.reply('two');
    await d.engine.idle();
    expect(d.letters.get(id)).toMatchObject({ reason: 'agent-error' });
    expect(d.origin.heard).toEqual(['two']);
    expect(d.account.snapshot()).toMatchObject({ answered: 1, dead: 1, pending: 0 });
  });

  test('ledger - senders hear of an abort in the order of their messages, whichever of them were answered between', async () => {
    const d = new DeliveryUnderTest();
    for (const text of ['one', 'two', 'three']) await d.send(text, text, { id: text });
    await tick();
    await d.reply('one');
    await d.reply('two');
    for (const text of ['four', 'five']) await d.send(text, text, { id: text });
    await tick();
    d.engine.abandon(new OrreryError('ORRERY_INTERRUPTED', 'stop'));
    await tick();
    expect(d.origin.answers.map(({ to }) => to)).toEqual(['one', 'two', 'three', 'four', 'five']);
  });
});

describe('a stop', () => {
  class Durable extends MemoryJournal {
    override readonly durable: boolean = true;
  }

  afterEach(() => {
    vi.useRealTimers();
  });

  function durable(o: ConstructorParameters<typeof DeliveryUnderTest>[0] = {}): DeliveryUnderTest {
    const journal = new Durable({
      dedupeRetentionMs: 1_000,
      replyRetentionMs: 1_000,
      idPrefix: 't',
      maxDeadLetters: 10,
    });
    return new DeliveryUnderTest({ journal, ...o });
  }

  test('outbox - leaves a reply that a channel never took to the next process', async () => {
    const d = durable();
    const channel = new Channel();
    const one = await send(d, channel, 'one');
    channel.close();
    await d.reply('one');
    d.engine.close();
    await d.engine.idle();
    expect(d.account.snapshot()).toMatchObject({ accepted: 1, answered: 0, dead: 0, pending: 1 });
    expect(d.letters.get(one)).toBeUndefined();
    // Nor is it sent once more.
    expect(channel.missed).toBe(1);
  });

  test('outbox - leaves a reply whose send fails after the close, at once', async () => {
    const d = durable({ retry: { minMs: 60_000, maxMs: 60_000, jitter: 0 } });
    await d.send('one');
    await tick();
    const sent = Promise.withResolvers<void>();
    d.origin.sends.push(() => sent.promise);
    await d.reply('one');
    d.engine.close();
    sent.reject(new Error('no network'));
    await d.engine.idle();
    expect(d.origin.replies).toHaveLength(1);
    expect(d.account.snapshot()).toMatchObject({ answered: 0, dead: 0, pending: 1 });
  });

  test('outbox - keeps no timer of what it held', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
    const d = durable();
    const channel = new Channel();
    const message = { role: 'user', content: 'one' } as const;
    await d.intake.accept(inbound({ namespace: 'memory:one', message }), () => 'a', channel);
    await vi.advanceTimersByTimeAsync(10);
    channel.close();
    const replied = d.reply('one');
    await vi.advanceTimersByTimeAsync(10);
    await replied;
    expect(vi.getTimerCount()).toBe(1);
    d.engine.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('delivery - leaves what waits and what runs to the next process, and tells who waits for it', async () => {
    const d = durable();
    await d.send('runs');
    await d.send('waits');
    await tick();
    d.engine.abort('shutdown');
    expect(d.slot.cancelled).toMatchObject([{ cause: 'shutdown' }]);
    await d.fail('runs', new OrreryError('ORRERY_INTERRUPTED', 'stopped'));
    await d.engine.idle();
    expect(d.origin.leftIds).toHaveLength(2);
    expect(d.origin.heard).toEqual([]);
    expect(d.account.snapshot()).toMatchObject({ accepted: 2, answered: 0, dead: 0, pending: 2 });
  });
});
