/** Owns what a provider's failure means: a prompt that is too long, another refusal, or a provider that was not there. */
import { MAX_CAUSES, OrreryError, messageOf } from '../../protocol/errors.ts';

/** Characters of a provider's own words that are passed on. */
const MAX_MESSAGE = 500;
const RETRYABLE_STATUS: ReadonlySet<number> = new Set([408, 409, 425, 429]);
/** What the AI SDK calls an answer that does not parse or that ends early. */
const GARBLED: ReadonlySet<string> = new Set([
  'AI_JSONParseError',
  'AI_InvalidResponseDataError',
  'AI_EmptyResponseBodyError',
  'AI_NoOutputGeneratedError',
]);

/** How OpenAI, Anthropic, vLLM, llama.cpp, Ollama and others say that a prompt is longer than the model's window. */
const TOO_LONG =
  /context_length_exceeded|exceed_context_size|context (?:length|window|size|limit)|prompt is too long|(?:input|request|prompt) (?:is )?too (?:long|large)|input length and `max_tokens` exceed|input tokens exceed|too many (?:input )?tokens|reduce the length|request_too_large/i;
/** Characters of a provider's answer that are looked through for the above. */
const MAX_SEARCHED = 4_000;

/**
 * Turns anything that a provider's model threw into `ORRERY_MODEL_UNAVAILABLE` (no connection, a cut stream, 408, 429,
 * 5xx), `ORRERY_CONTEXT_TOO_LARGE` (the prompt is longer than the window) or `ORRERY_MODEL_FAILED` (any other refusal). The cause keeps the provider's words and status, but not the request:
 * that holds the conversation.
 */
export function modelError(model: string, error: unknown): OrreryError {
  if (error instanceof OrreryError) return error;
  const status = numberAt(error, 'statusCode');
  const words = messageOf(innermost(error)).slice(0, MAX_MESSAGE);
  const retryAfterMs = retryAfter(field(error, 'responseHeaders'));
  const refused = status !== undefined && status >= 400;
  const code = isTooLong(error, status)
    ? 'ORRERY_CONTEXT_TOO_LARGE'
    : isRetryable(error, status)
      ? 'ORRERY_MODEL_UNAVAILABLE'
      : 'ORRERY_MODEL_FAILED';
  return new OrreryError(code, refused ? `${model} answered ${status}: ${words}` : `${model}: ${words}`, {
    cause: stripped(error),
    details: { model, ...(status === undefined ? {} : { status }) },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** A refusal (400, 413, 422) or an event of a stream; what a limit of the rate says of tokens is none of it. */
function isTooLong(error: unknown, status: number | undefined): boolean {
  if (status !== undefined && status >= 400 && ![400, 413, 422].includes(status)) return false;
  const isEvent = field(error, 'cause') === undefined && !(error instanceof TypeError);
  if (status === undefined && !isEvent) return false;
  const body = textAt(error, 'responseBody') ?? '';
  const event = field(error, 'error');
  const told = [error, event].map((source) => `${textAt(source, 'code') ?? ''} ${textAt(source, 'message') ?? ''}`);
  const words = `${told.join(' ')} ${body}`;
  return TOO_LONG.test(words.slice(0, MAX_SEARCHED));
}

/** The window's size and the prompt's, as far as a provider told them, in its own tokens. */
export interface ToldSizes {
  readonly limit: number;
  readonly used: number;
}

/** `210000 tokens > 200000 maximum`; `maximum context length is 8192 tokens ... resulted in 9000 tokens`, with or without commas. */
const SIZES: readonly (readonly [pattern: RegExp, used: 1 | 2])[] = [
  [/([\d,]{3,})(?: tokens)? > ([\d,]{3,})/, 1],
  [/(?:maximum context length is|configured limit of|context size|context window)\D{0,20}([\d,]{3,})\D+([\d,]{3,})/, 2],
];

/** Reads the sizes out of a provider's words. */
export function toldSizes(message: string): ToldSizes | undefined {
  for (const [pattern, used] of SIZES) {
    const numbers =
      pattern
        .exec(message)
        ?.slice(1)
        .map((text) => Number(text.replaceAll(',', ''))) ?? [];
    const [first = 0, second = 0] = numbers;
    const sizes = used === 1 ? { limit: second, used: first } : { limit: first, used: second };
    if (sizes.limit > 0 && sizes.used > sizes.limit) return sizes;
  }
  return undefined;
}

function isRetryable(error: unknown, status: number | undefined): boolean {
  const told = field(error, 'isRetryable');
  if (status !== undefined && status >= 400) {
    return typeof told === 'boolean' ? told : status >= 500 || RETRYABLE_STATUS.has(status);
  }
  if (told === true) return true;
  const name = field(error, 'name');
  if (typeof name === 'string' && GARBLED.has(name)) return true;
  // undici's own: `fetch failed`, `terminated`. The SDK wraps some of them and lets others through.
  return chain(error).some((link) => isNetworkCode(field(link, 'code')) || FETCH_FAILED.test(messageOf(link)));
}

const FETCH_FAILED = /^(?:fetch failed|terminated)$/;

function isNetworkCode(code: unknown): boolean {
  return typeof code === 'string' && /^(?:UND_ERR_|E(?:CONN|PIPE|TIMEDOUT|HOST|NET|AI_|NOTFOUND))/.test(code);
}

/** Reads `retry-after-ms` and `retry-after`, the latter in seconds or as a date. */
export function retryAfter(headers: unknown, now: number = Date.now()): number | undefined {
  const ms = Number.parseFloat(textAt(headers, 'retry-after-ms') ?? '');
  if (ms >= 0) return Math.ceil(ms);
  const value = textAt(headers, 'retry-after');
  if (value === undefined) return undefined;
  if (/^\s*\d+(?:\.\d+)?\s*$/.test(value)) return Math.ceil(Number.parseFloat(value) * 1000);
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

/** "Failed to process successful response" says less than the socket error that caused it. */
function innermost(error: unknown): unknown {
  const links = chain(error);
  return field(error, 'statusCode') === undefined || (numberAt(error, 'statusCode') ?? 0) >= 400 ? error : links.at(-1);
}

function chain(error: unknown): readonly unknown[] {
  const links: unknown[] = [];
  for (
    let link = error;
    link !== undefined && link !== null && links.length < MAX_CAUSES;
    link = field(link, 'cause')
  ) {
    links.push(link);
  }
  return links;
}

function stripped(error: unknown, depth = 0): Error {
  const plain = new Error(messageOf(error).slice(0, MAX_MESSAGE));
  const name = field(error, 'name');
  if (typeof name === 'string') plain.name = name;
  const stack = field(error, 'stack');
  if (typeof stack === 'string') plain.stack = stack;
  const cause = field(error, 'cause');
  if (cause instanceof Error && depth < MAX_CAUSES) plain.cause = stripped(cause, depth + 1);
  return plain;
}

function field(source: unknown, key: string): unknown {
  return typeof source === 'object' && source !== null ? Reflect.get(source, key) : undefined;
}

function numberAt(source: unknown, key: string): number | undefined {
  const value = field(source, key);
  return typeof value === 'number' ? value : undefined;
}

function textAt(source: unknown, key: string): string | undefined {
  const value = field(source, key);
  return typeof value === 'string' ? value : undefined;
}
