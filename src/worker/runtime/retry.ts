/** Owns what a turn does when a call of its model failed: wait and ask again, ask another model, or give up. It holds no clock. */
import { type Backoff, backoffDelayMs } from '../../lib/backoff.ts';
import type { OrreryError } from '../../protocol/errors.ts';

export interface RetryPolicy {
  /** Calls of one model for one step at most. */
  readonly maxTries: number;
  readonly backoff: Backoff;
  /** Longest wait, in milliseconds, that a provider may ask for (`Retry-After`) within a turn; delivery waits longer ones out, up to a bound of its own. */
  readonly maxWaitMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  maxTries: 3,
  backoff: { minMs: 500, maxMs: 8_000, jitter: 0.5 },
  maxWaitMs: 30_000,
};

export interface Failure {
  readonly error: OrreryError;
  /** Calls of this model for this step so far, at least 1. */
  readonly tries: number;
  /** Whether another model is left to ask. */
  readonly hasOther: boolean;
  /** Until the turn's deadline. */
  readonly remainingMs: number;
}

export type Move =
  | { readonly kind: 'retry'; readonly delayMs: number }
  | { readonly kind: 'other' }
  | { readonly kind: 'fail' };

const REFUSALS: ReadonlySet<string> = new Set([
  'ORRERY_MODEL_FAILED',
  'ORRERY_CONTEXT_TOO_LARGE',
  'ORRERY_MODEL_KEY_MISSING',
]);

/**
 * Decides on a failed call of which nothing was said yet. A model that is not there is asked again, after its `Retry-After`
 * where it gave one and never past the turn's deadline; where another model is left, a wait that is longer than any backoff is
 * not worth it. A refusal goes to the next model at once. What is not the model's failure ends the turn.
 *
 * @param random in [0, 1)
 */
export function moveAfter({ error, tries, hasOther, remainingMs }: Failure, policy: RetryPolicy, random: number): Move {
  const other: Move = hasOther ? { kind: 'other' } : { kind: 'fail' };
  if (REFUSALS.has(error.code)) return other;
  if (error.code !== 'ORRERY_MODEL_UNAVAILABLE') return { kind: 'fail' };
  const delayMs = Math.max(backoffDelayMs(tries, policy.backoff, random), error.retryAfterMs ?? 0);
  const longest = hasOther ? policy.backoff.maxMs : policy.maxWaitMs;
  return tries < policy.maxTries && delayMs <= longest && delayMs < remainingMs ? { kind: 'retry', delayMs } : other;
}
