/** Owns how untrusted JSON becomes a message for the host: ids, namespaces, content. It sends nothing. */
import { randomUUID } from 'node:crypto';
import {
  type MessagePart,
  Namespace,
  OrreryError,
  QUEUE_MODES,
  type QueueMode,
  type TurnContext,
  type UserMessage,
  isQueueMode,
} from '../../../protocol/index.ts';
import { didYouMean } from '../../../lib/did-you-mean.ts';

/** A message on its way in. */
export interface Ask {
  readonly id: string;
  /** As stored: below the channel's name. */
  readonly namespace: string;
  readonly message: UserMessage;
  readonly metadata: Readonly<Record<string, string>>;
  /** The agent that the caller named. */
  readonly agent?: string;
  /** The queue mode that the caller asked for. */
  readonly queue?: QueueMode;
  readonly context?: TurnContext;
}

/** What `/api/chat` and a `chat` frame ask for. */
export interface ChatAsk extends Ask {
  /** The namespace as its caller sent it. */
  readonly echo: string;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** Characters of a message's id. */
export const MAX_ID_LENGTH = 256;
/** Characters of a namespace as sent. */
export const MAX_NAMESPACE_LENGTH = 1024;
/** Keys of a message's metadata. */
export const MAX_METADATA_KEYS = 64;
/** Characters of a caller's word that an error repeats. */
const MAX_SHOWN = 60;

const NO_METADATA: Readonly<Record<string, string>> = Object.freeze({});
/** Segments that are written as they are; made-up ids always are. */
const PLAIN = /^[^:%]+$/;
/** Printable ASCII: an id goes into header values, logs and keys. */
const ID = /^[\x20-\x7e]+$/;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function bad(message: string): OrreryError {
  return new OrreryError('ORRERY_BAD_REQUEST', message);
}

/** Reads a body that has to be an object. */
export function readObject(body: unknown): JsonObject {
  if (isObject(body)) return body;
  throw bad(`Expected a JSON object, got ${kindOf(body)}`);
}

/** Reads a text that may be absent but not empty. */
export function optionalText(body: JsonObject, key: string): string | undefined {
  const value = body[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' && value !== '') return value;
  throw bad(`Expected \`${key}\` to be a string that is not empty, got ${kindOf(value)}`);
}

export function readId(id: unknown, what: string): string {
  if (typeof id === 'string' && id.length <= MAX_ID_LENGTH && ID.test(id)) return id;
  throw bad(`Expected ${what} to be 1 to ${MAX_ID_LENGTH} printable ASCII characters`);
}

/** What a body of `/api/chat` may have. */
export const CHAT_KEYS: readonly string[] = ['message', 'namespace', 'agent', 'metadata', 'queue', 'id'];
/** What a `chat` frame may have. */
export const CHAT_FRAME_KEYS: readonly string[] = ['type', ...CHAT_KEYS];

/** Other interfaces' words for ours: no spelling leads from one to the other. */
const SYNONYMS: ReadonlyMap<string, string> = new Map([
  ['session', 'namespace'],
  ['session_id', 'namespace'],
  ['sessionId', 'namespace'],
  ['conversation', 'namespace'],
  ['model', 'agent'],
  ['mode', 'queue'],
  ['content', 'message'],
  ['text', 'message'],
  ['prompt', 'message'],
]);

/** Refuses what it does not know: a misspelt `namespace` would otherwise give each message a session of its own. */
function checkKeys(body: JsonObject, known: readonly string[]): void {
  const unknown = Object.keys(body).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  const near = SYNONYMS.get(unknown) ?? didYouMean(unknown.slice(0, MAX_SHOWN), known);
  const meant = near === undefined ? '' : `; did you mean \`${near}\`?`;
  throw bad(`Expected the keys ${known.join(', ')}, got ${shown(unknown)}${meant}`);
}

/**
 * Reads `{message, namespace?, agent?, metadata?, queue?, id?}`; `root` is the channel's namespace in its written form,
 * `known` the keys that may be there.
 */
export function readChat(root: string, body: JsonObject, known: readonly string[] = CHAT_KEYS): ChatAsk {
  checkKeys(body, known);
  const message = body['message'];
  if (typeof message !== 'string' || message === '') {
    throw bad(`Expected \`message\` to be a string that is not empty, got ${kindOf(message)}`);
  }
  const id = body['id'] === undefined ? randomUUID() : readId(body['id'], '`id`');
  const sent = optionalText(body, 'namespace');
  const namespace = sent === undefined ? ownNamespace('chat', id) : readNamespace(sent);
  const agent = optionalText(body, 'agent');
  const queue = readQueue(body['queue']);
  return {
    id,
    echo: sent ?? namespace,
    namespace: `${root}:${namespace}`,
    message: { role: 'user', content: message },
    metadata: readMetadata(body['metadata']),
    ...(agent === undefined ? {} : { agent }),
    ...(queue === undefined ? {} : { queue }),
  };
}

function readQueue(value: unknown): QueueMode | undefined {
  if (value === undefined || value === null) return undefined;
  if (isQueueMode(value)) return value;
  throw bad(`Expected \`queue\` to be one of ${QUEUE_MODES.join(', ')}, got ${shown(value)}`);
}

/** Shows a short value that cannot be a secret: a mode's, or a key. */
function shown(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value !== 'string' || value === '') return kindOf(value);
  return JSON.stringify(value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN - 3)}...` : value);
}

/**
 * The namespace of a message that names none: its own, so that its session is shared with nobody. It follows from the id
 * alone: the same id again is then the same message.
 */
export function ownNamespace(kind: string, id: string): string {
  return PLAIN.test(id) ? `${kind}:${id}` : new Namespace(kind, id).key;
}

/** Reads a caller's namespace into its written form. */
export function readNamespace(namespace: string): string {
  if (namespace.length > MAX_NAMESPACE_LENGTH) {
    throw bad(`Expected a namespace of at most ${MAX_NAMESPACE_LENGTH} characters, got ${namespace.length}`);
  }
  return Namespace.parse(namespace).key;
}

export function readMetadata(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return NO_METADATA;
  if (!isObject(value)) throw bad(`Expected \`metadata\` to be an object of strings, got ${kindOf(value)}`);
  const entries = Object.entries(value);
  if (entries.length > MAX_METADATA_KEYS) {
    throw bad(`Expected \`metadata\` to have at most ${MAX_METADATA_KEYS} keys, got ${entries.length}`);
  }
  for (const [key, text] of entries) {
    if (typeof text !== 'string') throw bad(`Expected \`metadata.${key}\` to be a string, got ${kindOf(text)}`);
  }
  return Object.fromEntries(entries) as Record<string, string>;
}

