import { type Arbitrary, array, assert, constantFrom, integer, nat, oneof, property, string, tuple } from 'fast-check';
import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { isSafeCut, safeCut } from '../../src/protocol/encodings.ts';
import { type Pair, pairWithOracle } from '../support/oracle.ts';
import { runs, times } from '../support/properties.ts';

let pairs: Pair[] = [];
beforeAll(async () => {
  pairs = [await pairWithOracle('o200k_base'), await pairWithOracle('cl100k_base')];
});

function expectExact(text: string): void {
  for (const pair of pairs) expect(pair.difference(text)).toBeUndefined();
}

const words = [
  'the',
  ' the',
  'Hello',
  ' WORLD',
  'camelCase',
  'don',
  'L’été',
  'ʼn',
  'naïve',
  'ÀÉ',
  'ǅ',
  'ʰa',
  'İi',
  'ß',
];
const contractions = ["'s", "'S", "'ſ", "'t", "'RE", "'Ve", "'m", "'LL", "'lL", "'d", "'", "''", '’s', "'x", "'ve"];
const spaces = [
  ' ',
  '  ',
  '    ',
  '\n',
  '\r\n',
  '\n\n',
  '\t',
  '\u0085',
  '\u00a0',
  '\u3000',
  '\u2028',
  '\ufeff',
  ' \n',
  '\n ',
  '\r',
  '\u200b',
];
const marks = ['\u0301', '\u0300\u0323', '\u20dd', '\u0e31', '\u093f', '\u064b', '\u200d', '\ufe0f'];
const scripts = [
  '中文',
  '日本語',
  'の',
  '한국어',
  'ไทย',
  'ที่',
  'हिन्दी',
  'தமிழ்',
  'العربية',
  'עברית',
  'Ελλάδα',
  'Привет',
  'ԱՐ',
  'ⵣ',
  '𐐀𐐨',
  '𝒜𝒷',
];
const digits = ['0', '12', '345', '6789', '٣', '½', '²', 'Ⅷ', '一', '𝟘'];
const emoji = ['😀', '👩‍👩‍👧', '🏽', '🇺🇸', '☺️', '🤷🏽‍♂️'];
const code = [
  '()',
  '{}',
  ' = ',
  '=>',
  '//',
  '/',
  '/\n',
  '!\n/',
  '__proto__',
  'constructor',
  ' {\n',
  ');\n',
  '---',
  '"',
  '\\',
  '#!',
  '\u0000',
  '\u007f',
];
const special = ['<|endoftext|>', '<|start|>', '<|', '|>', '<|endofprompt|>'];
const broken = ['\ud800', '\udc00', '\udfff'];
const hard = [
  ...words,
  ...contractions,
  ...spaces,
  ...marks,
  ...scripts,
  ...digits,
  ...emoji,
  ...code,
  ...special,
  ...broken,
];

const alphabets: Record<string, Arbitrary<string>> = {
  'everything hard': array(constantFrom(...hard), { maxLength: 20, size: 'max' }).map((parts) => parts.join('')),
  'letters, marks and contractions': array(
    constantFrom('a', 'B', 'é', 'À', '中', 'ǅ', 'ʰ', ...contractions, ...marks, ' '),
    {
      maxLength: 24,
      size: 'max',
    },
  ).map((parts) => parts.join('')),
  'spaces and punctuation': array(constantFrom(...spaces, ...code, 'a', '1', '\u0301'), {
    maxLength: 24,
    size: 'max',
  }).map((parts) => parts.join('')),
  'any UTF-16': oneof(
    string({ unit: 'binary', maxLength: 40, size: 'max' }),
    string({ unit: 'grapheme', maxLength: 40, size: 'max' }),
    array(integer({ min: 0, max: 0xffff }), { maxLength: 30, size: 'max' }).map((units) =>
      String.fromCharCode(...units),
    ),
    string({ unit: constantFrom('e', 't', 'a', 'o', 'i', 'n', 's', 'h'), maxLength: 60, size: 'max' }),
  ),
};

test.for(Object.keys(alphabets))('tokens - ids equal tiktoken for %s', { timeout: 600_000 * times }, (name) => {
  assert(property(alphabets[name]!, expectExact), { numRuns: runs(25_000) });
});

test('tokens - ids equal tiktoken for long pieces with no border', { timeout: 300_000 * times }, () => {
  const units = [
    'a',
    'A',
    ' ',
    '\n',
    '-',
    '0',
    'é',
    '中',
    'ก',
    '😀',
    'ab',
    '1a',
    'aA',
    '\u0301',
    'x\u0301',
    '\r\n',
    ' \n',
    '哈哈',
    'हि',
  ];
  for (const unit of units) expectExact(unit.repeat(Math.ceil(4_000 / unit.length)));
  const ranges: [number, number][] = [
    [0x61, 26],
    [0x41, 58],
    [0x4e00, 0x5000],
    [0xe01, 46],
    [0x904, 54],
    [0x430, 32],
    [0xac00, 11_000],
  ];
  assert(
    property(
      constantFrom(...ranges),
      array(nat(0xffff), { minLength: 200, maxLength: 1500, size: 'max' }),
      ([first, size], offsets) => expectExact(String.fromCharCode(...offsets.map((offset) => first + (offset % size)))),
    ),
    { numRuns: runs(150) },
  );
});

