/** What becomes of a turn that has no attempt left when its slot ended after its commit: the outcome was lost, and the reply stands in the session store. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type Look, MemoryJournal } from '../../src/main/delivery/index.ts';
import { OrreryError, type Reply, toWire } from '../../src/protocol/index.ts';
import { inbound } from '../support/channels.ts';
import { DeliveryUnderTest, replyOf, tick } from '../support/delivery.ts';

const TELLING = { code: 'ORRERY_WORKER_UNRESPONSIVE' } as const;
const FAKED = ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance'] as const;

/** A session store that has what a test puts there. */
class Store {
  readonly replies = new Map<string, Reply>();
  readonly asked: (readonly string[])[] = [];
  /** While set, no thread is up that could look. */
  isAway = false;
  /** While set, no look ends. */
  held: Promise<void> | undefined;

  /** How long a look takes, in milliseconds. */
  lookMs = 0;

  readonly look: Look = async (deliveries) => {
    this.asked.push(deliveries);
    await this.held;
    if (this.lookMs > 0) await new Promise((resolve) => setTimeout(resolve, this.lookMs));
    if (this.isAway) throw new OrreryError('ORRERY_SLOT_NOT_READY', 'No thread is up');
    return new Map([...this.replies].filter(([id]) => deliveries.includes(id)));
  };
}

