/** Runs what only a file can do: outlive its store, be shared by several, be damaged. */
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { writeGateWord } from '../../src/lib/write-gate.ts';
import { codeOf } from '../../src/protocol/index.ts';
import { SESSION_MIGRATIONS } from '../../src/worker/sessions/schema.ts';
import {
  MIN_COMMIT_RETENTION_MS,
  SqliteSessionStore,
  type SqliteStoreOptions,
} from '../../src/worker/sessions/sqlite.ts';
import { SWEEP_EVERY_MS } from '../../src/worker/sessions/sweep.ts';
import { ThreadSessions } from '../../src/worker/thread-sessions.ts';
import { KEY, commitOf, contents, fill, ownerOf, replyOf } from '../support/sessions.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

const PAGE_BYTES = 4_096;
const STALE = expect.objectContaining({ code: 'ORRERY_STALE_OWNER' });

let dir: TemporaryDirectory;
let stores: SqliteSessionStore[];

beforeEach(() => {
  dir = temporaryDirectory();
  stores = [];
});

afterEach(() => {
  for (const store of stores) store.close();
  dir[Symbol.dispose]();
});

function file(): string {
  return join(dir.path, 'data', 'sessions.db');
}

function open(o: Partial<SqliteStoreOptions> = {}): SqliteSessionStore {
  const store = new SqliteSessionStore({ file: file(), ...o });
  stores.push(store);
  return store;
}

/** Asks the file itself. */
function ask(sql: string): readonly unknown[] {
  const database = new DatabaseSync(file(), { readOnly: true });
  try {
    return database
      .prepare(sql)
      .all()
      .map((row) => Object.values(row)[0]);
  } finally {
    database.close();
  }
}

/** Counts what this process has open of a file; nothing where the system does not tell. */
function handlesOf(path: string): number {
  if (!existsSync('/proc/self/fd')) return 0;
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // closed meanwhile
    }
  });
  return links.filter((link) => link.startsWith(path)).length;
}

describe('a session database', () => {
  test('sessions - messages, versions, commit records and epochs outlive the store', () => {
    const store = open();
    const epoch = ownerOf(store);
    fill(store, epoch, ['one', 'two']);
    store.commit(commitOf(epoch, { version: 2, deliveries: ['d', 'e'], text: 'three' }));
    store.close();
    const later = open();
    expect(contents(later)).toEqual(['ask one', 'one', 'ask two', 'two', 'ask three', 'three']);
    expect(later.load(KEY).version).toBe(3);
    expect(later.commitOf('e')).toEqual(replyOf('three'));
    // Before anybody owned anew, a late commit of the earlier process still stands alone; afterwards it is refused.
    expect(ownerOf(later)).toBeGreaterThan(epoch);
    expect(() => later.commit(commitOf(epoch, { version: 3 }))).toThrow(STALE);
  });

  test('sessions - it is readable by its owner alone, and in the mode of a write-ahead log', () => {
    open();
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(ask('PRAGMA journal_mode')).toEqual(['wal']);
    expect(ask('PRAGMA user_version')).toEqual([SESSION_MIGRATIONS.length]);
  });

  test('sessions - of two stores on one file each sees at once what the other committed, cleared and searched', () => {
    const [one, two] = [open(), open()];
    const [a = 0, b = 0] = one.own(['a', 'a#2']);
    fill(one, a, ['one']);
    expect(contents(two)).toEqual(['ask one', 'one']);
    fill(two, b, ['two']);
    expect(contents(one)).toEqual(['ask one', 'one', 'ask two', 'two']);
    expect(one.search(KEY, 'two')).toHaveLength(2);
    const { version } = one.load(KEY);
    fill(two, b, ['three']);
    expect(() => one.commit(commitOf(a, { version }))).toThrow(STALE);
    expect(two.search(KEY, 'three two')).toHaveLength(4);
    expect(one.delete(KEY)).toBe(true);
    expect(contents(two)).toEqual([]);
    expect(() => two.commit(commitOf(b, { version: 3 }))).toThrow(STALE);
    fill(two, b, ['four']);
    expect(contents(one)).toEqual(['ask four', 'four']);
    expect(one.search(KEY, 'one two three four')).toHaveLength(2);
  });

  test('sessions - a cache that another store made stale does not show, whichever of them reads first', () => {
    const [one, two] = [open(), open()];
    const epoch = ownerOf(one);
    for (let i = 0; i < 20; i++) {
      const [writer, reader] = i % 3 === 0 ? [two, one] : [one, two];
      if (i % 2 === 0) contents(reader, KEY, { maxMessages: i });
      fill(writer, epoch, [`t${i}`]);
      const all = Array.from({ length: i + 1 }, (_, n) => [`ask t${n}`, `t${n}`]).flat();
      expect(contents(one, KEY, { maxMessages: 3 })).toEqual(all.slice(-3));
      expect(contents(two)).toEqual(all);
      expect(contents(one)).toEqual(all);
    }
  });

  test('sessions - a small read of a long session touches few rows', () => {
    const store = open({ cacheBytes: 0 });
    const epoch = ownerOf(store);
    const messages = Array.from({ length: 50_000 }, (_, i) => ({
      message: { role: 'user', content: `m${i}` } as const,
      tokens: 1,
    }));
    store.commit(commitOf(epoch, { messages }));
    const parse = JSON.parse;
    let parsed = 0;
    JSON.parse = (...args) => {
      parsed += 1;
      return parse(...args) as unknown;
    };
    try {
      expect(contents(store, KEY, { maxTokens: 5 })).toHaveLength(5);
    } finally {
      JSON.parse = parse;
    }
    expect(parsed).toBe(5);
  });
});

