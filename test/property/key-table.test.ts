/** Holds the table of dedupe keys to a Map, over random keys that come, go and come again. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyTable } from '../../src/main/delivery/sqlite-journal/key-table.ts';
import { runs } from '../support/properties.ts';

const KEYS = 400;

const step = fc.record({ add: fc.boolean(), key: fc.nat(KEYS - 1) });

test('key table - finds the row of each key that was added and not removed, and of no other', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 500, maxLength: 3_000, size: 'max' }), (steps) => {
      const table = new KeyTable();
      const rows = new Map<string, number>();
      for (const [i, { add, key: n }] of steps.entries()) {
        const key = `1.0.1.cn${String(n)}`;
        const known = rows.get(key);
        if (known !== undefined) {
          table.remove(key, known);
          rows.delete(key);
        } else if (add) {
          table.add(key, i + 1);
          rows.set(key, i + 1);
        }
      }
      for (let n = 0; n < KEYS; n++) {
        const key = `1.0.1.cn${String(n)}`;
        expect(table.find(key, () => true)).toBe(rows.get(key) ?? 0);
      }
    }),
    { numRuns: runs(20) },
  );
});

test('key table - 100,000 keys are found each, and proposed for no other, through all that it grows', () => {
  const table = new KeyTable();
  for (let n = 1; n <= 100_000; n++) table.add(`4.0.6.chatuser-${String(n)}`, n);
  let wrong = 0;
  for (let n = 1; n <= 100_000; n++) {
    const found = table.find(`4.0.6.chatuser-${String(n)}`, (row) => (row === n ? true : ((wrong += 1), false)));
    if (found !== n) wrong += 1;
  }
  for (let n = 100_001; n <= 200_000; n++) table.find(`4.0.6.chatuser-${String(n)}`, () => ((wrong += 1), false));
  // 10^10 pairs of keys, of which one in 2^64 is taken for the same.
  expect(wrong).toBe(0);
});

test('key table - a row that the file does not have any more hides none that it has', () => {
  const table = new KeyTable();
  for (const row of [7, 8, 9]) table.add('a', row);
  expect(table.find('a', (row) => row === 9)).toBe(9);
  table.remove('a', 8);
  expect(table.find('a', (row) => row !== 7)).toBe(9);
  expect(table.find('a', () => false)).toBe(0);
});
