/** Owns what every journal must do. A journal's own bounds, and what only a file can do, are in tests of their own. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Journal, dedupeKey } from '../../src/main/delivery/journal.ts';
import { RETENTION_MS, admission, all, answered, committed, dead, dispatched, idOf } from '../support/journal.ts';

export interface JournalUnderTest extends AsyncDisposable {
  readonly journal: Journal;
}

const CONFLICT = expect.objectContaining({ code: 'ORRERY_ID_CONFLICT' });

export function journalContract(name: string, open: (now: () => number) => Promise<JournalUnderTest>): void {
  describe(`the journal ${name}`, () => {
    let under: JournalUnderTest;
    let journal: Journal;
    let now = 0;

    beforeEach(async () => {
      now = 1_000_000;
      under = await open(() => now);
      ({ journal } = under);
    });

    afterEach(async () => {
      await under[Symbol.asyncDispose]();
    });

    test('journal - each message of a batch is accepted in its place, under an id of its own', async () => {
      const batch = Array.from({ length: 50 }, (_, i) => admission({}, `agent-${String(i)}`));
      const answers = await journal.append(batch);
      expect(answers).toEqual(
        batch.map(({ agent }) => ({ status: 'accepted', id: expect.any(String) as string, agent })),
      );
      expect(new Set(answers.map(idOf)).size).toBe(50);
    });

    test('journal - appends of one moment are answered each with its own', async () => {
      const batches = Array.from({ length: 20 }, (_, i) => [admission(), admission({}, `agent-${String(i)}`)]);
      const answers = await Promise.all(batches.map((batch) => journal.append(batch)));
      expect(answers.map((two) => two.map((one) => !(one instanceof Error) && one.agent))).toEqual(
        batches.map((batch) => batch.map(({ agent }) => agent)),
      );
      expect(new Set(answers.flat().map(idOf)).size).toBe(40);
    });

    test('journal - an empty batch is answered with nothing', async () => {
      expect(await journal.append([])).toEqual([]);
    });

    test('journal - a message that is there is a duplicate: pending, then with its reply', async () => {
      const message = admission({ id: 'a' });
      const id = idOf((await journal.append([message]))[0]);
      const pending = { status: 'duplicate', id, agent: 'echo', state: 'pending' };
      expect(await journal.append([message])).toEqual([pending]);
      journal.mark(id, dispatched(), 1);
      expect(await journal.append([message])).toEqual([pending]);
      const reply = { ...replyFields('yes'), id, agent: 'echo', namespace: message.inbound.namespace };
      journal.mark(id, committed(), 1);
      expect(await journal.append([message])).toEqual([{ ...pending, state: 'answered', reply }]);
      journal.mark(id, { ...answered(), by: 'other' } as never, 1);
      expect(await journal.append([message])).toEqual([
        { ...pending, state: 'answered', reply: { ...reply, by: 'other' } },
      ]);
    });

    test('journal - a duplicate of a dead delivery gets its error', async () => {
      const message = admission({ id: 'a' });
      const id = idOf((await journal.append([message]))[0]);
      journal.mark(id, dead('no luck'), 3);
      expect(await journal.append([message])).toMatchObject([
        { status: 'duplicate', id, state: 'dead', error: { code: 'ORRERY_AGENT_FAILED', message: 'no luck' } },
      ]);
    });

    test('journal - the same message twice in a batch is accepted once', async () => {
      const message = admission({ id: 'a' });
      const [first, second] = await journal.append([message, message]);
      expect(second).toEqual({ status: 'duplicate', id: idOf(first), agent: 'echo', state: 'pending' });
    });

    test('journal - another body under a known key is a conflict in its place alone', async () => {
      const message = { role: 'user', content: 'hello' } as const;
      await journal.append([
        admission({ id: 'a', message }),
        admission({ id: 'p', message: { ...message, parts: [] } }),
      ]);
      const answers = await journal.append([
        admission({ id: 'a', message: { role: 'user', content: 'hello!' } }),
        admission({ id: 'a', message: { ...message, parts: [{ type: 'text', text: 'x' }] } }),
        admission({ id: 'a', message, context: { mode: 'append', messages: [] } }),
        admission({ id: 'a', message, agent: 'other' }, 'other'),
        admission({ id: 'b', message }),
        admission({ id: 'a', message, metadata: { other: 'facts' } }),
        admission({ id: 'a', message }, 'routed-elsewhere-now'),
        admission({ id: 'p', message: { ...message, parts: [] } }),
      ]);
      expect(answers.slice(0, 4)).toEqual([CONFLICT, CONFLICT, CONFLICT, CONFLICT]);
      expect(answers.slice(4)).toMatchObject([
        { status: 'accepted' },
        { status: 'duplicate', agent: 'echo' },
        { status: 'duplicate', agent: 'echo' },
        { status: 'duplicate' },
      ]);
    });

    test('journal - messages are told apart by channel, account, namespace and id, whatever characters those hold', async () => {
      const batch = [
        admission({ id: 'x', channel: 'a', account: 'b', namespace: 'n' }),
        admission({ id: 'x', channel: 'ab', namespace: 'n' }),
        admission({ id: 'x', channel: 'a', namespace: 'bn' }),
        admission({ id: 'nx', channel: 'a', account: 'b', namespace: 'n' }),
        admission({ id: '\ud800', channel: 'a', namespace: 'n' }),
        admission({ id: '\ud801', channel: 'a', namespace: 'n' }),
        admission({ id: '\u0000', channel: 'a', namespace: 'n' }),
      ];
      expect((await journal.append(batch)).map((answer) => 'status' in answer && answer.status)).toEqual(
        batch.map(() => 'accepted'),
      );
    });

    test('journal - what is found by its key is the newest state', async () => {
      const message = admission({ id: 'a', namespace: 'n:1' });
      const key = dedupeKey(message.inbound);
      expect(await journal.find(key)).toBeUndefined();
      const id = idOf((await journal.append([message]))[0]);
      const about = { id, agent: 'echo', namespace: 'n:1' };
      expect(await journal.find(key)).toMatchObject({ ...about, state: { status: 'accepted' }, attempts: 0 });
      for (const [attempts, state] of [dispatched(1), dispatched(2), committed('ok'), answered('ok')].entries()) {
        journal.mark(id, state, attempts);
        expect(await journal.find(key)).toMatchObject({ ...about, state, attempts });
      }
    });

    test('journal - a finished id is known until the longer retention has passed, and then is a new message', async () => {
      const states = [answered(), dead()];
      const messages = states.map((_, i) => admission({ id: `m${String(i)}` }));
      const ids = (await journal.append(messages)).map(idOf);
      for (const [i, state] of states.entries()) journal.mark(ids[i] ?? '', state, 1);
      expect(await journal.find(dedupeKey(messages[0]?.inbound ?? admission().inbound))).toBeDefined();
      now += RETENTION_MS - 1;
      expect(await journal.append(messages)).toMatchObject(ids.map((id) => ({ status: 'duplicate', id })));
      now += 1;
      expect(await journal.find(dedupeKey(messages[0]?.inbound ?? admission().inbound))).toBeUndefined();
      const again = (await journal.append(messages)).map(idOf);
      expect(again.filter((id) => ids.includes(id))).toEqual([]);
      expect(await journal.append(messages)).toMatchObject(
        again.map((id) => ({ status: 'duplicate', id, state: 'pending' })),
      );
    });

    test('journal - what is unfinished is known however long it takes', async () => {
      const message = admission({ id: 'slow' });
      const id = idOf((await journal.append([message]))[0]);
      now += 100 * RETENTION_MS;
      expect(await journal.append([message, admission()])).toMatchObject([{ status: 'duplicate', id }, {}]);
    });

    test('journal - nothing that this process accepted is recovered by it', async () => {
      await journal.append([admission()]);
      expect(await all(journal.recover())).toEqual([]);
    });

    test('dead letters - are listed from the newest on, found, dropped and put back, and their ids stay known', async () => {
      const messages = ['a', 'b', 'c'].map((id) => admission({ id }));
      const ids = (await journal.append(messages)).map(idOf);
      for (const id of ids) {
        now += 1;
        journal.mark(id, dead(`no luck with ${id}`), 3);
        // Deaths of one moment have no order that is promised.
        await journal.flush();
      }
      const [a = '', b = '', c = ''] = ids;
      const { deadLetters } = journal;
      const letters = await deadLetters.list();
      expect(letters.map(({ id }) => id)).toEqual([c, b, a]);
      expect(letters[0]).toMatchObject({ agent: 'echo', reason: 'agent-error', attempts: 3, crashes: 0, replays: 0 });
      expect(letters[0]?.inbound).toMatchObject({ id: 'c', message: messages[2]?.inbound.message });
      expect((await deadLetters.list({ limit: 1, after: c })).map(({ id }) => id)).toEqual([b]);
      expect(await deadLetters.get(a)).toEqual(letters[2]);
      expect(await deadLetters.get('none')).toBeUndefined();

      expect(await deadLetters.drop(b)).toBe(true);
      expect(await deadLetters.drop(b)).toBe(false);
      expect(await journal.append(messages.slice(1, 2))).toMatchObject([{ status: 'duplicate', id: b, state: 'dead' }]);

      const back = await deadLetters.replay(a);
      expect(back).toMatchObject({ id: a, agent: 'echo', attempts: 0, replays: 1, state: { status: 'accepted' } });
      expect(back?.inbound).toEqual(letters[2]?.inbound);
      expect(await deadLetters.replay(a)).toBeUndefined();
      // An empty page would tell that there are no others.
      for (const after of [a, 'none']) {
        await expect(deadLetters.list({ after })).rejects.toMatchObject({ code: 'ORRERY_NOT_FOUND' });
      }
      expect(await journal.append(messages.slice(0, 1))).toMatchObject([
        { status: 'duplicate', id: a, state: 'pending' },
      ]);
      expect(await journal.totals()).toEqual({
        accepted: 3,
        replayed: 1,
        answered: 0,
        dead: 3,
        pending: 1,
        letters: 1,
      });
      journal.mark(a, answered('late'), 1);
      expect(await journal.append(messages.slice(0, 1))).toMatchObject([
        { status: 'duplicate', id: a, state: 'answered' },
      ]);
      expect(await journal.totals()).toMatchObject({ answered: 1, pending: 0, letters: 1 });
    });

    test('dead letters - one that is put back has its key again unless a newer message has it', async () => {
      const message = admission({ id: 'a' });
      const accept = async (): Promise<string> => idOf((await journal.append([message]))[0]);
      const old = await accept();
      journal.mark(old, dead(), 1);
      await journal.flush();
      now += RETENTION_MS;
      const newer = await accept();
      await journal.deadLetters.replay(old);
      expect(await journal.append([message])).toMatchObject([{ status: 'duplicate', id: newer, state: 'pending' }]);
      journal.mark(old, dead(), 1);
      journal.mark(newer, answered(), 1);
      await journal.flush();
      now += RETENTION_MS;
      await journal.deadLetters.replay(old);
      expect(await journal.append([message])).toMatchObject([{ status: 'duplicate', id: old, state: 'pending' }]);
    });

    test('journal - texts come back as they went in, also halves of pairs and very long ones', async () => {
      for (const content of ['\u0000', '\ud800 half', '😀', '"quoted"\n', 'x'.repeat(1_000_000)]) {
        const message = admission({ message: { role: 'user', content } });
        const id = idOf((await journal.append([message]))[0]);
        journal.mark(id, answered(content), 1);
        expect(await journal.append([message])).toMatchObject([{ state: 'answered', reply: { message: { content } } }]);
      }
    });
  });
}

function replyFields(content: string): object {
  const { reply } = answered(content) as { readonly reply: object };
  return reply;
}
