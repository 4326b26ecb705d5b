/**
 * Owns how a conversation becomes a provider's prompt, for the two ways of a call: the provider's own form where no tools are
 * offered, and messages that the AI SDK converts where they are. It cuts nothing.
 */
import type {
  LanguageModelV4FilePart,
  LanguageModelV4Message,
  LanguageModelV4Prompt,
  LanguageModelV4TextPart,
} from '@ai-sdk/provider';
import type { FilePart, ImagePart, ModelMessage, TextPart } from 'ai';
import { resultText } from '../sessions/convert.ts';
import type { ProviderName } from './providers.ts';

type UserContent = LanguageModelV4TextPart | LanguageModelV4FilePart;

/**
 * Builds the prompt of a call without tools.
 *
 * Messages without any content are left out, since providers refuse them, and what was said with tools is told in words: a
 * prompt with calls in it is refused where no tools are offered. Anthropic takes system messages only before the conversation,
 * so there later ones move to its front.
 */
export function promptOf(provider: ProviderName, messages: readonly ModelMessage[]): LanguageModelV4Prompt {
  const prompt: LanguageModelV4Message[] = [];
  let atFront = 0;
  for (const message of messages) {
    const converted = convert(message);
    if (converted === undefined) continue;
    const isSystem = converted.role === 'system';
    if (isSystem && (provider === 'anthropic' || atFront === prompt.length)) prompt.splice(atFront++, 0, converted);
    else prompt.push(converted);
  }
  return prompt;
}

/** Orders and cleans messages for a call with tools, which the AI SDK converts; the same holds as of {@link promptOf}. */
export function messagesOf(provider: ProviderName, messages: readonly ModelMessage[]): ModelMessage[] {
  const system: ModelMessage[] = [];
  const rest: ModelMessage[] = [];
  for (const message of messages) {
    const isFront = message.role === 'system' && (provider === 'anthropic' || rest.length === 0);
    const checked = checkedMessage(message);
    if (checked) (isFront ? system : rest).push(checked);
  }
  return [...system, ...rest];
}

function convert(message: ModelMessage): LanguageModelV4Message | undefined {
  const { role, content } = message;
  switch (role) {
    case 'system':
      return content === '' ? undefined : { role, content };
    case 'user': {
      const parts = typeof content === 'string' ? textParts(content) : content.flatMap(userPart);
      return parts.length === 0 ? undefined : { role, content: parts };
    }
    case 'assistant': {
      const text = typeof content === 'string' ? content : saidText(content);
      return text === '' ? undefined : { role, content: [{ type: 'text', text }] };
    }
    case 'tool': {
      const results = content.flatMap((part) => (part.type === 'tool-result' ? textParts(resultText(part)) : []));
      const told = results.map(({ text }): UserContent => ({ type: 'text', text: `Tool result:\n${text}` }));
      return told.length === 0 ? undefined : { role: 'user', content: told };
    }
  }
}

function saidText(content: Exclude<Extract<ModelMessage, { role: 'assistant' }>['content'], string>): string {
  const texts = content.flatMap((part) => {
    if (part.type === 'text') return part.text === '' ? [] : [part.text];
    return part.type === 'tool-call' ? [`[called ${part.toolName} with ${JSON.stringify(part.input)}]`] : [];
  });
  return texts.join('\n');
}

function checkedMessage(message: ModelMessage): ModelMessage | undefined {
  if (message.content.length === 0) return undefined;
  if (message.role === 'user' && typeof message.content !== 'string') {
    const parts = message.content.flatMap(userPart);
    const content = parts.map((part) => (part.type === 'text' ? part : sdkFile(part)));
    return content.length === 0 ? undefined : { ...message, content };
  }
  return message;
}

/** The SDK's form of a file that {@link userFile} made of a reference. */
function sdkFile({ mediaType, data }: LanguageModelV4FilePart): FilePart {
  if (data.type === 'url') return { type: 'file', mediaType, data: data.url };
  return { type: 'file', mediaType, data: data.type === 'data' ? data.data : '' };
}

function userPart(part: TextPart | ImagePart | FilePart): UserContent[] {
  if (part.type === 'text') return textParts(part.text);
  return [userFile(part)];
}

function textParts(text: string): LanguageModelV4TextPart[] {
  return text === '' ? [] : [{ type: 'text', text }];
}

function userFile(part: ImagePart | FilePart): UserContent {
  const data = part.type === 'file' ? part.data : part.image;
  const { mediaType = 'image' } = part;
  if (typeof data !== 'string') return { type: 'text', text: mention('file', '', undefined, mediaType) };
  if (part.type === 'image' || mediaType.startsWith('image')) return image(data, mediaType);
  const known = mediaType === 'application/octet-stream' ? undefined : mediaType;
  return { type: 'text', text: mention('file', data, part.filename, known) };
}

/** An address is handed to the provider, which fetches it itself: a worker never opens addresses that users wrote. */
function image(address: string, mediaType: string): UserContent {
  const inline = /^data:(image\/[\w.+-]+);base64,/i.exec(address);
  if (inline?.[1] !== undefined) {
    const data = address.slice(inline[0].length);
    return { type: 'file', mediaType: inline[1].toLowerCase(), data: { type: 'data', data } };
  }
  const url = URL.parse(address);
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') {
    return { type: 'text', text: mention('image', address, undefined, mediaType) };
  }
  return { type: 'file', mediaType, data: { type: 'url', url } };
}

/** What a provider cannot take is named, so that the model can say what it did not see. */
function mention(kind: string, address: string, name: string | undefined, mediaType: string | undefined): string {
  const facts = [name, mediaType, address.startsWith('data:') ? undefined : address];
  return `[${[kind, ...facts.filter((fact) => fact !== undefined && fact !== '')].join(' ')}]`;
}
