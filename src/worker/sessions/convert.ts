/**
 * Owns the two forms of a message: as people and agents see it (`ChatMessage`) and as models are given it and sessions keep
 * it (`ModelMessage`). A way there and back keeps text, images and files; tool calls show as the text of their results.
 */
import type { FilePart, ImagePart, ModelMessage, TextPart, ToolResultPart } from 'ai';
import type { ChatMessage, MessagePart, StoredMessage } from '../../protocol/index.ts';
import type { StoredModelMessage } from './store.ts';

/** What stands for an image whose exact type is not known: the SDK takes the first half of a media type alone. */
const IMAGE = 'image';
const ANY_FILE = 'application/octet-stream';

/** Turns a message into what a model is given. A reference stays one: nothing is fetched. */
export function modelMessageOf({ role, content, parts = [] }: ChatMessage): ModelMessage {
  if (role === 'system' || role === 'assistant') return { role, content };
  // A result without the call that it answers is refused by every provider; as text the model still knows of it.
  if (role === 'tool') return { role: 'user', content: `Tool result:\n${content}` };
  if (parts.length === 0) return { role, content };
  const converted = parts.map(contentPartOf);
  // Text parts say the same as `content`, in their own order among the images.
  if (content !== '' && !parts.some((part) => part.type === 'text')) converted.unshift({ type: 'text', text: content });
  return { role, content: converted };
}

/** Turns a stored message into what people and agents see. */
export function chatMessageOf({ role, content }: ModelMessage): ChatMessage {
  if (typeof content === 'string') return { role, content };
  const texts: string[] = [];
  const parts: MessagePart[] = [];
  for (const part of content) {
    if (part.type === 'text') {
      texts.push(part.text);
      parts.push({ type: 'text', text: part.text });
    } else if (part.type === 'tool-result') {
      texts.push(resultText(part));
    } else if (part.type === 'file' || part.type === 'image') {
      parts.push(...referenceOf(part));
    }
  }
  const text = texts.join('\n');
  return parts.some((part) => part.type !== 'text') ? { role, content: text, parts } : { role, content: text };
}

/** Turns a line of a session into what people see of it. */
export function storedMessageOf({ message, timestamp, delivery, tokens }: StoredModelMessage): StoredMessage {
  const line = { ...chatMessageOf(message), timestamp, delivery };
  return tokens === undefined ? line : { ...line, tokens };
}

/** The text of a tool's result, as a person may read it. */
export function resultText({ output }: ToolResultPart): string {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return output.value;
    case 'execution-denied':
      return output.reason ?? 'denied';
    case 'json':
    case 'error-json':
    case 'content':
      return JSON.stringify(output.value);
  }
}

function contentPartOf(part: MessagePart): TextPart | FilePart {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: part.text };
    case 'image':
      return { type: 'file', data: part.url, mediaType: part.mediaType ?? IMAGE };
    case 'file': {
      const file: FilePart = { type: 'file', data: part.url, mediaType: part.mediaType ?? ANY_FILE };
      return part.name === undefined ? file : { ...file, filename: part.name };
    }
  }
}

function referenceOf(part: FilePart | ImagePart): MessagePart[] {
  const data = part.type === 'file' ? part.data : part.image;
  if (typeof data !== 'string') return [];
  const { mediaType = IMAGE } = part;
  if (part.type === 'image' || mediaType === IMAGE || mediaType.startsWith('image/')) {
    return [{ type: 'image', url: data, ...(mediaType === IMAGE ? {} : { mediaType }) }];
  }
  const { filename } = part;
  return [
    {
      type: 'file',
      url: data,
      ...(filename === undefined ? {} : { name: filename }),
      ...(mediaType === ANY_FILE ? {} : { mediaType }),
    },
  ];
}
