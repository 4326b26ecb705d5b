import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tiktoken } from 'tiktoken/lite';
import { beforeAll, expect, test } from 'vitest';
import { loadImage } from '../../src/main/tokens/images.ts';
import { ENCODINGS, framingOf, resolveModel } from '../../src/protocol/encodings.ts';
import {
  CharEstimator,
  type Encoder,
  asEstimate,
  countInSlices,
  countMessages,
  loadTokenizerJson,
  openEncoder,
} from '../../src/worker/tokenizer/index.ts';
import { PieceCache } from '../../src/worker/tokenizer/cache.ts';
import {
  LETTER,
  LOWER,
  MARK,
  NUMBER,
  SPACE,
  UPPER,
  buildClassTable,
  classOf,
} from '../../src/worker/tokenizer/unicode.ts';

let o200k: Encoder;
let cl100k: Encoder;
let harmony: Encoder;
beforeAll(async () => {
  o200k = openEncoder(await loadImage('o200k_base'));
  cl100k = openEncoder(await loadImage('cl100k_base'));
  harmony = openEncoder(await loadImage('o200k_harmony'), 'o200k_harmony');
});

/** The example of OpenAI's cookbook, "How to count tokens with tiktoken". */
const cookbook = [
  {
    role: 'system',
    content: 'You are a helpful, pattern-following assistant that translates corporate jargon into plain English.',
  },
  { role: 'system', name: 'example_user', content: 'New synergies will help drive top-line growth.' },
  { role: 'system', name: 'example_assistant', content: 'Things working well together will increase revenue.' },
  {
    role: 'system',
    name: 'example_user',
    content: "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
  },
  {
    role: 'system',
    name: 'example_assistant',
    content: "Let's talk later when we're less busy about how to do better.",
  },
  {
    role: 'user',
    content: "This late pivot means we don't have time to boil the ocean for the client deliverable.",
  },
];

test.for([
  ['gpt-3.5-turbo-0301', 127],
  ['gpt-3.5-turbo', 129],
  ['gpt-4-0613', 129],
  ['gpt-4', 129],
  ['gpt-4o', 124],
  ['gpt-4o-mini', 124],
] as const)('tokens - a chat for %s counts the %d tokens that OpenAI published', ([model, tokens]) => {
  const { encoding } = resolveModel(model);
  const encoder = encoding === 'cl100k_base' ? cl100k : o200k;
  expect(countMessages(encoder, cookbook, framingOf(encoding, model))).toMatchObject({ total: tokens, exact: true });
});

test('tokens - a chat for gpt-oss counts as its rendered form does', () => {
  const messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Hi' },
  ];
  const rendered = '<|start|>system<|message|>Be brief.<|end|><|start|>user<|message|>Hi<|end|><|start|>assistant';
  const counted = countMessages(harmony, messages, framingOf('o200k_harmony', 'gpt-oss-20b'));
  expect(counted.total).toBe(harmony.count(rendered, { special: 'all' }));
});

test('tokens - a chat is no exact count when a part is no text', () => {
  const parts = [{ type: 'text', text: 'look' }, { type: 'image_url' }];
  const counted = countMessages(o200k, [{ role: 'user', content: parts }], framingOf('o200k_base'));
  expect(counted).toMatchObject({ total: 3 + 3 + 1 + 1, exact: false });
});

test('tokens - special tokens are plain text by default and tokens when asked for', () => {
  const text = 'a<|endoftext|>b<|endofprompt|>';
  expect(o200k.decode(o200k.encode(text))).toBe(text);
  expect([...o200k.encode(text)]).not.toContain(199_999);
  expect([...o200k.encode(text, { special: 'all' })]).toEqual([64, 199_999, 65, 200_018]);
  expect(o200k.count(text, { special: 'all' })).toBe(4);
  const some = o200k.encode(text, { special: ['<|endoftext|>'] });
  expect(some.slice(0, 3)).toEqual(Uint32Array.of(64, 199_999, 65));
  expect(o200k.decode(some)).toBe(text);
  expect(o200k.count('<|<|endoftext|><|', { special: 'all' })).toBe(2 * o200k.count('<|') + 1);
  expect(() => o200k.count(text, { special: ['<|start|>'] })).toThrow(
    expect.objectContaining({ code: 'ORRERY_TOKENS_BAD_INPUT' }),
  );
});

