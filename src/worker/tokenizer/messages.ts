/** Owns counting a chat: the tokens of its parts, and what the model's framing adds. */
import type { CountedMessage, Framing, Tokenizer } from '../../protocol/encodings.ts';

export interface ChatCount {
  /** What each message costs, its framing included. */
  readonly counts: Uint32Array;
  /** The messages together, and the opening of the reply. */
  readonly total: number;
  /** False when the tokenizer estimates, or when a message has parts that are no text. */
  readonly exact: boolean;
}

/** Counts a chat as a prompt. */
export function countMessages(tokenizer: Tokenizer, messages: readonly CountedMessage[], framing: Framing): ChatCount {
  const counts = new Uint32Array(messages.length);
  let total = framing.perReply;
  let exact = tokenizer.exact;
  for (const [i, message] of messages.entries()) {
    let tokens = framing.perMessage + tokenizer.count(message.role);
    if (message.name !== undefined) tokens += framing.perName + tokenizer.count(message.name);
    const parts = typeof message.content === 'string' ? [{ text: message.content }] : (message.content ?? []);
    for (const part of parts) {
      if (part.text === undefined) exact = false;
      else tokens += tokenizer.count(part.text);
    }
    counts[i] = tokens;
    total += tokens;
  }
  return { counts, total, exact };
}
