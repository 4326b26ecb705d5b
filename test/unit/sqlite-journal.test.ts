/** Runs what only a file can do: outlive its journal, tell how the last process stopped, keep dead letters, and forget. */
import { hash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Admission, dedupeKey } from '../../src/main/delivery/journal.ts';
import { fileKeyOf, packInbound } from '../../src/main/delivery/sqlite-journal/packed-work.ts';
import { JOURNAL_APPLICATION_ID, JOURNAL_MIGRATIONS } from '../../src/main/delivery/sqlite-journal/schema.ts';
import type { SqliteJournal, SqliteJournalOptions } from '../../src/main/delivery/sqlite-journal/sqlite-journal.ts';
import { asOrreryError } from '../../src/protocol/index.ts';
import {
  RETENTION_MS,
  Threads,
  admission,
  all,
  answered,
  committed,
  dead,
  dispatched,
  idOf,
  journalFile,
  openJournal,
} from '../support/journal.ts';
import { loggedIn, readJournal } from '../support/journal-file.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

const UNUSABLE = expect.objectContaining({ code: 'ORRERY_DATABASE_UNUSABLE' });
const OTHER = { role: 'user', content: 'the other one' } as const;
const FAILED = expect.objectContaining({ code: 'ORRERY_JOURNAL_FAILED', retryAfterMs: 1_000 });

let dir: TemporaryDirectory;
let threads: Threads;
let journals: SqliteJournal[];
let now: number;

beforeEach(() => {
  dir = temporaryDirectory();
  threads = new Threads();
  journals = [];
  now = 1_000_000;
});

afterEach(async () => {
  await Promise.allSettled(journals.map((journal) => journal.close()));
  threads[Symbol.dispose]();
  dir[Symbol.dispose]();
});

async function open(o: Partial<SqliteJournalOptions> = {}): Promise<SqliteJournal> {
  const journal = await openJournal(dir.path, { now: () => now, ...o });
  journals.push(journal);
  return journal;
}

async function accept(journal: SqliteJournal, count: number, text = 'hello'): Promise<readonly string[]> {
  const message = { role: 'user', content: text } as const;
  return (await journal.append(Array.from({ length: count }, () => admission({ message })))).map(idOf);
}

/** Reads the file as another program would; the journal must be closed. */
function inspect<T>(read: (database: DatabaseSync) => T): T {
  mkdirSync(dirname(journalFile(dir.path)), { recursive: true });
  const database = new DatabaseSync(journalFile(dir.path));
  try {
    return read(database);
  } finally {
    database.close();
  }
}

/** Leaves the file as a killed process does: what it had open is copied before the close. */
async function killed(journal: SqliteJournal): Promise<void> {
  const files = ['', '-wal'].map(
    (end) => [journalFile(dir.path) + end, readFileSync(journalFile(dir.path) + end)] as const,
  );
  await journal.close();
  for (const [path, bytes] of files) writeFileSync(path, bytes);
}

function asList(error: unknown): readonly Error[] {
  return [asOrreryError(error, 'ORRERY_INTERNAL')];
}

