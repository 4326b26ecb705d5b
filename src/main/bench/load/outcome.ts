/** Owns what becomes of one request. */

/**
 * Why a request failed. `http`: a status other than 2xx; `timeout`: no whole answer in time; `connection`: none could be made, or it broke
 * before the answer's end; `answer`: a 2xx whose content is no answer, or a stream that ended with an error or without its end; `cut`: the
 * driver itself gave it up, since it was to end.
 */
export type FailureKind = 'http' | 'timeout' | 'connection' | 'answer' | 'cut';

/** Times are those of the driver's clock. */
export interface Answered {
  readonly ok: true;
  /** When the first text came; null where the answer came whole. */
  readonly firstAt: number | null;
  readonly endedAt: number;
  /** Milliseconds between one piece of text and the next. */
  readonly gaps: readonly number[];
  /** As the provider counts them; null when it does not say. */
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly text: string;
}

export interface Failed {
  readonly ok: false;
  readonly endedAt: number;
  readonly kind: FailureKind;
  readonly status?: number;
  /** The server's code, or the system's (`ECONNREFUSED`). */
  readonly code?: string;
  readonly message: string;
  /** What `Retry-After` asked for, in milliseconds. */
  readonly retryAfterMs?: number;
}

export type Outcome = Answered | Failed;
