/**
 * Owns what a search compares: the words of a message and of a query. Both stores use it, so that both find the same. Where
 * the words are looked up is the stores' affair.
 */
import type { ModelMessage } from 'ai';
import { chatMessageOf } from './convert.ts';

/** One part of a query: words side by side. */
export interface Term {
  readonly words: readonly [string, ...string[]];
  /** The last word may go on. */
  readonly prefix: boolean;
}

/** A query is cut there: it may be a whole page that somebody pasted. */
export const MAX_TERMS = 32;

/** Scripts that put no spaces between words: each character is a word, and a run of them is found side by side. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/gu;
const MARKS = /\p{M}/gu;
/** Letters and digits, as the index's own tokenizer has them: to its older Unicode the vowel signs of New Tai Lue are none. */
const WORD = /(?:(?![\u19B0-\u19C0\u19C8\u19C9])[\p{L}\p{N}\p{Co}])+/gu;

/** Returns the words of a text, without case and accents. */
export function wordsOf(text: string): readonly string[] {
  const folded = text.normalize('NFKD').replace(MARKS, '').toLowerCase().replace(UNSPACED, ' $& ');
  return folded.match(WORD) ?? [];
}

/** Returns the words that a message is found by. */
export function wordsOfMessage(message: ModelMessage): readonly string[] {
  return wordsOf(chatMessageOf(message).content);
}

/** Reads a query; what has no word in it is left out. */
export function termsOf(query: string): readonly Term[] {
  const terms: Term[] = [];
  for (const [chunk, quoted] of query.matchAll(/"([^"]*)"|\S+/g)) {
    const [first, ...rest] = wordsOf(quoted ?? chunk);
    if (first === undefined) continue;
    terms.push({ words: [first, ...rest], prefix: quoted === undefined && chunk.endsWith('*') });
    if (terms.length === MAX_TERMS) break;
  }
  return terms;
}

/** Tells whether a term stands among the words. */
export function matches({ words, prefix }: Term, among: readonly string[]): boolean {
  const last = words.length - 1;
  return among.some((_, at) =>
    words.every((word, i) => {
      const found = among[at + i];
      return prefix && i === last ? found?.startsWith(word) === true : found === word;
    }),
  );
}
