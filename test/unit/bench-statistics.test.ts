/** Holds the report's statistics to values that others published. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bcaInterval,
  chiSquaredTail,
  fairBinomialCdf,
  holm,
  mcNemar,
  mcNemarStatistic,
  meanInterval,
  normalCdf,
  normalQuantile,
  percentileInterval,
  quantile,
  resample,
  wilsonInterval,
} from '../../src/main/bench/report/statistics/index.ts';
import { runs } from '../support/properties.ts';

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;
const variance = (values: readonly number[]): number => {
  const middle = mean(values);
  return mean(values.map((value) => (value - middle) ** 2));
};
const deviation = (values: Float64Array): number => Math.sqrt(variance([...values]));
const at = (values: readonly number[], draw: Int32Array): number[] => Array.from(draw, (i) => values[i] ?? 0);
const without = (values: readonly number[], i: number): number[] => values.filter((_, j) => j !== i);
const all = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => i);

describe('distributions', () => {
  // Abramowitz and Stegun 1964, table 26.1; the tails from Wichura, Applied Statistics 37 (1988), AS 241.
  it.each([
    [0, 0.5],
    [1, 0.841344746068543],
    [1.959963984540054, 0.975],
    [2.5, 0.993790334674224],
    [3.5, 0.999767370920964],
    [-1.6448536269514722, 0.05],
    [-5.199337582192817, 1e-7],
  ])('the normal distribution - is the tables’ at %f', (x, p) => {
    expect(normalCdf(x)).toBeCloseTo(p, 12);
    expect(normalQuantile(p)).toBeCloseTo(x, 7);
  });

  // Pearson and Hartley, "Biometrika Tables for Statisticians" I, table 8.
  it.each([
    [2.70554, 0.1],
    [3.84146, 0.05],
    [5.02389, 0.025],
    [6.6349, 0.01],
    [10.8276, 0.001],
  ])('chi-squared with one degree of freedom - is the tables’ at %f', (x, p) => {
    expect(chiSquaredTail(x)).toBeCloseTo(p, 6);
  });

  it('a fair coin - adds up: 56 of 1024 ways give at most 2 heads in 10 tosses', () => {
    expect(fairBinomialCdf(2, 10)).toBeCloseTo(56 / 1024, 12);
    expect(fairBinomialCdf(10, 10)).toBe(1);
    expect(fairBinomialCdf(-1, 10)).toBe(0);
    expect(fairBinomialCdf(50, 100)).toBeCloseTo(0.5397946186935895, 10);
    expect(fairBinomialCdf(2_000, 5_000)).toBeGreaterThan(0);
  });

  it('quantile and distribution - undo each other', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-10, max: 1 - 1e-10, noNaN: true }), (p) => {
        expect(Math.abs(normalCdf(normalQuantile(p)) - p)).toBeLessThan(1e-11);
      }),
    );
  });
});

describe('quantiles', () => {
  // Type 7 of Hyndman and Fan 1996, as R's documentation of `quantile` defines it; by hand: 1 + (n - 1) p.
  it.each([
    [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.25, 3.25],
    [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.95, 9.55],
    [[1, 2, 3, 4], 0.5, 2.5],
    [[7], 0.99, 7],
    [[1, 5], 0, 1],
    [[1, 5], 1, 5],
  ])('a quantile - of %j at %f is %f', (values, p, expected) => {
    expect(quantile(values, p)).toBeCloseTo(expected, 12);
  });

  it('a quantile - of nothing is no number', () => {
    expect(quantile([], 0.5)).toBeNaN();
  });
});

describe('shares', () => {
  // Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
  it.each([
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ])('Wilson’s interval - of %i of %i is Newcombe’s', (successes, trials, low, high) => {
    const found = wilsonInterval(successes, trials);
    expect(found?.low).toBeCloseTo(low, 4);
    expect(found?.high).toBeCloseTo(high, 4);
  });

  it('Wilson’s interval - holds the share, lies within 0 and 1, and is the same from the other side', () => {
    fc.assert(
      fc.property(fc.nat(500), fc.nat(500), (a, b) => {
        fc.pre(a + b > 0);
        const { low, high } = wilsonInterval(a, a + b) ?? { low: 1, high: 0 };
        const other = wilsonInterval(b, a + b);
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeLessThanOrEqual(1);
        expect(low).toBeLessThanOrEqual(a / (a + b));
        expect(high).toBeGreaterThanOrEqual(a / (a + b));
        expect(other?.low).toBeCloseTo(1 - high, 12);
      }),
    );
    expect(wilsonInterval(0, 0)).toBeUndefined();
  });

  // Agresti, "Categorical Data Analysis", approval of a prime minister: 794, 150, 86, 570. R's `mcnemar.test` has the table as its example.
  it('McNemar’s statistic - is Agresti’s without the correction, and R’s with it', () => {
    expect(mcNemarStatistic(150, 86, false)).toBeCloseTo(17.356, 3);
    const test = mcNemar(150, 86);
    expect(test.method).toBe('chi-squared');
    expect(test.statistic).toBeCloseTo(16.818, 3);
    expect(test.pValue).toBeCloseTo(4.115e-5, 8);
  });

  it('McNemar’s test - is the exact binomial one while few pairs differ', () => {
    // 2 x (1 + 10 + 45) / 2^10.
    expect(mcNemar(8, 2)).toEqual({ method: 'exact', statistic: null, pValue: expect.closeTo(0.109375, 12) as number });
    expect(mcNemar(0, 5).pValue).toBeCloseTo(0.0625, 12);
    expect(mcNemar(0, 0).pValue).toBe(1);
    expect(mcNemar(4, 4).pValue).toBe(1);
    expect(mcNemar(12, 12).method).toBe('exact');
    expect(mcNemar(12, 13).method).toBe('chi-squared');
  });

  it('Holm’s adjustment - multiplies by rank and never falls', () => {
    // By hand from Holm 1979: 4 x 0.005, 3 x 0.01, 2 x 0.03, then max(0.06, 0.04).
    expect(holm([0.01, 0.04, 0.03, 0.005])).toEqual([0.03, 0.06, 0.06, 0.02]);
    // The example of pingouin's `holm`.
    const found = holm([0.5, 0.003, 0.32, 0.054, 0.0003]);
    for (const [i, p] of [0.64, 0.012, 0.64, 0.162, 0.0015].entries()) expect(found[i]).toBeCloseTo(p, 12);
    expect(holm([])).toEqual([]);
    expect(holm([0.7, 0.9])).toEqual([1, 1]);
  });
});

describe('the bootstrap', () => {
  // Efron and Tibshirani 1993, table 3.1: 15 law schools, correlation 0.776; bootstrap standard error 0.13 (table 6.1: 0.127 to 0.140).
  it('law schools - have a correlation of 0.776, give or take 0.13', () => {
    const lsat = [576, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594];
    const gpa = [3.39, 3.3, 2.81, 3.03, 3.44, 3.07, 3, 3.43, 3.36, 3.13, 3.12, 2.74, 2.76, 2.88, 2.96];
    const correlation = (draw: Int32Array): number => {
      const [x, y] = [at(lsat, draw), at(gpa, draw)];
      const [mx, my] = [mean(x), mean(y)];
      return mean(x.map((value, i) => (value - mx) * ((y[i] ?? 0) - my))) / Math.sqrt(variance(x) * variance(y));
    };
    expect(correlation(all(15))).toBeCloseTo(0.776, 3);
    const error = deviation(resample(15, correlation, { resamples: 3_200 }));
    expect(error).toBeGreaterThan(0.12);
    expect(error).toBeLessThan(0.145);
  });

  // Efron and Tibshirani 1993, table 2.1: treated and untreated mice, difference 30.63; standard error 26.85 from 1,400 draws (chapter 8).
  it('mice - live 30.63 days longer, give or take 26.85', () => {
    const treated = [94, 197, 16, 38, 99, 141, 23];
    const control = [52, 104, 146, 10, 51, 30, 40, 27, 46];
    expect(mean(treated) - mean(control)).toBeCloseTo(30.63, 2);
    const errors = [treated, control].map((values, i) =>
      deviation(resample(values.length, (draw) => mean(at(values, draw)), { resamples: 5_000, seed: i + 1 })),
    );
    expect(Math.hypot(...errors)).toBeGreaterThan(26);
    expect(Math.hypot(...errors)).toBeLessThan(27.9);
  });

  // Efron and Tibshirani 1993, section 14.2 and table 14.2: variance of the spatial test A, 90 %: percentile 100.8 to 233.9, BCa 115.8 to 259.6,
  // acceleration 0.061.
  it('the spatial test - has the percentile and BCa intervals of the book', () => {
    const a = [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41];
    expect(variance(a)).toBeCloseTo(171.5, 1);
    const replicates = resample(a.length, (draw) => variance(at(a, draw)), { resamples: 20_000 });
    const plain = percentileInterval(replicates, 0.9);
    const jackknife = a.map((_, i) => variance(without(a, i)));
    const corrected = bcaInterval(replicates, variance(a), jackknife, 0.9);
    // The book drew 2,000 times: its ends have a standard error of 2 to 4.
    expect(Math.abs(plain.low - 100.8)).toBeLessThan(5);
    expect(Math.abs(plain.high - 233.9)).toBeLessThan(5);
    expect(Math.abs(corrected.low - 115.8)).toBeLessThan(5);
    expect(Math.abs(corrected.high - 259.6)).toBeLessThan(8);
  });

  // SciPy 1.17, `stats.bootstrap` of the mean with `method='BCa'` and 20,000 draws.
  it.each([
    [56, 60, 0.85, 0.9833],
    [3, 40, 0.025, 0.2],
    [50, 100, 0.4, 0.6],
    [997, 1_000, 0.992, 0.999],
  ])('the interval of %i passed of %i - is SciPy’s', (passed, cases, low, high) => {
    const scores = Array.from({ length: cases }, (_, i) => (i < passed ? 1 : 0));
    const found = meanInterval(
      scores,
      scores.map(() => 1),
      { resamples: 20_000 },
    );
    // Scores of 0 and 1 make steps: the ends may lie one off.
    expect(Math.abs((found?.low ?? 0) - low)).toBeLessThan(1 / cases + 1e-3);
    expect(Math.abs((found?.high ?? 0) - high)).toBeLessThan(1 / cases + 1e-3);
  });

  it('the same seed - gives the same interval, another one nearly', () => {
    const scores = Array.from({ length: 200 }, (_, i) => (i % 3 === 0 ? 1 : 0));
    const ones = scores.map(() => 1);
    const first = meanInterval(scores, ones);
    expect(meanInterval(scores, ones)).toEqual(first);
    const other = meanInterval(scores, ones, { seed: 7 });
    expect(other?.low).toBeCloseTo(first?.low ?? 0, 1);
  });

  it('repeats of a case - do not make it surer: whole cases are drawn', () => {
    const scores = Array.from({ length: 60 }, (_, i) => i % 2);
    const once = meanInterval(
      scores,
      scores.map(() => 1),
    );
    const tenTimes = meanInterval(
      scores.map((score) => score * 10),
      scores.map(() => 10),
    );
    expect(tenTimes?.low).toBeCloseTo(once?.low ?? 0, 10);
    expect(tenTimes?.high).toBeCloseTo(once?.high ?? 0, 10);
  });

  it('an interval - holds the mean, and there is none of fewer than two cases', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 40 }), (scores) => {
        const found = meanInterval(
          scores,
          scores.map(() => 1),
          { resamples: 200 },
        );
        expect(found?.low).toBeLessThanOrEqual(mean(scores) + 1e-9);
        expect(found?.high).toBeGreaterThanOrEqual(mean(scores) - 1e-9);
      }),
      { numRuns: runs(50) },
    );
    expect(meanInterval([1], [1])).toBeUndefined();
    expect(meanInterval([0, 1], [0, 1])).toBeUndefined();
  });

  it('many cases - have the normal interval, which is what the drawn one comes to', () => {
    const scores = Array.from({ length: 12_000 }, (_, i) => (i % 4 === 0 ? 1 : 0));
    const ones = scores.map(() => 1);
    const normal = meanInterval(scores, ones);
    const half = 1.959964 * Math.sqrt((0.25 * 0.75) / 12_000);
    expect(normal?.low).toBeCloseTo(0.25 - half, 5);
    const drawn = meanInterval(scores.slice(0, 5_000), ones.slice(0, 5_000), { resamples: 500 });
    expect(drawn?.low).toBeCloseTo(0.25 - 1.959964 * Math.sqrt((0.25 * 0.75) / 5_000), 2);
  });
});