describe('what is cleared', () => {
  test('sessions - neither its messages nor its words are left in the tables', () => {
    const store = open();
    const epoch = ownerOf(store);
    fill(store, epoch, ['one', 'two'], { ...KEY, namespace: 'web:bob' });
    fill(store, epoch, ['one', 'two']);
    for (const namespace of ['web:alice', 'web:bob']) store.search({ ...KEY, namespace }, 'one');
    expect(ask('SELECT count(*) FROM search')).toEqual([8]);
    store.delete(KEY);
    expect(ask('SELECT count(*) FROM search')).toEqual([4]);
    expect(ask('SELECT count(*) FROM messages')).toEqual([4]);
    expect(contents(store, { ...KEY, namespace: 'web:bob' })).toHaveLength(4);
  });
});

describe('a file that cannot be used', () => {
  const unusable = (message: RegExp): unknown =>
    expect.objectContaining({ code: 'ORRERY_DATABASE_UNUSABLE', message: expect.stringMatching(message) });

  beforeEach(() => mkdirSync(join(dir.path, 'data')));

  test('sessions - one that is no database is told, and left as it is', () => {
    writeFileSync(file(), 'no database at all, but long enough to be read as one'.repeat(100));
    expect(() => open()).toThrow(unusable(/data\/sessions\.db is damaged/));
    expect(readFileSync(file(), 'utf8')).toMatch(/^no database/);
  });

  /** Writes a session into a file, and noise over what the query names: all behind the first page, or one table's root. */
  function damaged(where: 'all' | 'messages' | 'commits'): void {
    const store = open();
    fill(store, ownerOf(store), ['one', 'two']);
    store.search(KEY, 'one');
    store.close();
    const [root = 2] = where === 'all' ? [] : ask(`SELECT rootpage FROM sqlite_schema WHERE name = '${where}'`);
    const bytes = readFileSync(file());
    const from = (Number(root) - 1) * PAGE_BYTES;
    const until = where === 'all' ? bytes.length : from + PAGE_BYTES;
    writeFileSync(file(), bytes.fill(0xa5, from, until));
  }

  test('sessions - one that is damaged behind its first page is told when it is opened, and closed', () => {
    damaged('all');
    for (let i = 0; i < 3; i++) expect(() => open()).toThrow(unusable(/data\/sessions\.db is damaged/));
    expect(handlesOf(file())).toBe(0);
  });

  test.each([
    ['a read', 'messages', (store: SqliteSessionStore) => store.load(KEY).read()],
    ['a commit', 'commits', (store: SqliteSessionStore) => store.commit(commitOf(ownerOf(store), { version: 2 }))],
  ] as const)('sessions - damage that %s meets is told by it, and the rest can still be used', (_, table, act) => {
    damaged(table);
    const store = open();
    expect(() => act(store)).toThrow(unusable(/data\/sessions\.db is damaged/));
    expect(store.list('a')).toEqual(['web:alice']);
    expect(() => act(store)).toThrow(unusable(/data\/sessions\.db is damaged/));
  });

  test('sessions - a commit that meets damage among those of one moment fails them all, and none is kept', async () => {
    damaged('messages');
    const store = open();
    const epoch = ownerOf(store);
    const commits = ['web:bob', 'web:carol'].map((namespace) =>
      commitOf(epoch, { session: { agent: 'a', namespace } }),
    );
    const ends = await Promise.allSettled(commits.map((commit) => store.commitSoon(commit)));
    expect(ends).toEqual(ends.map(() => ({ status: 'rejected', reason: unusable(/is damaged/) })));
    expect(store.list('a')).toEqual(['web:alice']);
  });

  test('sessions - damage that the sweep meets is logged once, and the sweeps end', () => {
    damaged('commits');
    const lines: unknown[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    vi.useFakeTimers();
    try {
      const sessions = new ThreadSessions(
        {
          store: 'sqlite',
          file: file(),
          synchronous: 'normal',
          cacheBytes: 0,
          commitRetentionMs: MIN_COMMIT_RETENTION_MS,
          gate: writeGateWord(),
        },
        log,
      );
      expect(sessions.list('a')).toEqual(['web:alice']);
      vi.advanceTimersByTime(MIN_COMMIT_RETENTION_MS + 10 * SWEEP_EVERY_MS);
      expect(lines).toMatchObject([{ err: { code: 'ORRERY_DATABASE_UNUSABLE' } }]);
      expect(vi.getTimerCount()).toBe(0);
      sessions.close();
    } finally {
      vi.useRealTimers();
    }
  });

  test('sessions - a message that is no JSON any more is damage, and not a fault of the host', () => {
    const store = open();
    fill(store, ownerOf(store), ['one']);
    store.close();
    const database = new DatabaseSync(file());
    database.exec("UPDATE messages SET body = '{' || body");
    database.close();
    expect(() => open().load(KEY).read()).toThrow(unusable(/data\/sessions\.db is damaged/));
  });

  test('sessions - one of a newer version is told', () => {
    open().close();
    const database = new DatabaseSync(file());
    database.exec(`PRAGMA user_version = ${SESSION_MIGRATIONS.length + 1}`);
    database.close();
    expect(() => open()).toThrow(unusable(/has version 2, this program knows up to 1/));
  });

  test('sessions - one of another program is told, and left as it is', () => {
    const database = new DatabaseSync(file());
    database.exec('CREATE TABLE theirs (x)');
    database.close();
    expect(() => open()).toThrow(unusable(/another program's/));
    expect(ask('SELECT name FROM sqlite_schema')).toEqual(['theirs']);
    expect(existsSync(`${file()}-wal`)).toBe(false);
  });

  test('sessions - a new file that somebody else makes at the same moment is taken for what it is', () => {
    // Between two looks at what kind of file it is, the other one makes its tables.
    const prepare = Reflect.get(DatabaseSync.prototype, 'prepare');
    let raced = false;
    const spy = vi.spyOn(DatabaseSync.prototype, 'prepare').mockImplementation(function (this: DatabaseSync, sql) {
      if (sql === 'PRAGMA user_version' && !raced) {
        raced = true;
        try {
          open({ busyTimeoutMs: 1 });
        } catch (error) {
          // Kept out, which is well too.
          if (codeOf(error) !== 'ORRERY_DATABASE_FAILED') throw error;
        }
      }
      return prepare.call(this, sql);
    });
    const store = open();
    spy.mockRestore();
    expect(raced).toBe(true);
    fill(store, ownerOf(store), ['said']);
    expect(contents(open())).toHaveLength(2);
  });

  test('sessions - a directory in its place is told', () => {
    mkdirSync(file());
    expect(() => open()).toThrow(unusable(/cannot be opened for writing/));
  });

  test('sessions - a file that another program holds fails as what may be tried again', () => {
    const store = open({ busyTimeoutMs: 1 });
    const epoch = ownerOf(store);
    const other = new DatabaseSync(file());
    other.exec('BEGIN IMMEDIATE');
    const commit = commitOf(epoch, { text: 'later' });
    expect(() => store.commit(commit)).toThrow(
      expect.objectContaining({ code: 'ORRERY_DATABASE_FAILED', retryable: true }),
    );
    other.exec('COMMIT');
    other.close();
    store.commit(commit);
    expect(contents(store)).toEqual(['ask later', 'later']);
  });
});
