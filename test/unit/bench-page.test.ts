/** Holds the report page's own computing to what it promises, where it needs no browser. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

interface Piece {
  readonly text: string;
  readonly kind: 'same' | 'extra' | 'missing' | 'plain';
}

interface Diff {
  readonly same: number;
  readonly expected: readonly Piece[];
  readonly output: readonly Piece[];
}

const page = new URL('../../src/main/bench/report/page/diff.js', import.meta.url).href;
const { bestDiff, diffWords } = (await import(page)) as {
  readonly bestDiff: (expected: readonly string[], output: string) => Diff | undefined;
  readonly diffWords: (expected: string, output: string) => Diff | undefined;
};

const textOf = (pieces: readonly Piece[]): string => pieces.map(({ text }) => text).join('');
const ofKind = (pieces: readonly Piece[], kind: Piece['kind']): readonly string[] =>
  pieces.filter((piece) => piece.kind === kind).map(({ text }) => text);

describe('the words that a reply shares with the expectation', () => {
  it('words - are marked as the same, as extra and as missing, whatever their case', () => {
    const diff = diffWords('the quick brown fox', 'The quick red fox!');
    expect(ofKind(diff?.output ?? [], 'same')).toEqual(['The', 'quick', 'fox']);
    expect(ofKind(diff?.output ?? [], 'extra')).toEqual(['red', '!']);
    expect(ofKind(diff?.expected ?? [], 'missing')).toEqual(['brown']);
  });

  it('a long reply to a short expectation - has only what is the same marked', () => {
    const diff = diffWords('42', 'After some thought I would say that it is 42, give or take.');
    expect(ofKind(diff?.output ?? [], 'same')).toEqual(['42']);
    expect(ofKind(diff?.output ?? [], 'extra')).toEqual([]);
  });

  it('of several expectations - the one that the reply has most of is taken', () => {
    expect(bestDiff(['good day', 'good morning to you'], 'Good morning')?.same).toBe(2);
    expect(textOf(bestDiff(['good day', 'good morning to you'], 'Good morning')?.expected ?? [])).toBe(
      'good morning to you',
    );
  });

  it('nothing to compare, or too much - is left alone', () => {
    expect(diffWords('', 'a')).toBeUndefined();
    expect(diffWords('a', ' \n')).toBeUndefined();
    expect(diffWords('a '.repeat(500), 'a')).toBeUndefined();
    expect(bestDiff([], 'a')).toBeUndefined();
  });

  it('any two texts - come back whole, with as many words the same on either side', () => {
    const text = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 60 }),
      fc.array(fc.constantFrom('a', 'b', 'C', ',', '\n')).map((words) => words.join(' ')),
    );
    fc.assert(
      fc.property(text, text, (expected, output) => {
        const diff = diffWords(expected, output);
        if (!diff) return;
        expect(textOf(diff.expected)).toBe(expected);
        expect(textOf(diff.output)).toBe(output);
        expect(ofKind(diff.expected, 'same')).toHaveLength(diff.same);
        expect(ofKind(diff.output, 'same')).toHaveLength(diff.same);
      }),
    );
    fc.assert(
      fc.property(text, (same) => {
        const diff = diffWords(same, same);
        expect(ofKind(diff?.output ?? [], 'extra')).toEqual([]);
      }),
    );
  });
});
