/** Owns what of OpenAI's chat completions is read: text, usage, and errors. It knows no connection and no clock but the caller's. */
import type { Answered, Failed } from './outcome.ts';
import { EventReader } from './sse.ts';

/** Characters of a reply that are kept for counting its tokens. */
const MAX_TEXT = 4 * 1024 * 1024;
const MAX_MESSAGE = 200;
const MAX_CODE = 60;

type Json = Readonly<Record<string, unknown>>;

/** Why an answer is none. */
export type Fault = Pick<Failed, 'kind' | 'code' | 'message'>;

/** Reads one streamed answer. Times are the caller's. */
export class StreamReader {
  readonly #events = new EventReader();
  readonly #gaps: number[] = [];
  #text = '';
  #firstAt: number | null = null;
  #lastAt = 0;
  #usage: Json = {};
  #isDone = false;
  #fault: Fault | undefined;

  push(part: string, now: number): void {
    if (this.#fault) return;
    try {
      for (const data of this.#events.push(part)) this.#event(data, now);
    } catch (error) {
      this.#fault = fault('bad_event', error instanceof Error ? error.message : String(error));
    }
  }

  end(endedAt: number): Answered | Fault {
    if (this.#fault) return this.#fault;
    if (!this.#isDone) return fault('cut_short', 'the stream ended without [DONE] and without a finish_reason');
    const { prompt_tokens: input, completion_tokens: output } = this.#usage;
    return {
      ok: true,
      firstAt: this.#firstAt,
      endedAt,
      gaps: this.#gaps,
      inputTokens: countOf(input),
      outputTokens: countOf(output),
      text: this.#text,
    };
  }

  #event(data: string, now: number): void {
    if (data === '[DONE]') {
      this.#isDone = true;
      return;
    }
    const event = objectOf(JSON.parse(data));
    if (event['error'] !== undefined) {
      this.#fault = faultOf(event);
      return;
    }
    const choice = firstChoice(event);
    if (typeof choice['finish_reason'] === 'string') this.#isDone = true;
    if (typeof event['usage'] === 'object' && event['usage'] !== null) this.#usage = objectOf(event['usage']);
    const content = objectOf(choice['delta'])['content'];
    if (typeof content === 'string' && content !== '') this.#delta(content, now);
  }

  #delta(content: string, now: number): void {
    if (this.#firstAt === null) this.#firstAt = now;
    else this.#gaps.push(now - this.#lastAt);
    this.#lastAt = now;
    if (this.#text.length < MAX_TEXT) this.#text += content;
  }
}

/** Reads an answer that came whole. */
export function readWhole(body: string, endedAt: number): Answered | Fault {
  let answer: Json;
  try {
    answer = objectOf(JSON.parse(body));
  } catch {
    return fault('no_json', `the answer is no JSON: ${shorten(body)}`);
  }
  const content = objectOf(firstChoice(answer)['message'])['content'];
  if (typeof content !== 'string')
    return fault('no_content', `the answer has no choices[0].message.content: ${shorten(body)}`);
  const usage = objectOf(answer['usage']);
  return {
    ok: true,
    firstAt: null,
    endedAt,
    gaps: [],
    inputTokens: countOf(usage['prompt_tokens']),
    outputTokens: countOf(usage['completion_tokens']),
    text: content.slice(0, MAX_TEXT),
  };
}

/** Tells code and message of an error's body, in OpenAI's form or any other. */
export function readError(body: string): { readonly code?: string; readonly message: string } {
  try {
    const { code, message } = faultOf(objectOf(JSON.parse(body)));
    return code === undefined ? { message } : { code, message };
  } catch {
    return { message: shorten(body) };
  }
}

/** Milliseconds that `Retry-After` asks for, in seconds or as a date; undefined when it does not. */
export function readRetryAfter(header: string | undefined, now: number = Date.now()): number | undefined {
  if (header === undefined || header.trim() === '') return undefined;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(header) - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

function faultOf(body: Json): Fault {
  const error = body['error'];
  if (typeof error === 'string') return { kind: 'answer', message: shorten(error) };
  const { code, type, message } = objectOf(error);
  const name = [code, type].find((one) => typeof one === 'string' && one !== '') as string | undefined;
  const text = typeof message === 'string' ? message : JSON.stringify(body);
  return { kind: 'answer', ...(name === undefined ? {} : { code: name.slice(0, MAX_CODE) }), message: shorten(text) };
}

function fault(code: string, message: string): Fault {
  return { kind: 'answer', code, message };
}

function firstChoice(answer: Json): Json {
  const choices = answer['choices'];
  return Array.isArray(choices) ? objectOf(choices[0]) : {};
}

function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

function countOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null;
}

function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > MAX_MESSAGE ? `${line.slice(0, MAX_MESSAGE)}...` : line;
}
