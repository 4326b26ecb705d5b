/** How the journal's thread answers when the file fails: what is refused, what a probe needs, and which close is a clean one. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { JournalFile } from '../../src/main/delivery/sqlite-journal/file.ts';
import {
  AppendPacker,
  NO_APPENDS,
  NO_MARKS,
  type PackedAppends,
  joinAppends,
} from '../../src/main/delivery/sqlite-journal/packed-work.ts';
import type { Answer, AskKind, JournalSetup, Request, Written } from '../../src/main/delivery/sqlite-journal/packed.ts';
import { JournalServer } from '../../src/main/delivery/sqlite-journal/server.ts';
import { OrreryError } from '../../src/protocol/index.ts';
import { admission } from '../support/journal.ts';

const SETUP: JournalSetup = { file: 'journal.db', idPrefix: 'p', retentionMs: 1, maxDeadLetters: 1, first: true };
const FAILED = { code: 'ORRERY_DATABASE_FAILED' };
const AT = 1_000;

const MARK: Request = { kind: 'work', at: AT, appends: NO_APPENDS, marks: NO_MARKS, withdrawn: [] };
const APPEND: Request = { ...MARK, appends: messages(1) };
const PROBE: Request = { kind: 'probe', at: AT, marks: NO_MARKS };
const CLOSE: Request = { kind: 'close', at: AT };
const TOTALS: Request = { kind: 'totals', at: AT };
const DROP: Request = { kind: 'drop', id: 'p-1' };
const REPLAY: Request = { kind: 'replay', id: 'p-1', position: 9, at: AT };

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function messages(count: number): PackedAppends {
  const packer = new AppendPacker();
  for (let seq = 1; seq <= count; seq++) packer.add(seq, admission());
  return joinAppends([packer]);
}

/** An error as SQLite throws it. */
function sqlite(errcode: number): Error {
  return Object.assign(new Error(`code ${errcode}`), { errcode });
}

const FULL = sqlite(13);
const DAMAGED = sqlite(11);

/** A journal's thread without a thread, over a file that fails as a test says. */
class Served {
  /** What was done with the file and what was posted, in order. */
  readonly done: string[] = [];
  readonly answers: Answer[] = [];
  /** What the file throws, by what is called. */
  readonly fails = new Map<string, Error>();
  /** What work answers. */
  exceptions: readonly unknown[] = [];
  closed = 0;
  /** The file is not where it was. */
  gone: OrreryError | undefined;
  readonly #server: JournalServer;
  #waiting: Request[] = [];

  constructor() {
    const does = (name: string, value?: unknown) => (): unknown => {
      this.done.push(name);
      const error = this.fails.get(name);
      if (error) throw error;
      return name === 'work' ? this.exceptions : value;
    };
    const names = ['work', 'mend', 'marks', 'sync', 'probe', 'check', 'closeClean', 'close', 'totals', 'compact'];
    const plain = Object.fromEntries(names.map((name) => [name, does(name, [])]));
    const others = { upkeep: does('upkeep', false), drop: does('drop', true), replay: does('replay', []) };
    this.#server = new JournalServer({
      file: { ...plain, ...others } as unknown as JournalFile,
      setup: SETUP,
      presence: {
        check: () => {
          if (this.gone) throw this.gone;
        },
      },
      post: (told) => this.#post(told),
      waiting: () => this.#waiting.shift(),
      closed: () => (this.closed += 1),
    });
  }

  #post(told: Answer | Written): void {
    if ('written' in told) this.done.push(`written ${told.written}`);
    else {
      this.done.push('error' in told ? 'refused' : 'answered');
      this.answers.push(told);
    }
  }

  /** Asks all of it in one moment, and returns what was done for that. */
  ask(first: Request, ...others: readonly Request[]): readonly string[] {
    this.#waiting = [...others];
    const before = this.done.length;
    this.#server.serve(first);
    return this.done.slice(before);
  }
}

test('journal server - tells nothing of what was written before it is synced, but messages that are all new', () => {
  const served = new Served();
  expect(served.ask(MARK)).toEqual(['work', 'sync', 'answered']);
  expect(served.ask(APPEND)).toEqual(['work', 'written 0', 'sync', 'answered']);
  expect(served.ask(DROP, APPEND)).toEqual(['drop', 'work', 'written 1', 'sync', 'answered', 'answered']);
  // A message that was put back has a place before those that come behind it.
  expect(served.ask(REPLAY, APPEND)).toEqual(['replay', 'work', 'sync', 'answered', 'answered']);
  served.exceptions = [[0, null]];
  expect(served.ask(APPEND)).toEqual(['work', 'sync', 'answered']);
});

