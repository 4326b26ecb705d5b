/** Owns commits and readings for tests of session stores. */
import { NO_USAGE, type Reply } from '../../src/protocol/index.ts';
import { chatMessageOf } from '../../src/worker/sessions/convert.ts';
import type { Commit, ReadOptions, SessionKey, SessionStore } from '../../src/worker/sessions/store.ts';

export const KEY: SessionKey = { agent: 'a', namespace: 'web:alice' };

export function replyOf(content: string): Reply {
  return { message: { role: 'assistant', content }, usage: NO_USAGE, steps: 0 };
}

let deliveries = 0;

/** A turn of a question and its answer; the first of its session and of a delivery of its own, unless it is told otherwise. */
export function commitOf(epoch: number, over: Partial<Commit> & { readonly text?: string } = {}): Commit {
  const { text = 'hi', ...rest } = over;
  deliveries += 1;
  return {
    session: KEY,
    deliveries: [`d${deliveries}`],
    version: 0,
    epoch,
    messages: [
      { message: { role: 'user', content: `ask ${text}` } },
      { message: { role: 'assistant', content: text } },
    ],
    reply: replyOf(text),
    ...rest,
  };
}

export function contents(store: SessionStore, key: SessionKey = KEY, options?: ReadOptions): readonly string[] {
  return store
    .load(key)
    .read(options)
    .map(({ message }) => chatMessageOf(message).content);
}

/** Commits one turn after another, each on what the one before left. */
export function fill(store: SessionStore, epoch: number, texts: readonly string[], key: SessionKey = KEY): void {
  for (const text of texts) store.commit(commitOf(epoch, { text, session: key, version: store.load(key).version }));
}

/** The epoch of a runtime that has just started. */
export function ownerOf(store: SessionStore, runtime = 'a'): number {
  const [epoch = 0] = store.own([runtime]);
  return epoch;
}
