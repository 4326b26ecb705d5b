/** Runs what only the file itself can show: tries that fail, room that runs out, and large transactions. */
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { JournalFile } from '../../src/main/delivery/sqlite-journal/file.ts';
import {
  AppendPacker,
  MarkPacker,
  NO_APPENDS,
  NO_MARKS,
  type PackedAppends,
  type PackedMarks,
  joinAppends,
} from '../../src/main/delivery/sqlite-journal/packed-work.ts';
import type { JournalSetup, WorkRequest } from '../../src/main/delivery/sqlite-journal/packed.ts';
import type { DeliveryState } from '../../src/protocol/index.ts';
import { RETENTION_MS, admission, answered, journalFile } from '../support/journal.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

const AT = 10_000;

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