test.each<[AskKind, Request]>([
  ['work', MARK],
  ['drop', DROP],
  ['replay', REPLAY],
  ['compact', { kind: 'compact', at: AT }],
])('journal server - %s is refused and not tried after work that failed, until a probe goes well', (kind, request) => {
  const served = new Served();
  served.fails.set('work', FULL);
  expect(served.ask(MARK)).toEqual(['work', 'sync', 'refused']);
  served.fails.clear();
  expect(served.ask(request)).toEqual(['sync', 'refused']);
  expect(served.answers.at(-1)).toMatchObject({ error: FAILED, final: false });
  // What changes nothing is answered.
  expect(served.ask(TOTALS)).toEqual(['totals', 'sync', 'answered']);
  served.fails.set('probe', FULL);
  served.ask(PROBE);
  expect(served.ask(request)).toEqual(['sync', 'refused']);
  served.fails.clear();
  served.ask(PROBE);
  expect(served.ask(request)[0]).toBe(kind);
});

test('journal server - nothing is written to a file that is gone from its place, until it is back', () => {
  const served = new Served();
  served.gone = new OrreryError('ORRERY_DATABASE_FAILED', 'gone');
  expect(served.ask({ kind: 'check', at: AT })).not.toContain('check');
  expect(served.answers.at(-1)).toMatchObject({ value: { error: FAILED } });
  expect(served.ask(MARK)).not.toContain('work');
  expect(served.answers.at(-1)).toMatchObject({ error: FAILED });
  expect(served.ask(PROBE)).not.toContain('mend');
  expect(served.answers.at(-1)).toMatchObject({ value: { marked: false, error: FAILED } });
  served.gone = undefined;
  expect(served.ask(MARK)).not.toContain('work');
  served.ask(PROBE);
  expect(served.ask(MARK)).toContain('work');
});

test('journal server - a batch that follows a failed one in the same moment does not overtake it', () => {
  const served = new Served();
  served.fails.set('work', FULL);
  expect(served.ask(APPEND, APPEND)).toEqual(['work', 'sync', 'refused', 'refused']);
});

test('journal server - after a sync that failed all that changed something is refused, nobody knows whether it lasts', () => {
  const served = new Served();
  served.fails.set('sync', FULL);
  served.ask(TOTALS, MARK, DROP, REPLAY);
  const unknown = { error: FAILED, final: false, unknown: true };
  expect(served.answers).toMatchObject([{ value: [] }, unknown, unknown, unknown]);
  served.fails.clear();
  expect(served.ask(APPEND)).toEqual(['sync', 'refused']);
});

test('journal server - a probe mends the log first, and keeps marks only once they are synced', () => {
  const served = new Served();
  const order = ['mend', 'marks', 'sync', 'probe'];
  expect(served.ask(PROBE).slice(0, 4)).toEqual(order);
  for (const [failing, marked] of [
    ['mend', false],
    ['marks', false],
    ['sync', false],
    ['probe', true],
  ] as const) {
    served.fails.clear();
    served.fails.set(failing, failing === 'mend' ? DAMAGED : FULL);
    expect(served.ask(PROBE).slice(0, order.indexOf(failing) + 1)).toEqual(order.slice(0, order.indexOf(failing) + 1));
    expect(served.answers.at(-1)).toMatchObject({ value: { marked, final: failing === 'mend' } });
  }
});

test.each([
  ['clean', 'when nothing failed', undefined, undefined],
  ['clean', 'when there was no room', 'work', FULL],
  ['as it is', 'when the file is damaged', 'work', DAMAGED],
  ['as it is', 'when a sync failed', 'sync', FULL],
])('journal server - the file is closed %s %s', (how, _, failing, error) => {
  const served = new Served();
  if (failing !== undefined) served.fails.set(failing, error);
  served.ask(MARK);
  served.fails.clear();
  expect(served.ask(CLOSE)[0]).toBe(how === 'clean' ? 'closeClean' : 'close');
  expect(served.closed).toBe(1);
  expect(vi.getTimerCount()).toBe(0);
});

test('journal server - keeps the file up in quiet moments, and not while it takes no writes', () => {
  const served = new Served();
  served.ask(TOTALS);
  vi.advanceTimersByTime(19);
  served.ask(TOTALS);
  vi.advanceTimersByTime(1);
  expect(served.done).not.toContain('upkeep');
  vi.advanceTimersByTime(20);
  expect(served.done.filter((name) => name === 'upkeep')).toHaveLength(1);
  served.fails.set('work', FULL);
  served.ask(MARK);
  vi.advanceTimersByTime(60_000);
  expect(served.done.filter((name) => name === 'upkeep')).toHaveLength(1);
  expect(vi.getTimerCount()).toBe(0);
  served.fails.clear();
  served.ask(PROBE);
  vi.advanceTimersByTime(20);
  expect(served.done.filter((name) => name === 'upkeep')).toHaveLength(2);
});
