/** What is packed for the journal's thread and read there. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { deliveryId, seqOf } from '../../src/main/delivery/sqlite-journal/packed.ts';

test('sequence number - is read from the id that has it, and from no other text', () => {
  fc.assert(
    fc.property(fc.constantFrom('p1', 'a-b', ''), fc.nat(Number.MAX_SAFE_INTEGER), (prefix, seq) => {
      expect(seqOf(deliveryId(prefix, seq))).toBe(seq);
    }),
  );
  for (const id of ['', 'nonsense', 'p-', 'p-A', 'p-1_', 'p-1 ', 'p-\u00e9', 'p-1:']) expect(seqOf(id)).toBeNaN();
});
