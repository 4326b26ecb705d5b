/** Owns the comparison of two columns of results on the same cases: which is better, and how sure that is. */
import { type Interval, type McNemar, mcNemar, meanInterval } from './statistics/index.ts';

/** Results of one side, by the case's index; a case that it has no result of counts 0 in all. An error is judged: it did not pass, and scores 0. */
export interface PairSide {
  readonly scoreSums: ArrayLike<number>;
  readonly passes: ArrayLike<number>;
  readonly judged: ArrayLike<number>;
  /** Any of them has a score: errors alone are nothing to compare. */
  readonly isScored: boolean;
}

/** `second` against `first`. */
export interface PairComparison {
  /** Cases that both sides judged. */
  readonly cases: number;
  readonly bothPassed: number;
  readonly onlyFirst: number;
  readonly onlySecond: number;
  readonly neitherPassed: number;
  /** McNemar's test of `onlyFirst` against `onlySecond`; null when no case was judged by both. */
  readonly test: McNemar | null;
  /** Holm's adjustment of its p-value over all comparisons that stand together. */
  readonly adjusted: number | null;
  /** The mean of `second - first` over those cases, an error being 0; null without one. */
  readonly difference: number | null;
  /** Of the difference, 95 %, from the paired bootstrap; null with fewer than two cases. */
  readonly interval: Interval | null;
}

/**
 * Compares two sides case by case. With repeats a case counts once: its score is the mean of its repeats, and it is passed when more than
 * half of them are; so the cases stay independent of each other, which the repeats of one are not.
 */
export function comparePair(first: PairSide, second: PairSide, cases: number): PairComparison {
  const counts = [0, 0, 0, 0];
  const differences: number[] = [];
  const size = first.isScored || second.isScored ? cases : 0;
  for (let i = 0; i < size; i++) {
    if (!(has(first.judged, i) && has(second.judged, i))) continue;
    const place = (isPassed(first, i) ? 0 : 2) + (isPassed(second, i) ? 0 : 1);
    counts[place] = (counts[place] ?? 0) + 1;
    differences.push(meanAt(second, i) - meanAt(first, i));
  }
  const [bothPassed = 0, onlyFirst = 0, onlySecond = 0, neitherPassed = 0] = counts;
  const judged = differences.length;
  const interval = meanInterval(
    differences,
    differences.map(() => 1),
  );
  return {
    cases: judged,
    bothPassed,
    onlyFirst,
    onlySecond,
    neitherPassed,
    test: judged === 0 ? null : mcNemar(onlyFirst, onlySecond),
    adjusted: null,
    difference: judged === 0 ? null : differences.reduce((sum, one) => sum + one, 0) / judged,
    interval: interval ?? null,
  };
}

function has(counts: ArrayLike<number>, i: number): boolean {
  return (counts[i] ?? 0) > 0;
}

function isPassed({ passes, judged }: PairSide, i: number): boolean {
  return (passes[i] ?? 0) * 2 > (judged[i] ?? 0);
}

function meanAt({ scoreSums, judged }: PairSide, i: number): number {
  return (scoreSums[i] ?? 0) / (judged[i] ?? 1);
}
