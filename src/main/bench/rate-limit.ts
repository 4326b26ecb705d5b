/** Owns how fast one agent is asked: so many requests and tokens a minute. It has no clock and no timer: both are its caller's. */

export interface RateLimits {
  /** Requests a minute. Default: no limit. */
  readonly rpm?: number;
  /** Tokens a minute, of prompts and replies together. Default: no limit. */
  readonly tpm?: number;
}

const MINUTE_MS = 60_000;
/** Weight of the newest case in what the next one is thought to take. */
const WEIGHT = 0.2;

/**
 * Spreads requests evenly: in any minute at most `rpm` of them start, whatever came before. What a case takes of the tokens is known only
 * when it is answered: an estimate is taken at its start, and corrected then.
 */
export class RateLimiter {
  readonly #limits: RateLimits;
  /** When the next request may start, in milliseconds. */
  #nextAt = -Infinity;
  /** Tokens that may be taken now; below 0 after more was taken than was thought. */
  #tokens: number;
  #filledAt: number | undefined;
  #perCase = 0;

  constructor(limits: RateLimits) {
    this.#limits = limits;
    this.#tokens = limits.tpm === undefined ? Infinity : limits.tpm / 2;
  }

  /** Whether there is any limit: without one no clock need be read. */
  get isLimited(): boolean {
    return this.#limits.rpm !== undefined || this.#limits.tpm !== undefined;
  }

  /** Milliseconds until a request may start; 0 for now. */
  waitMs(now: number): number {
    const { tpm } = this.#limits;
    const forRequest = Math.max(0, this.#nextAt - now);
    if (tpm === undefined) return forRequest;
    this.#fill(now, tpm);
    // One that takes more than the bucket holds would wait for ever: a full bucket is enough.
    const missing = Math.min(this.#perCase, tpm / 2) - this.#tokens;
    return Math.max(forRequest, missing <= 0 ? 0 : Math.ceil((missing * MINUTE_MS) / tpm));
  }

  /** Takes the place of one request; returns the tokens that it is thought to take, for {@link settle}. */
  take(now: number): number {
    const { rpm, tpm } = this.#limits;
    if (rpm !== undefined) this.#nextAt = Math.max(now, this.#nextAt) + MINUTE_MS / rpm;
    if (tpm !== undefined) this.#tokens -= this.#perCase;
    return this.#perCase;
  }

  /** Corrects what a request was thought to take. */
  settle(estimate: number, tokens: number): void {
    if (this.#limits.tpm === undefined) return;
    this.#tokens -= tokens - estimate;
    this.#perCase = this.#perCase === 0 ? tokens : this.#perCase + WEIGHT * (tokens - this.#perCase);
  }

  /** Half a minute's worth is the most that is saved up. */
  #fill(now: number, tpm: number): void {
    const since = now - (this.#filledAt ?? now);
    this.#filledAt = now;
    this.#tokens = Math.min(tpm / 2, this.#tokens + (since * tpm) / MINUTE_MS);
  }
}
