/** Owns what every session store must do. A store's own bounds, and what only a file can do, are in tests of their own. */
import type { ModelMessage } from 'ai';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SessionStore } from '../../src/worker/sessions/store.ts';
import { KEY, commitOf, contents, fill, ownerOf, replyOf } from '../support/sessions.ts';

export interface StoreUnderTest extends Disposable {
  readonly store: SessionStore;
}

export interface StoreTestOptions {
  readonly now?: () => number;
}

const STALE = expect.objectContaining({ code: 'ORRERY_STALE_OWNER' });

export function sessionStoreContract(name: string, open: (o?: StoreTestOptions) => StoreUnderTest): void {
  describe(`the session store ${name}`, () => {
    let under: StoreUnderTest;
    let store: SessionStore;
    let epoch: number;
    let now = 0;

    beforeEach(() => {
      now = 1_000;
      under = open({ now: () => now });
      ({ store } = under);
      epoch = ownerOf(store);
    });

    afterEach(() => {
      under[Symbol.dispose]();
    });

    test('session store - a turn adds its messages and its reply with time and delivery', () => {
      expect(store.load(KEY)).toMatchObject({ version: 0 });
      expect(store.load(KEY).read()).toEqual([]);
      store.commit(commitOf(epoch, { deliveries: ['d'], text: 'one' }));
      expect(store.load(KEY).version).toBe(1);
      expect(store.load(KEY).read()).toEqual([
        { message: { role: 'user', content: 'ask one' }, timestamp: 1_000, delivery: 'd' },
        { message: { role: 'assistant', content: 'one' }, timestamp: 1_000, delivery: 'd' },
      ]);
    });

    test('session store - tool calls, their results, tokens and encoding come back as they went in', () => {
      const messages: ModelMessage[] = [
        { role: 'user', content: [{ type: 'file', data: 'https://example.org/a.png', mediaType: 'image/png' }] },
        {
          role: 'assistant',
          content: [{ type: 'tool-call', toolCallId: 'c', toolName: 't', input: { n: [1, 'ü\u0000'] } }],
        },
        {
          role: 'tool',
          content: [
            { type: 'tool-result', toolCallId: 'c', toolName: 't', output: { type: 'json', value: { ok: true } } },
          ],
        },
        { role: 'assistant', content: 'done \u{1F600}' },
      ];
      const added = messages.map((message, tokens) => ({ message, tokens }));
      store.commit(commitOf(epoch, { deliveries: ['d'], messages: added, encoding: 'o200k_base' }));
      // Twice: what was committed here, and what is read back.
      for (let i = 0; i < 2; i++) {
        const read = store.load(KEY).read();
        expect(read.map(({ message, tokens }) => ({ message, tokens }))).toEqual(added);
        for (const message of read) expect(message).toMatchObject({ delivery: 'd', encoding: 'o200k_base' });
      }
    });

    test('session store - a delivery commits once: a second commit changes nothing and gets the first reply', () => {
      store.commit(commitOf(epoch, { deliveries: ['d'], text: 'first' }));
      // Even from an owner whose view is stale, and with another text.
      const again = commitOf(epoch + 9, { deliveries: ['d'], text: 'second', version: 7 });
      expect(store.commit(again)).toEqual(replyOf('first'));
      expect(store.load(KEY).version).toBe(1);
      expect(contents(store)).toEqual(['ask first', 'first']);
      expect(store.commitOf('d')).toEqual(replyOf('first'));
      expect(store.commitOf('another')).toBeUndefined();
    });

    test('session store - every delivery that a turn answers has its reply, and none of them commits again', () => {
      store.commit(commitOf(epoch, { deliveries: ['first', 'second', 'third'], text: 'all' }));
      for (const id of ['first', 'second', 'third']) {
        expect(store.commitOf(id)).toEqual(replyOf('all'));
        expect(store.commit(commitOf(epoch, { deliveries: [id], version: 1, text: 'again' }))).toEqual(replyOf('all'));
      }
      // One that was joined before does not keep a new turn from committing.
      store.commit(commitOf(epoch, { deliveries: ['fourth', 'second'], version: 1, text: 'more' }));
      expect(store.commitOf('fourth')).toEqual(replyOf('more'));
      expect(contents(store)).toEqual(['ask all', 'all', 'ask more', 'more']);
    });

    test('session store - a commit on an older version, or a newer one than there is, is refused and leaves no trace', () => {
      fill(store, epoch, ['one', 'two']);
      for (const version of [0, 1, 3]) {
        const stale = commitOf(epoch, { version, text: 'stale', deliveries: [`s${version}`, `joined${version}`] });
        expect(() => store.commit(stale)).toThrow(STALE);
        for (const id of stale.deliveries) expect(store.commitOf(id)).toBeUndefined();
      }
      expect(store.load(KEY).version).toBe(2);
      expect(contents(store)).toEqual(['ask one', 'one', 'ask two', 'two']);
    });

    test('session store - an earlier start of a runtime is refused from the moment that a newer one owns', () => {
      fill(store, epoch, ['one']);
      const newer = ownerOf(store);
      expect(newer).toBeGreaterThan(epoch);
      for (const session of [KEY, undefined]) {
        const late = commitOf(epoch, { version: 1, session, deliveries: ['late'] });
        expect(() => store.commit(late)).toThrow(STALE);
        expect(store.commitOf('late')).toBeUndefined();
      }
      fill(store, newer, ['two']);
      expect(contents(store)).toEqual(['ask one', 'one', 'ask two', 'two']);
    });

    test('session store - a session may go from a replica to one that started earlier, and back', () => {
      const [first = 0, second = 0] = store.own(['a', 'a#2']);
      fill(store, second, ['one']);
      fill(store, first, ['two']);
      fill(store, second, ['three']);
      expect(contents(store)).toHaveLength(6);
    });

    test('session store - what was loaded does not change under its reader', () => {
      fill(store, epoch, ['one']);
      const before = store.load(KEY);
      fill(store, epoch, ['two', 'three', 'four']);
      expect(before.version).toBe(1);
      expect(before.read().map(({ message }) => message.content)).toEqual(['ask one', 'one']);
      const later = store.load(KEY);
      expect(later.read({ maxMessages: 1 }).map(({ message }) => message.content)).toEqual(['four']);
      fill(store, epoch, ['five']);
      expect(later.read({ maxMessages: 3 }).map(({ message }) => message.content)).toEqual([
        'three',
        'ask four',
        'four',
      ]);
    });

    test('session store - a read stops with the message that reaches its bound, newest first', () => {
      const messages = Array.from({ length: 100 }, (_, i) => ({
        message: { role: 'user', content: `m${i}` } as const,
        tokens: 10,
      }));
      store.commit(commitOf(epoch, { messages }));
      const read = (o: { maxTokens?: number; maxMessages?: number }): readonly string[] => contents(store, KEY, o);
      expect(read({ maxTokens: 21 })).toEqual(['m97', 'm98', 'm99']);
      expect(read({ maxTokens: 30 })).toEqual(['m97', 'm98', 'm99']);
      expect(read({ maxTokens: 1 })).toEqual(['m99']);
      expect(read({ maxTokens: 0 })).toEqual([]);
      expect(read({ maxMessages: 2, maxTokens: 1_000 })).toEqual(['m98', 'm99']);
      expect(read({ maxMessages: 0 })).toEqual([]);
      expect(read({ maxMessages: 70 })).toEqual(messages.slice(30).map(({ message }) => message.content));
      expect(read({ maxMessages: 200 })).toHaveLength(100);
      expect(read({})).toHaveLength(100);
    });

    test('session store - what nobody counted is taken for a token every four characters', () => {
      const messages = ['a'.repeat(40), 'b'.repeat(40), 'c'.repeat(40)].map((content) => ({
        message: { role: 'user', content } as const,
      }));
      store.commit(commitOf(epoch, { messages }));
      expect(contents(store, KEY, { maxTokens: 10 })).toHaveLength(1);
      expect(contents(store, KEY, { maxTokens: 11 })).toHaveLength(2);
    });

    test('session store - a turn without a session keeps its commit record only', () => {
      store.commit(commitOf(epoch, { session: undefined, deliveries: ['d'], messages: [], text: 'once' }));
      expect(store.commitOf('d')).toEqual(replyOf('once'));
      expect(store.list('a')).toEqual([]);
    });

    test('session store - a turn that adds nothing moves its session on all the same', () => {
      store.commit(commitOf(epoch, { messages: [] }));
      expect(store.load(KEY).version).toBe(1);
      expect(() => store.commit(commitOf(epoch))).toThrow(STALE);
    });

    test('session store - agents and namespaces do not mix, and a prefix compares whole segments', () => {
      for (const namespace of ['web:a', 'web:a:b', 'web:a%3Ab', 'web:ab', 'web:a;', 'irc:a'])
        fill(store, epoch, [namespace], { agent: 'a', namespace });
      fill(store, epoch, ['other'], { agent: 'b', namespace: 'web:a' });
      expect(store.list('a')).toHaveLength(6);
      expect(store.list('a', undefined, 2)).toHaveLength(2);
      expect(store.list('a', 'web:a').toSorted()).toEqual(['web:a', 'web:a:b']);
      expect(store.list('a', 'web').toSorted()).toEqual(['web:a', 'web:a%3Ab', 'web:a:b', 'web:a;', 'web:ab']);
      expect(store.list('b')).toEqual(['web:a']);
      expect(store.delete({ agent: 'a', namespace: 'web:a' })).toBe(true);
      expect(store.delete({ agent: 'a', namespace: 'web:a' })).toBe(false);
      expect(store.delete({ agent: 'a', namespace: 'nowhere' })).toBe(false);
      expect(store.list('a', 'web:a')).toEqual(['web:a:b']);
      expect(contents(store, { agent: 'b', namespace: 'web:a' })).toEqual(['ask other', 'other']);
    });

    test('session store - a turn that was under way when its session was cleared is refused, and runs again on the empty one', () => {
      fill(store, epoch, ['one']);
      const loaded = store.load(KEY);
      expect(loaded.read()).toHaveLength(2);
      store.delete(KEY);
      const late = commitOf(epoch, { version: loaded.version });
      expect(() => store.commit(late)).toThrow(STALE);
      expect(contents(store)).toEqual([]);
      fill(store, epoch, ['two']);
      expect(contents(store)).toEqual(['ask two', 'two']);
    });

    test('session store - clearing a session keeps its commit records', () => {
      store.commit(commitOf(epoch, { deliveries: ['d'], text: 'kept' }));
      store.delete(KEY);
      expect(store.commitOf('d')).toEqual(replyOf('kept'));
      expect(store.commit(commitOf(epoch, { deliveries: ['d'], version: 2 }))).toEqual(replyOf('kept'));
      expect(contents(store)).toEqual([]);
    });

    describe('search', () => {
      const found = (query: string, limit?: number): readonly unknown[] =>
        store.search(KEY, query, limit === undefined ? {} : { limit }).map(({ message }) => message.content);
      const say = (texts: readonly string[], key = KEY): void => {
        for (const content of texts) {
          const messages = [{ message: { role: 'user', content } as const }];
          store.commit(commitOf(epoch, { session: key, version: store.load(key).version, messages }));
          now += 1_000;
        }
      };

      test('session store - messages with all of the words come first, the newest of them before', () => {
        say(['a red fox', 'a blue fox', 'the sky is red', 'a red fox again', 'nothing']);
        expect(found('red fox')).toEqual(['a red fox again', 'a red fox', 'the sky is red', 'a blue fox']);
        expect(found('red fox', 1)).toEqual(['a red fox again']);
        expect(found('red fox', 0)).toEqual([]);
        expect(store.search(KEY, 'blue')).toMatchObject([{ timestamp: 2_000, message: { role: 'user' } }]);
      });

      test('session store - case and accents do not count, words are whole, and a star lets one go on', () => {
        say(['Crème Brûlée', 'cremes', '寿司が好きです', 'file-name.txt']);
        expect(found('creme')).toEqual(['Crème Brûlée']);
        expect(found('CREM*')).toEqual(['cremes', 'Crème Brûlée']);
        expect(found('"creme brulee"')).toEqual(['Crème Brûlée']);
        expect(found('"brulee creme"')).toEqual([]);
        expect(found('好き')).toEqual(['寿司が好きです']);
        expect(found('name.txt')).toEqual(['file-name.txt']);
      });

      test('session store - a search sees its own session alone, also what was added since, and nothing once it is cleared', () => {
        const other = { agent: 'a', namespace: 'web:alice:2' };
        say(['fox one']);
        say(['fox elsewhere'], other);
        say(['fox of another'], { ...KEY, agent: 'b' });
        expect(found('fox')).toEqual(['fox one']);
        say(['fox two']);
        expect(found('fox')).toEqual(['fox two', 'fox one']);
        store.delete(KEY);
        expect(found('fox')).toEqual([]);
        say(['fox three']);
        expect(found('fox')).toEqual(['fox three']);
        expect(store.search({ agent: 'a', namespace: 'never' }, 'fox')).toEqual([]);
      });

      test.each([
        '',
        ' ',
        '"',
        '""',
        '"""',
        "'",
        '*',
        '(',
        ')',
        'fox AND',
        'OR',
        'NOT fox',
        'NEAR(fox',
        '^fox',
        'words:fox',
        'fox"',
        '-fox',
        '{a b}: c',
        'fox + one',
        '\u0000',
        'fox\u0000',
        '%',
        ';DROP TABLE messages',
        '\ud800',
        'x'.repeat(100_000),
        'fox '.repeat(10_000),
      ])('session store - no text of a query is an error: %j', (query) => {
        say(['fox one']);
        expect(() => store.search(KEY, query)).not.toThrow();
        expect(found('fox')).toEqual(['fox one']);
      });
    });
  });
}
