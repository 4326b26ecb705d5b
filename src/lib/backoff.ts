/** Owns the delay before a thing is tried again. It holds no timer and counts nothing: attempt and randomness are passed in. */

export interface Backoff {
  /** Milliseconds before the first attempt that has to wait. */
  readonly minMs: number;
  /** Milliseconds that no delay exceeds. */
  readonly maxMs: number;
  /** Share of the delay that is random, 0 to 1. */
  readonly jitter: number;
}

/** Past this many doublings every delay has reached its maximum; the power must not become Infinity, which times 0 is no number. */
const MAX_DOUBLINGS = 52;

/**
 * Returns the milliseconds to wait: `minMs` for attempt 1, doubled with each further one up to `maxMs`. Jitter only shortens
 * a delay, by at most its share, so that `maxMs` always holds. Who wants the first attempt at once does not ask for it.
 *
 * @param attempt counts from 1
 * @param random in [0, 1)
 */
export function backoffDelayMs(attempt: number, backoff: Backoff, random: number): number {
  const doublings = Math.min(Math.max(attempt, 1) - 1, MAX_DOUBLINGS);
  const full = Math.min(backoff.maxMs, backoff.minMs * 2 ** doublings);
  return Math.round(full * (1 - backoff.jitter * (1 - random)));
}
