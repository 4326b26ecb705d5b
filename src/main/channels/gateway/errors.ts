/** Owns how the gateway tells an error: its HTTP status, headers and the two documented bodies. It raises none itself. */
import {
  ERRORS,
  type ErrorCode,
  OrreryError,
  type WireError,
  asOrreryError,
  codeOf,
  fromWire,
  messageOf,
} from '../../../protocol/index.ts';

/** Carries the id of a message that was accepted: it must not be sent again as a new one. */
export class AcceptedError extends OrreryError {
  override readonly name: string = 'AcceptedError';
  /** The message's id, as its caller sent it or as the gateway made it up. */
  readonly id: string;

  constructor(id: string, error: OrreryError) {
    super(error.code, error.message, {
      cause: error.cause,
      hint: error.hint,
      ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
    });
    this.id = id;
  }
}

/** Builds the error of an accepted message from the form that the host sends. */
export function afterAcceptance(id: string, wire: WireError): AcceptedError {
  return new AcceptedError(id, fromWire(wire));
}

export interface ErrorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly hint: string;
    readonly id?: string;
  };
}

/** Callers learn nothing of an unexpected error but its code; the log has the rest. */
const INTERNAL_MESSAGE = 'The host failed while it handled the request';

/** Decides what a caller is told about anything thrown. */
export function describeError(error: unknown): ErrorAnswer {
  const known = recognize(error);
  const { http: status, retryable } = ERRORS[known.code];
  const accepted = known instanceof AcceptedError;
  const headers: Record<string, string> = {};
  // The stock SDK sends a request again after 409, 429 and 5xx unless this header forbids it.
  if (accepted || !retryable) headers['x-should-retry'] = 'false';
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="orrery"';
  if (status === 429 || known.retryAfterMs !== undefined)
    headers['retry-after'] = retryAfterSeconds(known.retryAfterMs);
  const { code, message, hint } = known;
  return { status, headers, error: { code, message, hint, ...(accepted ? { id: known.id } : {}) } };
}

/** Brings an answer into OpenAI's form, which its clients read. */
export function openAiBody(answer: ErrorAnswer): object {
  const { code, message, hint, id } = answer.error;
  const type = openAiType(answer.status);
  return { error: { message, type, param: null, code, hint, ...(id === undefined ? {} : { id }) } };
}

/** Brings an answer into the gateway's own form. */
export function plainBody(answer: ErrorAnswer): object {
  return { error: answer.error };
}

/** At least one second: `Retry-After: 0` makes clients come back at once. */
function retryAfterSeconds(ms: number | undefined): string {
  return String(Math.max(1, Math.ceil((ms ?? 1000) / 1000)));
}

function recognize(error: unknown): OrreryError {
  if (error instanceof OrreryError) return error;
  if (codeOf(error) !== undefined) return asOrreryError(error, 'ORRERY_INTERNAL'); // it crossed a thread, and is of no class of ours
  const status = numberOf(error, 'statusCode');
  if (status === 413) return new OrreryError('ORRERY_TOO_LARGE', 'The request body is larger than the gateway takes');
  if (status === 404) return new OrreryError('ORRERY_NOT_FOUND', messageOf(error));
  if (status !== undefined && status >= 400 && status < 500) {
    return new OrreryError('ORRERY_BAD_REQUEST', messageOf(error));
  }
  return new OrreryError('ORRERY_INTERNAL', INTERNAL_MESSAGE, { cause: error });
}

function numberOf(source: unknown, key: string): number | undefined {
  if (typeof source !== 'object' || source === null) return undefined;
  const value: unknown = Reflect.get(source, key);
  return typeof value === 'number' ? value : undefined;
}

function openAiType(status: number): string {
  switch (status) {
    case 401:
      return 'authentication_error';
    case 403:
      return 'permission_error';
    case 404:
      return 'not_found_error';
    case 429:
      return 'rate_limit_error';
    default:
      return status < 500 ? 'invalid_request_error' : 'server_error';
  }
}
