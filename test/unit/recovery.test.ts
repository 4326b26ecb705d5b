import { pino } from 'pino';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Look } from '../../src/main/delivery/index.ts';
import type { Journal, PendingDelivery } from '../../src/main/delivery/journal.ts';
import { Recovery, burialOf } from '../../src/main/wiring/recovery.ts';
import { type DeliveryState, OrreryError } from '../../src/protocol/index.ts';
import { inbound } from '../support/channels.ts';
import { DeliveryUnderTest, replyOf, tick } from '../support/delivery.ts';
import { committed, dispatched } from '../support/journal.ts';

const AGENTS = new Set(['a']);
const NO_THREAD = new OrreryError('ORRERY_SLOT_NOT_READY', 'No thread is up');

function pending(
  content: string,
  over: Partial<PendingDelivery> & { readonly session?: string } = {},
): PendingDelivery {
  const { session = 'alice', ...rest } = over;
  const message = { role: 'user', content } as const;
  const about = { id: `old-${content}`, agent: 'a', namespace: `memory:${session}`, attempts: 0 };
  const facts = { acceptedAt: Date.now(), crashes: 0, replays: 0, state: { status: 'accepted' } as DeliveryState };
  return { ...about, ...facts, inbound: inbound({ namespace: about.namespace, message }), ...rest };
}

interface Recovering {
  readonly d: DeliveryUnderTest;
  readonly recovery: Recovery;
  /** What the journal was told by recovery itself. */
  readonly marked: readonly string[];
  readonly host: { isStopping: boolean };
  readonly warned: () => readonly Line[];
}

/** Of the log. */
interface Line {
  readonly level: number;
  readonly channel?: string;
  readonly deliveries?: number;
}

const WARN = 40;

afterEach(() => {
  vi.useRealTimers();
});

/** An engine whose journal has deliveries of an earlier process. */
function recovering(left: Iterable<PendingDelivery>, look: Look = () => Promise.resolve(new Map())): Recovering {
  const d = new DeliveryUnderTest({ look });
  const marked: string[] = [];
  const lines: Line[] = [];
  const host = { isStopping: false };
  const journal = {
    deadLetters: d.journal.deadLetters,
    async *recover() {
      yield* left;
    },
    mark: (id, { status }, attempts) => marked.push(`${id} ${status} ${attempts}`),
  } as Partial<Journal> as Journal;
  const recovery = new Recovery({
    journal,
    engine: d.engine,
    intake: d.intake,
    account: d.account,
    agents: () => AGENTS,
    originOf: ({ channel }) => (channel === 'gone' || channel === 'terminal' ? undefined : d.origin),
    isStopping: () => host.isStopping,
    maxAgeMs: 1_000,
    log: pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Line) }),
  });
  return { d, recovery, marked, host, warned: () => lines.filter(({ level }) => level === WARN) };
}

