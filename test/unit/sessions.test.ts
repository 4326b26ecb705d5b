/** Runs what is the store in memory's own: its bounds. What every store must do is in test/contract. */
import { describe, expect, test } from 'vitest';
import { MemorySessionStore, type MemoryStoreOptions } from '../../src/worker/sessions/memory.ts';
import { KEY, commitOf, contents, fill, ownerOf } from '../support/sessions.ts';

describe('the bounds of the session store in memory', () => {
  const many = Array.from({ length: 30 }, (_, i) => `t${i}`);

  function filled(o: MemoryStoreOptions): MemorySessionStore {
    const store = new MemorySessionStore(o);
    const epoch = ownerOf(store);
    for (const text of many) fill(store, epoch, [text], { agent: 'a', namespace: text });
    return store;
  }

  test('sessions - a session shows its newest messages only, also when one turn brings more than the bound', () => {
    const store = new MemorySessionStore({ maxMessages: 4 });
    const epoch = ownerOf(store);
    fill(store, epoch, many);
    expect(contents(store)).toEqual(['ask t28', 't28', 'ask t29', 't29']);
    const messages = many.map((content) => ({ message: { role: 'user', content } }) as const);
    store.commit(commitOf(epoch, { messages, version: store.load(KEY).version }));
    expect(contents(store)).toEqual(['t26', 't27', 't28', 't29']);
  });

  test('sessions - beyond the number of sessions those used longest ago go, never the present one', () => {
    const store = filled({ maxSessions: 8 });
    const left = store.list('a');
    expect(left.length).toBeLessThanOrEqual(8);
    expect(left).toEqual(many.slice(-left.length));
    const alone = new MemorySessionStore({ maxSessions: 0 });
    fill(alone, ownerOf(alone), ['one']);
    expect(contents(alone)).toEqual(['ask one', 'one']);
  });

  test('sessions - beyond the characters of all sessions those used longest ago go', () => {
    const store = filled({ maxSessionChars: 80 });
    const left = store.list('a');
    const chars = left.reduce((sum, namespace) => sum + contents(store, { agent: 'a', namespace }).join('').length, 0);
    expect(left.length).toBeGreaterThan(0);
    expect(chars).toBeLessThanOrEqual(80);
    expect(left).toEqual(many.slice(-left.length));
  });

  test('sessions - of the commit records at most as many as the bound stay, and always the newest half', () => {
    const byNumber = new MemorySessionStore({ maxCommits: 10 });
    const byChars = new MemorySessionStore({ maxCommitChars: 50 });
    for (const store of [byNumber, byChars]) expect(ownerOf(store)).toBe(1);
    for (let n = 1; n <= 40; n++) {
      byNumber.commit(commitOf(1, { session: undefined, deliveries: [`d${n}`] }));
      byChars.commit(commitOf(1, { session: undefined, deliveries: [`d${n}`], text: '12345' }));
      for (const store of [byNumber, byChars]) {
        const known = Array.from({ length: n }, (_, i) => store.commitOf(`d${i + 1}`) !== undefined);
        const kept = known.filter(Boolean).length;
        expect(kept).toBeLessThanOrEqual(10);
        expect(kept).toBeGreaterThanOrEqual(Math.min(n, 5));
        expect(known.slice(-kept).every(Boolean)).toBe(true);
      }
    }
  });
});
