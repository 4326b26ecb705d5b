/** What the journal's writer sends to its thread, and when; the thread is a test's. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type {
  AskKind,
  Asks,
  ProbeAnswer,
  Request,
  WorkException,
} from '../../src/main/delivery/sqlite-journal/packed.ts';
import { APPEND_PLACES, MARK_PLACES } from '../../src/main/delivery/sqlite-journal/packed-work.ts';
import { Marked } from '../../src/main/delivery/sqlite-journal/unpacked-work.ts';
import { STATUS } from '../../src/main/delivery/sqlite-journal/schema.ts';
import { type Failure, journalFailed } from '../../src/main/delivery/sqlite-journal/thread.ts';
import { JournalWriter, MARK_DELAY_MS, type WriterThread } from '../../src/main/delivery/sqlite-journal/writer.ts';
import type { Accepted } from '../../src/protocol/index.ts';
import { admission, answered, dispatched } from '../support/journal.ts';

interface Asked {
  readonly request: Request;
  readonly done: (value: readonly WorkException[]) => void;
  readonly failed: (failure: Failure) => void;
  readonly written?: () => void;
}

/** Answers when a test says so. */
class FakeThread implements WriterThread {
  readonly asked: Asked[] = [];
  running = true;
  starts = 0;

  ask<K extends AskKind>(
    request: Request<K>,
    done: (value: Asks[K][1]) => void,
    failed: Asked['failed'],
    written?: () => void,
  ): void {
    this.asked.push({ request: request as Request, done, failed, ...(written && { written }) });
  }

  start(): void {
    this.starts += 1;
  }

  /** The work that was asked for: how many messages, the sequence numbers of marks, and what was withdrawn. */
  get work(): readonly (readonly [messages: number, marks: readonly number[], withdrawn: readonly number[]])[] {
    return this.asked.flatMap(({ request }) => {
      if (request.kind !== 'work') return [];
      const { appends, marks, withdrawn } = request;
      const marked = [...marks.numbers].filter((_, i) => i % MARK_PLACES === 0);
      return [[appends.numbers.length / APPEND_PLACES, marked, withdrawn] as const];
    });
  }
}

let thread: FakeThread;
let writer: JournalWriter;

beforeEach(() => {
  vi.useFakeTimers();
  thread = new FakeThread();
  writer = new JournalWriter({
    thread,
    idPrefix: 'w',
    changed: undefined,
    now: Date.now,
  });
  writer.numberFrom(1);
});

afterEach(() => {
  writer.end();
  vi.useRealTimers();
});

async function append(count = 1): Promise<{ answers: Promise<unknown>; written: Accepted[] }> {
  const written: Accepted[] = [];
  const batch = Array.from({ length: count }, () => admission());
  const answers = writer.append(batch, (accepted) => written.push(...accepted)).catch((error: unknown) => error);
  await Promise.resolve();
  return { answers, written };
}

/** The thread's answer to a probe is of another kind. */
function answerProbe(place: number, answer: ProbeAnswer): void {
  (thread.asked[place]?.done as ((value: unknown) => void) | undefined)?.(answer);
}

