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
import { INLINE_IMAGE, isBlank, mentionOf, nameOf } from './mention.ts';
import type { ProviderName } from './providers.ts';

type UserContent = LanguageModelV4TextPart | LanguageModelV4FilePart;

/**
 * Builds the prompt of a call without tools.
 *
 * Messages without any content or of blanks alone are left out, since providers refuse them, and what was said with tools is told in words: a
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
      return isBlank(content) ? undefined : { role, content };
    case 'user': {
      const parts = typeof content === 'string' ? textParts(content) : content.flatMap(userPart);
      return parts.length === 0 ? undefined : { role, content: parts };
    }
    case 'assistant': {
      const text = typeof content === 'string' ? content : saidText(content);
      return isBlank(text) ? undefined : { role, content: [{ type: 'text', text }] };
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
    if (part.type === 'text') return isBlank(part.text) ? [] : [part.text];
    return part.type === 'tool-call' ? [`[called ${part.toolName} with ${JSON.stringify(part.input)}]`] : [];
  });
  return texts.join('\n');
}

function checkedMessage(message: ModelMessage): ModelMessage | undefined {
  if (message.content.length === 0) return undefined;
  if (typeof message.content === 'string') return isBlank(message.content) ? undefined : message;
  if (message.role === 'assistant') {
    const content = message.content.filter((part) => part.type !== 'text' || !isBlank(part.text));
    if (content.length === message.content.length) return message;
    // Thoughts alone are refused as well.
    return content.some(({ type }) => type !== 'reasoning') ? { ...message, content } : undefined;
  }
  if (message.role === 'user') {
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
  return isBlank(text) ? [] : [{ type: 'text', text }];
}

/** An address is handed to the provider, which fetches it itself: a worker never opens addresses that users wrote. */
function userFile(part: ImagePart | FilePart): UserContent {
  const named = mentionOf(part);
  const data = part.type === 'file' ? part.data : part.image;
  if (named !== undefined || typeof data !== 'string') return { type: 'text', text: named ?? nameOf(part) };
  const inline = INLINE_IMAGE.exec(data);
  if (inline?.[1] !== undefined) {
    const bytes = data.slice(inline[0].length);
    return { type: 'file', mediaType: inline[1].toLowerCase(), data: { type: 'data', data: bytes } };
  }
  return { type: 'file', mediaType: part.mediaType ?? 'image', data: { type: 'url', url: new URL(data) } };
}
