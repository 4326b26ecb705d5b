import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KeyTable } from '../../src/lib/key-table.ts';

describe('KeyTable', () => {
  test('KeyTable - holds what was added and not deleted, and gives no key twice, whatever comes and goes', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant('add'), fc.nat(50)), { maxLength: 200 }), (steps) => {
        const table = new KeyTable<string>();
        const model = new Map<number, string>();
        const given: number[] = [];
        const removed: (readonly [got: string | undefined, expected: string | undefined])[] = [];
        for (const step of steps) {
          if (step === 'add') {
            const value = `v${given.length}`;
            given.push(table.add(value));
            model.set(given.at(-1) ?? -1, value);
          } else {
            // Also keys that are gone, and such as were never given.
            const key = given[step] ?? step;
            removed.push([table.delete(key), model.get(key)]);
            model.delete(key);
          }
          expect(new Set(given).size).toBe(given.length);
          for (const [got, expected] of removed) expect(got).toBe(expected);
          expect(table.size).toBe(model.size);
          for (const key of given) expect(table.get(key)).toBe(model.get(key));
          expect([...table.values()].toSorted()).toEqual([...model.values()].toSorted());
        }
      }),
    );
  });

  test('KeyTable - every value is visited once when values are deleted on the way', () => {
    const table = new KeyTable<{ readonly n: number }>();
    const keys = Array.from({ length: 10 }, (_, n) => table.add({ n }));
    const seen: number[] = [];
    for (const { n } of table.values()) {
      seen.push(n);
      table.delete(keys[n] ?? -1);
    }
    expect(seen).toEqual(keys.map((_, n) => n));
    expect(table.size).toBe(0);
  });
});
