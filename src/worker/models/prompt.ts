/** Owns how a session becomes a provider's prompt. It cuts nothing: how much history a turn gets is the host's decision. */
import type { LanguageModelV4FilePart, LanguageModelV4Message, LanguageModelV4TextPart } from '@ai-sdk/provider';
import type { ChatMessage, MessagePart, UserMessage } from '../../protocol/messages.ts';
import type { ProviderName } from './providers.ts';

/**
 * Builds the prompt of a turn: the system text, the history and the message, in that order.
 *
 * Messages without any content are left out, since providers refuse them. Anthropic takes system messages only before the
 * conversation, so there later ones move to its front.
 */
export function promptOf(
  provider: ProviderName,
  system: string | undefined,
  history: readonly ChatMessage[],
  message: UserMessage,
): LanguageModelV4Message[] {
  const prompt: LanguageModelV4Message[] = [];
  if (system !== undefined && system !== '') prompt.push({ role: 'system', content: system });
  let atFront = prompt.length;
  for (const past of history) {
    const converted = convert(past);
    if (converted === undefined) continue;
    if (converted.role === 'system' && provider === 'anthropic') prompt.splice(atFront++, 0, converted);
    else prompt.push(converted);
  }
  prompt.push({ role: 'user', content: userContent(message) });
  return prompt;
}

function convert(message: ChatMessage): LanguageModelV4Message | undefined {
  const { role, content } = message;
  switch (role) {
    case 'system':
      return content === '' ? undefined : { role, content };
    case 'assistant':
      return content === '' ? undefined : { role, content: [{ type: 'text', text: content }] };
    case 'user': {
      const parts = userContent(message);
      return parts.length === 0 ? undefined : { role, content: parts };
    }
    case 'tool':
      // A result without the call that it answers is refused by every provider; as text the model still knows of it.
      return content === ''
        ? undefined
        : { role: 'user', content: [{ type: 'text', text: `Tool result:\n${content}` }] };
  }
}

/** Text parts say the same as `content` in their own order among the images, so then `content` is left out. */
function userContent(
  message: Pick<ChatMessage, 'content' | 'parts'>,
): (LanguageModelV4TextPart | LanguageModelV4FilePart)[] {
  const parts = message.parts ?? [];
  const content = parts.map(convertPart).filter((part) => part.type !== 'text' || part.text !== '');
  if (message.content !== '' && !parts.some((part) => part.type === 'text')) {
    content.unshift({ type: 'text', text: message.content });
  }
  return content;
}

function convertPart(part: MessagePart): LanguageModelV4TextPart | LanguageModelV4FilePart {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: part.text };
    case 'image':
      return image(part.url, part.mediaType);
    case 'file':
      if (part.mediaType?.startsWith('image/') === true) return image(part.url, part.mediaType);
      return { type: 'text', text: mention('file', part.url, part.name, part.mediaType) };
  }
}

/** An address is handed to the provider, which fetches it itself: a worker never opens addresses that users wrote. */
function image(address: string, mediaType = 'image'): LanguageModelV4TextPart | LanguageModelV4FilePart {
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
  return `[${[kind, ...facts.filter((fact) => fact !== undefined)].join(' ')}]`;
}
