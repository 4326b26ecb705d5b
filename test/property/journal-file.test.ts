/** Holds the journal's file to a model: whatever is forgotten, trimmed, refused and opened anew in between, each key is answered as if all were kept. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { FileModel, fileStep } from '../support/journal-file-model.ts';
import { journalFile } from '../support/journal.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test('journal file - each key is answered, recovered and counted as if all were kept, whatever was compacted, refused and opened anew', () => {
  fc.assert(
    fc.property(fc.array(fileStep, { minLength: 5, maxLength: 60, size: 'max' }), (steps) => {
      using dir = temporaryDirectory();
      const model = new FileModel(journalFile(dir.path));
      try {
        for (const one of steps) model.run(one);
        model.check();
        model.run({ do: 'kill' });
        model.run({ do: 'stop' });
        expect(model.recovered).toEqual(model.unfinished);
      } finally {
        model.close();
      }
    }),
    { numRuns: 150 },
  );
}, 240_000);
