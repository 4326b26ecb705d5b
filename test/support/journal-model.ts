/** Owns the model of a journal: what was accepted, and what became of each, beside a real one that is closed, opened and killed. */
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { type PendingDelivery, dedupeKey } from '../../src/main/delivery/journal.ts';
import type { SqliteJournal } from '../../src/main/delivery/sqlite-journal/sqlite-journal.ts';
import { type Accepted, type DeliveryState, type InboundMessage, codeOf } from '../../src/protocol/index.ts';
import { type Threads, admission, all, answered, committed, dead, dispatched, openJournal } from './journal.ts';

export type Step =
  | { readonly do: 'append'; readonly count: number; readonly wait: boolean }
  | { readonly do: 'again'; readonly which: number; readonly other: boolean }
  | { readonly do: 'mark'; readonly which: number; readonly state: number }
  | { readonly do: 'replay'; readonly which: number }
  | { readonly do: 'flush' | 'kill' | 'pause' | 'reopen' };

export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('append'), count: fc.integer({ min: 1, max: 5 }), wait: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('again'), which: fc.nat(50), other: fc.boolean() }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('mark'), which: fc.nat(50), state: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('replay'), which: fc.nat(50) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('flush', 'kill', 'pause', 'reopen') }) },
);

/** What the test knows of an accepted message. */
export interface Known {
  readonly id: string;
  readonly inbound: InboundMessage;
  state: DeliveryState;
  attempts: number;
  replays: number;
  /** Its place in the order of acceptance. */
  place: number;
}

export class JournalModel {
  readonly known: Known[] = [];
  readonly #dir: string;
  readonly #threads: Threads;
  #journal: SqliteJournal | undefined;
  #appends: Promise<void>[] = [];
  #places = 0;

  constructor(dir: string, threads: Threads) {
    this.#dir = dir;
    this.#threads = threads;
  }

  async journal(): Promise<SqliteJournal> {
    if (!this.#journal) {
      this.#journal = await openJournal(this.#dir, { dedupeRetentionMs: 3_600_000 });
      // A thread that ends over its first requests is not replaced at once: that is another test's.
      await this.#journal.totals();
    }
    return this.#journal;
  }

  async run(step: Step): Promise<void> {
    const journal = await this.journal();
    switch (step.do) {
      case 'append':
        this.#append(journal, step.count);
        if (step.wait) await this.#settled();
        return;
      case 'again':
        await this.#again(journal, this.#at(step.which), step.other);
        return;
      case 'mark':
        this.#mark(journal, this.#at(step.which), step.state);
        return;
      case 'replay':
        await this.#replay(journal, this.#at(step.which));
        return;
      case 'flush':
        await journal.flush();
        return;
      case 'kill':
        await this.#threads.kill();
        await journal.totals();
        return;
      case 'pause':
        await new Promise((resolve) => setImmediate(resolve));
        return;
      case 'reopen':
        await this.reopen();
    }
  }

  async reopen(): Promise<void> {
    const journal = await this.journal();
    await Promise.all([journal.close(), this.#settled()]);
    this.#journal = undefined;
    await this.#check(await this.journal());
  }

  async close(): Promise<void> {
    await this.#journal?.close();
  }

  #append(journal: SqliteJournal, count: number): void {
    const batch = Array.from({ length: count }, () => admission());
    const places = batch.map(() => (this.#places += 1));
    const appended = journal.append(batch).then((answers) => {
      for (const [i, answer] of answers.entries()) {
        const { id } = answer as Accepted;
        assert.partialDeepStrictEqual(answer, { status: 'accepted' });
        const { inbound } = batch[i] ?? admission();
        const place = places[i] ?? 0;
        this.known.push({ id, inbound, state: { status: 'accepted' }, attempts: 0, replays: 0, place });
      }
    });
    this.#appends.push(appended);
  }

  async #settled(): Promise<void> {
    await Promise.all(this.#appends);
    this.#appends = [];
  }

  async #again(journal: SqliteJournal, known: Known | undefined, other: boolean): Promise<void> {
    if (!known) return;
    const inbound = other ? { ...known.inbound, message: { role: 'user', content: 'other' } as const } : known.inbound;
    const state = known.state;
    const [answer] = await journal.append([{ inbound, agent: 'echo' }]);
    if (other) assert.equal(codeOf(answer), 'ORRERY_ID_CONFLICT');
    else if (state.status === 'dead')
      assert.partialDeepStrictEqual(answer, { status: 'duplicate', id: known.id, state: 'dead' });
    else if ('reply' in state)
      assert.partialDeepStrictEqual(answer, { id: known.id, state: 'answered', reply: state.reply });
    else assert.partialDeepStrictEqual(answer, { status: 'duplicate', id: known.id, state: 'pending' });
  }

  #mark(journal: SqliteJournal, known: Known | undefined, which: number): void {
    if (!known || isFinished(known)) return;
    known.attempts += 1;
    const states = [dispatched(known.attempts), committed(`c${known.id}`), answered(`a${known.id}`), dead(known.id)];
    known.state = states[which % states.length] ?? dispatched();
    journal.mark(known.id, known.state, known.attempts);
  }

  async #replay(journal: SqliteJournal, known: Known | undefined): Promise<void> {
    if (!known) return;
    // What was asked before it is before it in the order of acceptance.
    await this.#settled();
    const replayed = await journal.deadLetters.replay(known.id);
    assert.deepStrictEqual(replayed !== undefined, known.state.status === 'dead');
    if (!replayed) return;
    known.state = { status: 'accepted' };
    known.attempts = 0;
    known.replays += 1;
    known.place = this.#places += 1;
  }

  #at(which: number): Known | undefined {
    return this.known[which % Math.max(1, this.known.length)];
  }

  /** The ids that must be recovered, in order. */
  get unfinished(): readonly string[] {
    const open = this.known.filter((one) => !isFinished(one));
    return open.toSorted((a, b) => a.place - b.place).map(({ id }) => id);
  }

  async #check(journal: SqliteJournal): Promise<void> {
    const pending: readonly PendingDelivery[] = await all(journal.recover());
    const expected = this.known.filter((one) => !isFinished(one)).toSorted((a, b) => a.place - b.place);
    assert.deepStrictEqual(
      pending.map(({ id, state, attempts, replays, crashes }) => ({ id, state, attempts, replays, crashes })),
      expected.map(({ id, state, attempts, replays }) => ({ id, state, attempts, replays, crashes: 0 })),
    );
    assert.deepStrictEqual(
      pending.map(({ inbound }) => inbound),
      expected.map(({ inbound }) => inbound),
    );
    for (const { id, inbound, state } of this.known) {
      assert.partialDeepStrictEqual(await journal.find(dedupeKey(inbound)), { id, state });
    }
    const letters = this.known.filter(({ state }) => state.status === 'dead').map(({ id }) => id);
    assert.deepStrictEqual(
      new Set((await journal.deadLetters.list({ limit: 1_000 })).map(({ id }) => id)),
      new Set(letters),
    );
    const totals = await journal.totals();
    assert.deepStrictEqual(totals.accepted, this.known.length);
    assert.deepStrictEqual(totals.accepted + totals.replayed, totals.answered + totals.dead + totals.pending);
  }
}

function isFinished({ state }: Known): boolean {
  return state.status === 'answered' || state.status === 'dead';
}