test(
  'tokens - ids equal tiktoken for real files of prose, code and other languages',
  { timeout: 300_000 * times },
  () => {
    const root = new URL('../../', import.meta.url);
    const files = [
      'node_modules/gpt-tokenizer/data/TestPlans.txt',
      'node_modules/fastify/docs/Reference/Server.md',
      'node_modules/openai/CHANGELOG.md',
      'node_modules/commander/lib/command.js',
      'node_modules/@types/node/fs.d.ts',
      ...['ar', 'he', 'ja', 'ko', 'ru', 'ta', 'th', 'zh-CN', 'km', 'ur'].map(
        (name) => `node_modules/zod/v4/locales/${name}.js`,
      ),
    ];
    const different = files.flatMap((file) => {
      const text = readFileSync(new URL(file, root), 'utf8');
      return pairs.map((pair) => pair.difference(text)).filter((found) => found !== undefined);
    });
    expect(different).toEqual([]);
  },
);

test('tokens - counts of a text cut at safe places add up to the whole', { timeout: 300_000 * times }, () => {
  let cuts = 0;
  assert(
    property(array(constantFrom(...hard, '。', '，', '、'), { maxLength: 40, size: 'max' }), (parts) => {
      const text = parts.join('');
      for (const { encoder } of pairs) {
        const whole = encoder.encode(text);
        for (let at = 1; at < text.length; at++) {
          if (!isSafeCut(text, at)) continue;
          cuts++;
          expect([...encoder.encode(text.slice(0, at)), ...encoder.encode(text.slice(at))]).toEqual([...whole]);
        }
      }
    }),
    { numRuns: runs(4_000) },
  );
  expect(cuts).toBeGreaterThan(10_000);
});

test('tokens - safeCut takes the last safe place, else the next one, else the end', () => {
  expect(safeCut('one two three', 0, 8)).toBe(7);
  expect(safeCut('onetwothree four', 0, 5)).toBe(11);
  expect(safeCut('one two', 3, 4)).toBe(7);
  expect(safeCut('short', 0, 100)).toBe(5);
});

test(
  'tokens - truncate keeps at most so many tokens, whole code points, and counts them right',
  { timeout: 300_000 * times },
  () => {
    assert(
      property(array(constantFrom(...hard), { maxLength: 30, size: 'max' }), nat(40), (parts, maxTokens) => {
        const text = parts.join('');
        for (const { encoder } of pairs) {
          const kept = encoder.truncate(text, maxTokens);
          expect(text.startsWith(kept.text)).toBe(true);
          expect(kept.cut).toBe(kept.text.length < text.length);
          expect(kept.tokens).toBe(encoder.count(kept.text));
          expect(kept.tokens).toBeLessThanOrEqual(maxTokens);
          const last = kept.text.charCodeAt(kept.text.length - 1);
          const next = text.charCodeAt(kept.text.length);
          expect((last & 0xfc00) === 0xd800 && (next & 0xfc00) === 0xdc00).toBe(false);
          expect(kept.cut || encoder.count(text) <= maxTokens).toBe(true);
        }
      }),
      { numRuns: runs(5_000) },
    );
  },
);

test('tokens - safeCut finds the same place behind runs of one unit, however long, as a look at every unit does', () => {
  const unit = constantFrom(' ', '\n', '\t', 'a', '-', '\\', ']', '漢', '。', '\ud83d', '\u0000');
  const run = tuple(unit, constantFrom(1, 2, 1_023, 1_024, 1_025, 1_026, 3_000)).map(([u, n]) => u.repeat(n));
  assert(
    property(array(run, { minLength: 1, maxLength: 6 }), nat(200), (runs, near) => {
      const text = runs.join('');
      let expected = near;
      while (expected > 0 && !isSafeCut(text, expected)) expected--;
      if (expected === 0) for (expected = near + 1; expected < text.length && !isSafeCut(text, expected);) expected++;
      expect(safeCut(text, 0, near)).toBe(near >= text.length ? text.length : Math.min(expected, text.length));
    }),
    { numRuns: runs(300) },
  );
});

test('tokens - long runs of one character have the ids of tiktoken, for every ASCII character', () => {
  for (const { difference } of pairs) {
    for (let code = 0; code < 128; code++) {
      for (const length of [255, 256, 257, 383, 1_000 + code]) {
        expect(difference(String.fromCharCode(code).repeat(length))).toBeUndefined();
      }
    }
  }
});

test('tokens - a character has the ids of tiktoken when a merge over its border comes before it', () => {
  // A space takes the first bytes of each: the merge is older than the character's own token.
  const initials = 'ЁЂँ،אბՀ쁘끄個΄사倍나态ά가À\u2002\u200b';
  const followers = ['', 'ёж', 'कख', 'ب', 'בג', 'ბა', 'Հա', '쁘', '人', 'ά', 'a', ' ', '😀', '\u0301'];
  for (const initial of initials) {
    for (const follower of followers) {
      for (const text of [
        ` ${initial}${follower}`,
        `a${initial}${follower}${initial}`,
        `${follower}${initial} ${initial}`,
      ]) {
        for (const { difference } of pairs) expect(difference(text)).toBeUndefined();
      }
    }
  }
});

test('tokens - pieces of a few long runs have the ids of tiktoken', () => {
  const kinds = ['-=_.#*/~!', 'abcXYZ', ' \t\n\r', '\u00e9\u0000\u3002'];
  const piece = constantFrom(...kinds).chain((kind) =>
    array(
      tuple(constantFrom(...Array.from(kind)), oneof(nat(8), integer({ min: 100, max: 700 }))).map(([c, n]) =>
        c.repeat(n),
      ),
      { minLength: 1, maxLength: 12 },
    ).map((runs) => runs.join('')),
  );
  assert(
    property(piece, (text) => {
      for (const { difference } of pairs) expect(difference(text)).toBeUndefined();
    }),
    { numRuns: runs(400) },
  );
});
