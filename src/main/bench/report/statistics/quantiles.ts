/** Owns quantiles of a sample. */

/**
 * A quantile of ascending values: type 7 of Hyndman and Fan ("Sample Quantiles in Statistical Packages", The American Statistician 50,
 * 1996), linear between the two order statistics around `1 + (n - 1) p`. It is the default of R, NumPy and spreadsheets. NaN without values.
 */
export function quantile(sorted: ArrayLike<number>, p: number): number {
  const at = (sorted.length - 1) * Math.min(1, Math.max(0, p));
  const low = Math.floor(at);
  const below = sorted[low];
  if (below === undefined) return Number.NaN;
  const above = sorted[Math.min(low + 1, sorted.length - 1)] ?? below;
  return below + (at - low) * (above - below);
}
