/** Owns how many messages of one user are taken in. It holds no clock: the time of a message is passed in. */

/** Users that are remembered; the one that was silent longest is forgotten first. */
export const MAX_USERS = 10_000;

export type Verdict =
  | { readonly ok: true }
  /** `isFirst`: nothing of this user was refused since the last message that was taken in. */
  | { readonly ok: false; readonly retryAfterMs: number; readonly isFirst: boolean };

interface Bucket {
  tokens: number;
  at: number;
  refused: boolean;
}

const OK: Verdict = { ok: true };

/** A bucket of tokens for each user: it holds a minute's worth and fills evenly. */
export class UserLimit {
  readonly #perMinute: number;
  readonly #users = new Map<string, Bucket>();

  /** `perMinute`: messages of one user; `Infinity` is no limit. */
  constructor(perMinute: number) {
    this.#perMinute = perMinute;
  }

  take(user: string, at: number): Verdict {
    const perMinute = this.#perMinute;
    if (perMinute === Infinity) return OK;
    const bucket = this.#users.get(user) ?? { tokens: perMinute, at, refused: false };
    // Put last, so that the first of the map is who was silent longest.
    this.#users.delete(user);
    this.#users.set(user, bucket);
    if (this.#users.size > MAX_USERS) this.#forgetOne();
    // A message of the past, fetched late, fills nothing.
    const elapsedMs = Math.max(0, at - bucket.at);
    bucket.tokens = Math.min(perMinute, bucket.tokens + (elapsedMs * perMinute) / 60_000);
    bucket.at = Math.max(bucket.at, at);
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      bucket.refused = false;
      return OK;
    }
    const isFirst = !bucket.refused;
    bucket.refused = true;
    return { ok: false, isFirst, retryAfterMs: Math.ceil(((1 - bucket.tokens) * 60_000) / perMinute) };
  }

  #forgetOne(): void {
    for (const user of this.#users.keys()) {
      this.#users.delete(user);
      return;
    }
  }
}
