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

  test('KeyTable - finds what a key names after thousands of uses of its place, and nothing by a number that is no key', () => {
    const table = new KeyTable<string>();
    const before = table.add('before');
    // Keys have more than 32 bits by then.
    let key = table.add('0');
    for (let n = 1; n < 5_000; n++) {
      const last = key;
      expect(table.delete(last)).toBe(String(n - 1));
      key = table.add(String(n));
      expect([table.get(key), table.get(last)]).toEqual([String(n), undefined]);
    }
    expect(key).toBeGreaterThan(2 ** 32);
    for (const none of [-1, Number.NaN, 0.5, Infinity, 2 ** 32, key + 2 ** 32]) expect(table.get(none)).toBeUndefined();
    expect([table.get(before), table.size]).toEqual(['before', 2]);
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