describe('marks', () => {
  test('writer - marks wait for others, and go with the next message once they have waited long enough', async () => {
    await append();
    writer.mark('w-1', dispatched(), 1);
    await append();
    writer.mark('w-1', answered(), 1);
    // One is under way: what comes meanwhile is the next one.
    expect(thread.work).toEqual([[1, [], []]]);
    thread.asked[0]?.done([]);
    expect(thread.work[1]).toEqual([1, [], []]);
    writer.mark('w-2', dispatched(), 1);
    vi.advanceTimersByTime(MARK_DELAY_MS);
    await append();
    expect(thread.work).toHaveLength(2);
    thread.asked[1]?.done([]);
    expect(thread.work[2]).toEqual([1, [1, 2], []]);
  });

  test('writer - a message does not wait for marks that are under way', async () => {
    writer.mark('w-1', dispatched(), 1);
    vi.advanceTimersByTime(MARK_DELAY_MS);
    await append();
    expect(thread.work).toEqual([
      [0, [1], []],
      [1, [], []],
    ]);
  });

  test('writer - marks go by themselves when no message comes, and when what was under way has ended', async () => {
    writer.mark('w-1', dispatched(), 1);
    vi.advanceTimersByTime(MARK_DELAY_MS);
    expect(thread.work).toEqual([[0, [1], []]]);
    writer.mark('w-1', answered(), 1);
    vi.advanceTimersByTime(MARK_DELAY_MS);
    expect(thread.work).toHaveLength(1);
    thread.asked[0]?.done([]);
    expect(thread.work[1]).toEqual([0, [1], []]);
    thread.asked[1]?.done([]);
    vi.advanceTimersByTime(10 * MARK_DELAY_MS);
    expect(thread.work).toHaveLength(2);
  });

  test('writer - marks go in their time again after a failure took those that were due', async () => {
    await append();
    writer.mark('w-1', dispatched(), 1);
    vi.advanceTimersByTime(MARK_DELAY_MS);
    thread.asked[0]?.failed({ error: journalFailed('full'), unknown: false, final: false });
    vi.advanceTimersByTime(1_000);
    answerProbe(1, { marked: true });
    expect(writer.lag.marks).toBe(0);
    writer.mark('w-1', answered(), 1);
    vi.advanceTimersByTime(MARK_DELAY_MS);
    expect(thread.work.at(-1)).toEqual([0, [1], []]);
  });

  test('writer - the newest state of a delivery is kept when two transactions with its states fail one after the other', () => {
    writer.mark('w-1', dispatched(), 1);
    vi.advanceTimersByTime(MARK_DELAY_MS);
    writer.mark('w-1', answered('yes'), 1);
    writer.mark('w-2', dispatched(), 1);
    writer.sendAll();
    expect(thread.work).toEqual([
      [0, [1], []],
      [0, [1, 2], []],
    ]);
    const failure: Failure = { error: journalFailed('full'), unknown: false, final: false };
    thread.asked[0]?.failed(failure);
    thread.asked[1]?.failed(failure);
    vi.advanceTimersByTime(1_000);
    const { request } = thread.asked[2] ?? {};
    if (request?.kind !== 'probe') throw new Error(`Expected a probe, got ${request?.kind}`);
    const marked = new Marked(request.marks);
    const seen: unknown[] = [];
    while (marked.next()) seen.push([marked.seq, marked.status, marked.attempts, marked.text, marked.rest]);
    expect(seen).toEqual([
      [1, STATUS.answered, 1, 'yes', null],
      [2, STATUS.dispatched, 1, null, expect.stringContaining('dispatched')],
    ]);
  });

  test('writer - a message that comes again is answered with what was marked, also where the file does not have it yet', async () => {
    const known = { id: 'w-1', agent: 'echo', status: 0, state: null, reply: null };
    writer.mark('w-1', answered('yes'), 1);
    const waiting = await append();
    thread.asked[0]?.done([[0, known]]);
    expect(await waiting.answers).toMatchObject([{ status: 'duplicate', state: 'answered' }]);

    const first = await append();
    // On its way to the thread, behind the message.
    vi.advanceTimersByTime(MARK_DELAY_MS);
    await append();
    writer.sendAll();
    expect(thread.work[2]).toEqual([1, [1], []]);
    thread.asked[1]?.done([[0, known]]);
    expect(await first.answers).toMatchObject([{ status: 'duplicate', state: 'answered' }]);
  });

  test('writer - a message that comes again is answered with the newest of its states that are under way', async () => {
    for (const state of [dispatched(), answered('yes')]) {
      writer.mark('w-1', state, 1);
      writer.sendAll();
    }
    const { answers } = await append();
    thread.asked[2]?.done([[0, { id: 'w-1', agent: 'echo', status: 0, state: null, reply: null }]]);
    expect(await answers).toMatchObject([{ status: 'duplicate', state: 'answered' }]);
  });

  test('writer - marks of many deliveries do not wait, and none is waited for after the end', () => {
    for (let i = 1; i < 2_048; i++) writer.mark(`w-${i.toString(36)}`, dispatched(), 1);
    expect(thread.work).toEqual([]);
    writer.mark(`w-${(2_048).toString(36)}`, dispatched(), 1);
    expect(thread.work.map(([, marked]) => marked.length)).toEqual([2_048]);
    writer.end();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('writer - what is marked while the file is tried goes by itself once it takes writes, and not before', async () => {
    await append();
    thread.asked[0]?.failed({ error: journalFailed('full'), unknown: false, final: false });
    vi.advanceTimersByTime(1_000);
    writer.mark('w-1', dispatched(), 1);
    vi.advanceTimersByTime(MARK_DELAY_MS);
    writer.sendAll();
    expect(thread.work).toHaveLength(1);
    answerProbe(1, { marked: true });
    vi.advanceTimersByTime(MARK_DELAY_MS);
    expect(thread.work.slice(1)).toEqual([[0, [1], []]]);
  });
});

describe('what goes into a transaction', () => {
  test('writer - each of several batches hears of its own messages', async () => {
    const [one, two] = [append(2), append(2)];
    await Promise.resolve();
    expect(thread.work.map(([messages]) => messages)).toEqual([4]);
    thread.asked[0]?.done([
      [1, null],
      [3, null],
    ]);
    const conflict = { code: 'ORRERY_ID_CONFLICT' };
    expect(await (await one).answers).toMatchObject([{ id: 'w-1', status: 'accepted' }, conflict]);
    expect(await (await two).answers).toMatchObject([{ id: 'w-3', status: 'accepted' }, conflict]);
  });

  test('writer - batches that are large together go one after another', async () => {
    const message = { role: 'user', content: 'x'.repeat(3 * 1024 * 1024) } as const;
    const answers = [1, 2].map(() => writer.append([admission({ message })]));
    await Promise.resolve();
    expect(thread.work.map(([messages]) => messages)).toEqual([1]);
    thread.asked[0]?.done([]);
    await answers[0];
    expect(thread.work.map(([messages]) => messages)).toEqual([1, 1]);
    thread.asked[1]?.done([]);
    expect(await answers[1]).toMatchObject([{ status: 'accepted', id: 'w-2' }]);
  });

  test('writer - a message after the close is refused', async () => {
    writer.close();
    const { answers } = await append();
    expect(await answers).toMatchObject({ code: 'ORRERY_CLOSED' });
    expect(thread.asked).toEqual([]);
  });
});

describe('a thread that ended', () => {
  const lost = journalFailed("The journal's thread ended");

  test('writer - is begun anew a second later, and the file is tried once it is open', () => {
    thread.running = false;
    writer.health.threadLost(lost);
    vi.advanceTimersByTime(999);
    expect(thread.starts).toBe(0);
    vi.advanceTimersByTime(1);
    expect(thread.starts).toBe(1);
    // It ends once more while it opens.
    writer.health.threadLost(lost);
    vi.advanceTimersByTime(1_000);
    expect(thread.starts).toBe(2);
    expect(thread.asked).toEqual([]);
    writer.health.threadOpened();
    expect(thread.asked.map(({ request }) => request.kind)).toEqual(['probe']);
    answerProbe(0, { marked: true });
    expect(writer.health.state).toEqual({ status: 'ok' });
    expect(vi.getTimerCount()).toBe(0);
  });
});

test.each([
  ['a file that is damaged', (): unknown => writer.health.fail({ error: journalFailed('damaged'), final: true })],
  [
    'a file whose journal closes',
    (): void => {
      writer.health.close();
      writer.health.fail({ error: journalFailed('full'), final: false });
    },
  ],
  [
    'a file whose journal has ended',
    (): void => {
      writer.health.fail({ error: journalFailed('full'), final: false });
      writer.end();
    },
  ],
])('writer - %s is not tried any more', (_, end) => {
  end();
  expect(writer.health.state).toMatchObject({ status: 'failed' });
  expect(vi.getTimerCount()).toBe(0);
});

describe('a disk that somebody else found closed', () => {
  test('writer - tries the file, refuses messages when it takes no writes, and is not asked twice in a second', async () => {
    writer.health.check();
    writer.health.check();
    expect(thread.asked.map(({ request }) => request.kind)).toEqual(['check']);
    answerProbe(0, { marked: true });
    expect(writer.health.state).toEqual({ status: 'ok' });
    vi.advanceTimersByTime(1_000);
    writer.health.check();
    answerProbe(1, { marked: true, error: { name: 'OrreryError', message: 'full', code: 'ORRERY_DATABASE_FAILED' } });
    expect(writer.health.state).toMatchObject({ status: 'failed', error: { code: 'ORRERY_JOURNAL_FAILED' } });
    const { answers } = await append();
    await expect(writer.flush()).rejects.toMatchObject({ code: 'ORRERY_JOURNAL_FAILED' });
    // Nobody has come before.
    thread.asked[2]?.done([]);
    expect(await answers).toMatchObject({ code: 'ORRERY_JOURNAL_FAILED' });
    // As after any write that failed it is tried again.
    vi.advanceTimersByTime(1_000);
    expect(thread.asked).toHaveLength(4);
    answerProbe(3, { marked: true });
    expect(writer.health.state).toEqual({ status: 'ok' });
  });
});

describe('a sync that fails', () => {
  const failure: Failure = { error: journalFailed('The disk did not sync'), unknown: true, final: false };

  test('writer - what was begun is refused and stays, and what was not is taken back', async () => {
    const [begun, other] = [await append(2), await append()];
    writer.sendAll();
    thread.asked[0]?.written?.();
    expect(begun.written.map(({ id }) => id)).toEqual(['w-1', 'w-2']);
    expect(other.written).toEqual([]);
    thread.asked[0]?.failed(failure);
    thread.asked[1]?.failed(failure);
    for (const { answers } of [begun, other]) {
      expect(await answers).toMatchObject({ code: 'ORRERY_JOURNAL_FAILED', retryAfterMs: 1_000 });
    }
    const probe = writer.health.probe();
    answerProbe(2, { marked: true });
    await probe;
    await append();
    expect(thread.work[2]).toEqual([1, [], [3]]);
  });

  test('writer - what waits behind it is refused too, and nobody waits for it any more', async () => {
    const [underWay, waits] = [await append(), await append()];
    expect(thread.asked).toHaveLength(1);
    thread.asked[0]?.failed(failure);
    for (const { answers } of [underWay, waits]) expect(await answers).toMatchObject({ code: 'ORRERY_JOURNAL_FAILED' });
    expect(writer.lag.appends).toBe(0);
    vi.advanceTimersByTime(1_000);
    answerProbe(1, { marked: true });
    // What failed is told.
    await writer.flush();
  });

  test('writer - what is to be taken back is so until a transaction has done it, once', async () => {
    await append();
    for (let failures = 1; failures <= 2; failures++) {
      thread.asked.at(-1)?.failed(failure);
      vi.advanceTimersByTime(1_000);
      answerProbe(thread.asked.length - 1, { marked: true });
      await append();
    }
    expect(thread.work.map(([, , withdrawn]) => withdrawn)).toEqual([[], [1], [1, 2]]);
    thread.asked.at(-1)?.done([]);
    await append();
    expect(thread.work.at(-1)).toEqual([1, [], []]);
  });

  test('writer - who comes again meanwhile hears of what was begun, and not of what is to be taken back', async () => {
    const [begun] = [await append(), await append()];
    writer.sendAll();
    thread.asked[0]?.written?.();
    thread.asked[0]?.failed(failure);
    thread.asked[1]?.failed(failure);
    expect(await begun.answers).toMatchObject({ code: 'ORRERY_JOURNAL_FAILED' });
    const again = writer.append(Array.from({ length: 3 }, () => admission()));
    const { request, done } = thread.asked[2] ?? {};
    expect(request?.kind).toBe('look');
    expect(writer.lag.appends).toBe(3);
    const pending = { agent: 'echo', status: STATUS.accepted, state: null, reply: null };
    done?.([
      [0, { id: 'w-1', ...pending }],
      [1, { id: 'w-2', ...pending }],
    ]);
    expect(await again).toMatchObject([
      { status: 'duplicate', id: 'w-1', state: 'pending' },
      { code: 'ORRERY_JOURNAL_FAILED' },
      { code: 'ORRERY_JOURNAL_FAILED' },
    ]);
    expect(writer.lag.appends).toBe(0);
    expect(thread.work).toHaveLength(2);
  });

  test('writer - a message is refused when nobody can look whether it came before', async () => {
    await append();
    thread.asked[0]?.failed(failure);
    const again = writer.append([admission()]);
    thread.asked[1]?.failed({ error: journalFailed("The journal's thread ended"), unknown: true, final: false });
    await expect(again).rejects.toMatchObject({ code: 'ORRERY_JOURNAL_FAILED', message: 'The disk did not sync' });
    expect(writer.lag.appends).toBe(0);
  });
});
