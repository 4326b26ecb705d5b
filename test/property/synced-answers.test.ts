/** Holds the answers of the journal's thread to their order and to the syncs that they wait for, over random requests and ends of syncs. */
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { SyncedAnswers, type Wrote } from '../../src/main/delivery/sqlite-journal/synced-answers.ts';
import type { Answer, Written } from '../../src/main/delivery/sqlite-journal/packed.ts';
import { runs } from '../support/properties.ts';

interface Asked {
  readonly wrote: Wrote;
  /** Its write, to be on the disk before it is told. */
  readonly write: number;
}

const FAILED: Answer = { error: { name: 'Error', message: 'broken' }, final: false, unknown: true };
const step = fc.oneof(
  fc.record({
    kind: fc.constant('ask'),
    wrote: fc.constantFrom<Wrote>('messages', 'some', 'changes', 'nothing'),
    messages: fc.integer({ min: 1, max: 8 }),
  }),
  fc.record({ kind: fc.constantFrom('settle', 'break', 'mend') }),
);

/** A thread's answers over a disk that a test has in hand, and what was told. */
class Run {
  readonly #asked: Asked[] = [];
  readonly #early = new Set<number>();
  readonly #answers = new SyncedAnswers({
    post: (answer) => this.#post(answer),
    sync: () => this.#sync(),
    failed: () => FAILED,
  });
  #told = 0;
  #written = 0;
  #synced = 0;
  isBroken = false;

  ask(wrote: Wrote, messages: number): void {
    if (wrote !== 'nothing') this.#written += 1;
    this.#asked.push({ wrote, write: this.#written });
    const isWork = wrote === 'messages' || wrote === 'some';
    this.#answers.add({ value: this.#asked.length - 1 }, wrote, isWork ? messages : 0);
  }

  settle(): void {
    this.#answers.settle();
    assert(this.isSettled);
  }

  get isSettled(): boolean {
    return this.#told === this.#asked.length;
  }

  #sync(): void {
    if (this.isBroken) throw new Error('broken');
    this.#synced = this.#written;
  }

  #post(answer: Answer | Written): void {
    if ('written' in answer) {
      this.#postEarly(this.#told + answer.written);
      return;
    }
    const one = this.#asked[this.#told];
    assert(one);
    if ('value' in answer) {
      assert.equal(answer.value, this.#told);
      if (one.wrote !== 'nothing') assert(this.#synced >= one.write);
    } else assert(one.wrote !== 'nothing' && this.isBroken);
    this.#told += 1;
  }

  /** Once, of messages that are all new, before no message that was not told of. */
  #postEarly(place: number): void {
    assert(!this.#early.has(place));
    this.#early.add(place);
    for (let i = this.#told; i < place; i++) {
      const wrote = this.#asked[i]?.wrote;
      assert(this.#early.has(i) || wrote === 'changes' || wrote === 'nothing');
    }
    assert.equal(this.#asked[place]?.wrote, 'messages');
  }
}

test('answers - are told in order, each after a sync of what it tells, and as failed when that sync failed', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
      const run = new Run();
      for (const { kind, ...rest } of steps) {
        if ('wrote' in rest) run.ask(rest.wrote, rest.messages);
        else if (kind === 'settle') run.settle();
        else run.isBroken = kind === 'break';
      }
      run.settle();
      expect(run.isSettled).toBe(true);
    }),
    { numRuns: runs(500) },
  );
});
