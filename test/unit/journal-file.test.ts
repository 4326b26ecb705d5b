/** Runs what only the file itself can show: tries that fail, room that runs out, and large transactions. */
import { chmodSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { databaseError } from '../../src/lib/sqlite.ts';
import { dedupeKey } from '../../src/main/delivery/journal.ts';
import { Deliveries } from '../../src/main/delivery/sqlite-journal/deliveries.ts';
import { LogSync } from '../../src/main/delivery/sqlite-journal/log-sync.ts';
import { JournalFile } from '../../src/main/delivery/sqlite-journal/file.ts';
import {
  AppendPacker,
  MarkPacker,
  NO_APPENDS,
  NO_MARKS,
  type PackedAppends,
  type PackedMarks,
  fileKeyOf,
  joinAppends,
} from '../../src/main/delivery/sqlite-journal/packed-work.ts';
import type { JournalSetup, WorkRequest } from '../../src/main/delivery/sqlite-journal/packed.ts';
import type { DeliveryState } from '../../src/protocol/index.ts';
import { RETENTION_MS, admission, answered, dead, dispatched, journalFile } from '../support/journal.ts';
import { readJournal } from '../support/journal-file.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

const AT = 10_000;
/** The user that owns nothing. */
const NOBODY = 65_534;

let dir: TemporaryDirectory;
let files: JournalFile[];

beforeEach(() => {
  dir = temporaryDirectory();
  files = [];
});

afterEach(() => {
  for (const file of files) file.close();
  dir[Symbol.dispose]();
});

function open(o: Partial<JournalSetup> = {}): JournalFile {
  const setup = { idPrefix: 'p', retentionMs: RETENTION_MS, maxDeadLetters: 100, first: true };
  const file = new JournalFile({ file: journalFile(dir.path), ...setup, ...o });
  files.push(file);
  return file;
}

function work(file: JournalFile, o: Partial<WorkRequest>): void {
  file.work({ at: AT, appends: NO_APPENDS, marks: NO_MARKS, withdrawn: [], ...o });
}

/** So many messages of one text, with numbers from `first` on. */
function messages(first: number, count: number, content = 'hello'): PackedAppends {
  const packer = new AppendPacker();
  for (let seq = first; seq < first + count; seq++) {
    packer.add(seq, admission({ id: `m${seq}`, message: { role: 'user', content } }));
  }
  return joinAppends([packer]);
}

function marks(first: number, count: number, state: DeliveryState): PackedMarks {
  const packer = new MarkPacker();
  for (let seq = first; seq < first + count; seq++) packer.add(seq, state, 1);
  return packer.packed();
}

function outside(sql: string): void {
  const database = new DatabaseSync(journalFile(dir.path));
  database.exec(sql);
  database.close();
}

test('journal file - a mark of a row of its own is kept when the first try of its part found no room', () => {
  const before = open();
  work(before, { appends: messages(1, 1) });
  before.close();
  // The start gave the first one a row; the second one is in the log.
  const file = open();
  work(file, { appends: messages(2, 1) });
  outside(`CREATE TRIGGER full BEFORE INSERT ON log WHEN EXISTS (SELECT 1 FROM probe WHERE n = 1)
    BEGIN SELECT RAISE(ABORT, 'no room'); END`);
  file.marks(marks(1, 2, answered()), AT);
  expect(file.totals()).toEqual([2, 0, 2, 0, 0, 0]);
  file.close();
  expect(open().unfinished(0, 10)).toEqual([]);
});

const FULL = { maxFileBytes: 1_048_576 };

/** Works until the file is full, so many messages at a time; returns the next number. */
function fill(file: JournalFile, from: number, count: number, then: (first: number) => void = () => undefined): number {
  for (let seq = from; ; seq += count) {
    try {
      work(file, { appends: messages(seq, count, 'x'.repeat(1_000)) });
      then(seq);
    } catch (error) {
      if (!String(error).includes('full')) throw error;
      return seq;
    }
  }
}

test('journal file - a full one of unfinished messages is opened after a kill, and stopped in order', () => {
  const file = open(FULL);
  const accepted = fill(file, 1, 1) - 1;
  file.close();
  const next = open(FULL);
  expect(next.totals()).toEqual([accepted, 0, 0, 0, accepted, 0]);
  expect(next.unfinished(0, 1)).toMatchObject([{ 8: 1 }]);
  next.closeClean();
  expect(open(FULL).unfinished(0, 1)).toMatchObject([{ 8: 1 }]);
});

test('journal file - a full one is stopped in order', () => {
  const file = open(FULL);
  fill(file, 1, 1);
  file.closeClean();
  expect(open(FULL).unfinished(0, 1)).toMatchObject([{ 8: 0 }]);
});

test('journal file - a stop that finds no room for what is unfinished leaves that to the next start, in order', () => {
  const file = open();
  work(file, { appends: messages(1, 2) });
  outside("CREATE TRIGGER full BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'no room'); END");
  file.closeClean();
  outside('DROP TRIGGER full');
  expect(open().unfinished(0, 10)).toMatchObject([{ 8: 0 }, { 8: 0 }]);
});

test('journal file - a full one has room for marks once something is past its retention, and for nothing else', () => {
  const file = open(FULL);
  work(file, { appends: messages(1, 64) });
  fill(file, 65, 1, (seq) => work(file, { marks: marks(seq, 1, answered('y'.repeat(5_000))) }));
  const replies = marks(1, 64, answered('z'.repeat(3_000)));
  expect(() => file.marks(replies, AT + 1)).toThrow('full');
  const later = AT + RETENTION_MS * 2;
  file.marks(replies, later);
  file.probe(later);
});

test('journal file - a full one of unfinished messages keeps their deaths, and has room again once those are past their bound', () => {
  const file = open({ ...FULL, maxDeadLetters: 10 });
  const accepted = fill(file, 1, 1) - 1;
  file.marks(marks(1, accepted, dead()), AT);
  expect(file.totals()).toEqual([accepted, 0, 0, accepted, 0, accepted]);
  file.probe(AT);
  work(file, { appends: messages(accepted + 10, 5) });
  expect(file.letters(100)).toHaveLength(10);
});

test('journal file - a full one finds room when the first of what it is to forget needs a row of its own', () => {
  const file = open(FULL);
  work(file, { appends: messages(1, 200) });
  const at = AT + RETENTION_MS / 2;
  const full = fill(file, 201, 5, (seq) => work(file, { at, marks: marks(seq, 5, answered()) }));
  const later = AT + RETENTION_MS + 1;
  file.probe(later);
  work(file, { at: later, appends: messages(full + 10, 5) });
  expect(file.totals()[4]).toBe(205);
});

test('journal file - messages of one transaction are known again, in whatever order they come', () => {
  const file = open();
  work(file, { appends: messages(1, 50) });
  const again = Array.from({ length: 50 }, (_, i) => ((i * 7) % 50) + 1);
  const packer = new AppendPacker();
  for (const [i, of] of again.entries()) {
    packer.add(51 + i, admission({ id: `m${of}`, message: { role: 'user', content: 'hello' } }));
  }
  const known = file.work({ at: AT, appends: joinAppends([packer]), marks: NO_MARKS, withdrawn: [] });
  expect(known).toMatchObject(again.map((of, i) => [i, { id: `p-${of.toString(36)}` }]));
});

test('journal file - a key stays with the newer of two messages when the clock goes back behind the end of the older one', () => {
  const key = fileKeyOf(dedupeKey(admission({ id: 'm1' }).inbound));
  const again = new AppendPacker();
  again.add(2, admission({ id: 'm1', message: { role: 'user', content: 'hello' } }));
  const file = open();
  // Of these two the newer message's transaction forgets, and comes no further.
  work(file, { appends: messages(3, 2) });
  work(file, { marks: marks(3, 2, answered()) });
  work(file, { appends: messages(1, 1) });
  // Long after its neighbours, so that it is moved when its row goes.
  const answeredAt = AT + 60_005;
  work(file, { at: answeredAt, marks: marks(1, 1, answered()) });
  work(file, { at: answeredAt + RETENTION_MS, appends: joinAppends([again]) });
  const back = answeredAt + RETENTION_MS - 4;
  file.compact(back);
  expect(readJournal(journalFile(dir.path), (db) => db.prepare('SELECT seq, key FROM deliveries').all())).toEqual([
    { seq: 1, key: null },
  ]);
  file.close();
  expect(open().find(key, back)?.[0]).toBe('p-2');
});

test('journal file - dead letters beyond their bound go also after a transaction that was to drop them failed', () => {
  const file = open({ maxDeadLetters: 2 });
  work(file, { appends: messages(1, 5) });
  work(file, { marks: marks(1, 5, dead()) });
  outside("CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'no room'); END");
  expect(() => work(file, { appends: messages(6, 4) })).toThrow('no room');
  outside('DROP TRIGGER full');
  expect(file.letters(10)).toHaveLength(5);
  work(file, { appends: messages(10, 4) });
  expect(file.letters(10)).toHaveLength(2);
});

test('journal file - a share of upkeep takes out no more texts than some, and all together take all', () => {
  const file = open();
  for (let row = 0; row < 20; row++) {
    work(file, { appends: messages(row * 20 + 1, 20, 'x'.repeat(4_000)) });
    work(file, { marks: marks(row * 20 + 1, 20, answered()) });
  }
  const before = textsInLog();
  expect(file.upkeep(AT)).toBe(true);
  expect(textsInLog()).toBeGreaterThan(before / 2);
  while (file.upkeep(AT));
  expect(textsInLog()).toBeLessThan(before / 10);
});

function textsInLog(): number {
  return readJournal(journalFile(dir.path), (database) =>
    Number(database.prepare('SELECT sum(length(texts)) AS n FROM log').get()?.['n']),
  );
}

test('journal file - texts of what is answered go before a bounded file is full, without a quiet moment', () => {
  const text = 'a message of a few lines '.repeat(40);
  const room = 1_048_576;
  const file = open({ maxFileBytes: room });
  let seq = 0;
  let isFull = false;
  while (!isFull) {
    try {
      work(file, { appends: messages(seq + 1, 1, text), marks: seq > 0 ? marks(seq, 1, answered('ok')) : NO_MARKS });
      seq += 1;
    } catch {
      isFull = true;
    }
  }
  expect(seq * text.length).toBeGreaterThan(2 * room);
});

/** The next starts cannot move the log to the file. */
function failCheckpoints(error: Error): Disposable {
  return checkpoints(() => {
    throw error;
  });
}

/** As where another program reads the file. */
function busyCheckpoints(): Disposable {
  return checkpoints(() => ({ get: () => ({ busy: 1 }) }) as unknown as StatementSync);
}

function checkpoints(instead: () => StatementSync): Disposable {
  const { value } = Object.getOwnPropertyDescriptor(DatabaseSync.prototype, 'prepare') ?? {};
  const prepare = value as (this: DatabaseSync, sql: string) => StatementSync;
  const spy = vi.spyOn(DatabaseSync.prototype, 'prepare').mockImplementation(function (this: DatabaseSync, sql) {
    if (sql === 'PRAGMA wal_checkpoint(TRUNCATE)') return instead();
    return prepare.call(this, sql);
  });
  return { [Symbol.dispose]: () => spy.mockRestore() };
}

test('journal file - a start whose disk has no room to move the log to the file has what was acked, and takes nothing before that goes', () => {
  const before = open();
  work(before, { appends: messages(1, 2) });
  before.close();
  const full = Object.assign(new Error('database or disk is full'), { errcode: 13 });
  const refused = expect.objectContaining({ code: 'ORRERY_DATABASE_FAILED' });
  let file: JournalFile;
  {
    using _ = failCheckpoints(full);
    file = open();
    expect(file.unfinished(0, 10)).toHaveLength(2);
    work(file, { appends: messages(3, 1) });
    expect(() => file.sync()).toThrow(refused);
    expect(() => file.mend()).toThrow(full);
    expect(() => file.sync()).toThrow(refused);
  }
  file.mend();
  file.sync();
  file.close();
  expect(open().unfinished(0, 10)).toHaveLength(3);
});

/** Runs `work` as somebody who may not write what is root's; false where this process cannot be somebody else. */
function asNobody(work: () => void): boolean {
  if (process.geteuid?.() !== 0) {
    work();
    return true;
  }
  try {
    process.seteuid?.(NOBODY);
  } catch {
    return false;
  }
  try {
    work();
  } finally {
    process.seteuid?.(0);
  }
  return true;
}

test.for([
  ['file', 0o444, 0o777],
  ['directory', 0o666, 0o555],
] as const)(
  'journal file - a start whose %s may only be read is refused, and says what to check',
  ([, mode, dirMode], { skip }) => {
    const path = journalFile(dir.path);
    open().closeClean();
    chmodSync(path, mode);
    chmodSync(dirname(path), dirMode);
    chmodSync(dir.path, 0o755);
    let refusal: unknown;
    const ran = asNobody(() => {
      try {
        open();
      } catch (error) {
        // As its thread tells it.
        refusal = databaseError(error, { what: 'journal', file: path });
      }
    });
    chmodSync(dirname(path), 0o700);
    skip(!ran, 'This process is root and cannot be anybody else');
    expect(refusal).toMatchObject({
      code: 'ORRERY_DATABASE_UNUSABLE',
      message: expect.stringContaining(`${path} cannot be opened for writing`),
      hint: 'Check the owner and the mode of the file and of its directory.',
    });
  },
);

test('journal file - a start that finds the file damaged is refused', () => {
  open().close();
  const damage = Object.assign(new Error('database disk image is malformed'), { errcode: 11 });
  using _ = failCheckpoints(damage);
  expect(() => open()).toThrow(damage);
});

/** What its log was told, in order: that something is written, and that it is to be synced. */
function watchSyncs(): { readonly told: string[] } & Disposable {
  const told: string[] = [];
  const spies = (['wrote', 'sync', 'extend', 'tryRoom', 'close'] as const).map((name) => {
    const original = LogSync.prototype[name];
    return vi.spyOn(LogSync.prototype, name).mockImplementation(function (this: LogSync, bytes = 0) {
      told.push(name);
      return original.call(this, bytes);
    });
  });
  return { told, [Symbol.dispose]: () => spies.forEach((spy) => spy.mockRestore()) };
}

test('journal file - what a start, a probe and a stop in order write is synced before they are over', () => {
  using watched = watchSyncs();
  const { told } = watched;
  const file = open();
  expect(told.lastIndexOf('sync')).toBeGreaterThan(told.lastIndexOf('wrote'));
  told.length = 0;
  file.probe(AT);
  expect(told.lastIndexOf('sync')).toBeGreaterThan(told.lastIndexOf('wrote'));
  // The checkpoint gave back what the log had: it is taken again, and more is tried.
  expect(told.slice(-2)).toEqual(['extend', 'tryRoom']);
  told.length = 0;
  file.closeClean();
  expect(told.filter((name) => name !== 'wrote')).toEqual(['sync', 'close']);
  expect(told.lastIndexOf('sync')).toBeGreaterThan(told.lastIndexOf('wrote'));
});

test('journal file - a new one keeps room for marks', () => {
  open().closeClean();
  readJournal(journalFile(dir.path), (database) => {
    expect(database.prepare('SELECT n, length(room) AS bytes FROM probe').all()).toEqual([{ n: 1, bytes: 32 * 1024 }]);
  });
});

test('journal file - a second thread of a process is no crash of it, and the first one of the next is', () => {
  const first = open();
  work(first, { appends: messages(1, 1) });
  first.close();
  const second = open({ first: false });
  const crashesOf = (file: JournalFile): unknown => file.unfinished(0, 10).map((row) => row[8]);
  expect(crashesOf(second)).toEqual([0]);
  second.close();
  expect(crashesOf(open())).toEqual([1]);
});

test('journal file - dead letters that were dropped or put back make room for others', () => {
  const file = open({ maxDeadLetters: 2 });
  work(file, { appends: messages(1, 4) });
  work(file, { marks: marks(1, 2, dead()) });
  expect(file.drop('p-1')).toBe(true);
  work(file, { marks: marks(3, 1, dead()) });
  file.compact(AT);
  expect(file.letters(10).map(([id]) => id)).toEqual(['p-3', 'p-2']);
  expect(file.replay('p-2', 5, AT)).toBeDefined();
  work(file, { marks: marks(4, 1, dead()) });
  file.compact(AT);
  expect(file.letters(10).map(([id]) => id)).toEqual(['p-4', 'p-3']);
});

test('journal file - a dead letter that is put back is so once, and whoever asks again with the same place hears the same', () => {
  const file = open();
  work(file, { appends: messages(1, 1) });
  work(file, { marks: marks(1, 1, dead()) });
  const row = file.replay('p-1', 2, AT);
  expect(row).toBeDefined();
  expect(file.replay('p-1', 2, AT)).toEqual(row);
  expect(file.replay('p-1', 3, AT)).toBeUndefined();
  expect(file.totals()).toEqual([1, 1, 0, 1, 1, 0]);
});

test('journal file - a log whose sync failed is not mended while another program reads the file', () => {
  const file = open();
  work(file, { appends: messages(1, 1) });
  using broken = vi.spyOn(LogSync.prototype, 'isBroken', 'get').mockReturnValue(true);
  using mended = vi.spyOn(LogSync.prototype, 'mended');
  {
    using _ = busyCheckpoints();
    expect(() => file.mend()).toThrow(expect.objectContaining({ code: 'ORRERY_DATABASE_FAILED' }));
    expect(mended).not.toHaveBeenCalled();
  }
  file.mend();
  expect(mended).toHaveBeenCalledOnce();
  expect(broken).toHaveBeenCalled();
});

function idsOf(file: JournalFile): readonly unknown[] {
  return file.unfinished(0, 100).map(([id]) => id);
}

function known(file: JournalFile, id: string): unknown {
  return file.find(fileKeyOf(dedupeKey(admission({ id }).inbound)), AT)?.slice(0, 5);
}

test('journal file - a message that is taken back is not there, nor after the next start, and one that runs stays', () => {
  const file = open();
  work(file, { appends: messages(1, 3) });
  work(file, { marks: marks(2, 1, dispatched()) });
  work(file, { withdrawn: [1, 2] });
  expect(known(file, 'm1')).toBeUndefined();
  expect(file.totals()).toEqual([2, 0, 0, 0, 2, 0]);
  file.close();
  const next = open();
  expect(idsOf(next)).toEqual(['p-2', 'p-3']);
  expect(known(next, 'm1')).toBeUndefined();
  // Whoever comes again with it is new.
  const packer = new AppendPacker();
  packer.add(4, admission({ id: 'm1', message: { role: 'user', content: 'hello' } }));
  work(next, { appends: joinAppends([packer]) });
  expect(known(next, 'm1')).toEqual(['p-4', 'echo', expect.anything(), 0, 0]);
  expect(next.totals()).toEqual([3, 0, 0, 0, 3, 0]);
});

test('journal file - a transaction that fails at its end has changed nothing, of what it brought, marked and took back', () => {
  const file = open();
  work(file, { appends: messages(1, 2) });
  const before = [known(file, 'm1'), known(file, 'm2'), file.totals()];
  {
    using failing = vi.spyOn(Deliveries.prototype, 'write').mockImplementation(() => {
      throw new Error('full');
    });
    const packer = new MarkPacker();
    packer.add(1, dispatched(), 1);
    packer.add(1, answered(), 1);
    expect(() => work(file, { appends: messages(3, 1), marks: packer.packed(), withdrawn: [2] })).toThrow('full');
    expect(failing).toHaveBeenCalledOnce();
  }
  expect([known(file, 'm1'), known(file, 'm2'), file.totals()]).toEqual(before);
  expect(known(file, 'm3')).toBeUndefined();
  work(file, { appends: messages(3, 1), marks: marks(1, 1, answered()) });
  expect(file.totals()).toEqual([3, 0, 1, 0, 2, 0]);
  file.close();
  const next = open();
  expect(idsOf(next)).toEqual(['p-2', 'p-3']);
  expect(next.totals()).toEqual([3, 0, 1, 0, 2, 0]);
});
