/** Owns what Discord's refusals mean: which pass by themselves, which never do, and what its user is to do. */
import { OrreryError, messageOf } from '../../../protocol/index.ts';

/** Close codes of the gateway after which no attempt to connect succeeds until something is changed. */
const FATAL_CLOSES: Readonly<Record<number, () => OrreryError>> = {
  4004: badToken,
  4010: () => new OrreryError('ORRERY_PROTOCOL', 'Discord refused the shard (4010)'),
  4011: () =>
    new OrreryError('ORRERY_UNSUPPORTED', 'The bot is in so many guilds that Discord wants it sharded (4011)', {
      hint: 'Give each part of the guilds a bot of its own: one connection serves up to 2,500.',
    }),
  4012: () => new OrreryError('ORRERY_PROTOCOL', 'Discord does not speak this version of its API any more (4012)'),
  4013: () => new OrreryError('ORRERY_PROTOCOL', 'Discord does not know the intents (4013)'),
  4014: () =>
    new OrreryError('ORRERY_FORBIDDEN', 'Discord refused the intents (4014)', {
      hint: "Enable the Message Content Intent on the application's Bot page, or set `respondTo: 'mentions'`.",
    }),
};

export function badToken(): OrreryError {
  return new OrreryError('ORRERY_UNAUTHORIZED', 'Discord refused the token', {
    hint: "Set `token` to the token of the application's Bot page; it is shown once, when it is reset.",
  });
}

/** Reads a close code; undefined for one after which the connection is tried again. */
export function fatalClose(code: number): OrreryError | undefined {
  return FATAL_CLOSES[code]?.();
}

/** Reads what the library threw while it connected. */
export function connectError(error: unknown): OrreryError {
  if (error instanceof OrreryError) return error;
  if (field(error, 'code') === 'TokenInvalid' || field(error, 'status') === 401) return badToken();
  return new OrreryError('ORRERY_CHANNEL_FAILED', `Discord was not reached: ${messageOf(error)}`, { cause: error });
}

/** What a proxy says for a server that is away. */
const AWAY: ReadonlySet<unknown> = new Set([502, 503, 504]);

/**
 * Reads what the library threw for one request. `ORRERY_CHANNEL_CLOSED` says that Discord was not reached, whatever was asked of it: a reply waits
 * until it is. `isAborted` tells that the request was given up by its caller; the library aborts those that take too long as well.
 */
export function requestError(error: unknown, isAborted: boolean): unknown {
  if (error instanceof OrreryError || isAborted) return error;
  const retryAfter = field(error, 'retryAfter');
  const timeToReset = field(error, 'timeToReset');
  if (typeof retryAfter === 'number' && typeof timeToReset === 'number') {
    const retryAfterMs = Math.max(retryAfter, timeToReset, 1);
    return new OrreryError('ORRERY_RATE_LIMITED', 'Discord limits the rate of messages', {
      cause: error,
      retryAfterMs,
    });
  }
  const status = field(error, 'status');
  if (status === 401) return badToken();
  if (typeof status === 'number' && status >= 400 && status < 500 && status !== 429 && status !== 408) {
    return new OrreryError('ORRERY_UNDELIVERABLE', `Discord does not take the message: ${messageOf(error)}`, {
      cause: error,
      hint: 'The bot may lack the permission to write there, or the place is gone.',
    });
  }
  // An answer has a status; what the system or the HTTP client says of a connection has a code in letters.
  const isUnanswered = typeof field(error, 'code') === 'string' || field(error, 'name') === 'AbortError';
  if (AWAY.has(status) || (status === undefined && isUnanswered)) {
    return new OrreryError('ORRERY_CHANNEL_CLOSED', `Discord was not reached: ${messageOf(error)}`, { cause: error });
  }
  return new OrreryError('ORRERY_CHANNEL_FAILED', `Discord failed: ${messageOf(error)}`, { cause: error });
}

/** Tells whether a request failed because the place is gone or closed to the bot. */
export function isGone(error: unknown): boolean {
  const status = field(error, 'status');
  return status === 403 || status === 404;
}

function field(error: unknown, key: string): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, key) : undefined;
}
