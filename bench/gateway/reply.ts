/** Owns what is said in the gateway bench, so that every process can check it. */

/** The model's answer, about four characters a chunk, as tokens are. */
export function replyChunks(count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => `${i % 10}abc `.slice(0, 3 + (i % 3)));
}

/** A short conversation of three messages. */
export const MESSAGES: readonly { readonly role: 'system' | 'user' | 'assistant'; readonly content: string }[] = [
  { role: 'user', content: 'Tell me about the history of the telephone exchange, please. '.repeat(2) },
  {
    role: 'assistant',
    content: 'It began with a switchboard, and with people who joined the lines by hand. '.repeat(3),
  },
  { role: 'user', content: 'And what came after that? Keep it short, and name the people who built it.' },
];
export const SYSTEM = 'You are a helpful assistant. Answer in plain words.';
