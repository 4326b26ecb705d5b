/** Runs what a file of sessions forgets, and when: commit records, messages by age and by number, rows of cleared sessions. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Writer } from '../../src/lib/sqlite.ts';
import {
  MIN_COMMIT_RETENTION_MS,
  SqliteSessionStore,
  type SqliteStoreOptions,
} from '../../src/worker/sessions/sqlite.ts';
import { Statements } from '../../src/worker/sessions/statements.ts';
import { SWEEP_EVERY_MS, Sweeper } from '../../src/worker/sessions/sweep.ts';
import { KEY, commitOf, contents, fill, ownerOf, replyOf } from '../support/sessions.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

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

describe('retention', () => {
  let now = 0;

  function sweepAll(store: SqliteSessionStore): void {
    now += SWEEP_EVERY_MS;
    while (store.sweep());
  }

  beforeEach(() => {
    now = 1_000_000;
  });

  test('sessions - commit records go after their retention, never before; what was said stays', () => {
    const store = open({ now: () => now, commitRetentionMs: 2 * MIN_COMMIT_RETENTION_MS });
    const epoch = ownerOf(store);
    for (let i = 0; i < 5_000; i++)
      store.commit(commitOf(epoch, { session: undefined, messages: [], deliveries: [`old${i}`] }));
    fill(store, epoch, ['kept']);
    now += MIN_COMMIT_RETENTION_MS;
    store.commit(commitOf(epoch, { session: undefined, messages: [], deliveries: ['new', 'joined'] }));
    now += MIN_COMMIT_RETENTION_MS - 2 * SWEEP_EVERY_MS;
    sweepAll(store);
    expect(store.commitOf('old0')).toBeDefined();
    now += 2 * SWEEP_EVERY_MS;
    sweepAll(store);
    expect(ask('SELECT delivery FROM commits ORDER BY id')).toEqual(['new', 'joined']);
    expect(store.commitOf('joined')).toEqual(replyOf('hi'));
    expect(contents(store)).toEqual(['ask kept', 'kept']);
  });

  test('sessions - of several threads one sweeps at a time, and a clock that was put back does not stop them', () => {
    const [one, two] = [open({ now: () => now }), open({ now: () => now })];
    const epoch = ownerOf(one);
    one.commit(commitOf(epoch, { session: undefined, messages: [], deliveries: ['d'] }));
    now += 2 * MIN_COMMIT_RETENTION_MS;
    one.sweep();
    one.commit(commitOf(epoch, { session: undefined, messages: [], deliveries: ['e'] }));
    now -= 10 * MIN_COMMIT_RETENTION_MS;
    one.commit(commitOf(epoch, { session: undefined, messages: [], deliveries: ['f'] }));
    two.sweep();
    expect(ask("SELECT value FROM meta WHERE key = 'swept'")).toEqual([now]);
    now += 1;
    one.sweep();
    expect(ask("SELECT value FROM meta WHERE key = 'swept'")).toEqual([now - 1]);
  });

  test('sessions - messages past their age are not shown, and their rows go with the sweep', () => {
    const store = open({ now: () => now, maxAgeMs: 1_000_000 });
    const epoch = ownerOf(store);
    fill(store, epoch, ['one']);
    store.search(KEY, 'one');
    now += 600_000;
    fill(store, epoch, ['two']);
    expect(contents(store)).toHaveLength(4);
    now += 600_000;
    expect(contents(store)).toEqual(['ask two', 'two']);
    expect(store.search(KEY, 'one')).toEqual([]);
    sweepAll(store);
    expect(ask('SELECT count(*) FROM messages')).toEqual([2]);
    expect(contents(store)).toEqual(['ask two', 'two']);
    now += 1_000_000;
    sweepAll(store);
    expect(ask('SELECT count(*) FROM messages')).toEqual([0]);
    expect(store.list('a')).toEqual([]);
    // It goes on where it was: nothing that was loaded before fits by chance.
    expect(store.load(KEY).version).toBe(2);
    fill(store, epoch, ['three']);
    expect(contents(store)).toEqual(['ask three', 'three']);
  });

  test('sessions - a sweep with nothing old looks at one row of each session, and ends', () => {
    const store = open({ now: () => now });
    const epoch = ownerOf(store);
    const messages = Array.from({ length: 10 }, () => ({ message: { role: 'user', content: 'hi' } }) as const);
    for (let i = 0; i < 1_500; i++)
      store.commit(commitOf(epoch, { session: { agent: 'a', namespace: `web:${i}` }, messages }));
    const database = new DatabaseSync(file());
    try {
      const sql = new Statements(database);
      const looks = vi.spyOn(sql.times, 'all');
      const options = { commitRetentionMs: MIN_COMMIT_RETENTION_MS, maxAgeMs: 1_000_000 };
      const sweeper = new Sweeper(sql, new Writer(database), options);
      now += 900_000;
      let shares = 0;
      while (sweeper.sweep(now)) expect((shares += 1)).toBeLessThan(5);
      expect(looks.mock.results.reduce((rows, { value }) => rows + (value as readonly unknown[]).length, 0)).toBe(
        1_500,
      );
      // Once they are old, all go.
      now += 900_000;
      for (shares = 0; sweeper.sweep(now);) expect((shares += 1)).toBeLessThan(50);
      expect(ask('SELECT count(*) FROM messages')).toEqual([0]);
    } finally {
      database.close();
    }
  });

  test('sessions - beyond the number of messages the oldest are not shown, and their rows go', () => {
    const store = open({ maxMessages: 3 });
    const epoch = ownerOf(store);
    const texts = Array.from({ length: 100 }, (_, i) => `t${i}`);
    for (const text of texts) {
      fill(store, epoch, [text]);
      expect(contents(store).at(-1)).toBe(text);
      expect(contents(store).length).toBeLessThanOrEqual(3);
    }
    expect(contents(store)).toEqual(['t98', 'ask t99', 't99']);
    expect(store.search(KEY, 't98 t97')).toHaveLength(1);
    expect(ask('SELECT count(*) < 100 FROM messages')).toEqual([1]);
    const many = texts.map((content) => ({ message: { role: 'user', content } }) as const);
    store.commit(commitOf(epoch, { messages: many, version: store.load(KEY).version }));
    expect(contents(store)).toEqual(['t97', 't98', 't99']);
    expect(ask('SELECT count(*) FROM messages')).toEqual([3]);
  });

  test('sessions - the row of a cleared session goes once no turn can still hold its version', () => {
    const store = open({ now: () => now });
    const epoch = ownerOf(store);
    fill(store, epoch, ['one']);
    store.delete(KEY);
    sweepAll(store);
    expect(store.load(KEY).version).toBe(2);
    now += MIN_COMMIT_RETENTION_MS;
    sweepAll(store);
    expect(ask('SELECT count(*) FROM sessions')).toEqual([0]);
    fill(store, epoch, ['two']);
    expect(store.load(KEY).version).toBe(1);
    expect(contents(store)).toEqual(['ask two', 'two']);
  });
});
