/** Holds the journal in SQLite to a model, over random messages, steps, closes, and ends of its thread at any moment. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Threads, all } from '../support/journal.ts';
import { JournalModel, step } from '../support/journal-model.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { runs, times } from '../support/properties.ts';

test(
  'journal - every message that was acked is found after reopening, with its newest state, whenever its thread ended',
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), async (steps) => {
        using dir = temporaryDirectory();
        using threads = new Threads();
        const model = new JournalModel(dir.path, threads);
        try {
          for (const one of steps) await model.run(one);
          await model.reopen();
          const pending = await all((await model.journal()).recover());
          expect(pending.map(({ id }) => id)).toEqual(model.unfinished);
        } finally {
          await model.close();
        }
      }),
      { numRuns: runs(15) },
    );
    // Threads and files without end: on a busy machine a minute passes.
  },
  240_000 * times,
);
