/** Owns what a person on a chat network reads of an error: a short sentence, without codes, causes or anything internal. */
import { ERRORS, type WireError, isErrorCode } from '../../../protocol/index.ts';

/** Every sentence about an error begins with it. */
export const ERROR_SIGN = '⚠';

const BUSY = 'I have too much to do at the moment. Please try again in a minute.';
const GONE = 'I cannot answer at the moment. Please try again later.';
const FAILED = 'Something went wrong while I was answering.';

const SENTENCES: Readonly<Record<string, string>> = {
  ORRERY_MAILBOX_FULL: 'You sent more messages than I can keep. Please wait for my answers.',
  ORRERY_OVERLOADED: BUSY,
  ORRERY_RATE_LIMITED: BUSY,
  ORRERY_DATABASE_FAILED: GONE,
  ORRERY_JOURNAL_FAILED: GONE,
  ORRERY_DRAINING: 'I am about to restart. Please send that again in a minute.',
  ORRERY_INTERRUPTED: 'I was restarted before I could answer. Please send that again.',
  ORRERY_CANCELLED: 'I stopped, as I was told.',
  ORRERY_TOO_LARGE: 'That message is too long for me.',
  ORRERY_CONTEXT_TOO_LARGE: 'That message is too long for me.',
  ORRERY_TURN_DEADLINE: 'That took too long, so I stopped.',
  ORRERY_UNROUTABLE: 'There is nobody here who could answer that.',
  ORRERY_AGENT_UNKNOWN: 'There is nobody here who could answer that.',
  ORRERY_AGENT_STOPPED: GONE,
  ORRERY_AGENT_ESCALATED: GONE,
  ORRERY_MODEL_UNAVAILABLE: GONE,
};

/** Writes an error for people. */
export function errorText({ code, retryAfterMs }: WireError): string {
  const sentence = isErrorCode(code) ? (SENTENCES[code] ?? (ERRORS[code].retryable ? GONE : FAILED)) : FAILED;
  return `${ERROR_SIGN} ${sentence}${waitText(code, retryAfterMs)}`;
}

/** Tells a user once that more messages are passed over. */
export function limitText(retryAfterMs: number): string {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  return `${ERROR_SIGN} You are sending messages faster than I may answer. I go on in ${seconds} s.`;
}

function waitText(code: string | undefined, retryAfterMs: number | undefined): string {
  const isLong = retryAfterMs !== undefined && retryAfterMs > 60_000;
  return isLong && code !== undefined ? ` (${Math.ceil(retryAfterMs / 60_000)} min)` : '';
}