/** Reads OpenAI content: a string, or an array of text and, where they may be, image parts. */
export function readContent(
  value: unknown,
  where: string,
  images: boolean,
): { readonly content: string; readonly parts?: readonly MessagePart[] } {
  if (typeof value === 'string') return { content: value };
  if (!Array.isArray(value))
    throw bad(`Expected \`${where}\` to be a string or an array of parts, got ${kindOf(value)}`);
  const parts = value.map((part: unknown, i) => readPart(part, `${where}[${i}]`, images));
  const content = parts.flatMap((p) => (p.type === 'text' ? [p.text] : [])).join('\n');
  return parts.every((p) => p.type === 'text') ? { content } : { content, parts };
}

function readPart(part: unknown, where: string, images: boolean): MessagePart {
  if (!isObject(part)) throw bad(`Expected \`${where}\` to be an object, got ${kindOf(part)}`);
  const { type } = part;
  if (type === 'text' && typeof part['text'] === 'string') return { type: 'text', text: part['text'] };
  const image = part['image_url'];
  if (images && type === 'image_url' && isObject(image) && typeof image['url'] === 'string') {
    return { type: 'image', url: readImageUrl(image['url'], where) };
  }
  throw new OrreryError(
    'ORRERY_UNSUPPORTED',
    `The content part \`${where}\` of type ${JSON.stringify(type)} is not supported`,
    {
      hint: images ? 'Send parts of type `text` and `image_url`.' : 'Send parts of type `text`.',
    },
  );
}

function readImageUrl(url: string, where: string): string {
  if (/^(?:https?:\/\/|data:image\/)/i.test(url)) return url;
  throw bad(`Expected \`${where}.image_url.url\` to be an http, https or data:image URL`);
}

/** Names a value's kind without repeating it: it may be long, or secret. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (value === '') return 'an empty string';
  if (Array.isArray(value)) return 'an array';
  return value === undefined ? 'nothing' : `a value of type ${typeof value}`;
}
