/** What a sender hears of a message whose turn began when it was written, before it was durable. */
import { describe, expect, test, vi } from 'vitest';
import { MemoryJournal } from '../../src/main/delivery/index.ts';
import type { Admission, WrittenListener } from '../../src/main/delivery/journal.ts';
import { type Accepted, OrreryError } from '../../src/protocol/index.ts';
import { DeliveryUnderTest, tick } from '../support/delivery.ts';

const FAILED = new OrreryError('ORRERY_JOURNAL_FAILED', 'the disk did not sync');

/** Says that a batch is written, and that it is synced when a test says so. */
class WrittenFirst extends MemoryJournal {
  readonly #syncs: { readonly sync: () => void; readonly fail: (error: Error) => void }[] = [];

  constructor() {
    super({ dedupeRetentionMs: 1_000, replyRetentionMs: 1_000, idPrefix: 't', maxDeadLetters: 10 });
    // Intake asks for it, and must not find it.
    Object.defineProperty(this, 'appendNow', { value: undefined });
    Object.defineProperty(this, 'durable', { value: true });
  }

  /** While it is, messages are told of by their answer alone. */
  isQuiet = false;

  override async append(
    batch: readonly Admission[],
    written?: WrittenListener,
  ): Promise<readonly (Accepted | Error)[]> {
    const answers = batch.map((admission) => MemoryJournal.prototype.appendNow.call(this, admission));
    const accepted = answers.filter((one): one is Accepted => !(one instanceof Error) && one.status === 'accepted');
    if (accepted.length < answers.length) return answers;
    if (!this.isQuiet) written?.(accepted);
    const { promise, resolve, reject } = Promise.withResolvers<readonly Accepted[]>();
    this.#syncs.push({ sync: () => resolve(accepted), fail: reject });
    return promise;
  }

  async sync(): Promise<void> {
    this.syncNow();
    await tick();
  }