test('tokens - harmony has a token for every id of its special range', () => {
  const ids = new Set(ENCODINGS.o200k_harmony.special.values());
  expect(ids.size).toBe(201_088 - 199_998);
  expect(harmony.decode(Uint32Array.of(200_006, 200_018, 200_013))).toBe('<|start|><|endofprompt|><|reserved_200013|>');
});

test('tokens - decode refuses an id of no token and keeps a byte order mark', () => {
  expect(() => o200k.decode(Uint32Array.of(250_000))).toThrow(
    expect.objectContaining({ code: 'ORRERY_TOKENS_BAD_INPUT' }),
  );
  expect(o200k.decode(o200k.encode('\ufeffa'))).toBe('\ufeffa');
});

test('tokens - truncate says what it cut and refuses a limit that is no whole number', () => {
  expect(o200k.truncate('hello world', 2)).toEqual({ text: 'hello world', tokens: 2, cut: false });
  expect(o200k.truncate('hello world', 1)).toEqual({ text: 'hello', tokens: 1, cut: true });
  expect(o200k.truncate('hello', 0)).toEqual({ text: '', tokens: 0, cut: true });
  const family = '👩‍👩‍👧'.repeat(3);
  expect(o200k.truncate(family, 1).text.isWellFormed()).toBe(true);
  for (const limit of [-1, 1.5, Number.NaN]) {
    expect(() => o200k.truncate('x', limit)).toThrow(expect.objectContaining({ code: 'ORRERY_TOKENS_BAD_INPUT' }));
  }
});

test('tokens - truncate over many windows keeps what a count of the whole would', () => {
  const text = 'The quick brown fox jumps over the lazy dog. 中文，也有。\n'.repeat(3_000);
  const kept = o200k.truncate(text, 20_000);
  expect(kept).toMatchObject({ tokens: 20_000, cut: true });
  expect(o200k.count(kept.text)).toBe(20_000);
});

test.for([
  ['gpt-5-mini', 'o200k_base', true],
  ['gpt-5.1', 'o200k_base', true],
  ['gpt-4.1-nano', 'o200k_base', true],
  ['gpt-4o-2024-08-06', 'o200k_base', true],
  ['chatgpt-4o-latest', 'o200k_base', true],
  ['o1', 'o200k_base', true],
  ['o4-mini', 'o200k_base', true],
  ['gpt-oss-120b', 'o200k_harmony', true],
  ['openai/gpt-oss-20b', 'o200k_harmony', true],
  ['gpt-4-turbo', 'cl100k_base', true],
  ['gpt-35-turbo', 'cl100k_base', true],
  ['text-embedding-3-large', 'cl100k_base', true],
  ['ft:gpt-4o-mini:org::id', 'o200k_base', true],
  ['openai:gpt-4', 'cl100k_base', true],
  ['claude-sonnet-4', 'o200k_base', false],
  ['gemini-2.5-pro', 'o200k_base', false],
  ['o10', 'o200k_base', false],
  ['__proto__', 'o200k_base', false],
] as const)('tokens - %s is counted with %s, exact: %s', ([model, encoding, exact]) => {
  expect(resolveModel(model)).toEqual({ encoding, exact });
});

test('tokens - the character estimate rounds up code points over four, and has no ids', () => {
  const estimator = new CharEstimator();
  expect(['', 'a', 'abcd', 'abcde', '😀😀😀😀'].map((text) => estimator.count(text))).toEqual([0, 1, 1, 2, 1]);
  expect(estimator.exact).toBe(false);
  expect(() => estimator.encode()).toThrow(expect.objectContaining({ code: 'ORRERY_UNSUPPORTED' }));
  expect(asEstimate(o200k)).toMatchObject({ exact: false });
  expect(asEstimate(o200k).count('hello world')).toBe(2);
});

/** Byte-level BPE as models publish it, with a vocabulary of ten tokens. */
const TOKENIZER_JSON = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [
    { id: 7, content: '<end>', special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
  ],
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: 'ByteLevel' },
  model: {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    vocab: { a: 0, b: 1, c: 2, Ġ: 3, ab: 4, abc: 5, Ġab: 6, Ã: 8, '¼': 9 },
    merges: [
      ['a', 'b'],
      ['ab', 'c'],
      ['Ġ', 'ab'],
    ],
  },
};

