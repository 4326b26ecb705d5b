/** Checks the soak's judgement of a rise on rows whose rise is known. */
import { expect, test } from 'vitest';
import { type Sample, lowestOf, slopeOf } from '../chaos/slope.ts';

function row(value: (i: number) => number): readonly Sample[] {
  return Array.from({ length: 40 }, (_, at) => ({ at, value: value(at) }));
}

test('soak slope - is the rise of a line, and 0 of a level', () => {
  expect(slopeOf(row((i) => 3 * i + 7))).toBe(3);
  expect(slopeOf(row(() => 5))).toBe(0);
  expect(slopeOf([])).toBe(0);
});

test('soak slope - is not moved by single outliers', () => {
  expect(slopeOf(row((i) => (i % 10 === 9 ? 1_000 : i)))).toBeCloseTo(1, 1);
});

test('soak slope - of what is left between collections is that of the leak, not of the garbage', () => {
  // Garbage rises by 10 and is collected every fifth sample; each collection leaves 1 more.
  const saw = row((i) => Math.floor(i / 5) + 10 * (i % 5));
  expect(lowestOf(saw, 5)).toHaveLength(8);
  expect(slopeOf(lowestOf(saw, 5)) * 5).toBeCloseTo(1, 5);
});