  syncNow(): void {
    for (const { sync } of this.#syncs.splice(0)) sync();
  }

  async fail(error: Error): Promise<void> {
    for (const { fail } of this.#syncs.splice(0)) fail(error);
    await tick();
  }
}

/** Lets promises run, and no event of the loop. */
async function microtasks(): Promise<void> {
  for (let i = 0; i < 100; i++) await Promise.resolve();
}

function delivery(): { d: DeliveryUnderTest; journal: WrittenFirst } {
  const journal = new WrittenFirst();
  return { d: new DeliveryUnderTest({ journal }), journal };
}

describe('a message that is written and not synced', () => {
  test('intake - its turn begins, and its reply waits for the acceptance', async () => {
    const { d, journal } = delivery();
    const order: string[] = [];
    d.origin.sends.push(() => void order.push('reply'));
    const accepted = d.send('hello').then(({ status }) => order.push(status));
    await tick();
    await d.reply('hello');
    expect(d.origin.heard).toEqual([]);
    expect(d.account.snapshot()).toMatchObject({ received: 1, inIntake: 0, accepted: 1, answered: 0, pending: 1 });
    await journal.sync();
    await accepted;
    expect(d.origin.heard).toEqual(['hello']);
    expect(order).toEqual(['accepted', 'reply']);
    expect(d.account.snapshot()).toMatchObject({ answered: 1, pending: 0 });
  });

  test('intake - its text waits, and what an attempt took back is never heard', async () => {
    const { d, journal } = delivery();
    const heard: string[] = [];
    const listener = { delta: (text: string) => heard.push(text), reset: () => heard.push('(reset)') };
    void d.send('hello', 'alice', {}, listener);
    await tick();
    d.engine.delta(0, d.slot.turn('hello').turn, 'wro');
    await d.fail('hello', new OrreryError('ORRERY_MODEL_UNAVAILABLE', 'again', { retryAfterMs: 0 }), true);
    await vi.waitFor(() => d.slot.turn('hello'));
    d.engine.delta(0, d.slot.turn('hello').turn, 'ri');
    d.engine.delta(0, d.slot.turn('hello').turn, 'gh');
    expect(heard).toEqual([]);
    await journal.sync();
    expect(heard).toEqual(['righ']);
    await d.reply('hello', 'right');
    expect(heard).toEqual(['righ', 't']);
    expect(d.origin.heard).toEqual(['right']);
  });

  test('intake - its error waits, and a cancel before the sync is told after it', async () => {
    const { d, journal } = delivery();
    const accepted = d.send('hello');
    await tick();
    d.engine.abort('cancelled', d.origin);
    await d.fail('hello', new OrreryError('ORRERY_CANCELLED', 'stopped'));
    expect(d.origin.heard).toEqual([]);
    await journal.sync();
    await accepted;
    expect(d.origin.heard).toEqual(['ORRERY_CANCELLED']);
  });

  test('intake - nobody is shown that it is worked on before the sync, nor after its end', async () => {
    const { d, journal } = delivery();
    void d.send('one', 'alice');
    void d.send('two', 'bob');
    await tick();
    expect(d.origin.typingNow).toBe(0);
    await d.reply('one');
    await journal.sync();
    expect(d.origin.typingNow).toBe(1);
    await d.reply('two');
    expect(d.origin.typingNow).toBe(0);
  });

  test('intake - that they are worked on is shown once, and taken back, when several messages share a turn', async () => {
    const { d, journal } = delivery();
    d.origin.mode = 'collect';
    const sent = ['one', 'two', 'three'].map((text) => d.send(text));
    await tick();
    await journal.sync();
    await Promise.all(sent);
    expect(d.origin.typingNow).toBe(1);
    await d.reply('one');
    expect(d.origin.heard).toHaveLength(3);
    expect(d.origin.typingNow).toBe(0);
  });

  test('intake - a reply that waits is not overtaken by that of a later message of its session that did not wait', async () => {
    const { d, journal } = delivery();
    void d.send('one');
    await tick();
    await d.reply('one');
    journal.isQuiet = true;
    void d.send('two');
    await microtasks();
    // Both are told in one turn of the loop, and the second one's turn ends in it too.
    journal.syncNow();
    await microtasks();
    await d.reply('two');
    expect(d.origin.heard).toEqual(['one', 'two']);
  });

  test('intake - who is refused hears nothing of what the next start does', async () => {
    const { d, journal } = delivery();
    const refused = d.send('hello').catch((error: unknown) => error);
    await tick();
    d.engine.abandon(new OrreryError('ORRERY_INTERRUPTED', 'the host stops'));
    await journal.fail(FAILED);
    expect(await refused).toBe(FAILED);
    expect([...d.origin.leftIds, ...d.origin.heard]).toEqual([]);
  });

  test('intake - replies of a session keep their order when the first waits for its sync', async () => {
    const { d, journal } = delivery();
    void d.send('one');
    await tick();
    void d.send('two');
    await tick();
    await d.reply('one');
    await d.reply('two');
    await journal.sync();
    expect(d.origin.heard).toEqual(['one', 'two']);
  });

  test('intake - is refused when the sync fails, is run all the same, and is answered to whoever asks again', async () => {
    const { d, journal } = delivery();
    const heard: string[] = [];
    const refused = d
      .send('hello', 'alice', { id: 'same' }, { delta: (text) => heard.push(text) })
      .catch((error: unknown) => error);
    await tick();
    await journal.fail(FAILED);
    expect(await refused).toBe(FAILED);
    expect(d.account.snapshot()).toMatchObject({ received: 1, rejected: 0, accepted: 1, pending: 1 });
    expect(await d.send('hello', 'alice', { id: 'same' })).toMatchObject({ status: 'duplicate', state: 'pending' });
    await d.reply('hello', 'yes');
    expect([...d.origin.heard, ...heard]).toEqual([]);
    expect(await d.send('hello', 'alice', { id: 'same' })).toMatchObject({
      state: 'answered',
      reply: { message: { content: 'yes' } },
    });
    expect(d.account.snapshot()).toMatchObject({ answered: 1, dead: 0, pending: 0 });
    expect(d.origin.book.pending).toBe(0);
  });

  test('intake - messages that wait for the journal have their places in the mailbox', async () => {
    const journal = new WrittenFirst();
    journal.isQuiet = true;
    const d = new DeliveryUnderTest({ journal, mailboxSize: 2 });
    const answers = ['one', 'two', 'three'].map((text) => d.send(text).catch((error: unknown) => error));
    expect(await answers[2]).toMatchObject({ code: 'ORRERY_MAILBOX_FULL' });
    await tick();
    await journal.sync();
    expect(await Promise.all(answers.slice(0, 2))).toMatchObject([{ status: 'accepted' }, { status: 'accepted' }]);
  });
});