test('tokens - a tokenizer.json counts, encodes and decodes as its merges say', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'orrery-'));
  try {
    const path = join(folder, 'tokenizer.json');
    writeFileSync(path, JSON.stringify(TOKENIZER_JSON));
    const tokenizer = await loadTokenizerJson(path);
    const ids = tokenizer.encode('abc abü cab');
    expect([...ids]).toEqual([5, 6, 8, 9, 3, 2, 4]);
    expect(tokenizer.count('abc abü cab')).toBe(7);
    expect(tokenizer.decode(ids)).toBe('abc abü cab');
    expect(tokenizer.exact).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.each([
  ['is not there', undefined],
  ['is not JSON', 'not JSON'],
  ['has no model', '{"version":"1.0"}'],
])('tokens - a tokenizer.json is refused when it %s', async (_, text) => {
  const folder = mkdtempSync(join(tmpdir(), 'orrery-'));
  try {
    const path = join(folder, 'tokenizer.json');
    if (text !== undefined) writeFileSync(path, text);
    const refused = expect.objectContaining({
      code: 'ORRERY_TOKENS_BAD_INPUT',
      message: expect.stringContaining(path),
    });
    await expect(loadTokenizerJson(path)).rejects.toEqual(refused);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('tokens - the baked Unicode classes are those of the regular expressions in tiktoken', () => {
  const table = buildClassTable();
  const ranks = `! 0 ${Array.from({ length: 256 }, (_, byte) => Buffer.of(byte).toString('base64')).join(' ')}`;
  const patterns: [string, (found: number) => boolean][] = [
    ['[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]', (found) => (found & UPPER) !== 0],
    ['[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]', (found) => (found & LOWER) !== 0],
    ['\\p{L}', (found) => (found & LETTER) !== 0],
    ['\\p{M}', (found) => found === MARK],
    ['\\p{N}', (found) => found === NUMBER],
    ['\\s', (found) => (found & SPACE) !== 0],
  ];
  for (const [pattern, has] of patterns) {
    const tiktoken = new Tiktoken(ranks, {}, pattern);
    let matched = '';
    let expected = '';
    for (let first = 0; first < 0x11_0000; first += 4_096) {
      const codes = Array.from({ length: 4_096 }, (_, i) => first + i).filter((code) => code < 0xd800 || code > 0xdfff);
      matched += Buffer.from(tiktoken.encode_ordinary(String.fromCodePoint(...codes))).toString();
      expected += String.fromCodePoint(...codes.filter((code) => has(classOf(table, code))));
    }
    expect({ pattern, same: matched === expected }).toEqual({ pattern, same: true });
    tiktoken.free();
  }
});

test('tokens - a full piece cache writes over its oldest entries and stays right', () => {
  const cache = new PieceCache();
  const bytes = new Uint8Array(264);
  const view = new DataView(bytes.buffer);
  const ids = new Uint32Array(300);
  const key = (i: number): void => {
    bytes.fill(i & 0xff, 0, 200);
    view.setInt32(0, i);
  };
  const entries = 10_000;
  for (let i = 0; i < entries; i++) {
    key(i);
    ids.fill(i, 0, 50);
    cache.set(view, 0, 200, Math.imul(i, 0x9e3779b1), ids, 0, 50);
  }
  let kept = 0;
  for (let i = 0; i < entries; i++) {
    key(i);
    const end = cache.get(view, 0, 200, Math.imul(i, 0x9e3779b1), ids, 0);
    if (end < 0) continue;
    kept++;
    expect(end).toBe(50);
    expect(ids.subarray(0, 50).every((id) => id === i)).toBe(true);
  }
  expect(kept).toBeGreaterThan(1_000);
  expect(kept).toBeLessThan(entries);
  cache.clear();
  expect(cache.get(view, 0, 200, Math.imul(entries - 1, 0x9e3779b1), ids, 0)).toBe(-1);
});

test('tokens - counting in slices lets timers run and gives the same count', async () => {
  const text = 'Some words to count, again and again. '.repeat(40_000);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const counted = await countInSlices(o200k, text, { sliceMs: 1 });
  clearInterval(timer);
  expect(counted).toBe(o200k.count(text));
  expect(ticks).toBeGreaterThan(0);
  const reason = new Error('enough');
  await expect(countInSlices(o200k, text, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

test('tokens - an image that is cut short is refused', () => {
  expect(() => openEncoder(new SharedArrayBuffer(64))).toThrow(
    expect.objectContaining({ code: 'ORRERY_TOKENS_IMAGE' }),
  );
});
