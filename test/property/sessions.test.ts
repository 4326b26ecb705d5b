/** Holds the session stores to a model, over random interleavings of several threads' stores on one file, kills and restarts. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OrreryError, type Reply, codeOf } from '../../src/protocol/index.ts';
import { matches, termsOf, wordsOf } from '../../src/worker/sessions/search.ts';
import { MemorySessionStore } from '../../src/worker/sessions/memory.ts';
import { SqliteSessionStore } from '../../src/worker/sessions/sqlite.ts';
import type { Session, SessionKey, SessionStore } from '../../src/worker/sessions/store.ts';
import { commitOf, contents, replyOf } from '../support/sessions.ts';
import { runs } from '../support/properties.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const THREADS = 3;
const KEYS: readonly SessionKey[] = ['web:a', 'web:a:b', 'irc'].map((namespace) => ({ agent: 'a', namespace }));

/** What a store must be, told by a Map. */
class Model {
  readonly sessions = new Map<SessionKey, { version: number; texts: string[] }>();
  readonly commits = new Map<string, Reply>();

  of(key: SessionKey): { version: number; texts: string[] } {
    const known = this.sessions.get(key) ?? { version: 0, texts: [] };
    this.sessions.set(key, known);
    return known;
  }
}

/** A turn under way: what a thread loaded, and as who. */
interface Turn {
  readonly key: SessionKey;
  readonly session: Session;
  /** What the session was then. */
  readonly seen: readonly string[];
  readonly version: number;
  readonly epoch: number;
  readonly delivery: string;
}

interface Thread {
  store: SessionStore;
  epoch: number;
  turns: Turn[];
}

const thread = fc.nat(THREADS - 1);
const key = fc.constantFrom(...KEYS);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant('begin'), thread, key, delivery: fc.nat(30) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('commit'), thread, turn: fc.nat(), count: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('read'), thread, key, maxMessages: fc.nat(8) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('search'), thread, key, word: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('clear'), thread, key }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('restart'), thread, closes: fc.boolean() }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Plays the steps on the threads and on the model; both must agree after each of them. */
function play(steps: readonly Step[], open: () => SessionStore): void {
  const model = new Model();
  const threads = Array.from({ length: THREADS }, (): Thread => ({ store: open(), epoch: 0, turns: [] }));
  const owns = (at: number, from: Thread): void => {
    [from.epoch = 0] = from.store.own([`a#${at}`]);
  };
  /** Threads that were given up and live on: their turns still try to commit. */
  const zombies: Thread[] = [];
  let last = 0;
  for (const [at, from] of threads.entries()) owns(at, from);
  try {
    for (const next of steps) {
      const from = threads[next.thread];
      if (!from) continue;
      switch (next.type) {
        case 'begin': {
          const { version, texts } = model.of(next.key);
          const { epoch } = from;
          const session = from.store.load(next.key);
          equal(session.version, version);
          from.turns.push({ key: next.key, session, seen: [...texts], version, epoch, delivery: `d${next.delivery}` });
          break;
        }
        case 'commit': {
          const party = next.turn % 4 === 0 ? (zombies.at(-1) ?? from) : from;
          const [turn] = party.turns.splice(next.turn % Math.max(1, party.turns.length), 1);
          if (turn) commit(model, party, turn, next.count);
          break;
        }
        case 'read':
          deepEqual(
            contents(from.store, next.key, { maxMessages: next.maxMessages }),
            next.maxMessages === 0 ? [] : model.of(next.key).texts.slice(-next.maxMessages),
          );
          break;
        case 'search': {
          const word = `w${next.word}`;
          const found = from.store.search(next.key, word, { limit: 1_000 }).map(({ message }) => message.content);
          deepEqual(
            found,
            model
              .of(next.key)
              .texts.filter((text) => text.split(' ').includes(word))
              .toReversed(),
          );
          break;
        }
        case 'clear': {
          const session = model.of(next.key);
          equal(from.store.delete(next.key), session.texts.length > 0);
          if (session.texts.length > 0) session.version += 1;
          session.texts = [];
          break;
        }
        case 'restart': {
          if (next.closes) from.store.close();
          else zombies.push({ ...from });
          const anew: Thread = { store: open(), epoch: 0, turns: [] };
          threads[next.thread] = anew;
          owns(next.thread, anew);
          ok(anew.epoch > last);
          last = anew.epoch;
          break;
        }
      }
    }
    for (const { store } of threads) {
      for (const one of KEYS) deepEqual(contents(store, one), model.of(one).texts);
      for (const [delivery, reply] of model.commits) deepEqual(store.commitOf(delivery), reply);
      const listed = KEYS.filter((one) => model.of(one).texts.length > 0).map(({ namespace }) => namespace);
      deepEqual(store.list('a').toSorted(), listed.toSorted());
      deepEqual(
        store.list('a', 'web:a').toSorted(),
        listed.filter((namespace) => namespace.startsWith('web:a')).toSorted(),
      );
    }
  } finally {
    for (const { store } of [...threads, ...zombies]) store.close();
  }

  function commit(to: Model, { store }: Thread, turn: Turn, count: number): void {
    const { delivery, epoch, version, seen, session } = turn;
    const read = session.read().map(({ message }) => message.content);
    if (to.of(turn.key).version === version) deepEqual(read, seen);
    const now = to.of(turn.key);
    const words = Array.from({ length: count }, (_, i) => `w${(version + i) % 10} of ${delivery} at ${version}`);
    const messages = words.map((content) => ({ message: { role: 'user', content } as const }));
    const change = commitOf(epoch, {
      session: turn.key,
      deliveries: [delivery],
      version,
      messages,
      text: `${delivery}@${version}`,
    });
    const owned = threads.some((one) => one.epoch === epoch);
    const before = to.commits.get(delivery);
    let outcome: Reply | string | undefined;
    try {
      outcome = store.commit(change);
    } catch (error) {
      if (!(error instanceof OrreryError)) throw error;
      outcome = codeOf(error);
    }
    if (before) {
      deepEqual(outcome, before);
    } else if (owned && now.version === version) {
      deepEqual(outcome, replyOf(`${delivery}@${version}`));
      now.version += 1;
      now.texts.push(...words);
      to.commits.set(delivery, change.reply);
    } else {
      equal(outcome, 'ORRERY_STALE_OWNER');
    }
  }
}

