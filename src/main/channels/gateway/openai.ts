/** Owns OpenAI's shapes: how a completion request is read and how a completion is written. It talks to nobody. */
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import {
  type ChatMessage,
  type DeliveredReply,
  OrreryError,
  type TurnContext,
  type UserMessage,
} from '../../../protocol/index.ts';
import {
  type Ask,
  type JsonObject,
  bad,
  isObject,
  kindOf,
  ownNamespace,
  readContent,
  readId,
  readMetadata,
  readObject,
  readNamespace,
} from './ask.ts';

export interface CompletionAsk extends Ask {
  readonly stream: boolean;
  /** Whether a stream ends with a chunk that tells the usage. */
  readonly includeUsage: boolean;
  /** The model as asked for. */
  readonly model: string;
}

/** The model that stands for the default agent; with `/` and a name, for that agent. */
export const DEFAULT_MODEL = 'orrery';

/** Reads a request to `/v1/chat/completions`; `root` is the channel's namespace in its written form. Throws `ORRERY_BAD_REQUEST` and `ORRERY_UNSUPPORTED`. */
export function readCompletion(root: string, payload: unknown, headers: IncomingHttpHeaders): CompletionAsk {
  const body = readObject(payload);
  refuseUnsupported(body);
  const session = headers['x-orrery-session'];
  const key = headers['idempotency-key'];
  const id = key === undefined ? randomUUID() : readId(key, 'the header `Idempotency-Key`');
  const { message, context } = readMessages(body['messages'], session !== undefined);
  const model = readModel(body['model']);
  const agent = agentOf(model);
  // Without a session the namespace is one of its own: nobody waits behind it, and the same key finds it again.
  const namespace = typeof session === 'string' ? readNamespace(session) : ownNamespace('v1', id);
  return {
    id,
    namespace: `${root}:${namespace}`,
    message,
    metadata: readMetadata(body['metadata']),
    stream: readFlag(body, 'stream'),
    includeUsage: isObject(body['stream_options']) && body['stream_options']['include_usage'] === true,
    model,
    ...(agent === undefined ? {} : { agent }),
    ...(context === undefined ? {} : { context }),
  };
}

/** Returns the agent that a model names; undefined for the default. */
export function agentOf(model: string): string | undefined {
  if (model === DEFAULT_MODEL) return undefined;
  return model.startsWith(`${DEFAULT_MODEL}/`) ? model.slice(DEFAULT_MODEL.length + 1) : model;
}

/** Without a session the messages are the whole history; with one, what follows the last answer is new. */
function readMessages(
  value: unknown,
  session: boolean,
): { readonly message: UserMessage; readonly context?: TurnContext } {
  if (!Array.isArray(value) || value.length === 0) {
    throw bad(`Expected \`messages\` to be an array that is not empty, got ${kindOf(value)}`);
  }
  const all = value.map((line: unknown, i) => readLine(line, `messages[${i}]`));
  const last = all.at(-1);
  if (last?.role !== 'user') throw bad('Expected the last message to be from the user');
  const from = session ? all.findLastIndex((line) => line.role === 'assistant') + 1 : 0;
  const messages = all.slice(from, -1);
  const { content, parts } = last;
  return {
    message: { role: 'user', content, ...(parts === undefined ? {} : { parts }) },
    ...(session && messages.length === 0 ? {} : { context: { mode: session ? 'append' : 'replace', messages } }),
  };
}

function readLine(line: unknown, where: string): ChatMessage {
  if (!isObject(line)) throw bad(`Expected \`${where}\` to be an object, got ${kindOf(line)}`);
  const { role } = line;
  switch (role) {
    case 'system':
    case 'developer':
      return { role: 'system', ...readContent(line['content'], `${where}.content`, false) };
    case 'user':
      return { role, ...readContent(line['content'], `${where}.content`, true) };
    case 'assistant':
      if (isFilled(line['tool_calls']) || isFilled(line['function_call'])) throw unsupported(`${where}.tool_calls`);
      return { role, ...readContent(line['content'] ?? '', `${where}.content`, false) };
    case 'tool':
    case 'function':
      throw unsupported(`${where}.role`);
    default:
      throw bad(`Expected \`${where}.role\` to be system, developer, user or assistant`);
  }
}

function readModel(value: unknown): string {
  if (value === undefined || value === null) return DEFAULT_MODEL;
  if (typeof value === 'string' && value !== '') return value;
  throw bad(`Expected \`model\` to be a string that is not empty, got ${kindOf(value)}`);
}

function readFlag(body: JsonObject, key: string): boolean {
  const value = body[key] ?? false;
  if (typeof value === 'boolean') return value;
  throw bad(`Expected \`${key}\` to be true or false, got ${kindOf(value)}`);
}

/**
 * Refuses what would change the answer's form or its meaning. Sampling parameters are the agent's own affair: clients send
 * them with every request, so they are taken and not applied.
 */
function refuseUnsupported(body: JsonObject): void {
  const { n } = body;
  if (n !== undefined && n !== null && n !== 1) throw unsupported('n', 'Only one answer is given: leave `n` out.');
  for (const key of ['tools', 'functions', 'stop', 'logit_bias', 'audio', 'web_search_options'] as const) {
    if (isFilled(body[key])) throw unsupported(key);
  }
  for (const key of ['logprobs', 'top_logprobs'] as const) if (body[key]) throw unsupported(key);
  for (const key of ['tool_choice', 'function_call'] as const) {
    if (isFilled(body[key]) && body[key] !== 'none' && body[key] !== 'auto') throw unsupported(key);
  }
  const format = body['response_format'];
  if (isObject(format) && format['type'] !== 'text') throw unsupported('response_format');
  const modalities = body['modalities'];
  if (Array.isArray(modalities) && modalities.some((m) => m !== 'text')) throw unsupported('modalities');
}

function unsupported(what: string, hint?: string): OrreryError {
  return new OrreryError('ORRERY_UNSUPPORTED', `\`${what}\` is not supported`, hint === undefined ? {} : { hint });
}

function isFilled(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

/** Writes a completion; `id` is the message's own. */
export function completionOf(id: string, reply: DeliveredReply): object {
  return {
    id: `chatcmpl-${id}`,
    object: 'chat.completion',
    created: seconds(),
    model: reply.agent,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: reply.message.content, refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: usageOf(reply),
  };
}

/** Writes the events of one streamed completion; what they share is written once. */
export class ChunkWriter {
  readonly #head: string;
  readonly #usageNull: string;

  constructor(id: string, model: string, includeUsage: boolean) {
    const head = JSON.stringify({
      id: `chatcmpl-${id}`,
      object: 'chat.completion.chunk',
      created: seconds(),
      model,
    });
    this.#head = `data: ${head.slice(0, -1)},"choices":`;
    this.#usageNull = includeUsage ? ',"usage":null' : '';
  }

  first(): string {
    return this.#chunk('{"role":"assistant","content":""}', 'null');
  }

  delta(text: string): string {
    return this.#chunk(`{"content":${JSON.stringify(text)}}`, 'null');
  }

  last(): string {
    return this.#chunk('{}', '"stop"');
  }

  usage(reply: DeliveredReply): string {
    return `${this.#head}[],"usage":${JSON.stringify(usageOf(reply))}}\n\n`;
  }

  #chunk(delta: string, finish: string): string {
    return `${this.#head}[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}]${this.#usageNull}}\n\n`;
  }
}

function usageOf({ usage }: DeliveredReply): object {
  const { inputTokens, outputTokens } = usage;
  return { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens };
}

function seconds(): number {
  return Math.floor(Date.now() / 1000);
}
