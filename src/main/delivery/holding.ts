/** Owns how long one delivery may hold its session while it waits to be tried again. It holds no timer. */
import type { Backoff } from '../../lib/backoff.ts';

/**
 * Milliseconds that a session may be held for when another side names the time to come back. A rate limit counted by the minute passes within
 * it; whoever names more (a quota by the day) would block all later messages of the session, and its sender is better told.
 */
export const MAX_HOLD_MS = 60_000;

/** A longer delay makes `setTimeout` fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Returns the milliseconds that a session is held for at most: a backoff that is configured to wait longer may do so. */
export function maxHoldMs({ maxMs }: Backoff): number {
  return Math.min(Math.max(maxMs, MAX_HOLD_MS), MAX_TIMER_MS);
}

/** Tells whether another side asks for a longer wait than a session may be held for. */
export function isTooLongToHold(retryAfterMs: number | undefined, retry: Backoff): boolean {
  return retryAfterMs !== undefined && retryAfterMs > maxHoldMs(retry);
}

/** Brings a delay into what a session may be held for, and into what a timer can count. */
export function heldMs(delayMs: number, retry: Backoff): number {
  return Math.min(Math.max(0, delayMs), maxHoldMs(retry));
}
