/** Holds the answers of the journal's thread to their order and to the syncs that they wait for, over random requests and ends of syncs. */
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'vitest';
import { SyncedAnswers, type Wrote } from '../../src/main/delivery/sqlite-journal/synced-answers.ts';
import type { Answer, Written } from '../../src/main/delivery/sqlite-journal/packed.ts';

/** A file whose disk a test has in hand. */
class Disk {
  /** Writes so far, and how many of them are on the disk. */
  written = 0;
  synced = 0;
  /** The next syncs fail. */
  broken = false;
  #beside: { readonly upTo: number; readonly done: (error: Error | null) => void } | undefined;
  #unsynced = false;

  get unsynced(): boolean {
    return this.#unsynced;
  }

  get busy(): boolean {
    return this.#beside !== undefined;
  }

  write(): void {
    this.written += 1;
    this.#unsynced = true;
  }

  sync(): void {
    if (!this.#unsynced) return;
    assert(!this.busy);
    if (this.broken) throw new Error('broken');
    this.#unsynced = false;
    this.synced = this.written;
  }

  syncBeside(done: (error: Error | null) => void): void {
    assert(!this.busy);
    this.#unsynced = false;
    this.#beside = { upTo: this.written, done };
  }

  end(): void {
    const beside = this.#beside;
    if (!beside) return;
    this.#beside = undefined;
    if (this.broken) this.#unsynced = true;
    else this.synced = Math.max(this.synced, beside.upTo);
    beside.done(this.broken ? new Error('broken') : null);
  }
}

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
  fc.record({ kind: fc.constantFrom('settle', 'end', 'break', 'mend') }),
);

test('answers - are told in order, each after a sync of what it tells, and as failed when that sync failed', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
      const disk = new Disk();
      const asked: Asked[] = [];
      let told = 0;
      const early = new Set<number>();
      const post = (answer: Answer | Written): void => {
        if ('written' in answer) {
          const place = told + answer.written;
          assert.equal(asked[place]?.wrote, 'messages');
          assert(!early.has(place));
          early.add(place);
          // It overtakes no message that was not told of.
          for (let i = told; i < place; i++) {
            assert(early.has(i) || asked[i]?.wrote === 'changes' || asked[i]?.wrote === 'nothing');
          }
          return;
        }
        const one = asked[told];
        assert(one);
        if ('value' in answer) {
          assert.equal(answer.value, told);
          if (one.wrote !== 'nothing') assert(disk.synced >= one.write);
        } else assert(one.wrote !== 'nothing' && disk.broken);
        told += 1;
      };
      const answers = new SyncedAnswers({
        file: disk,
        post,
        failed: () => FAILED,
        synced: () => void answers.settle(),
      });
      for (const { kind, ...rest } of steps) {
        if ('wrote' in rest) {
          answers.goOn();
          if (rest.wrote !== 'nothing') disk.write();
          asked.push({ wrote: rest.wrote, write: disk.written });
          const isWork = rest.wrote === 'messages' || rest.wrote === 'some';
          answers.add({ value: asked.length - 1 }, rest.wrote, isWork ? rest.messages : 0);
        } else if (kind === 'settle') {
          const settled = answers.settle();
          assert.equal(settled, !disk.busy);
          if (settled) assert.equal(told, asked.length);
        } else if (kind === 'end') disk.end();
        else disk.broken = kind === 'break';
      }
      while (disk.busy || !answers.settle()) disk.end();
      assert.equal(told, asked.length);
    }),
    { numRuns: 500 },
  );
});
