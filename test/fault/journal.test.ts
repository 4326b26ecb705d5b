/** Kills processes that append, with SIGKILL and wherever they are: what they were acked is in the file. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { renameSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { admission, all, idOf, journalFile, openJournal } from '../support/journal.ts';
import type { SqliteJournal } from '../../src/main/delivery/sqlite-journal/sqlite-journal.ts';
import { eventually } from '../support/host.ts';
import { loggedIn } from '../support/journal-file.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const APPENDER = new URL('../fixtures/append-until-killed.ts', import.meta.url).pathname;
const KILLS = 12;

interface Told {
  readonly signal: string | null;
  readonly acked: readonly string[];
  /** The highest crash count of what it found. */
  readonly crashes: number;
}

/** Runs an appender until it has told of so many acks, kills it, and returns all that it told. */
async function runUntilKilled(file: string, prefix: string, inFlight: number, acks: number): Promise<Told> {
  const child = spawn(process.execPath, [APPENDER, file, prefix, String(inFlight)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  let seen = 0;
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    seen += chunk.split('acked ').length - 1;
    if (seen >= acks) child.kill('SIGKILL');
  });
  const [, signal] = (await once(child, 'close')) as [number | null, string | null];
  // The last line may be cut off: its ack was told in part.
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  const acked = lines.filter((line) => line.startsWith('acked ')).map((line) => line.slice('acked '.length));
  return { signal, acked, crashes: Number(lines[0]?.slice('crashes '.length)) };
}

test('journal - what was acked before a SIGKILL is in the file, under one id, whenever that came', async () => {
  using dir = temporaryDirectory();
  const file = journalFile(dir.path);
  const acked: string[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const told = await runUntilKilled(file, `k${String(kill)}`, kill % 2 === 0 ? 64 : 1, 20 + kill * 37);
    expect(told.signal).toBe('SIGKILL');
    expect(told.crashes).toBe(kill);
    acked.push(...told.acked);
  }
  expect(acked.length).toBeGreaterThan(KILLS * 20);
  const journal = await openJournal(dir.path, { dedupeRetentionMs: 3_600_000 });
  const pending = await all(journal.recover());
  expect(Math.max(...pending.map(({ crashes }) => crashes))).toBe(KILLS);
  const totals = await journal.totals();
  expect(totals.accepted).toBe(totals.answered + totals.pending);
  expect(totals.pending).toBe(pending.length);
  await journal.close();
  const database = new DatabaseSync(file);
  const rows = database.prepare('SELECT id FROM deliveries').all();
  const ids = [...rows, ...loggedIn(database)].map((row) => row['id']);
  const check = database.prepare('PRAGMA integrity_check').get();
  database.close();
  expect(check).toEqual({ integrity_check: 'ok' });
  expect(new Set(ids).size).toBe(ids.length);
  expect(acked.filter((id) => !ids.includes(id))).toEqual([]);
});

test.each(['', '-wal'])(
  'journal - takes no messages while its file %s is not where it was opened, says so, and goes on once that is back',
  async (suffix) => {
    using directory = temporaryDirectory();
    const journal = await openJournal(directory.path);
    const accepted = (await journal.append([admission()])).map(idOf);
    const file = `${journalFile(directory.path)}${suffix}`;
    renameSync(file, `${file}.away`);
    await expect(refused(journal)).resolves.toMatchObject({
      code: 'ORRERY_JOURNAL_FAILED',
      message: expect.stringContaining(`${file} was removed or replaced while it was open`),
    });
    expect(journal.health.status).toBe('failed');
    renameSync(`${file}.away`, file);
    await eventually('it takes messages again', () => journal.health.status === 'ok');
    accepted.push(...(await journal.append([admission()])).map(idOf));
    await journal.close();
    const next = await openJournal(directory.path);
    expect((await all(next.recover())).map(({ id }) => id)).toEqual(expect.arrayContaining(accepted));
    await next.close();
  },
);

test('journal - whose file was removed for good takes no messages, also where another one is there now', async () => {
  using directory = temporaryDirectory();
  const journal = await openJournal(directory.path);
  const file = journalFile(directory.path);
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${file}${suffix}`);
  await expect(refused(journal)).resolves.toMatchObject({ code: 'ORRERY_JOURNAL_FAILED' });
  const other = await openJournal(directory.path);
  await expect(journal.append([admission()])).rejects.toMatchObject({ code: 'ORRERY_JOURNAL_FAILED' });
  await other.close();
  await journal.close();
});

/** Resolves with the first refusal of a message: a look may be some time after the removal. */
async function refused(journal: SqliteJournal): Promise<unknown> {
  for (;;) {
    try {
      await journal.append([admission()]);
    } catch (error) {
      return error;
    }
  }
}
