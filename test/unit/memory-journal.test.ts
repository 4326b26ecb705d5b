import { describe, expect, test } from 'vitest';
import { dedupeKey } from '../../src/main/delivery/journal.ts';
import { MemoryJournal } from '../../src/main/delivery/memory-journal.ts';
import { type Accepted, type DeliveryState, NO_USAGE } from '../../src/protocol/index.ts';
import { inbound } from '../support/channels.ts';

const ANSWERED: DeliveryState = {
  status: 'answered',
  reply: { message: { role: 'assistant', content: 'yes' }, usage: NO_USAGE, steps: 0 },
};

class JournalUnderTest {
  now = 0;
  readonly journal: MemoryJournal;

  constructor(o: { maxFinished?: number; maxFinishedChars?: number } = {}) {
    const now = (): number => this.now;
    const retention = { dedupeRetentionMs: 1_000, replyRetentionMs: 500 };
    this.journal = new MemoryJournal({ ...retention, idPrefix: 't', maxDeadLetters: 100, now, ...o });
  }

  accept(id: string): Accepted {
    const answer = this.journal.appendNow({ inbound: inbound({ id }), agent: 'a' });
    if (answer instanceof Error) throw answer;
    return answer;
  }

  finish(id: string): void {
    this.journal.mark(this.accept(id).id, ANSWERED, 1);
  }

  async knows(id: string): Promise<boolean> {
    return (await this.journal.find(dedupeKey(inbound({ id })))) !== undefined;
  }
}

describe('the journal in memory', () => {
  test('journal - of what is finished at most the bound is kept, and always the newest half', async () => {
    for (const o of [{ maxFinished: 10 }, { maxFinishedChars: 10 * ('hello'.length + 'yes'.length) }]) {
      const j = new JournalUnderTest(o);
      for (let n = 1; n <= 40; n++) {
        j.finish(`m${n}`);
        const known: boolean[] = [];
        for (let i = 1; i <= n; i++) known.push(await j.knows(`m${i}`));
        const kept = known.filter(Boolean).length;
        expect(kept).toBeLessThanOrEqual(10);
        expect(kept).toBeGreaterThanOrEqual(Math.min(n, 5));
        expect(known.slice(-kept).every(Boolean)).toBe(true);
      }
    }
  });

  test('journal - what is unfinished stays, however much is finished and however long it takes', async () => {
    const j = new JournalUnderTest({ maxFinished: 4 });
    const { id } = j.accept('slow');
    for (let n = 0; n < 50; n++) j.finish(`m${n}`);
    j.now = 1_000_000;
    j.finish('late');
    expect(j.accept('slow')).toEqual({ status: 'duplicate', id, agent: 'a', state: 'pending' });
    j.journal.mark(id, ANSWERED, 1);
    expect(j.accept('slow')).toMatchObject({ status: 'duplicate', id, state: 'answered' });
  });

  test('journal - an id is known until the longer of the two retentions has passed, then it is a new message', async () => {
    const j = new JournalUnderTest();
    j.finish('m');
    j.now = 999;
    expect(await j.knows('m')).toBe(true);
    j.now = 1_000;
    expect(await j.knows('m')).toBe(false);
    expect(j.accept('m').status).toBe('accepted');
  });

  test('journal - what is finished is so once, whatever is marked of it later', async () => {
    const j = new JournalUnderTest();
    const { id } = j.accept('m');
    for (let i = 0; i < 2; i++) j.journal.mark(id, ANSWERED, 1);
    j.journal.mark(id, { status: 'dead', reason: 'cancelled' }, 1);
    expect(await j.journal.totals()).toMatchObject({ accepted: 1, answered: 1, dead: 0, pending: 0 });
    expect(j.accept('m')).toMatchObject({ status: 'duplicate', state: 'answered' });
  });
});
