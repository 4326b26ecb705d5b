/** Owns what is said of shares: the interval of one, the test of two on the same cases, and what many tests at once do to that. */
import { chiSquaredTail, fairBinomialCdf, normalQuantile } from './distributions.ts';
import { DEFAULT_LEVEL, type Interval } from './bootstrap.ts';

/**
 * Wilson's score interval of a share, without continuity correction (Wilson 1927; method 3 of Newcombe, Statistics in Medicine 17,
 * 1998). It holds at 0 and at 1 too, where the bootstrap knows no doubt. Undefined without trials.
 */
export function wilsonInterval(successes: number, trials: number, level: number = DEFAULT_LEVEL): Interval | undefined {
  if (trials === 0) return undefined;
  const z = normalQuantile((1 + level) / 2);
  const share = successes / trials;
  const centre = share + (z * z) / (2 * trials);
  const half = z * Math.sqrt((share * (1 - share)) / trials + (z * z) / (4 * trials * trials));
  const scale = 1 + (z * z) / trials;
  return {
    low: successes === 0 ? 0 : Math.max(0, (centre - half) / scale),
    high: successes === trials ? 1 : Math.min(1, (centre + half) / scale),
  };
}

export interface McNemar {
  /** `exact`: two-sided binomial; `chi-squared`: with Edwards' continuity correction. */
  readonly method: 'exact' | 'chi-squared';
  /** Null for the exact test. */
  readonly statistic: number | null;
  readonly pValue: number;
}

/** Pairs that differ, from which on chi-squared is near enough. */
export const EXACT_BELOW = 25;

/**
 * McNemar's test (Psychometrika 12, 1947): whether of the cases on which two agents differ more fall to one side than a fair coin would
 * let them. `onlyFirst` and `onlySecond` are the cases that one passed alone. Below 25 of them the binomial distribution is summed up, from there on it is
 * chi-squared with the continuity correction (Edwards, Psychometrika 13, 1948).
 */
export function mcNemar(onlyFirst: number, onlySecond: number): McNemar {
  const differing = onlyFirst + onlySecond;
  if (differing < EXACT_BELOW) {
    const pValue = Math.min(1, 2 * fairBinomialCdf(Math.min(onlyFirst, onlySecond), differing));
    return { method: 'exact', statistic: null, pValue };
  }
  const statistic = mcNemarStatistic(onlyFirst, onlySecond);
  return { method: 'chi-squared', statistic, pValue: chiSquaredTail(statistic) };
}

/** The statistic itself; `corrected` false gives McNemar's own. */
export function mcNemarStatistic(onlyFirst: number, onlySecond: number, corrected: boolean = true): number {
  const off = Math.max(0, Math.abs(onlyFirst - onlySecond) - (corrected ? 1 : 0));
  return (off * off) / (onlyFirst + onlySecond);
}

/**
 * Adjusts p-values of tests that are read together (Holm, Scandinavian Journal of Statistics 6, 1979), so that the odds of any false alarm
 * among them stay below the level: the smallest times all, the next times one less, and never below the one before.
 */
export function holm(pValues: readonly number[]): readonly number[] {
  const order = pValues.map((_, i) => i).toSorted((a, b) => (pValues[a] ?? 0) - (pValues[b] ?? 0));
  const adjusted = pValues.map(() => 1);
  let least = 0;
  for (const [rank, i] of order.entries()) {
    least = Math.max(least, Math.min(1, (pValues.length - rank) * (pValues[i] ?? 1)));
    adjusted[i] = least;
  }
  return adjusted;
}
