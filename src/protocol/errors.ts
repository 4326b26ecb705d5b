/**
 * Owns every error code, what its caller is to do about it, and the form in which an error crosses a thread, a socket or
 * a log. It does not decide retries or HTTP bodies: those read the registry.
 */

/** What a caller does about an error: fix the configuration or the request, wait, come back, or report the agent. */
export type ErrorClass =
  | 'configuration'
  | 'request'
  | 'state'
  | 'unavailable'
  | 'deadline'
  | 'agent'
  | 'protocol'
  | 'channel';

export interface ErrorEntry {
  readonly class: ErrorClass;
  /** True when the same call may succeed later without anything being changed. */
  readonly retryable: boolean;
  /** The HTTP status that the gateway answers with. */
  readonly http: number;
  /** What to do, in a sentence; shown beside the message where no closer hint was given. */
  readonly hint: string;
}

/** Code: class, retryable, HTTP status, hint. Tuples, so that the codes can be inferred as a type without a checker. */
const REGISTRY = {
  ORRERY_CONFIG_INVALID: ['configuration', false, 400, 'Correct the keys that are named and start again.'],
  ORRERY_CONFIG_NOT_FOUND: ['configuration', false, 400, 'Give -c FILE, or write one with `orrery init`.'],
  ORRERY_CONFIG_UNREADABLE: ['configuration', false, 400, 'The file did not load; its own error is the cause.'],
  ORRERY_DATA_DIR_IN_USE: ['configuration', false, 409, 'Stop the other supervisor or give another --data-dir.'],
  ORRERY_DATABASE_UNUSABLE: ['configuration', false, 500, 'The message says what is wrong with the file.'],
  ORRERY_PORT_IN_USE: ['configuration', false, 409, 'Give another port, or stop what listens there.'],
  ORRERY_OPEN_BIND: ['configuration', false, 400, 'Set a token for the gateway, or bind to 127.0.0.1.'],
  ORRERY_PEER_MISSING: ['configuration', false, 500, 'Install the package that is named.'],
  ORRERY_MODEL_KEY_MISSING: ['configuration', false, 500, "List the provider's variable under `env`, or set `apiKey`."],
  ORRERY_BENCH_INVALID: ['configuration', false, 400, 'Correct the option or the suite as the message says.'],
  ORRERY_BENCH_CHANGED: ['configuration', false, 409, 'Give another --out, or go on all the same with --force.'],

  ORRERY_BAD_REQUEST: ['request', false, 400, 'Correct the request as the message says.'],
  ORRERY_BAD_NAMESPACE: [
    'request',
    false,
    400,
    'Segments are joined with `:`, none is empty; `%3A` stands for a colon.',
  ],
  ORRERY_UNAUTHORIZED: ['request', false, 401, 'Send `Authorization: Bearer TOKEN`, or log in on the page.'],
  ORRERY_FORBIDDEN: ['request', false, 403, 'This origin, host or token may not do that.'],
  ORRERY_NOT_FOUND: ['request', false, 404, 'Nothing of that name is here.'],
  ORRERY_AGENT_UNKNOWN: ['request', false, 404, '`GET /v1/models` lists the agents.'],
  ORRERY_UNROUTABLE: ['request', false, 404, 'No rule names an agent for this message and there is no default agent.'],
  ORRERY_ID_CONFLICT: ['request', false, 409, 'The id was used with another body: use a new id.'],
  ORRERY_DUPLICATE_IN_FLIGHT: ['request', false, 409, 'The same message is still being answered: ask again later.'],
  ORRERY_TOO_LARGE: ['request', false, 413, 'Send less, or raise the limit in the configuration.'],
  ORRERY_CONTEXT_TOO_LARGE: ['request', false, 413, "Send less, or raise the agent's `context.maxTokens`."],
  ORRERY_RATE_LIMITED: ['unavailable', true, 429, 'Wait for `Retry-After` seconds.'],

  ORRERY_STARTING: ['state', true, 503, 'The supervisor is still starting.'],
  ORRERY_DRAINING: ['state', true, 503, 'The supervisor is stopping and takes in nothing new.'],
  ORRERY_CLOSED: ['state', false, 503, 'This object was closed; create a new one.'],
  ORRERY_CANCELLED: ['state', false, 409, 'The turn was cancelled by its caller.'],
  ORRERY_INTERRUPTED: ['state', true, 503, 'The supervisor stopped before the turn ended.'],
  ORRERY_SUPERSEDED: ['state', true, 409, 'A newer message interrupted the turn, which begins again with both.'],

  ORRERY_MAILBOX_FULL: ['unavailable', true, 429, 'This session has too many messages waiting.'],
  ORRERY_OVERLOADED: ['unavailable', true, 429, 'The host has too many messages under way.'],
  ORRERY_WORKER_EXITED: ['unavailable', true, 502, "The agent's thread ended during the turn and was replaced."],
  ORRERY_WORKER_UNRESPONSIVE: ['unavailable', true, 502, 'The agent blocked its thread, which was replaced.'],
  ORRERY_WORKER_OUT_OF_MEMORY: ['unavailable', true, 502, "The agent's thread ran out of heap and was replaced."],
  ORRERY_SLOT_NOT_READY: ['unavailable', true, 503, 'The slot is starting; the call is tried again.'],
  ORRERY_DATABASE_FAILED: [
    'unavailable',
    true,
    503,
    'Make room on the disk: a turn is tried again by itself, a host that did not start is not.',
  ],
  ORRERY_JOURNAL_FAILED: ['unavailable', true, 503, 'The journal cannot be written; it is tried again by itself.'],
  ORRERY_STALE_OWNER: ['unavailable', true, 503, 'The session moved to another owner; the turn is run there.'],

  ORRERY_CALL_DEADLINE: ['deadline', true, 504, 'A call to a worker was not answered in time.'],
  ORRERY_EXPIRED: ['deadline', false, 504, 'The host was down for too long: send the message again.'],
  ORRERY_TURN_DEADLINE: ['deadline', false, 504, 'The turn took longer than `delivery.turnTimeoutMs`.'],
  ORRERY_SHUTDOWN_DEADLINE: ['deadline', false, 503, 'Not everything ended before the shutdown deadline.'],

  ORRERY_AGENT_FAILED: ['agent', false, 502, "The agent's own code threw; its error is the cause."],
  ORRERY_AGENT_BAD_REPLY: ['agent', false, 502, 'An agent yields strings; anything else cannot be sent.'],
  ORRERY_AGENT_LOAD: ['agent', false, 502, 'The agent module did not load or exports no agent.'],
  ORRERY_AGENT_START: ['agent', true, 502, "The agent's `start` failed; it is started again by its restart policy."],
  ORRERY_AGENT_STOPPED: ['agent', false, 503, 'The agent is stopped and is not started again.'],
  ORRERY_AGENT_ESCALATED: [
    'agent',
    false,
    503,
    'The agent failed too often; `orrery agents restart NAME` tries again.',
  ],
  ORRERY_SCORER_FAILED: ['agent', false, 500, 'The scorer could not judge this case; its error is the cause.'],
  ORRERY_MODEL_FAILED: ['agent', false, 502, 'The model provider refused the call; its answer is the cause.'],
  ORRERY_MODEL_ENDLESS: ['agent', false, 502, 'The model still called tools at its last step: raise `maxSteps`.'],
  ORRERY_MODEL_UNAVAILABLE: ['agent', true, 502, 'Once the host has given up, send the message again later.'],

  ORRERY_UNCLONEABLE: ['protocol', false, 500, 'Only plain data crosses a thread boundary.'],
  ORRERY_PROTOCOL: ['protocol', false, 500, 'The two sides disagree about the contract: report it.'],
  ORRERY_UNSUPPORTED: ['protocol', false, 400, 'Leave the option out: it is not supported.'],

  ORRERY_CHANNEL_CLOSED: ['channel', true, 503, 'The channel is not connected.'],
  ORRERY_CHANNEL_FAILED: ['channel', true, 502, "The channel's network refused; its error is the cause."],
  ORRERY_UNDELIVERABLE: ['channel', false, 502, 'The reply could not be sent; it is kept under its id.'],

  ORRERY_TOKENS_QUEUE_FULL: ['unavailable', true, 429, 'The token pool has its bound of work waiting.'],
  ORRERY_TOKENS_BAD_INPUT: ['request', false, 400, 'Name a known encoding or model and give texts as strings.'],
  ORRERY_TOKENS_IMAGE: ['configuration', false, 500, 'Build the vocabulary again: `npm run build:vocab`.'],
  ORRERY_TOKENS_CLOSED: ['state', false, 503, 'The token pool was closed.'],

  ORRERY_NOT_RUNNING: ['state', false, 503, 'Start a supervisor with `orrery serve` in this data directory.'],
  ORRERY_INTERNAL: ['protocol', false, 500, 'This is a defect of the host: report it with its cause.'],
} as const;

