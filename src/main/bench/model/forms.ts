/** Owns the forms in which a reply is written: OpenAI's chat completions and Anthropic's messages, streamed and whole. */
import type { CountedMessage } from '../../tokens/index.ts';

export interface Head {
  readonly n: number;
  /** As it was asked for. */
  readonly model: string;
  /** Unix time in seconds. */
  readonly created: number;
}

export interface Ended {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Whether the request's bound ended it. */
  readonly isCut: boolean;
}

/** What a provider's interface is made of. */
export interface Form {
  readonly path: string;
  /** What was asked, for counting. Throws a `TypeError` that says what was expected. */
  messages(body: Body): readonly CountedMessage[];
  /** The tokens that the request allows. */
  most(body: Body): number | undefined;
  /** Events of a stream: before the first token, each token, and the end. */
  first(head: Head, inputTokens: number): string;
  piece(head: Head): (text: string) => string;
  last(head: Head, ended: Ended, body: Body): string;
  whole(head: Head, text: string, ended: Ended): object;
  error(status: number, message: string): object;
}

export type Body = Readonly<Record<string, unknown>>;

export const openaiForm: Form = {
  path: '/v1/chat/completions',
  messages: (body) => readMessages(body['messages']),
  most: (body) =>
    wholeOf(body['max_completion_tokens'], 'max_completion_tokens') ?? wholeOf(body['max_tokens'], 'max_tokens'),
  first: (head) => chunk(head, '{"role":"assistant","content":""}', 'null'),
  piece(head) {
    // All chunks of a reply have the same frame: it is written once.
    const [before = '', after = ''] = chunk(head, '{"content":"\u0000"}', 'null').split('"\u0000"');
    return (text) => `${before}${JSON.stringify(text)}${after}`;
  },
  last(head, ended, body) {
    const options = body['stream_options'];
    const wantsUsage = typeof options === 'object' && options !== null && (options as Body)['include_usage'] === true;
    const usage = wantsUsage ? data({ ...chunkHead(head), choices: [], usage: openaiUsage(ended) }) : '';
    return `${chunk(head, '{}', ended.isCut ? '"length"' : '"stop"')}${usage}data: [DONE]\n\n`;
  },
  whole: (head, content, ended) => ({
    ...chunkHead(head),
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content, refusal: null },
        logprobs: null,
        finish_reason: ended.isCut ? 'length' : 'stop',
      },
    ],
    usage: openaiUsage(ended),
  }),
  error: (status, message) => ({
    error: {
      message,
      type: OPENAI_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'server_error'),
      param: null,
      code: OPENAI_CODES[status] ?? null,
    },
  }),
};

const OPENAI_TYPES: Readonly<Record<number, string>> = { 429: 'requests' };
const OPENAI_CODES: Readonly<Record<number, string>> = { 429: 'rate_limit_exceeded' };

export const anthropicForm: Form = {
  path: '/v1/messages',
  messages(body) {
    const messages = readMessages(body['messages']);
    const { system } = body as { readonly system?: unknown };
    return system === undefined
      ? messages
      : [{ role: 'system', content: readContent(system, '`system`') }, ...messages];
  },
  most: (body) => wholeOf(body['max_tokens'], 'max_tokens'),
  first: (head, inputTokens) =>
    named('message_start', { message: { ...message(head), usage: { input_tokens: inputTokens, output_tokens: 1 } } }) +
    named('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
  piece: () => (text) => named('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
  last: (_, ended) =>
    named('content_block_stop', { index: 0 }) +
    named('message_delta', {
      delta: { stop_reason: stopReason(ended), stop_sequence: null },
      usage: { output_tokens: ended.outputTokens },
    }) +
    named('message_stop', {}),
  whole: (head, text, ended) => ({
    ...message(head),
    content: [{ type: 'text', text }],
    stop_reason: stopReason(ended),
    usage: { input_tokens: ended.inputTokens, output_tokens: ended.outputTokens },
  }),
  error: (status, text) => ({
    type: 'error',
    error: { type: ANTHROPIC_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error'), message: text },
  }),
};

const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  529: 'overloaded_error',
};

function chunkHead({ n, model, created }: Head): object {
  return { id: `chatcmpl-${n}`, object: 'chat.completion.chunk', created, model };
}

/** `delta` and `finish` are JSON. */
function chunk(head: Head, delta: string, finish: string): string {
  const frame = JSON.stringify(chunkHead(head)).slice(0, -1);
  return `data: ${frame},"choices":[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}]}\n\n`;
}

function data(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

function named(type: string, value: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...value })}\n\n`;
}

function openaiUsage({ inputTokens, outputTokens }: Ended): object {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
}

function message({ n, model }: Head): object {
  return {
    id: `msg_${n}`,
    type: 'message',
    role: 'assistant',
    model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
  };
}

function stopReason({ isCut }: Ended): string {
  return isCut ? 'max_tokens' : 'end_turn';
}

function readMessages(value: unknown): readonly CountedMessage[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new TypeError('Expected `messages` to be a list that is not empty');
  return value.map((one: unknown, i) => {
    const { role, content } = typeof one === 'object' && one !== null ? (one as Body) : {};
    if (typeof role !== 'string') throw new TypeError(`Expected \`messages[${i}].role\` to be a text`);
    return { role, content: readContent(content ?? '', `\`messages[${i}].content\``) };
  });
}

function readContent(value: unknown, where: string): string | readonly { type: string; text?: string }[] {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) throw new TypeError(`Expected ${where} to be a text or a list of parts`);
  return value.map((part: unknown) => {
    const { type, text } = typeof part === 'object' && part !== null ? (part as Body) : {};
    return { type: typeof type === 'string' ? type : 'unknown', ...(typeof text === 'string' ? { text } : {}) };
  });
}

function wholeOf(value: unknown, name: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (Number.isSafeInteger(value) && Number(value) >= 1) return Number(value);
  throw new TypeError(`Expected \`${name}\` to be a whole number of at least 1`);
}
