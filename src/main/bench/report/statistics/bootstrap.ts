/**
 * Owns the bootstrap: how sure a figure is, told by what it would have been on other draws of the same cases (Efron and Tibshirani,
 * "An Introduction to the Bootstrap", 1993). The draws follow from a seed: the same results always give the same interval.
 */
import { randomOf } from '../../selection.ts';
import { normalCdf, normalQuantile } from './distributions.ts';
import { quantile } from './quantiles.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface BootstrapOptions {
  /** Default 2,000. */
  readonly resamples?: number;
  /** Default 1. */
  readonly seed?: number;
  /** Default 0.95. */
  readonly level?: number;
}

/** The statistic of the cases whose indices are drawn; NaN where the draw has none. */
export type Statistic = (draw: Int32Array) => number;

export const DEFAULT_RESAMPLES = 2_000;
export const DEFAULT_LEVEL = 0.95;

/** Draws `count` cases with replacement, again and again; gives the statistic of each draw in ascending order, NaN left out. */
export function resample(count: number, statistic: Statistic, options: BootstrapOptions = {}): Float64Array {
  const { resamples = DEFAULT_RESAMPLES, seed = 1 } = options;
  const random = randomOf(seed);
  const draw = new Int32Array(count);
  const found = new Float64Array(resamples);
  let kept = 0;
  for (let i = 0; i < resamples; i++) {
    for (let j = 0; j < count; j++) draw[j] = Math.floor(random() * count);
    const value = statistic(draw);
    if (!Number.isNaN(value)) found[kept++] = value;
  }
  return found.subarray(0, kept).sort();
}

/** The plain percentile interval of ascending replicates. */
export function percentileInterval(replicates: Float64Array, level: number = DEFAULT_LEVEL): Interval {
  return { low: quantile(replicates, (1 - level) / 2), high: quantile(replicates, (1 + level) / 2) };
}

/**
 * The BCa interval (bias-corrected and accelerated; Efron, "Better Bootstrap Confidence Intervals", JASA 82, 1987): the percentiles are
 * moved by how far the replicates lie off the estimate, and by the skewness that the jackknife shows. `jackknife` are the statistics
 * with one case left out each. Where the correction has no meaning (all replicates on one side of the estimate, or all the same) it is the percentile interval.
 */
export function bcaInterval(
  replicates: Float64Array,
  estimate: number,
  jackknife: ArrayLike<number>,
  level: number = DEFAULT_LEVEL,
): Interval {
  const bias = normalQuantile(shareBelow(replicates, estimate));
  const acceleration = accelerationOf(jackknife);
  const corrected = (p: number): number => {
    const z = bias + normalQuantile(p);
    return normalCdf(bias + z / (1 - acceleration * z));
  };
  const low = corrected((1 - level) / 2);
  const high = corrected((1 + level) / 2);
  if (!Number.isFinite(bias) || !(low < high)) return percentileInterval(replicates, level);
  return { low: quantile(replicates, low), high: quantile(replicates, high) };
}

/** Those that equal the estimate count half: with scores of 0 and 1 many do. */
function shareBelow(sorted: Float64Array, estimate: number): number {
  let below = 0;
  let equal = 0;
  const near = 1e-12 * Math.max(1, Math.abs(estimate));
  for (const value of sorted) {
    if (value < estimate - near) below += 1;
    else if (value <= estimate + near) equal += 1;
    else break;
  }
  return (below + equal / 2) / sorted.length;
}

function accelerationOf(values: ArrayLike<number>): number {
  let mean = 0;
  for (let i = 0; i < values.length; i++) mean += (values[i] ?? 0) / values.length;
  let squares = 0;
  let cubes = 0;
  for (let i = 0; i < values.length; i++) {
    const off = mean - (values[i] ?? 0);
    squares += off * off;
    cubes += off * off * off;
  }
  return squares === 0 ? 0 : cubes / (6 * squares ** 1.5);
}

/**
 * The interval of a mean over results that come in clusters, as the repeats of a case do: whole cases are drawn, and the mean is
 * `sums` over `counts`. Undefined with fewer than two cases that have a result.
 *
 * It costs `resamples` times the cases. Beyond `MAX_DRAWN` cases the normal interval of the same ratio takes its place: there the two agree to more digits than
 * are shown (the error of the normal one falls with the root of the cases).
 */
export function meanInterval(
  sums: ArrayLike<number>,
  counts: ArrayLike<number>,
  options: BootstrapOptions = {},
): Interval | undefined {
  const used: number[] = [];
  let sum = 0;
  let count = 0;
  for (let i = 0; i < counts.length; i++) {
    if (!((counts[i] ?? 0) > 0)) continue;
    used.push(i);
    sum += sums[i] ?? 0;
    count += counts[i] ?? 0;
  }
  if (used.length < 2) return undefined;
  const top = Float64Array.from(used, (i) => sums[i] ?? 0);
  const bottom = Float64Array.from(used, (i) => counts[i] ?? 0);
  const mean = sum / count;
  const { level = DEFAULT_LEVEL } = options;
  if (used.length > MAX_DRAWN) return normalInterval(top, bottom, mean, level);
  const replicates = resample(used.length, (draw) => ratio(draw, top, bottom), options);
  const jackknife = top.map((value, i) => (sum - value) / (count - (bottom[i] ?? 0)));
  return bcaInterval(replicates, mean, jackknife, level);
}

/** Cases up to which an interval is drawn. */
export const MAX_DRAWN = 5_000;

function ratio(draw: Int32Array, sums: Float64Array, counts: Float64Array): number {
  let sum = 0;
  let count = 0;
  // An index is quicker here than an iterator, and this is where all the time goes.
  for (let i = 0; i < draw.length; i++) {
    const at = draw[i] ?? 0;
    sum += sums[at] ?? 0;
    count += counts[at] ?? 0;
  }
  return sum / count;
}

/** The linearized variance of a ratio (Cochran, "Sampling Techniques", 1977, section 2.11). */
function normalInterval(sums: Float64Array, counts: Float64Array, mean: number, level: number): Interval {
  let squares = 0;
  let count = 0;
  for (let i = 0; i < sums.length; i++) {
    const off = (sums[i] ?? 0) - mean * (counts[i] ?? 0);
    squares += off * off;
    count += counts[i] ?? 0;
  }
  const half = (normalQuantile((1 + level) / 2) * Math.sqrt((squares * sums.length) / (sums.length - 1))) / count;
  return { low: mean - half, high: mean + half };
}