function underTest(o: ConstructorParameters<typeof DeliveryUnderTest>[0] = {}): {
  readonly d: DeliveryUnderTest;
  readonly store: Store;
} {
  const store = new Store();
  return { d: new DeliveryUnderTest({ look: store.look, ...o }), store };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('a turn that ended its slot and has no attempt left', () => {
  test('recall - is answered when it had committed, and its session goes on', async () => {
    const { d, store } = underTest();
    const withdrawn = vi.spyOn(d.engine.quarantine, 'withdraw');
    const { id } = await d.send('one');
    await d.send('two');
    await tick();
    store.replies.set(id, replyOf('committed'));
    const findings = await d.crash(d.slot, TELLING);
    // Its case is closed, and its sender sees nobody typing any more.
    expect(withdrawn.mock.calls.map(([delivery]) => delivery.id)).toEqual([id]);
    expect(d.origin.typingNow).toBe(1);
    // It did end its slot.
    expect(findings).toMatchObject({ poison: true, guilty: 'a' });
    await d.reply('two');
    expect(d.origin.heard).toEqual(['committed', 'two']);
    expect(d.account.snapshot()).toMatchObject({ answered: 2, dead: 0, pending: 0 });
    expect(d.engine.quarantine.snapshot()).toMatchObject({ waiting: 0 });
    expect(d.quarantine.opened).toEqual([]);
    expect(d.engine.sessions).toBe(0);
  });

  test('recall - is a dead letter when it had not', async () => {
    const { d, store } = underTest();
    const withdrawn = vi.spyOn(d.engine.quarantine, 'withdraw');
    const { id } = await d.send('one');
    await d.send('two');
    await tick();
    await d.crash(d.slot, TELLING);
    expect(store.asked).toEqual([[id]]);
    expect(withdrawn.mock.calls.map(([delivery]) => delivery.id)).toEqual([id]);
    await d.reply('two');
    expect(d.origin.heard).toEqual([TELLING.code, 'two']);
    expect(d.letters.get(id)).toMatchObject({ reason: 'poison', attempts: 1 });
    expect(d.engine.quarantine.snapshot()).toMatchObject({ waiting: 0 });
  });

  test('recall - is asked of a trial too, and of nobody who has attempts left', async () => {
    const { d, store } = underTest();
    const one = await d.send('one', 'alice');
    await d.send('two', 'bob');
    await tick();
    await d.crash(d.slot, TELLING);
    expect(store.asked).toEqual([]);
    // The last begun is tried first.
    await d.reply('two');
    store.replies.set(one.id, replyOf('committed'));
    // The thread had run another one before: that shows nothing yet.
    await d.crashTrial(TELLING);
    expect(store.asked).toEqual([]);
    await d.crashTrial(TELLING);
    expect(d.origin.heard).toEqual(['two', 'committed']);
    // Its agent is charged; a message that was answered is no poison.
    expect(d.quarantine.told).toEqual(['innocent a', 'guilty a']);
    expect(d.engine.quarantine.snapshot()).toEqual({ waiting: 0, runs: 3, innocent: 1, poison: 0 });
    expect(d.account.snapshot()).toMatchObject({ answered: 2, dead: 0, pending: 0 });
  });

  test('recall - looks again until a thread is up, and gives it up after ten seconds without one', async () => {
    vi.useFakeTimers({ toFake: [...FAKED] });
    const { d, store } = underTest();
    store.isAway = true;
    const one = await d.send('one', 'alice');
    await vi.advanceTimersByTimeAsync(0);
    const crashed = d.crash(d.slot, TELLING);
    await vi.advanceTimersByTimeAsync(5_000);
    await crashed;
    const two = await d.send('two', 'bob');
    await vi.advanceTimersByTimeAsync(0);
    const crashedAgain = d.crash(d.slot, TELLING);
    await vi.advanceTimersByTimeAsync(4_500);
    await crashedAgain;
    expect(d.origin.heard).toEqual([]);
    await vi.advanceTimersByTimeAsync(500);
    expect(d.letters.get(one.id)).toMatchObject({ reason: 'poison' });
    store.isAway = false;
    store.replies.set(two.id, replyOf('committed'));
    await vi.advanceTimersByTimeAsync(250);
    expect(d.origin.heard).toEqual([TELLING.code, 'committed']);
    expect(d.account.snapshot()).toMatchObject({ answered: 1, dead: 1, pending: 0 });
  });

  test('recall - a cancel meanwhile ends it, and what is found then is nobody’s', async () => {
    const { d, store } = underTest();
    const held = Promise.withResolvers<void>();
    store.held = held.promise;
    const { id } = await d.send('one');
    await tick();
    store.replies.set(id, replyOf('committed'));
    await d.crash(d.slot, TELLING);
    expect(d.engine.cancel(id)).toBe(true);
    held.resolve();
    await tick();
    expect(d.origin.heard).toEqual(['ORRERY_CANCELLED']);
    expect(d.engine.quarantine.snapshot()).toMatchObject({ waiting: 0 });
    expect(d.account.snapshot()).toMatchObject({ answered: 0, dead: 1, pending: 0 });
  });

  test('recall - a cancel meanwhile lets its session go on, and that nothing is found then ends no other turn', async () => {
    const { d, store } = underTest();
    const held = Promise.withResolvers<void>();
    store.held = held.promise;
    const { id } = await d.send('one');
    await d.send('two');
    await d.send('three');
    await tick();
    await d.crash(d.slot, TELLING);
    d.engine.cancel(id);
    await tick();
    expect(d.slot.turn('two').attempt).toBe(1);
    held.resolve();
    await tick();
    // One turn of a session at a time.
    expect([...d.slot.running.values()].map(({ message }) => message.content)).toEqual(['two']);
    await d.reply('two');
    await d.reply('three');
    expect(d.origin.heard).toEqual(['ORRERY_CANCELLED', 'two', 'three']);
    expect(d.engine.quarantine.snapshot()).toMatchObject({ poison: 0 });
    expect(d.account.snapshot()).toMatchObject({ answered: 2, dead: 1, pending: 0 });
  });

  test('recall - what is found after it was left to the next process is that one’s to send', async () => {
    class Durable extends MemoryJournal {
      override readonly durable: boolean = true;
    }
    const bounds = { dedupeRetentionMs: 1_000, replyRetentionMs: 1_000, maxDeadLetters: 10 };
    const { d, store } = underTest({ journal: new Durable({ ...bounds, idPrefix: 't' }) });
    const held = Promise.withResolvers<void>();
    store.held = held.promise;
    const { id } = await d.send('one');
    await tick();
    store.replies.set(id, replyOf('committed'));
    await d.crash(d.slot, TELLING);
    d.engine.abandon(new OrreryError('ORRERY_INTERRUPTED', 'stop'));
    held.resolve();
    await tick();
    expect(d.origin.heard).toEqual([]);
    expect(d.origin.leftIds).toHaveLength(1);
    expect(d.account.snapshot()).toMatchObject({ answered: 0, dead: 0, pending: 1 });
  });

  test.each([
    ['cancelled', ({ engine }: DeliveryUnderTest, id: string) => engine.cancel(id)],
    [
      'left at a stop',
      ({ engine }: DeliveryUnderTest) => engine.abandon(new OrreryError('ORRERY_INTERRUPTED', 'stop')),
    ],
  ])('recall - is asked no more of one that was %s while nobody could look', async (_, end) => {
    vi.useFakeTimers({ toFake: [...FAKED] });
    const { d, store } = underTest();
    const held = Promise.withResolvers<void>();
    store.held = held.promise;
    store.isAway = true;
    const { id } = await d.send('one');
    await vi.advanceTimersByTimeAsync(0);
    const crashed = d.crash(d.slot, TELLING);
    await vi.advanceTimersByTimeAsync(10);
    await crashed;
    end(d, id);
    d.engine.close();
    held.resolve();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(store.asked).toEqual([[id]]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('recall - that is closed gives nobody up', async () => {
    const { d, store } = underTest();
    const held = Promise.withResolvers<void>();
    store.held = held.promise;
    const { id } = await d.send('one');
    await tick();
    await d.crash(d.slot, TELLING);
    d.engine.close();
    held.resolve();
    await tick();
    expect(d.letters.get(id)).toBeUndefined();
    expect(d.account.snapshot()).toMatchObject({ dead: 0, pending: 1 });
  });

  test('recall - holds its session for ten seconds also where each look takes long', async () => {
    vi.useFakeTimers({ toFake: [...FAKED] });
    const { d, store } = underTest();
    await d.send('one');
    await d.send('two');
    await vi.advanceTimersByTimeAsync(0);
    store.isAway = true;
    store.lookMs = 4_000;
    const crashed = d.crash(d.slot, TELLING);
    await vi.advanceTimersByTimeAsync(15_000);
    await crashed;
    expect(d.origin.heard).toEqual([TELLING.code]);
    expect(d.slot.turn('two').attempt).toBe(1);
  });
});

describe('a delivery that has no way to another attempt', () => {
  test('recall - is answered when its agent is stopped before its trial, and it had committed', async () => {
    const { d, store } = underTest({ maxTurnsPerAgent: 2 });
    const one = await d.send('one', 'alice');
    await d.send('two', 'bob');
    await tick();
    store.replies.set(one.id, replyOf('committed'));
    await d.crash(d.slot, TELLING);
    // One is tried after two. Of the others two run, and the third waits for its first attempt.
    for (const session of ['carol', 'dave', 'erin']) await d.send(session, session);
    d.engine.roster.dead('a', toWire(new OrreryError('ORRERY_AGENT_ESCALATED', 'given up')));
    await tick();
    expect(d.origin.heard.toSorted()).toEqual(['ORRERY_AGENT_ESCALATED', 'committed']);
    expect(store.asked).toEqual([[one.id]]);
    for (const session of ['two', 'carol', 'dave']) await d.reply(session);
    expect(d.account.snapshot()).toMatchObject({ answered: 4, dead: 1, pending: 0 });
    expect(d.engine.quarantine.snapshot()).toMatchObject({ waiting: 0 });
    expect(d.engine.sessions).toBe(0);
  });

  test('recall - is answered when its agent is stopped before its turn, and one of an earlier process had committed', async () => {
    const { d, store } = underTest({ maxTurnsPerAgent: 1 });
    await d.send('runs', 'alice');
    await tick();
    // The journal missed that it was dispatched.
    const message = inbound({ namespace: 'memory:bob', message: { role: 'user', content: 'old' } });
    const about = { id: 'old', agent: 'a', namespace: 'memory:bob', attempts: 0, crashes: 0, replays: 0 };
    const state = { status: 'accepted' } as const;
    d.engine.adopt({ ...about, state, acceptedAt: Date.now(), inbound: message }, d.origin);
    store.replies.set('old', replyOf('committed'));
    d.engine.roster.dead('a', toWire(new OrreryError('ORRERY_AGENT_ESCALATED', 'given up')));
    await tick();
    expect(d.origin.heard).toEqual(['committed']);
    expect(store.asked).toEqual([['old']]);
    await d.reply('runs');
    expect(d.account.snapshot()).toMatchObject({ answered: 2, dead: 0 });
  });

  test('recall - is asked for together with all that are given up for the same agent, so many at a time', async () => {
    const { d, store } = underTest({ maxTurnsPerAgent: 600 });
    const ids: string[] = [];
    for (let i = 0; i < 600; i++) ids.push((await d.send(`${i}`, `s${i}`)).id);
    await tick();
    const [first = ''] = ids;
    store.replies.set(first, replyOf('committed'));
    await d.crash(d.slot, TELLING);
    d.engine.roster.dead('a', toWire(new OrreryError('ORRERY_AGENT_ESCALATED', 'given up')));
    await tick();
    // The last is being tried.
    expect(store.asked.map((asked) => asked.length)).toEqual([256, 256, 87]);
    expect(store.asked.flat().toSorted()).toEqual(ids.slice(0, -1).toSorted());
    await d.reply('599');
    expect(d.account.snapshot()).toMatchObject({ answered: 2, dead: 598, pending: 0 });
    expect(d.origin.answers.filter(({ text }) => text === 'committed')).toHaveLength(1);
    expect(d.engine.sessions).toBe(0);
  });

  test('recall - goes on when its agent is taken away meanwhile, and whoever comes again with its id is in flight', async () => {
    const { d, store } = underTest();
    const held = Promise.withResolvers<void>();
    store.held = held.promise;
    const again = { id: 'same' };
    const { id } = await d.send('one', 'alice', again);
    await tick();
    store.replies.set(id, replyOf('committed'));
    await d.crash(d.slot, TELLING);
    d.engine.roster.dead('a', toWire(new OrreryError('ORRERY_AGENT_STOPPED', 'taken out of the configuration')));
    expect(d.engine.isBusy('a')).toBe(true);
    expect(await d.send('one', 'alice', again)).toMatchObject({
      id,
      status: 'duplicate',
      state: 'pending',
    });
    await d.send('two');
    held.resolve();
    await tick();
    expect(d.origin.heard).toEqual(['committed', 'ORRERY_AGENT_STOPPED']);
    expect(await d.send('one', 'alice', again)).toMatchObject({
      id,
      status: 'duplicate',
      state: 'answered',
    });
    expect(d.engine.isBusy('a')).toBe(false);
    expect(d.account.snapshot()).toMatchObject({ answered: 1, dead: 1, pending: 0 });
  });

  test('recall - a cancel of one leaves alone what is asked for together with it', async () => {
    const { d, store } = underTest();
    const ids: string[] = [];
    for (const text of ['one', 'two', 'three', 'tried']) ids.push((await d.send(text, text)).id);
    await tick();
    const [one = '', two = '', three = ''] = ids;
    for (const id of [one, two]) store.replies.set(id, replyOf('committed'));
    const held = Promise.withResolvers<void>();
    store.held = held.promise;
    await d.crash(d.slot, TELLING);
    d.engine.roster.dead('a', toWire(new OrreryError('ORRERY_AGENT_ESCALATED', 'given up')));
    await tick();
    expect(d.engine.cancel(one)).toBe(true);
    held.resolve();
    await tick();
    await d.reply('tried');
    expect(store.asked).toHaveLength(1);
    expect(d.letters.list().map(({ id, reason }) => [id, reason])).toEqual(
      expect.arrayContaining([
        [one, 'cancelled'],
        [three, 'agent-stopped'],
      ]),
    );
    expect(d.origin.heard.toSorted()).toEqual(['ORRERY_AGENT_ESCALATED', 'ORRERY_CANCELLED', 'committed', 'tried']);
    expect(d.account.snapshot()).toMatchObject({ answered: 2, dead: 2, pending: 0 });
  });

  test('recall - is answered when its agent is stopped, and a turn that it was offered to had committed with it', async () => {
    const { d, store } = underTest();
    const ids = [(await d.send('one')).id];
    await tick();
    ids.push((await d.send('two', 'alice', { queue: 'steer' })).id);
    await tick();
    for (const id of ids) store.replies.set(id, replyOf('both'));
    await d.crash(d.slot, TELLING);
    d.engine.roster.dead('a', toWire(new OrreryError('ORRERY_AGENT_ESCALATED', 'given up')));
    // Its trial finds what had committed; the other one has no trial any more.
    await d.reply('one', 'both');
    expect(d.origin.heard).toEqual(['both', 'both']);
    expect(d.account.snapshot()).toMatchObject({ answered: 2, dead: 0, pending: 0 });
    expect(d.engine.quarantine.snapshot()).toMatchObject({ waiting: 0 });
  });

  test('quarantine - is left as it is when its trial finds no slot because the host stops', async () => {
    // Nobody can be asked, and there is one try.
    const d = new DeliveryUnderTest({ maxAttempts: 1 });
    for (const text of ['one', 'two']) await d.send(text, text);
    await tick();
    d.quarantine.closed = new OrreryError('ORRERY_DRAINING', 'The supervisor stops');
    await d.crash(d.slot, TELLING);
    await tick();
    expect(d.account.snapshot()).toMatchObject({ dead: 0, pending: 2 });
    d.engine.abandon(new OrreryError('ORRERY_INTERRUPTED', 'stop'));
    await tick();
    expect(d.account.snapshot()).toMatchObject({ deadBy: { shutdown: 2 }, pending: 0 });
  });

  test('recall - is answered when its trial finds no slot, and had committed', async () => {
    const { d, store } = underTest();
    const ids = [(await d.send('one', 'alice')).id, (await d.send('two', 'bob')).id];
    await tick();
    store.replies.set(ids[0] ?? '', replyOf('committed'));
    d.quarantine.closed = new OrreryError('ORRERY_AGENT_START', 'it does not start');
    await d.crash(d.slot, TELLING);
    await vi.waitFor(() => expect(d.origin.heard).toHaveLength(2));
    expect(d.origin.heard.toSorted()).toEqual(['ORRERY_AGENT_START', 'committed']);
    expect(d.letters.list({}).map(({ id, reason }) => [id, reason])).toEqual([[ids[1], 'exhausted']]);
    expect(d.engine.quarantine.snapshot()).toMatchObject({ waiting: 0 });
  });
});
