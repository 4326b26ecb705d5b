/**
 * Owns the decision what follows a failure: restart at once, after a delay, or give up. It counts restarts in a period
 * (Erlang/OTP's restart intensity) and knows no clock: times are passed in, in milliseconds.
 */
import { type Backoff, backoffDelayMs } from '../../lib/backoff.ts';

/** When a child is started again: always, only after an abnormal end, or never. (Erlang/OTP's names.) */
export type Restart = 'permanent' | 'transient' | 'temporary';

export interface RestartPolicy {
  readonly restart: Restart;
  /** Restarts allowed in `periodMs`; one more gives up. Default 5. */
  readonly maxRestarts: number;
  /** Default 60,000. */
  readonly periodMs: number;
  /** Failures are forgotten after this long without one: the next restart is immediate again. Default 60,000. */
  readonly resetAfterMs: number;
  readonly backoff: Backoff;
}

export type RestartDecision =
  | { readonly type: 'restart'; readonly delayMs: number }
  /** More than `maxRestarts` in the period. */
  | { readonly type: 'escalate' }
  /** Its policy does not restart it after such an end. */
  | { readonly type: 'stop' };

export class RestartTracker {
  readonly #policy: RestartPolicy;
  #recent: number[] = [];
  #total = 0;
  #streak = 0;

  constructor(policy: RestartPolicy) {
    this.#policy = policy;
  }

  /** Restarts decided so far. */
  get total(): number {
    return this.#total;
  }

  /** Decides about an end at `now`; `random` is in [0, 1). */
  ended(end: 'normal' | 'abnormal', now: number, random: number): RestartDecision {
    const { restart, maxRestarts, periodMs, resetAfterMs, backoff } = this.#policy;
    if (restart === 'temporary' || (restart === 'transient' && end === 'normal')) return { type: 'stop' };
    const last = this.#recent.at(-1);
    if (last !== undefined && now - last >= resetAfterMs) this.#streak = 0;
    this.#recent = this.#recent.filter((at) => now - at < periodMs);
    if (this.#recent.length >= maxRestarts) return { type: 'escalate' };
    this.#recent.push(now);
    this.#total += 1;
    this.#streak += 1;
    // The first restart is immediate: most failures do not come twice.
    const delayMs = this.#streak === 1 ? 0 : backoffDelayMs(this.#streak - 1, backoff, random);
    return { type: 'restart', delayMs };
  }

  /** Forgets the past: a person asked for a restart. */
  reset(): void {
    this.#recent = [];
    this.#streak = 0;
  }
}