export type ErrorCode = keyof typeof REGISTRY;

/** Lists every code that Orrery raises; `docs/errors.md` explains each, and a test holds the two together. */
export const ERRORS: Readonly<Record<ErrorCode, ErrorEntry>> = Object.fromEntries(
  Object.entries(REGISTRY).map(([code, [errorClass, retryable, http, hint]]) => [
    code,
    { class: errorClass, retryable, http, hint },
  ]),
) as Record<ErrorCode, ErrorEntry>;

/** The JSON-like form of an error: always cloneable, with its chain of causes at most {@link MAX_CAUSES} deep. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly hint?: string;
  readonly stack?: string;
  readonly retryAfterMs?: number;
  readonly details?: ErrorDetails;
  readonly cause?: WireError;
}

/** Plain facts that travel with an error: which agent, slot, delivery, key... */
export type ErrorDetails = Readonly<Record<string, string | number | boolean>>;

export interface OrreryErrorOptions {
  readonly cause?: unknown;
  readonly hint?: string;
  /** When to come back, in milliseconds; goes out as `Retry-After`. */
  readonly retryAfterMs?: number;
  readonly details?: ErrorDetails;
}

/** Carries a registered code; across threads match `code`, never `instanceof`. */
export class OrreryError extends Error {
  override readonly name: string = 'OrreryError';
  readonly code: ErrorCode;
  readonly hint: string;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly details?: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: OrreryErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? ERRORS[code].hint;
    this.retryable = ERRORS[code].retryable;
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs;
    if (options.details !== undefined) this.details = options.details;
  }
}

