/** Holds the journal's file to a model: whatever is forgotten, trimmed, refused and opened anew in between, each key is answered as if all were kept. */
import { copyFileSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { FileModel, fileStep } from '../support/journal-file-model.ts';
import { loggedIn, readJournal } from '../support/journal-file.ts';
import { journalFile } from '../support/journal.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { runs, times } from '../support/properties.ts';

test(
  'journal file - each key is answered, recovered and counted as if all were kept, whatever was compacted, refused and opened anew',
  () => {
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
      { numRuns: runs(150) },
    );
  },
  240_000 * times,
);

/** What a process would find: each delivery with its status, wherever it lies. */
function momentOf(file: string): string {
  return readJournal(file, (database) => {
    const rows = database.prepare('SELECT id, status, attempts, reply FROM deliveries').all();
    const logged = loggedIn(database).map(({ id, status, attempts, reply }) => ({ id, status, attempts, reply }));
    return JSON.stringify([...rows, ...logged].toSorted((a, b) => String(a.id).localeCompare(String(b.id))));
  });
}

test(
  'journal file - is as it was at one moment when its write-ahead log lost its end, as at a loss of power',
  () => {
    // Time stands still: what one step forgets, in several transactions, would have moments in between.
    const still = fileStep.filter((step) => step.do !== 'wait');
    const steps = fc.array(still, { minLength: 3, maxLength: 25, size: 'max' });
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(steps, cuts, (list, places) => {
        using dir = temporaryDirectory();
        const file = journalFile(dir.path);
        const model = new FileModel(file);
        try {
          // The tables must be there.
          model.run({ do: 'stop' });
          const moments = [momentOf(file)];
          for (const one of list) {
            model.run(one);
            moments.push(momentOf(file));
          }
          const frames = lengthOf(`${file}-wal`);
          for (const place of [...places, 0, 1]) {
            const copy = join(dir.path, 'copy.db');
            copyFileSync(file, copy);
            copyFileSync(`${file}-wal`, `${copy}-wal`);
            truncateSync(`${copy}-wal`, Math.round(frames * place));
            expect(moments).toContain(momentOf(copy));
          }
        } finally {
          model.close();
        }
      }),
      { numRuns: runs(40) },
    );
  },
  240_000 * times,
);

/** Where the zeros begin that the log was made long with. */
function lengthOf(log: string): number {
  if (statSync(log).size === 0) return 0;
  const bytes = readFileSync(log);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}
