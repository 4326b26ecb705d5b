import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MAX_GROUP } from '../../src/worker/sessions/group-commit.ts';
import { SqliteSessionStore } from '../../src/worker/sessions/sqlite.ts';
import { KEY, commitOf, contents, ownerOf, replyOf } from '../support/sessions.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

const STALE = { status: 'rejected', reason: expect.objectContaining({ code: 'ORRERY_STALE_OWNER' }) };

function keyOf(name: string): typeof KEY {
  return { agent: 'a', namespace: `web:${name}` };
}

describe('commits of one moment', () => {
  let dir: TemporaryDirectory;
  let file: string;
  let store: SqliteSessionStore;
  let epoch: number;

  beforeEach(() => {
    dir = temporaryDirectory();
    file = join(dir.path, 'sessions.db');
    store = new SqliteSessionStore({ file, busyTimeoutMs: 0 });
    epoch = ownerOf(store);
  });

  afterEach(() => {
    store.close();
    dir[Symbol.dispose]();
  });

  test('sessions - each is answered with its own reply and stored in its own session, more than one transaction holds', async () => {
    const names = Array.from({ length: MAX_GROUP + 3 }, (_, i) => `s${i}`);
    const replies = await Promise.all(
      names.map((name) => store.commitSoon(commitOf(epoch, { session: keyOf(name), text: name }))),
    );
    expect(replies).toEqual(names.map(replyOf));
    for (const name of names) expect(contents(store, keyOf(name))).toEqual([`ask ${name}`, name]);
  });

  test('sessions - one that is stale is refused and leaves no trace, and the others are stored', async () => {
    store.commit(commitOf(epoch, { session: keyOf('b'), text: 'first' }));
    const [one, stale, two] = await Promise.allSettled([
      store.commitSoon(commitOf(epoch, { session: keyOf('a'), text: 'one' })),
      store.commitSoon(commitOf(epoch, { session: keyOf('b'), text: 'stale', version: 0, deliveries: ['x'] })),
      store.commitSoon(commitOf(epoch, { session: keyOf('c'), text: 'two' })),
    ]);
    expect(one).toEqual({ status: 'fulfilled', value: replyOf('one') });
    expect(stale).toEqual(STALE);
    expect(two).toEqual({ status: 'fulfilled', value: replyOf('two') });
    expect(store.commitOf('x')).toBeUndefined();
    expect(contents(store, keyOf('b'))).toEqual(['ask first', 'first']);
    expect(contents(store, keyOf('c'))).toEqual(['ask two', 'two']);
  });

  test('sessions - a delivery that is committed twice in one moment is stored once and gets one reply', async () => {
    const replies = await Promise.all(
      ['first', 'second'].map((text) => store.commitSoon(commitOf(epoch, { deliveries: ['d'], text }))),
    );
    expect(replies).toEqual([replyOf('first'), replyOf('first')]);
    expect(contents(store)).toEqual(['ask first', 'first']);
  });

  test('sessions - a session that is cleared before the commit is made refuses it', async () => {
    store.commit(commitOf(epoch, { text: 'one' }));
    const { version } = store.load(KEY);
    const committing = Promise.allSettled([store.commitSoon(commitOf(epoch, { text: 'two', version }))]);
    expect(store.delete(KEY)).toBe(true);
    expect(await committing).toEqual([STALE]);
    expect(contents(store)).toEqual([]);
  });

  test('sessions - a transaction that cannot be made refuses all of them, and the next one goes on', async () => {
    const other = new DatabaseSync(file);
    other.exec('BEGIN IMMEDIATE');
    const commits = ['a', 'b'].map((name) => commitOf(epoch, { session: keyOf(name), text: name }));
    for (const settled of await Promise.allSettled(commits.map((commit) => store.commitSoon(commit)))) {
      expect(settled).toMatchObject({ status: 'rejected', reason: { code: 'ORRERY_DATABASE_FAILED' } });
    }
    other.exec('ROLLBACK');
    other.close();
    expect(await Promise.all(commits.map((commit) => store.commitSoon(commit)))).toEqual(['a', 'b'].map(replyOf));
  });

  test('sessions - what waits when the store is closed is committed first', async () => {
    const committing = store.commitSoon(commitOf(epoch, { text: 'last' }));
    store.close();
    expect(await committing).toEqual(replyOf('last'));
    const again = new SqliteSessionStore({ file });
    expect(contents(again)).toEqual(['ask last', 'last']);
    again.close();
  });
});