describe('reopening', () => {
  test('sqlite journal - unfinished deliveries are recovered in order of acceptance, over several pages, with their states', async () => {
    const first = await open();
    const ids = await accept(first, 700);
    first.mark(ids[1] ?? '', dispatched(2), 2);
    first.mark(ids[2] ?? '', committed('done'), 1);
    first.mark(ids[3] ?? '', answered(), 1);
    first.mark(ids[4] ?? '', dead(), 3);
    await first.close();
    const second = await open();
    const fresh = await accept(second, 1);
    const pending = await all(second.recover());
    expect(pending.map(({ id }) => id)).toEqual(ids.filter((_, i) => i !== 3 && i !== 4));
    expect(pending.slice(0, 3)).toMatchObject([
      {
        state: { status: 'accepted' },
        attempts: 0,
        crashes: 0,
        replays: 0,
        acceptedAt: now,
        inbound: { message: { content: 'hello' } },
      },
      { state: dispatched(2), attempts: 2 },
      { state: committed('done'), attempts: 1 },
    ]);
    expect([...ids, ...fresh].length).toBe(new Set([...ids, ...fresh]).size);
  });

  test('sqlite journal - an unclean stop raises the crash count of what was unfinished, a clean one does not', async () => {
    const first = await open();
    const [a = '', b = ''] = await accept(first, 2);
    first.mark(b, answered(), 1);
    await first.flush();
    await killed(first);
    const second = await open();
    expect(await all(second.recover())).toMatchObject([{ id: a, crashes: 1 }]);
    await killed(second);
    const third = await open();
    expect(await all(third.recover())).toMatchObject([{ id: a, crashes: 2 }]);
    await third.close();
    const fourth = await open();
    expect(await all(fourth.recover())).toMatchObject([{ id: a, crashes: 2 }]);
  });

  test('sqlite journal - ids are known after a kill, with what became of each, but not one that was given to a newer message', async () => {
    const first = await open();
    const messages = ['a', 'b', 'c', '\ud800', '\u0000'].map((id) => admission({ id, namespace: `n:${id}` }));
    const ids = (await first.append(messages)).map(idOf);
    first.mark(ids[2] ?? '', dead(), 1);
    await first.flush();
    now += RETENTION_MS;
    first.mark(ids[1] ?? '', answered('said'), 1);
    const again = idOf((await first.append(messages.slice(2, 3)))[0]);
    await killed(first);
    const second = await open();
    const known = [ids[0], ids[1], again, ids[3], ids[4]];
    expect(await second.append(messages)).toMatchObject(known.map((id) => ({ status: 'duplicate', id })));
    for (const [i, { inbound }] of messages.entries()) {
      const found = { id: known[i], namespace: inbound.namespace };
      expect(await second.find(dedupeKey(inbound))).toMatchObject(found);
    }
    expect(await second.deadLetters.get(ids[2] ?? '')).toMatchObject({ inbound: messages[2]?.inbound });
  });

  test('sqlite journal - what an earlier process left in the write-ahead log is in the file itself once it is open', async () => {
    const first = await open();
    const [id = ''] = await accept(first, 1);
    await killed(first);
    await open();
    // Without its log: the process that wrote it may have ended over a sync that failed, of which the kernel tells once.
    const copy = dir.write('copy.db', '');
    copyFileSync(journalFile(dir.path), copy);
    expect(readJournal(copy, loggedIn)).toMatchObject([{ id }]);
  });

  test('sqlite journal - a marks-only rest is written by a close', async () => {
    const first = await open();
    const ids = await accept(first, 10);
    for (const id of ids) first.mark(id, answered('late'), 1);
    expect(first.lag).toEqual({ appends: 0, marks: 10 });
    await first.close();
    expect(first.lag).toEqual({ appends: 0, marks: 0 });
    const second = await open();
    expect(await all(second.recover())).toEqual([]);
    expect(await second.totals()).toEqual({ accepted: 10, replayed: 0, answered: 10, dead: 0, pending: 0, letters: 0 });
  });

  test('sqlite journal - marks are written without a message that they could go with', async () => {
    const journal = await open();
    const [id = ''] = await accept(journal, 1);
    journal.mark(id, dispatched(), 1);
    while (journal.lag.marks > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await killed(journal);
    expect(await all((await open()).recover())).toMatchObject([{ id, attempts: 1 }]);
  });

  test('sqlite journal - a message after its close is refused, and closing twice is closing once', async () => {
    const journal = await open();
    await Promise.all([journal.close(), journal.close()]);
    await expect(journal.append([admission()])).rejects.toMatchObject({ code: 'ORRERY_CLOSED' });
  });

  test('sqlite journal - messages that wait at the close are accepted before it', async () => {
    const journal = await open();
    const waiting = Promise.all(Array.from({ length: 20 }, () => journal.append([admission()])));
    await journal.close();
    const ids = (await waiting).flat().map(idOf);
    expect((await all((await open()).recover())).map(({ id }) => id)).toEqual(ids);
  });

  test('sqlite journal - says that messages are written before it says that they are synced, and not of a batch with one that it had', async () => {
    const journal = await open();
    const told: string[] = [];
    const append = async (batch: readonly Admission[]): Promise<void> => {
      const answers = await journal.append(batch, (accepted) =>
        told.push(...accepted.map(({ id }) => `written ${id}`)),
      );
      told.push(...answers.map((one) => (one instanceof Error ? one.message : `${one.status} ${one.id}`)));
    };
    const again = admission({ id: 'again' });
    await append([again, admission()]);
    await append([again, admission()]);
    expect(told.map((line) => line.split(' ')[0])).toEqual([
      'written',
      'written',
      'accepted',
      'accepted',
      'duplicate',
      'accepted',
    ]);
  });

  test('sqlite journal - the file is ours alone, and gives back what it frees', async () => {
    const journal = await open();
    await accept(journal, 1);
    expect(statSync(journalFile(dir.path)).mode & 0o777).toBe(0o600);
    await journal.close();
    expect(inspect((db) => db.prepare('PRAGMA auto_vacuum').get())).toEqual({ auto_vacuum: 2 });
    expect(inspect((db) => db.prepare('PRAGMA journal_mode').get())).toEqual({ journal_mode: 'wal' });
  });
});

describe('dead letters', () => {
  test('sqlite journal - dead letters are listed newest first, in pages, and found by id', async () => {
    const journal = await open();
    const ids = await accept(journal, 5);
    for (const [i, id] of ids.entries()) {
      now += 1;
      journal.mark(id, dead(`no ${String(i)}`), i);
      await journal.flush();
    }
    const newest = [...ids].toReversed();
    const { deadLetters } = journal;
    expect((await deadLetters.list()).map(({ id }) => id)).toEqual(newest);
    expect((await deadLetters.list({ limit: 2 })).map(({ id }) => id)).toEqual(newest.slice(0, 2));
    expect((await deadLetters.list({ limit: 2, after: newest[1] ?? '' })).map(({ id }) => id)).toEqual(
      newest.slice(2, 4),
    );
    expect(await deadLetters.get(ids[3] ?? '')).toMatchObject({
      id: ids[3],
      agent: 'echo',
      reason: 'agent-error',
      attempts: 3,
      diedAt: 1_000_004,
      error: { message: 'no 3' },
      inbound: { message: { content: 'hello' } },
    });
    for (const id of ['', 'nonsense', 'x-1', `${ids[0] ?? ''}0`]) expect(await deadLetters.get(id)).toBeUndefined();
  });

  test('sqlite journal - a dropped dead letter is gone, its id stays known', async () => {
    const journal = await open();
    const message = admission({ id: 'a' });
    const id = idOf((await journal.append([message]))[0]);
    journal.mark(id, dead(), 1);
    expect(await journal.deadLetters.drop(id)).toBe(true);
    expect(await journal.deadLetters.drop(id)).toBe(false);
    expect(await journal.deadLetters.list()).toEqual([]);
    expect(await journal.deadLetters.replay(id)).toBeUndefined();
    expect(await journal.append([message])).toMatchObject([{ status: 'duplicate', id, state: 'dead' }]);
  });

  test('sqlite journal - a replayed dead letter is accepted behind all others, and accounted for', async () => {
    const first = await open();
    const [a = '', b = ''] = await accept(first, 2);
    first.mark(a, dead(), 3);
    const replayed = await first.deadLetters.replay(a);
    expect(replayed).toMatchObject({ id: a, attempts: 0, replays: 1, crashes: 0, state: { status: 'accepted' } });
    expect(await first.deadLetters.replay(a)).toBeUndefined();
    expect(await first.totals()).toEqual({ accepted: 2, replayed: 1, answered: 0, dead: 1, pending: 2, letters: 0 });
    await first.close();
    const second = await open();
    expect((await all(second.recover())).map(({ id }) => id)).toEqual([b, a]);
    const [c = ''] = await accept(second, 1);
    second.mark(a, dead(), 1);
    expect(await second.deadLetters.replay(a)).toMatchObject({ replays: 2 });
    second.mark(a, answered(), 1);
    second.mark(b, answered(), 1);
    expect(await second.totals()).toEqual({ accepted: 3, replayed: 2, answered: 2, dead: 2, pending: 1, letters: 0 });
    await second.close();
    expect((await all((await open()).recover())).map(({ id }) => id)).toEqual([c]);
  });

  test('sqlite journal - of dead letters the newest stay within the bound', async () => {
    const journal = await open({ maxDeadLetters: 3 });
    const ids = await accept(journal, 10);
    for (const id of ids) journal.mark(id, dead(), 1);
    await journal.compact();
    expect((await journal.deadLetters.list()).map(({ id }) => id)).toEqual([...ids].toReversed().slice(0, 3));
  });

  test('sqlite journal - a dead letter outlives the retention of its id', async () => {
    const journal = await open();
    const message = admission({ id: 'a' });
    const id = idOf((await journal.append([message]))[0]);
    journal.mark(id, dead(), 1);
    await journal.flush();
    now += RETENTION_MS;
    await journal.compact();
    const again = idOf((await journal.append([message]))[0]);
    expect(await journal.deadLetters.replay(id)).toMatchObject({ id });
    journal.mark(id, answered('old'), 1);
    journal.mark(again, answered('new'), 1);
    expect(await journal.append([message])).toMatchObject([{ id: again, reply: { message: { content: 'new' } } }]);
  });
});

describe('forgetting', () => {
  test('sqlite journal - what is finished goes after its retention, what is unfinished and dead letters stay', async () => {
    const journal = await open();
    const ids = await accept(journal, 2_000);
    for (const id of ids.slice(2)) journal.mark(id, answered(), 1);
    journal.mark(ids[1] ?? '', dead(), 1);
    await journal.flush();
    now += RETENTION_MS;
    await journal.compact();
    await journal.close();
    expect(inspect((db) => db.prepare('SELECT id FROM deliveries').all())).toEqual(
      ids.slice(0, 2).map((id) => ({ id })),
    );
  });

  test('sqlite journal - under load what is due goes as fast as messages come, so that the file stays as it is', async () => {
    const journal = await open();
    let rows = 0;
    for (let round = 0; round < 20; round++) {
      for (const id of await accept(journal, 500)) journal.mark(id, answered(), 1);
      await journal.flush();
      now += RETENTION_MS;
      rows += 500;
    }
    await journal.close();
    const kept = inspect((db) => db.prepare('SELECT count(*) AS n FROM deliveries').get());
    expect(rows).toBe(10_000);
    expect(kept?.['n']).toBeLessThanOrEqual(2_000);
  });

  test("sqlite journal - an answered message's text goes in a quiet moment, that of others stays", async () => {
    const journal = await open();
    const secret = admission({ id: 'a', message: { role: 'user', content: 'a secret' } });
    const [id = '', other = ''] = (await journal.append([secret, admission({ message: OTHER })])).map(idOf);
    journal.mark(id, answered('said'), 1);
    await journal.flush();
    const texts = (): string => JSON.stringify(inspect((db) => db.prepare('SELECT texts FROM log').all()));
    while (texts().includes('a secret')) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(texts()).toContain(OTHER.content);
    const changed = { ...secret, inbound: { ...secret.inbound, message: OTHER } };
    expect(await journal.append([secret, changed])).toMatchObject([
      { status: 'duplicate', id, reply: { message: { content: 'said' } } },
      { code: 'ORRERY_ID_CONFLICT' },
    ]);
    await killed(journal);
    const next = await open();
    expect(await next.append([secret])).toMatchObject([{ status: 'duplicate', id, state: 'answered' }]);
    expect(await all(next.recover())).toMatchObject([{ id: other, inbound: { message: OTHER } }]);
  });
});

describe('a file that cannot be used', () => {
  test('sqlite journal - a damaged file, one of another program and one of a newer version are refused and stay as they are', async () => {
    const path = dir.write('data/journal.db', 'not a database, but long enough to be looked at as one'.repeat(100));
    await expect(open()).rejects.toEqual(UNUSABLE);
    expect(readFileSync(path, 'utf8')).toMatch(/^not a database/);
    writeFileSync(path, '');
    inspect((db) => db.exec('CREATE TABLE theirs (a)'));
    await expect(open()).rejects.toEqual(UNUSABLE);
    writeFileSync(path, '');
    await (await open()).close();
    inspect((db) => db.exec(`PRAGMA user_version = ${String(JOURNAL_MIGRATIONS.length + 1)}`));
    await expect(open()).rejects.toEqual(UNUSABLE);
  });
});

describe('a file of an earlier version', () => {
  const HASH = hash('sha256', JSON.stringify({ message: { role: 'user', content: 'hello' } }), 'hex').slice(0, 32);
  const row = (
    seq: number,
    status: number,
    o: { readonly replays?: number; readonly position?: number } = {},
  ): string => {
    const { inbound } = admission({ id: `m${seq}`, message: { role: 'user', content: 'hello' } });
    const { body, about } = packInbound(inbound);
    const finished = status >= 4 ? 999_900 : 'NULL';
    const state = status === 5 ? `'{"status":"dead","reason":"expired"}'` : 'NULL';
    const text = status === 4 ? `NULL, 'hi', NULL, NULL` : `${state}, NULL, '${body}', '${about}'`;
    return `(${seq}, ${o.position ?? seq}, ${status}, 1, 0, ${o.replays ?? 0}, 999900, ${finished}, ${status === 5 ? finished : 'NULL'},
      't-${seq.toString(36)}', '${fileKeyOf(dedupeKey(inbound))}', x'${HASH}', 'echo', ${text})`;
  };

  test.each([1, 2])(
    'sqlite journal - the deliveries of a file of version %i, their order and its counts are kept',
    async (version) => {
      inspect((db) => {
        db.exec(JOURNAL_MIGRATIONS[0] ?? '');
        // Row 2 was a dead letter that was put back; of 7 accepted messages 2 are forgotten, both answered.
        db.exec(`INSERT INTO deliveries VALUES ${[row(1, 4), row(2, 0, { replays: 1, position: 9 }), row(3, 1), row(4, 5), row(8, 0)].join(', ')};
        UPDATE meta SET clean = 0, accepted = 7, replayed = 1, answered = 3, dead = 2;
        PRAGMA application_id = ${JOURNAL_APPLICATION_ID}; PRAGMA user_version = ${version}`);
        for (const script of JOURNAL_MIGRATIONS.slice(1, version)) db.exec(script);
      });
      const journal = await open();
      const counts = { accepted: 7, replayed: 1, answered: 3, dead: 2, pending: 3, letters: 1 };
      expect(await journal.totals()).toEqual(counts);
      const left = await all(journal.recover());
      expect(left.map(({ id, crashes, replays }) => [id, crashes, replays])).toEqual([
        ['t-3', 1, 0],
        ['t-8', 1, 0],
        ['t-2', 1, 1],
      ]);
      const again = admission({ id: 'm1', message: { role: 'user', content: 'hello' } });
      const other = admission({ id: 'm1', message: { role: 'user', content: 'good-bye' } });
      expect(await journal.append([again, other])).toEqual([
        expect.objectContaining({ status: 'duplicate', id: 't-1', state: 'answered' }),
        expect.objectContaining({ code: 'ORRERY_ID_CONFLICT' }),
      ]);
      // What is forgotten stays counted.
      now += RETENTION_MS + 1;
      await journal.compact();
      expect(await journal.totals()).toEqual(counts);
      await journal.close();
      expect(await (await open()).totals()).toEqual(counts);
    },
  );
});

describe('a file that takes no writes', () => {
  test('sqlite journal - a full file refuses messages, keeps what was acked and marked, and recovers when there is room', async () => {
    const changes: string[] = [];
    const recovered = Promise.withResolvers<void>();
    const journal = await open({
      maxFileBytes: 2 * 1024 * 1024,
      changed: ({ status }) => {
        changes.push(status);
        if (status === 'ok') recovered.resolve();
      },
    });
    const text = 'x'.repeat(100_000);
    const acked: string[] = [];
    const refusals: Error[] = [];
    for (let i = 0; i < 100 && journal.health.status === 'ok'; i++) {
      const [answer] = await journal.append([admission({ message: { role: 'user', content: text } })]).catch(asList);
      if (answer instanceof Error) refusals.push(answer);
      else acked.push(idOf(answer));
    }
    expect(refusals).toEqual([FAILED]);
    expect(acked.length).toBeGreaterThan(5);
    expect(journal.health).toMatchObject({ status: 'failed', error: { code: 'ORRERY_JOURNAL_FAILED' } });
    await expect(journal.append([admission()])).rejects.toEqual(FAILED);
    await expect(journal.flush()).rejects.toEqual(FAILED);
    expect(journal.lag.appends).toBe(0);
    for (const id of acked.slice(1)) journal.mark(id, answered(), 1);
    await recovered.promise;
    expect(changes).toEqual(['failed', 'ok']);
    const fresh = await accept(journal, 1);
    await journal.close();
    const pending = await all((await open()).recover());
    expect(pending.map(({ id }) => id)).toEqual([acked[0], ...fresh]);
  });
  test('sqlite journal - a full file answers those who come again, and refuses the others in their places', async () => {
    const journal = await open({ maxFileBytes: 262_144 });
    const known = ['answered', 'pending', 'dead'].map((id) => admission({ id }));
    const [first = '', , third = ''] = (await journal.append(known)).map(idOf);
    journal.mark(third, dead('no luck'), 1);
    while (journal.health.status === 'ok') {
      await journal.append([admission({ message: { role: 'user', content: 'x'.repeat(2_000) } })]).catch(asList);
    }
    // Not in the file yet: it takes no writes.
    journal.mark(first, answered('yes'), 1);
    const conflict = admission({ id: 'pending', message: { role: 'user', content: 'another' } });
    const answers = await journal.append([...known, admission({ id: 'new' }), conflict]);
    expect(answers).toMatchObject([
      { status: 'duplicate', state: 'answered', reply: { message: { content: 'yes' } } },
      { status: 'duplicate', state: 'pending' },
      { status: 'duplicate', state: 'dead', error: { message: 'no luck' } },
      { code: 'ORRERY_JOURNAL_FAILED' },
      { code: 'ORRERY_ID_CONFLICT' },
    ]);
    expect(journal.lag.appends).toBe(0);
  });

  test('sqlite journal - a full file of small messages keeps what was marked, also where nothing in it was answered before', async () => {
    const recovered = Promise.withResolvers<void>();
    const journal = await open({
      maxFileBytes: 1_048_576,
      changed: ({ status }) => status === 'ok' && recovered.resolve(),
    });
    const text = 'a message of a few lines '.repeat(40);
    const acked: string[] = [];
    while (journal.health.status === 'ok') {
      const [answer] = await journal.append([admission({ message: { role: 'user', content: text } })]).catch(asList);
      if (!(answer instanceof Error)) acked.push(idOf(answer));
    }
    expect(acked.length).toBeGreaterThan(500);
    // All replies together are many times the room that is kept for them.
    for (const id of acked.slice(1)) journal.mark(id, answered(text.slice(0, 300)), 1);
    await recovered.promise;
    expect(journal.lag.marks).toBe(0);
    // What failed before it was well again is no failure of the stop.
    await killed(journal);
    const next = await open({ maxFileBytes: 1_048_576 });
    expect(await all(next.recover())).toMatchObject([{ id: acked[0], inbound: { message: { content: text } } }]);
    expect(await next.totals()).toMatchObject({ accepted: acked.length, answered: acked.length - 1, pending: 1 });
  });

  test('sqlite journal - a file at its bound names it, and a stop in order is no crash, whatever found no room', async () => {
    const bound = { maxFileBytes: 262_144 };
    const message = { role: 'user', content: 'x'.repeat(2_000) } as const;
    let acked: readonly string[] = [];
    const told: string[] = [];
    for (let stop = 0; stop < 3; stop++) {
      const journal = await open(bound);
      acked = (await all(journal.recover())).map(({ id }) => id);
      while (journal.health.status === 'ok') {
        const [answer] = await journal.append([admission({ message })]).catch(asList);
        if (answer instanceof Error) told.push(answer.message);
        else acked = [...acked, idOf(answer)];
      }
      await journal.close();
    }
    const pending = await all((await open(bound)).recover());
    expect(pending.map(({ id, crashes }) => [id, crashes])).toEqual(acked.map((id) => [id, 0]));
    const named = expect.stringContaining('has reached its bound of 262144 bytes');
    expect(told).toEqual([named, named, named]);
  });
});

describe('a thread that ends', () => {
  test('sqlite journal - what was under way is written by the next thread, once', async () => {
    const journal = await open();
    const [first = ''] = await accept(journal, 1);
    const under = Promise.all(Array.from({ length: 50 }, () => accept(journal, 2)));
    journal.mark(first, dispatched(), 1);
    await new Promise((resolve) => setImmediate(resolve));
    await threads.kill();
    const ids = (await under).flat();
    expect(threads.started.length).toBe(2);
    expect(journal.health).toEqual({ status: 'ok' });
    expect(await journal.totals()).toMatchObject({ accepted: 101, pending: 101 });
    await journal.close();
    const pending = await all((await open()).recover());
    expect(pending.map(({ id }) => id)).toEqual([first, ...ids]);
    expect(pending.map(({ crashes }) => crashes)).toEqual(pending.map(() => 0));
    expect(pending[0]).toMatchObject({ state: dispatched(), attempts: 1 });
  });

  test('sqlite journal - two threads that end one after another fail it; what was refused is not there, and a third one goes on', async () => {
    const recovered = Promise.withResolvers<void>();
    const journal = await open({ changed: ({ status }) => status === 'ok' && recovered.resolve() });
    const [first = ''] = await accept(journal, 1);
    await threads.kill();
    const message = admission({ id: 'a' });
    const refused = journal.append([message]).catch((error: unknown) => error);
    journal.mark(first, answered(), 1);
    await threads.kill();
    expect(await refused).toEqual(FAILED);
    expect(journal.health.status).toBe('failed');
    await recovered.promise;
    expect(await journal.append([message])).toMatchObject([{ status: 'accepted' }]);
    expect(await journal.totals()).toMatchObject({ accepted: 2, answered: 1, pending: 1 });
  });

  test('sqlite journal - a close without a thread says what was not written, and the next start counts it as unclean', async () => {
    const journal = await open();
    const [id = ''] = await accept(journal, 1);
    await threads.kill();
    const refused = journal.append([admission()]).catch((error: unknown) => error);
    journal.mark(id, answered(), 1);
    await threads.kill();
    expect(await refused).toEqual(FAILED);
    await expect(journal.close()).rejects.toEqual(FAILED);
    expect(journal.lag).toEqual({ appends: 0, marks: 1 });
    expect(await all((await open()).recover())).toMatchObject([{ id, crashes: 1, state: { status: 'accepted' } }]);
  });

  test('sqlite journal - a dead letter is found and replayed through a thread that ends', async () => {
    const journal = await open();
    const message = admission({ id: 'a' });
    const id = idOf((await journal.append([message]))[0]);
    journal.mark(id, dead(), 1);
    await journal.flush();
    const replay = journal.deadLetters.replay(id);
    await threads.kill();
    expect(await replay).toMatchObject({ id, replays: 1 });
    expect(await journal.find(dedupeKey(message.inbound))).toMatchObject({ state: { status: 'accepted' } });
  });
});
