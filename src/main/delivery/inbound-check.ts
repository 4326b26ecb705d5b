/**
 * Owns the check of what channels and callers hand in. Types promise its shape, but a message may come from JSON or from
 * plain JavaScript; what passes here is plain data that crosses a thread.
 */
import {
  type ChatMessage,
  type InboundMessage,
  type MessagePart,
  OrreryError,
  QUEUE_MODES,
  isQueueMode,
} from '../../protocol/index.ts';

const ROLES = new Set<unknown>(['system', 'user', 'assistant', 'tool']);
const PART_KEYS: Readonly<Record<string, string>> = { text: 'text', image: 'url', file: 'url' };

/** Throws `ORRERY_BAD_REQUEST` that names the field, or `ORRERY_TOO_LARGE`. */
export function checkInbound(inbound: InboundMessage, maxBytes: number): void {
  text(inbound.id, 'id');
  text(inbound.channel, 'channel');
  text(inbound.namespace, 'namespace');
  if (inbound.account !== undefined) text(inbound.account, 'account');
  if (inbound.agent !== undefined) text(inbound.agent, 'agent');
  if (inbound.queue !== undefined && !isQueueMode(inbound.queue)) {
    throw bad('queue', QUEUE_MODES.map((mode) => JSON.stringify(mode)).join(' or '), inbound.queue);
  }
  checkMetadata(inbound.metadata);
  const message: unknown = inbound.message;
  if (!isRecord(message)) throw bad('message', 'an object', message);
  if (message['role'] !== 'user') throw bad('message.role', '"user"', message['role']);
  let size = checkBody(inbound.message, 'message');
  if (inbound.context !== undefined) size += checkContext(inbound.context);
  // A UTF-16 unit is at most 3 bytes: only what may exceed the bound is measured exactly.
  if (size * 3 > maxBytes) checkSize(inbound, maxBytes);
}

function checkMetadata(metadata: unknown): void {
  if (!isRecord(metadata)) throw bad('metadata', 'an object of strings', metadata);
  for (const key in metadata) {
    if (typeof metadata[key] !== 'string') throw bad(`metadata.${key}`, 'a string', metadata[key]);
  }
}

function checkContext(context: unknown): number {
  if (!isRecord(context)) throw bad('context', 'an object', context);
  const { mode, messages } = context;
  if (mode !== 'replace' && mode !== 'append') throw bad('context.mode', '"replace" or "append"', mode);
  if (!Array.isArray(messages)) throw bad('context.messages', 'a list of messages', messages);
  let size = 0;
  for (const [i, message] of messages.entries()) {
    const path = `context.messages[${i}]`;
    if (!isRecord(message)) throw bad(path, 'an object', message);
    if (!ROLES.has(message['role']))
      throw bad(`${path}.role`, '"system", "user", "assistant" or "tool"', message['role']);
    size += checkBody(message, path);
  }
  return size;
}

/** Returns the length of what is said: the content, and the texts and addresses of the parts. */
function checkBody(message: Pick<ChatMessage, 'content' | 'parts'> | Record<string, unknown>, path: string): number {
  const { content, parts } = message;
  if (typeof content !== 'string') throw bad(`${path}.content`, 'a string', content);
  if (parts === undefined) return content.length;
  if (!Array.isArray(parts)) throw bad(`${path}.parts`, 'a list', parts);
  let size = content.length;
  for (const [i, part] of parts.entries()) size += checkPart(part, `${path}.parts[${i}]`);
  return size;
}

function checkPart(part: unknown, path: string): number {
  if (!isRecord(part)) throw bad(path, 'an object', part);
  const type = part['type'];
  const key = typeof type === 'string' && Object.hasOwn(PART_KEYS, type) ? PART_KEYS[type] : undefined;
  if (key === undefined) throw bad(`${path}.type`, '"text", "image" or "file"', type);
  let size = 0;
  for (const [name, value] of Object.entries(part)) {
    if (typeof value !== 'string') throw bad(`${path}.${name}`, 'a string', value);
    if (name !== 'type') size += value.length;
  }
  if (part[key] === undefined) throw bad(`${path}.${key}`, 'a string', undefined);
  return size;
}

function checkSize(inbound: InboundMessage, maxBytes: number): void {
  let bytes = 0;
  for (const { content, parts = [] } of [inbound.message, ...(inbound.context?.messages ?? [])]) {
    bytes += Buffer.byteLength(content);
    for (const part of parts) bytes += bytesOf(part);
  }
  if (bytes > maxBytes) {
    throw new OrreryError(
      'ORRERY_TOO_LARGE',
      `The message has ${bytes} bytes of text and addresses, the bound is ${maxBytes}`,
    );
  }
}

/** All that a part holds is text, and was checked to be. */
function bytesOf(part: MessagePart): number {
  let bytes = 0;
  for (const [name, value] of Object.entries<string>(part)) if (name !== 'type') bytes += Buffer.byteLength(value);
  return bytes;
}

function text(value: unknown, path: string): void {
  if (typeof value !== 'string' || value === '') throw bad(path, 'a string that is not empty', value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bad(path: string, expected: string, got: unknown): OrreryError {
  const shown = typeof got === 'string' ? JSON.stringify(got.slice(0, 60)) : got === null ? 'null' : typeof got;
  return new OrreryError('ORRERY_BAD_REQUEST', `Expected \`${path}\` to be ${expected}, got ${shown}`);
}