describe('what an earlier process left', () => {
  test.each<[string, Partial<PendingDelivery>, string | undefined]>([
    ['is run when it is young', { acceptedAt: 9_000 }, undefined],
    ['expires when it is old', { acceptedAt: 8_999 }, 'expired'],
    ['is sent however old when it was committed', { acceptedAt: 0, state: committed() }, undefined],
    ['is given up when its agent is gone', { acceptedAt: 9_999, agent: 'b' }, 'agent-stopped'],
    [
      'is given up when the process ended three times under it',
      { acceptedAt: 9_999, crashes: 3, state: dispatched(1) },
      'poison',
    ],
    ['is run however often the process ended while it waited', { acceptedAt: 9_999, crashes: 9 }, undefined],
    ['is sent when it was committed by an agent that is gone', { agent: 'b', state: committed() }, undefined],
  ])('recovery - %s', (_, over, reason) => {
    const burial = burialOf(pending('x', over), { agents: AGENTS, maxAgeMs: 1_000, now: 10_000 });
    expect(burial?.reason).toBe(reason);
  });

  test('recovery - runs in order, sends what was committed before it, and counts no attempt that was cut off', async () => {
    const { d, recovery } = recovering([
      pending('one', { state: committed('was committed'), attempts: 1 }),
      pending('two', { state: dispatched(2), attempts: 2, crashes: 1 }),
      pending('three'),
      pending('four', { session: 'bob', attempts: 1 }),
    ]);
    await recovery.recover();
    const late = d.send('late');
    await tick();
    expect(d.origin.heard).toEqual(['was committed']);
    // The one that a slot had when the process ended is tried alone.
    expect(d.quarantine.slot.begun.map(({ id, attempt }) => [id, attempt])).toEqual([['old-two', 2]]);
    expect(d.slot.begun.map(({ id, attempt }) => [id, attempt])).toEqual([['old-four', 2]]);
    await d.reply('two');
    await d.reply('three');
    await late;
    await d.reply('late');
    await d.reply('four');
    expect(d.origin.heard).toEqual(['was committed', 'two', 'three', 'late', 'four']);
    expect(d.account.snapshot()).toMatchObject({ accepted: 1, recovered: 4, answered: 5, pending: 0 });
  });

  test('recovery - suspects are tried one at a time, in a process after repeated ends, and while they wait no slot has them', async () => {
    const { d, recovery } = recovering([
      pending('one', { session: 'one', state: dispatched(1), attempts: 1, crashes: 1 }),
      pending('two', { session: 'two', state: dispatched(1), attempts: 1, crashes: 2 }),
      pending('three', { session: 'three', crashes: 2 }),
    ]);
    await recovery.recover();
    await tick();
    await d.crashTrial({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    // Guilty of its own: the others are tried all the same.
    await d.reply('two');
    await d.reply('three');
    expect(d.quarantine.opened).toEqual([
      { runtime: 'a', place: 'thread' },
      { runtime: 'a', place: 'process' },
      { runtime: 'a', place: 'process' },
    ]);
    expect(d.origin.heard).toEqual(['ORRERY_WORKER_UNRESPONSIVE', 'two', 'three']);
    expect(d.slot.begun).toEqual([]);
  });

  test('recovery - sends what had committed, though the journal does not know, before it gives anything up', async () => {
    const asked: (readonly string[])[] = [];
    const { d, recovery } = recovering(
      [
        pending('old', { acceptedAt: 0 }),
        pending('late', { acceptedAt: 0, state: dispatched(1), attempts: 1 }),
        pending('lost', { agent: 'b' }),
        pending('killed', { session: 'bob', crashes: 3, state: dispatched(1), attempts: 1 }),
        pending('young'),
      ],
      (ids) => {
        asked.push(ids);
        return Promise.resolve(new Map(['old-late', 'old-lost', 'old-killed'].map((id) => [id, replyOf(`had ${id}`)])));
      },
    );
    await recovery.recover();
    await tick();
    await d.reply('young');
    // One question for all, and none for what is run anyway: that finds its commit itself.
    expect(asked).toEqual([['old-old', 'old-late', 'old-lost', 'old-killed']]);
    expect(d.origin.heard.toSorted()).toEqual(
      ['ORRERY_EXPIRED', 'had old-late', 'had old-lost', 'had old-killed', 'young'].toSorted(),
    );
    expect(d.slot.begun.map(({ id }) => id)).toEqual(['old-young']);
    expect(d.account.snapshot()).toMatchObject({ recovered: 5, answered: 4, dead: 1, pending: 0 });
    expect(d.engine.sessions).toBe(0);
  });

  test('recovery - has the journal know what it found: the record of a commit may be gone before the reply could be sent', async () => {
    const { recovery, marked } = recovering([pending('old', { acceptedAt: 0, attempts: 2 })], (ids) =>
      Promise.resolve(new Map(ids.map((id) => [id, replyOf('had')]))),
    );
    await recovery.recover();
    expect(marked).toEqual(['old-old committed 2']);
  });

  test('recovery - looks again until a thread is up', async () => {
    let looks = 0;
    const { d, recovery } = recovering([pending('old', { acceptedAt: 0 })], (ids) => {
      looks += 1;
      if (looks === 1) return Promise.reject(NO_THREAD);
      return Promise.resolve(new Map(ids.map((id) => [id, replyOf('had')])));
    });
    await recovery.recover();
    await tick();
    expect(d.origin.heard).toEqual(['had']);
  });

  test('recovery - gives up what is not run where nobody could look for a commit in ten seconds, however many there are', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const left = Array.from({ length: 600 }, (_, i) => pending(String(i), { acceptedAt: 0 }));
    const { d, recovery } = recovering([...left, pending('young')], () => Promise.reject(NO_THREAD));
    const recovered = recovery.recover();
    await vi.advanceTimersByTimeAsync(9_000);
    expect(d.account.snapshot()).toMatchObject({ recovered: 0, pending: 0 });
    await vi.advanceTimersByTimeAsync(2_000);
    await recovered;
    vi.useRealTimers();
    await tick();
    await d.reply('young');
    expect(d.account.snapshot()).toMatchObject({ recovered: 601, dead: 600, answered: 1, pending: 0 });
  });

  test('recovery - leaves to the next process what it could not look for before a stop', async () => {
    const held = Promise.withResolvers<never>();
    const { d, recovery, host } = recovering([pending('old', { acceptedAt: 0 }), pending('young')], () => held.promise);
    const recovered = recovery.recover();
    await tick();
    host.isStopping = true;
    held.reject(NO_THREAD);
    await recovered;
    await tick();
    expect(d.origin.heard).toEqual([]);
    expect(d.slot.begun).toEqual([]);
    expect(d.account.snapshot()).toMatchObject({ recovered: 0, dead: 0, pending: 0 });
  });

  test('recovery - reads no more of what was left once the host stops', async () => {
    const held = Promise.withResolvers<never>();
    let read = 0;
    function* left(): Generator<PendingDelivery> {
      for (let i = 0; i < 1_000; i++) {
        read += 1;
        yield pending(`${i}`, { acceptedAt: 0 });
      }
    }
    const { d, recovery, host } = recovering(left(), () => held.promise);
    const recovered = recovery.recover();
    await tick();
    host.isStopping = true;
    held.reject(NO_THREAD);
    await recovered;
    expect(read).toBeLessThan(300);
    expect(d.account.snapshot()).toMatchObject({ recovered: 0, dead: 0, pending: 0 });
  });

  test('recovery - takes over many in their order, those that are given up among those that had committed', async () => {
    const left = Array.from({ length: 600 }, (_, i) => pending(String(i), { acceptedAt: 0 }));
    const { d, recovery } = recovering(left, (ids) =>
      Promise.resolve(new Map(ids.filter((id) => id.endsWith('0')).map((id) => [id, replyOf('had')]))),
    );
    await recovery.recover();
    await tick();
    expect(d.origin.answers.map(({ to }) => to)).toEqual(left.map(({ inbound: { id } }) => id));
    expect(d.account.snapshot()).toMatchObject({ recovered: 600, dead: 540, answered: 60, pending: 0 });
  });

  test('recovery - tells the senders of what is not run', async () => {
    const { d, recovery } = recovering([pending('old', { acceptedAt: 0 }), pending('lost', { agent: 'b' })]);
    await recovery.recover();
    await tick();
    expect(d.origin.heard).toEqual(['ORRERY_EXPIRED', 'ORRERY_AGENT_UNKNOWN']);
    expect(d.account.snapshot()).toMatchObject({ recovered: 2, dead: 2, pending: 0 });
    expect(d.engine.sessions).toBe(0);
  });

  test('recovery - what came from a channel that is gone is answered to nobody, and that is told', async () => {
    const left = pending('one');
    const talk = pending('talk', { state: committed() });
    const { d, recovery, warned } = recovering([
      { ...left, inbound: { ...left.inbound, channel: 'gone' } },
      { ...talk, inbound: { ...talk.inbound, channel: 'terminal' } },
    ]);
    await recovery.recover();
    expect(warned()).toMatchObject([{ channel: 'gone', deliveries: 1 }]);
    await tick();
    await d.reply('one');
    expect(d.origin.heard).toEqual([]);
    expect(d.account.snapshot()).toMatchObject({ recovered: 2, answered: 2, pending: 0 });
  });
});

describe('dead letters', () => {
  test('replay - runs the message again, behind what its session has, with all its attempts', async () => {
    const { d, recovery } = recovering([]);
    const { id } = await d.send('one');
    await tick();
    await d.fail('one', new OrreryError('ORRERY_AGENT_FAILED', 'broken'));
    await d.send('two');
    expect(await recovery.list()).toMatchObject([{ id, reason: 'agent-error', attempts: 1 }]);
    expect(await recovery.replay(id)).toMatchObject({ id });
    await tick();
    await d.reply('two');
    await d.reply('one', 'at last');
    expect(d.origin.heard).toEqual(['ORRERY_AGENT_FAILED', 'two', 'at last']);
    expect(d.slot.begun.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
    expect(d.account.snapshot()).toMatchObject({ accepted: 2, replayed: 1, answered: 2, dead: 1, pending: 0 });
    expect(await recovery.list()).toEqual([]);
  });

  test('replay - is refused for an unknown letter, for an agent that is gone, and while the host stops', async () => {
    const { d, recovery } = recovering([]);
    const { id } = await d.send('one');
    await tick();
    await d.fail('one', new OrreryError('ORRERY_AGENT_FAILED', 'broken'));
    await expect(recovery.replay('nothing')).rejects.toMatchObject({ code: 'ORRERY_NOT_FOUND' });
    await expect(recovery.drop('nothing')).rejects.toMatchObject({ code: 'ORRERY_NOT_FOUND' });
    d.intake.close(new OrreryError('ORRERY_DRAINING', 'stopping'));
    await expect(recovery.replay(id)).rejects.toMatchObject({ code: 'ORRERY_DRAINING' });
    expect(await recovery.get(id)).toMatchObject({ id });
    await recovery.drop(id);
    expect(await recovery.list()).toEqual([]);
  });

  test('replay - is refused when its session is full, and the letter stays', async () => {
    const d = new DeliveryUnderTest({ mailboxSize: 1 });
    const { id } = await d.send('one');
    await tick();
    await d.fail('one', new OrreryError('ORRERY_AGENT_FAILED', 'broken'));
    await d.send('two');
    expect(() => d.intake.checkRoom('a', 'memory:alice')).toThrow('its bound is 1');
    expect(() => d.intake.checkRoom('a', 'memory:bob')).not.toThrow();
    expect(d.letters.get(id)).toBeDefined();
    expect(d.engine.sessions).toBe(1);
  });
});
