import { describe, expect, test } from 'vitest';
import { NO_USAGE, type Reply } from '../../src/protocol/index.ts';
import { chatMessageOf } from '../../src/worker/sessions/convert.ts';
import { MemorySessionStore, type MemoryStoreOptions } from '../../src/worker/sessions/memory.ts';
import type { Commit } from '../../src/worker/sessions/store.ts';

const KEY = { agent: 'a', namespace: 'web:alice' };

function replyOf(content: string): Reply {
  return { message: { role: 'assistant', content }, usage: NO_USAGE, steps: 0 };
}

let deliveries = 0;

function commit(over: Partial<Commit> & { readonly text?: string } = {}): Commit {
  const { text = 'hi', ...rest } = over;
  deliveries += 1;
  return {
    session: KEY,
    deliveries: [`d${deliveries}`],
    version: 0,
    epoch: 1,
    messages: [
      { message: { role: 'user', content: `ask ${text}` } },
      { message: { role: 'assistant', content: text } },
    ],
    reply: replyOf(text),
    ...rest,
  };
}

function contents(store: MemorySessionStore, key = KEY): readonly string[] {
  return store
    .load(key)
    .read()
    .map(({ message }) => chatMessageOf(message).content);
}

/** Commits one turn after another, each on what the one before left. */
function fill(store: MemorySessionStore, texts: readonly string[], key = KEY): void {
  for (const text of texts) store.commit(commit({ text, session: key, version: store.load(key).version }));
}

describe('a session store', () => {
  test('sessions - a turn adds its messages and its reply with time and delivery', () => {
    const store = new MemorySessionStore({ now: () => 42 });
    expect(store.load(KEY)).toMatchObject({ version: 0 });
    store.commit(commit({ deliveries: ['d'], text: 'one' }));
    expect(store.load(KEY).version).toBe(1);
    expect(store.load(KEY).read()).toEqual([
      { message: { role: 'user', content: 'ask one' }, timestamp: 42, delivery: 'd' },
      { message: { role: 'assistant', content: 'one' }, timestamp: 42, delivery: 'd' },
    ]);
  });

  test('sessions - a delivery commits once: a second commit changes nothing and gets the first reply', () => {
    const store = new MemorySessionStore();
    store.commit(commit({ deliveries: ['d'], text: 'first' }));
    // Even from an owner whose view is stale, and with another text.
    expect(store.commit(commit({ deliveries: ['d'], text: 'second', version: 7, epoch: 0 }))).toEqual(replyOf('first'));
    expect(store.load(KEY).version).toBe(1);
    expect(contents(store)).toEqual(['ask first', 'first']);
    expect(store.commitOf('d')).toEqual(replyOf('first'));
  });

  test('sessions - a commit on an older version, or a newer one than there is, is refused and leaves no trace', () => {
    const store = new MemorySessionStore();
    fill(store, ['one', 'two']);
    for (const version of [0, 1, 3]) {
      const stale = commit({ version, text: 'stale' });
      expect(() => store.commit(stale)).toThrow(expect.objectContaining({ code: 'ORRERY_STALE_OWNER' }));
      expect(store.commitOf(stale.deliveries[0])).toBeUndefined();
    }
    expect(contents(store)).toEqual(['ask one', 'one', 'ask two', 'two']);
  });

  test('sessions - an owner of an older epoch is refused once a newer one has committed', () => {
    const store = new MemorySessionStore();
    store.commit(commit({ epoch: 5 }));
    expect(() => store.commit(commit({ epoch: 4, version: 1 }))).toThrow(
      expect.objectContaining({ code: 'ORRERY_STALE_OWNER' }),
    );
    store.commit(commit({ epoch: 6, version: 1 }));
    expect(store.load(KEY).version).toBe(2);
  });

  test('sessions - what was loaded does not change under its reader', () => {
    const store = new MemorySessionStore({ maxMessages: 2 });
    fill(store, ['one']);
    const before = store.load(KEY);
    fill(store, ['two', 'three', 'four']);
    expect(before.read().map(({ message }) => message.content)).toEqual(['ask one', 'one']);
  });

  test('sessions - a turn without a session keeps its commit record only', () => {
    const store = new MemorySessionStore();
    store.commit(commit({ session: undefined, deliveries: ['d'], messages: [], text: 'once' }));
    expect(store.commitOf('d')).toEqual(replyOf('once'));
    expect(store.list('a')).toEqual([]);
  });

  test('sessions - agents and namespaces do not mix, and a prefix compares whole segments', () => {
    const store = new MemorySessionStore();
    for (const namespace of ['web:a', 'web:a:b', 'web:ab', 'irc:a'])
      fill(store, [namespace], { agent: 'a', namespace });
    fill(store, ['other'], { agent: 'b', namespace: 'web:a' });
    expect(store.list('a')).toHaveLength(4);
    expect(store.list('a', 'web:a').toSorted()).toEqual(['web:a', 'web:a:b']);
    expect(store.list('b')).toEqual(['web:a']);
    expect(store.delete({ agent: 'a', namespace: 'web:a' })).toBe(true);
    expect(store.delete({ agent: 'a', namespace: 'web:a' })).toBe(false);
    expect(contents(store, { agent: 'b', namespace: 'web:a' })).toEqual(['ask other', 'other']);
  });

  test('sessions - a turn that was under way when its session was cleared is refused, and runs again on the empty one', () => {
    const store = new MemorySessionStore();
    fill(store, ['one']);
    const { version } = store.load(KEY);
    store.delete(KEY);
    expect(() => store.commit(commit({ version }))).toThrow(expect.objectContaining({ code: 'ORRERY_STALE_OWNER' }));
    fill(store, ['two']);
    expect(contents(store)).toEqual(['ask two', 'two']);
  });
});

describe('the bounds of a session store', () => {
  const many = Array.from({ length: 30 }, (_, i) => `t${i}`);

  function filled(o: MemoryStoreOptions): MemorySessionStore {
    const store = new MemorySessionStore(o);
    for (const text of many) fill(store, [text], { agent: 'a', namespace: text });
    return store;
  }

  test('sessions - a session shows its newest messages only, also when one turn brings more than the bound', () => {
    const store = new MemorySessionStore({ maxMessages: 4 });
    fill(store, many);
    expect(contents(store)).toEqual(['ask t28', 't28', 'ask t29', 't29']);
    const messages = many.map((content) => ({ message: { role: 'user', content } }) as const);
    store.commit(commit({ messages, version: store.load(KEY).version }));
    expect(contents(store)).toEqual(['t26', 't27', 't28', 't29']);
  });

  test('sessions - beyond the number of sessions those used longest ago go, never the present one', () => {
    const store = filled({ maxSessions: 8 });
    const left = store.list('a');
    expect(left.length).toBeLessThanOrEqual(8);
    expect(left).toEqual(many.slice(-left.length));
    const alone = new MemorySessionStore({ maxSessions: 0 });
    fill(alone, ['one']);
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
    for (let n = 1; n <= 40; n++) {
      byNumber.commit(commit({ session: undefined, deliveries: [`d${n}`] }));
      byChars.commit(commit({ session: undefined, deliveries: [`d${n}`], text: '12345' }));
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
