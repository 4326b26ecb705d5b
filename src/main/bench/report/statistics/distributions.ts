/** Owns the few probability distributions that the report's tests need: normal, chi-squared with one degree of freedom, binomial. */

/**
 * The probability that a standard normal value lies below `x`. Absolute error below 1e-12: the series around 0, and the continued
 * fraction of the tail beyond (Abramowitz and Stegun 1964, 26.2.11 and 26.2.14).
 */
export function normalCdf(x: number): number {
  if (x > 0) return 1 - normalCdf(-x);
  return normalTail(-x);
}

/** The quantile of the standard normal distribution, by Newton's method from Hastings' start; -Infinity at 0, Infinity at 1. */
export function normalQuantile(p: number): number {
  if (p <= 0) return -Infinity;
  if (p >= 1) return Infinity;
  if (p > 0.5) return -normalQuantile(1 - p);
  // Abramowitz and Stegun 26.2.23: within 4.5e-4, which three steps take to the last digits.
  const t = Math.sqrt(-2 * Math.log(p));
  const top = 2.515_517 + t * (0.802_853 + t * 0.010_328);
  let x = top / (1 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308))) - t;
  for (let i = 0; i < 3; i++) {
    const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
    if (density === 0) break;
    const step = (normalCdf(x) - p) / density;
    // Halley's correction: the tail bends.
    x -= step / (1 + (x * step) / 2);
  }
  return x;
}

/** The probability that a chi-squared value with one degree of freedom lies above `x`. */
export function chiSquaredTail(x: number): number {
  return x <= 0 ? 1 : Math.min(1, 2 * normalTail(Math.sqrt(x)));
}

/** The probability of at most `k` heads in `n` tosses of a fair coin. */
export function fairBinomialCdf(k: number, n: number): number {
  if (k < 0) return 0;
  if (k >= n) return 1;
  let term = -n * Math.LN2;
  let sum = Math.exp(term);
  for (let i = 1; i <= k; i++) {
    term += Math.log((n - i + 1) / i);
    sum += Math.exp(term);
  }
  return Math.min(1, sum);
}

/** The probability above `x`, for `x` from 0 on. */
function normalTail(x: number): number {
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (x < 3) {
    let term = x;
    let sum = x;
    for (let i = 1; Math.abs(term) > 1e-17; i++) {
      term *= (x * x) / (2 * i + 1);
      sum += term;
    }
    return 0.5 - density * sum;
  }
  let fraction = 0;
  for (let i = 120; i > 0; i--) fraction = i / (x + fraction);
  return density / (x + fraction);
}