/** Runs a property, whose own checks throw; returns how it failed. */
function failureOf<T>(property: fc.IProperty<T>, numRuns = 100): string | undefined {
  const { failed, seed, counterexamplePath, counterexample, errorInstance } = fc.check(property, {
    numRuns: runs(numRuns),
  });
  if (!failed) return undefined;
  return `seed ${seed}, path ${String(counterexamplePath)}: ${JSON.stringify(counterexample)} ${String(errorInstance)}`;
}

describe('session stores', () => {
  test.each([0, 2_000, 1_000_000])(
    'sessions - no update is lost and none comes twice, whoever commits, dies, clears and starts anew (%i bytes of cache)',
    (cacheBytes) => {
      const failure = failureOf(
        fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
          using directory = temporaryDirectory();
          const file = join(directory.path, 'sessions.db');
          play(steps, () => new SqliteSessionStore({ file, cacheBytes }));
        }),
        150,
      );
      expect(failure).toBeUndefined();
    },
  );

  test('sessions - the store in memory keeps to the same model in one thread', () => {
    const failure = failureOf(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const store = new MemorySessionStore();
        const shared: SessionStore = Object.create(store, {
          ...Object.fromEntries(
            (['own', 'load', 'commit', 'commitOf', 'delete', 'list', 'search'] as const).map((name) => [
              name,
              { value: store[name].bind(store) },
            ]),
          ),
          close: { value: () => undefined },
        }) as SessionStore;
        play(steps, () => shared);
      }),
      150,
    );
    expect(failure).toBeUndefined();
  });
});

describe('the words of a search', () => {
  const text = fc.string({ unit: 'binary', maxLength: 60 });

  test('search - a text is found by its own words, in any order and by any beginning of one', () => {
    const failure = failureOf(
      fc.property(text, fc.nat(), fc.nat(), (content, at, length) => {
        const words = wordsOf(content);
        const word = words[at % Math.max(1, words.length)];
        if (word === undefined) return;
        for (const query of [
          word,
          `"${word}"`,
          `${Array.from(word)
            .slice(0, 1 + (length % 5))
            .join('')}*`,
          content.replaceAll('"', ' '),
        ]) {
          for (const term of termsOf(query)) ok(matches(term, words), query);
        }
      }),
    );
    expect(failure).toBeUndefined();
  });

  test('search - any text is a query to the index too, and both stores find the same', () => {
    using directory = temporaryDirectory();
    const sqlite = new SqliteSessionStore({ file: join(directory.path, 'sessions.db') });
    const memory = new MemorySessionStore();
    let n = 0;
    const failure = failureOf(
      fc.property(fc.array(text, { minLength: 1, maxLength: 5 }), text, (texts, query) => {
        n += 1;
        const session = { agent: 'a', namespace: `s:${n}` };
        const messages = texts.map((content) => ({ message: { role: 'user', content } as const }));
        const [first, second] = [sqlite, memory].map((store) => {
          const [epoch = 0] = store.own(['a']);
          store.commit(commitOf(epoch, { session, messages, deliveries: [`s${n}`] }));
          const looks = [query, texts[0] ?? '', `${texts.at(-1)} ${query}`];
          return looks.map((look) => store.search(session, look).map(({ message }) => message.content));
        });
        deepEqual(first, second);
      }),
      200,
    );
    expect(failure).toBeUndefined();
    sqlite.close();
  });
});