/** Deeper causes are cut: a cyclic chain would not end. */
export const MAX_CAUSES = 8;

/** Tells whether a value is a registered code. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(REGISTRY, value);
}

/** Reads the registered code of anything thrown, also of one that came from another thread. */
export function codeOf(error: unknown): ErrorCode | undefined {
  const code = typeof error === 'object' && error !== null ? read(error, 'code') : undefined;
  return isErrorCode(code) ? code : undefined;
}

/** Turns anything thrown into an {@link OrreryError}: one that has a registered code keeps it, others are wrapped. */
export function asOrreryError(error: unknown, code: ErrorCode, message?: string): OrreryError {
  if (isOrreryError(error)) return error;
  if (codeOf(error) !== undefined) return fromWire(toWire(error));
  return new OrreryError(code, message ?? messageOf(error), { cause: error });
}

/** Reads a message from anything thrown; never throws itself. */
export function messageOf(error: unknown): string {
  if (typeof error === 'string') return error;
  if (typeof error === 'object' && error !== null) {
    const message = read(error, 'message');
    if (typeof message === 'string') return message;
  }
  for (const write of [JSON.stringify, String, (e: unknown) => Object.prototype.toString.call(e)]) {
    try {
      const text: unknown = write(error);
      if (typeof text === 'string') return text;
    } catch {
      // the next way; a revoked proxy refuses them all
    }
  }
  return 'something that cannot be read was thrown';
}

/** `instanceof` asks a proxy for its prototype, and that may throw. */
function isOrreryError(error: unknown): error is OrreryError {
  try {
    return error instanceof OrreryError;
  } catch {
    return false;
  }
}

/** Brings anything thrown into a form that always survives a structured clone and JSON. */
export function toWire(error: unknown, depth = 0): WireError {
  if (typeof error !== 'object' || error === null) return { name: 'Error', message: messageOf(error) };
  const name = text(error, 'name') ?? 'Error';
  const code = text(error, 'code');
  const hint = text(error, 'hint');
  const stack = text(error, 'stack');
  const details = detailsOf(read(error, 'details'));
  const retryAfterMs = read(error, 'retryAfterMs');
  const cause = depth < MAX_CAUSES ? read(error, 'cause') : undefined;
  return {
    name,
    message: text(error, 'message') ?? messageOf(error),
    ...(code === undefined ? {} : { code }),
    ...(hint === undefined ? {} : { hint }),
    ...(stack === undefined ? {} : { stack }),
    ...(details === undefined ? {} : { details }),
    ...(typeof retryAfterMs === 'number' && Number.isFinite(retryAfterMs) ? { retryAfterMs } : {}),
    ...(cause === undefined || cause === null ? {} : { cause: toWire(cause, depth + 1) }),
  };
}

/** Rebuilds an error; one without a registered code becomes `ORRERY_INTERNAL` at the top and a plain `Error` below. */
export function fromWire(wire: WireError): OrreryError {
  const error = new OrreryError(isErrorCode(wire.code) ? wire.code : 'ORRERY_INTERNAL', wire.message, {
    ...(wire.cause === undefined ? {} : { cause: reviveError(wire.cause) }),
    ...(wire.hint === undefined ? {} : { hint: wire.hint }),
    ...(wire.retryAfterMs === undefined ? {} : { retryAfterMs: wire.retryAfterMs }),
    ...(wire.details === undefined ? {} : { details: wire.details }),
  });
  if (wire.stack !== undefined) error.stack = wire.stack;
  return error;
}

/** Rebuilds what was thrown: an {@link OrreryError} for a registered code, else a plain error with its own name and code. */
export function reviveError(wire: WireError): Error {
  if (isErrorCode(wire.code)) return fromWire(wire);
  const error = new Error(wire.message, wire.cause === undefined ? undefined : { cause: reviveError(wire.cause) });
  error.name = wire.name;
  if (wire.stack !== undefined) error.stack = wire.stack;
  if (wire.code !== undefined) Object.assign(error, { code: wire.code });
  return error;
}

function read(source: object, key: string): unknown {
  try {
    return Reflect.get(source, key);
  } catch {
    return undefined; // a throwing getter of the agent's own error
  }
}

function text(source: object, key: string): string | undefined {
  const value = read(source, key);
  if (typeof value === 'string') return value;
  return typeof value === 'number' && key === 'code' ? String(value) : undefined;
}

function detailsOf(value: unknown): ErrorDetails | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  try {
    const plain = Object.entries(value).filter(([, v]) => isPlainFact(v));
    return plain.length === 0 ? undefined : (Object.fromEntries(plain) as ErrorDetails);
  } catch {
    return undefined; // a proxy or a throwing getter
  }
}

/** What JSON and a clone both keep as it is. */
function isPlainFact(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
}
