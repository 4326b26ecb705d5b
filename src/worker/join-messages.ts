/** Owns how messages that share a turn become the one that its agent sees. */
import type { MessagePart, UserMessage } from '../protocol/index.ts';

/**
 * Joins messages in their order: the texts with a blank line between, and all parts. Text parts stand for the content of
 * their message among its images; where one message has parts, every other one's text becomes one, so that the order is kept.
 */
export function joinMessages(messages: readonly UserMessage[]): UserMessage {
  const texts = messages.map(({ content }) => content).filter((content) => content !== '');
  const content = texts.join('\n\n');
  if (!messages.some(({ parts }) => parts !== undefined && parts.length > 0)) return { role: 'user', content };
  return { role: 'user', content, parts: messages.flatMap(partsOf) };
}

function partsOf({ content, parts = [] }: UserMessage): readonly MessagePart[] {
  if (content === '' || parts.some(({ type }) => type === 'text')) return parts;
  return [{ type: 'text', text: content }, ...parts];
}
