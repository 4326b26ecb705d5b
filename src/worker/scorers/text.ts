/** Owns the scorers that compare texts: exact, includes, regex, token F1 and the letter of a choice. They hold no state. */
import { isDeepStrictEqual } from 'node:util';
import type { Score, ScoredCase } from '../../protocol/scorers.ts';

const PASSED = { score: 1, passed: true } as const;
const FAILED = { score: 0, passed: false } as const;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
/** Characters of a detail. */
const MAX_DETAIL = 200;

/**
 * Equal once the space around both is gone. A list of expected values holds alternatives; an object or a list in `expected` of an
 * object is compared with the reply read as JSON.
 */
export function exact({ output, expected }: ScoredCase): Score {
  return alternatives(expected).some((one) => equals(output, one)) ? PASSED : FAILED;
}

/** The share of the expected texts that the reply contains; case counts. */
export function includes({ output, expected }: ScoredCase): Score {
  const wanted = alternatives(expected).map(textOf);
  const missing = wanted.filter((text) => !output.includes(text));
  if (missing.length === 0) return PASSED;
  const score = (wanted.length - missing.length) / wanted.length;
  return { score, passed: false, detail: cut(`missing: ${missing.join(', ')}`) };
}

/** The pattern is found in the reply. `/PATTERN/FLAGS` gives flags; anything else is the pattern itself. */
export function regex({ output, expected }: ScoredCase, pattern?: string): Score {
  const patterns = pattern === undefined ? alternatives(expected).map(textOf) : [pattern];
  return patterns.some((text) => toRegExp(text).test(output)) ? PASSED : FAILED;
}

/**
 * Harmonic mean of precision and recall over words, as SQuAD counts it: without case, punctuation and articles. Of several
 * expected texts the best one counts.
 */
export function f1({ output, expected }: ScoredCase): Score {
  const score = Math.max(...alternatives(expected).map((one) => f1Of(words(output), words(textOf(one)))));
  return { score, passed: score === 1 };
}

/** The reply names the expected letter of a multiple choice; an expected number is an index from 0. */
export function choice({ output, expected }: ScoredCase): Score {
  const wanted = typeof expected === 'number' ? (LETTERS[expected] ?? '') : textOf(expected).trim().toUpperCase();
  const found = letterOf(output);
  if (found === undefined) return { ...FAILED, detail: 'no letter in the reply' };
  return found === wanted ? PASSED : { ...FAILED, detail: `chose ${found}` };
}

/** What is said to be the answer comes before a letter that stands alone in front, and that before the last one anywhere. */
export function letterOf(output: string): string | undefined {
  const text = output.trim();
  const said = [...text.matchAll(/\b(?:answer|choice|option)\b(?:\s+is)?\s*[:=]?\s*[*_`("[]*([A-Z])\b/gi)].at(-1);
  const first = /^[*_`("[]*([A-Za-z])(?:[*_`)"\].:,]|\s|$)/.exec(text);
  const isWord = first !== null && /^[AaIi]\s+[a-z]/.test(text);
  const last = [...text.matchAll(/(?:^|[\s(["*_`])([A-Z])(?=[\s)\].,:*_`"]|$)/g)].at(-1);
  return (said ?? (isWord ? undefined : first) ?? last)?.[1]?.toUpperCase();
}

function f1Of(found: readonly string[], wanted: readonly string[]): number {
  // As SQuAD: where one of them has no words, both must have none.
  if (found.length === 0 || wanted.length === 0) return found.length === wanted.length ? 1 : 0;
  const left = new Map<string, number>();
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of found) {
    const count = left.get(word) ?? 0;
    if (count === 0) continue;
    left.set(word, count - 1);
    common += 1;
  }
  return (2 * common) / (found.length + wanted.length);
}

/** Words without case, punctuation and articles. */
function words(text: string): readonly string[] {
  const plain = text.toLowerCase().replaceAll(/[\p{P}\p{S}]/gu, '');
  return plain.split(/\s+/).filter((word) => word !== '' && word !== 'a' && word !== 'an' && word !== 'the');
}

function equals(output: string, expected: unknown): boolean {
  if (typeof expected !== 'object' || expected === null) return output.trim() === textOf(expected).trim();
  try {
    return isDeepStrictEqual(JSON.parse(output), expected);
  } catch {
    return false;
  }
}

function alternatives(expected: unknown): readonly unknown[] {
  return Array.isArray(expected) && expected.length > 0 ? expected : [expected];
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function toRegExp(text: string): RegExp {
  const [, pattern, flags] = /^\/(.+)\/([dimsuvy]*)$/s.exec(text) ?? [];
  return pattern === undefined ? new RegExp(text) : new RegExp(pattern, flags);
}

function cut(text: string): string {
  return text.length > MAX_DETAIL ? `${text.slice(0, MAX_DETAIL)}...` : text;
}
