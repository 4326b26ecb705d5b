/**
 * Owns what both sides know about tokens: the encodings, which model uses which, how a chat is framed, where a text may
 * be cut without changing its tokens, and the shape of a count. It holds no vocabulary and counts nothing.
 */

/** Names an encoding as OpenAI does; `o200k_harmony` is `o200k_base` with the special tokens of gpt-oss. */
export type Encoding = 'o200k_base' | 'o200k_harmony' | 'cl100k_base';

/** Names a vocabulary: what an image holds. */
export type Vocabulary = 'o200k_base' | 'cl100k_base';

export interface EncodingEntry {
  readonly vocabulary: Vocabulary;
  /** Special tokens by their text; they are plain text unless a caller asks for them. */
  readonly special: ReadonlyMap<string, number>;
}

const HARMONY_NAMED: readonly (readonly [string, number])[] = [
  ['<|startoftext|>', 199_998],
  ['<|endoftext|>', 199_999],
  ['<|return|>', 200_002],
  ['<|constrain|>', 200_003],
  ['<|channel|>', 200_005],
  ['<|start|>', 200_006],
  ['<|end|>', 200_007],
  ['<|message|>', 200_008],
  ['<|call|>', 200_012],
  ['<|endofprompt|>', 200_018],
];
const HARMONY_FIRST_RESERVED = 200_000;
const HARMONY_END = 201_088;

/** Adds harmony's reserved names; 200018 has a name of its own and, like tiktoken's table, a reserved one too. */
function harmonySpecial(): ReadonlyMap<string, number> {
  const table = new Map(HARMONY_NAMED);
  const named = new Set(table.values());
  named.delete(200_018);
  for (let id = HARMONY_FIRST_RESERVED; id < HARMONY_END; id++) {
    if (!named.has(id)) table.set(`<|reserved_${id}|>`, id);
  }
  return table;
}

/** Lists every encoding that Orrery counts exactly. */
export const ENCODINGS: Readonly<Record<Encoding, EncodingEntry>> = {
  o200k_base: {
    vocabulary: 'o200k_base',
    special: new Map([
      ['<|endoftext|>', 199_999],
      ['<|endofprompt|>', 200_018],
    ]),
  },
  o200k_harmony: { vocabulary: 'o200k_base', special: harmonySpecial() },
  cl100k_base: {
    vocabulary: 'cl100k_base',
    special: new Map([
      ['<|endoftext|>', 100_257],
      ['<|fim_prefix|>', 100_258],
      ['<|fim_middle|>', 100_259],
      ['<|fim_suffix|>', 100_260],
      ['<|endofprompt|>', 100_276],
    ]),
  },
};

/** 'ORVI' in the byte order of the machine that built an image: one of the other order is not current. */
export const IMAGE_MAGIC = 0x4f525649;
/** Raised with every change of an image's layout or of a hash, so that an older image is built again. */
export const IMAGE_VERSION = 4;
/** The first words of an image's head. */
export const IMAGE_HEAD = { magic: 0, version: 1, vocabulary: 2, byteLength: 3 } as const;
export const VOCABULARY_CODES: Readonly<Record<Vocabulary, number>> = { o200k_base: 1, cl100k_base: 2 };

/** Tells whether a buffer is a whole image of this version, for this vocabulary and this machine. */
export function isCurrentImage(buffer: SharedArrayBuffer, vocabulary: Vocabulary): boolean {
  if (buffer.byteLength < 128) return false;
  const head = new Int32Array(buffer, 0, 32);
  return (
    head[IMAGE_HEAD.magic] === IMAGE_MAGIC &&
    head[IMAGE_HEAD.version] === IMAGE_VERSION &&
    head[IMAGE_HEAD.vocabulary] === VOCABULARY_CODES[vocabulary] &&
    head[IMAGE_HEAD.byteLength] === buffer.byteLength
  );
}

/** Used where neither an encoding nor a model is named. */
export const DEFAULT_ENCODING: Encoding = 'o200k_base';

/** Tells whether a value names an encoding. */
export function isEncoding(value: unknown): value is Encoding {
  return typeof value === 'string' && Object.hasOwn(ENCODINGS, value);
}

/** Model families by the start of their name; the longest that fits wins. A family fits up to the end, `-`, `.` or `:`. */
export const MODEL_ENCODINGS: Readonly<Record<string, Encoding>> = {
  'gpt-oss': 'o200k_harmony',
  'gpt-5': 'o200k_base',
  'gpt-4.5': 'o200k_base',
  'gpt-4.1': 'o200k_base',
  'gpt-4o': 'o200k_base',
  'chatgpt-4o': 'o200k_base',
  o1: 'o200k_base',
  o3: 'o200k_base',
  o4: 'o200k_base',
  'gpt-4': 'cl100k_base',
  'gpt-3.5': 'cl100k_base',
  'gpt-35': 'cl100k_base',
  'text-embedding-3': 'cl100k_base',
  'text-embedding-ada-002': 'cl100k_base',
  'davinci-002': 'cl100k_base',
  'babbage-002': 'cl100k_base',
};

export interface ResolvedModel {
  readonly encoding: Encoding;
  /** False when the model has no public tokenizer: then the count is an estimate, the count of `encoding`. */
  readonly exact: boolean;
}

/**
 * Finds a model's encoding. A model with no public tokenizer (Claude, Gemini, ...) or an unknown one gets the count of
 * `o200k_base`, labelled `exact: false`. `openai/gpt-4o`, `openai:gpt-4o` and `ft:gpt-4o:...` are read as `gpt-4o`.
 */
export function resolveModel(model: string): ResolvedModel {
  const name = model
    .toLowerCase()
    .replace(/^.*\//, '')
    .replace(/^(?:openai|azure|openai-compatible):/, '')
    .replace(/^ft:/, '');
  let best = '';
  for (const family of Object.keys(MODEL_ENCODINGS)) {
    const fits = name.startsWith(family) && /^(?:$|[-.:])/.test(name.slice(family.length));
    if (fits && family.length > best.length) best = family;
  }
  const encoding = MODEL_ENCODINGS[best];
  return encoding === undefined ? { encoding: DEFAULT_ENCODING, exact: false } : { encoding, exact: true };
}

/** A chat message as it is counted; of parts, those with a `text` count, and any other makes the count an estimate. */
export interface CountedMessage {
  readonly role: string;
  readonly content: string | null | readonly CountedPart[];
  readonly name?: string;
}

export interface CountedPart {
  readonly type: string;
  readonly text?: string;
}

/** What a chat costs beside the tokens of its roles, names and contents. */
export interface Framing {
  readonly perMessage: number;
  readonly perName: number;
  readonly perReply: number;
}

const CHAT_FRAMING: Framing = { perMessage: 3, perName: 1, perReply: 3 };
const FIRST_CHAT_FRAMING: Framing = { perMessage: 4, perName: -1, perReply: 3 };
/** `<|start|>role<|message|>text<|end|>`, and `<|start|>assistant` for the reply. */
const HARMONY_FRAMING: Framing = { perMessage: 3, perName: 1, perReply: 2 };

/** Gives the framing that OpenAI published for a model's family; the newest published one where none was. */
export function framingOf(encoding: Encoding, model = ''): Framing {
  if (encoding === 'o200k_harmony') return HARMONY_FRAMING;
  return model.endsWith('gpt-3.5-turbo-0301') ? FIRST_CHAT_FRAMING : CHAT_FRAMING;
}

/** Counts and encodes; `exact` is false for one that estimates. */
export interface Tokenizer {
  count(text: string): number;
  encode(text: string): Uint32Array;
  decode(ids: Uint32Array): string;
  readonly exact: boolean;
}

const SPACE = 0x20;

/**
 * Finds a place to cut a text so that the tokens of both parts add up to the tokens of the whole, in every encoding:
 * the last such place in `(from, near]`, else the first one after `near`, else the end of the text.
 */
export function safeCut(text: string, from: number, near: number): number {
  if (near >= text.length) return text.length;
  for (let at = near; at > from; at--) if (isSafeCut(text, at)) return at;
  return nextSafeCut(text, near + 1);
}

/** Finds the first safe place from `start` on, or the end. Looks at each unit once: a text may have no such place. */
function nextSafeCut(text: string, start: number): number {
  let before = text.charCodeAt(start - 1);
  let run = 0;
  for (let at = start; at < text.length; at++) {
    const next = text.charCodeAt(at);
    // No place between two equal units is safe: what may be cut before is cut only after something else.
    if (next === before) {
      run++;
      if (run === LONG_RUN) at = runEnd(text, at) - 1;
      continue;
    }
    if (isSafeCut(text, at)) return at;
    before = next;
    run = 0;
  }
  return text.length;
}

/** Equal units in a row from which on the run is compared in blocks: a twentieth of the time of a look at each. */
const LONG_RUN = 1_024;
const RUN_BLOCK = 4_096;

function runEnd(text: string, start: number): number {
  const unit = text.charCodeAt(start);
  const run = String.fromCharCode(unit).repeat(RUN_BLOCK);
  let at = start + 1;
  while (text.slice(at, at + RUN_BLOCK) === run) at += RUN_BLOCK;
  while (at < text.length && text.charCodeAt(at) === unit) at++;
  return at;
}

/**
 * Tells whether every encoding's pattern breaks before index `at`, whatever stands further left or right.
 *
 * No pattern lets a piece go on over a space after anything that is not white space; none lets a letter or a digit be
 * followed by a line break, and none lets a CJK letter be followed by CJK punctuation. Neither side looks over the cut:
 * the only look-ahead is from white space, and nothing looks behind.
 */
export function isSafeCut(text: string, at: number): boolean {
  if (at <= 0 || at >= text.length) return true;
  const next = text.charCodeAt(at);
  if (next === SPACE) return !isWhiteSpace(text.charCodeAt(at - 1));
  if (next === 0x0a || next === 0x0d || next === 0x09) return isPlainLetterOrDigit(text.charCodeAt(at - 1));
  return isCjkPunctuation(next) && isCjkLetter(text.charCodeAt(at - 1));
}

function isWhiteSpace(unit: number): boolean {
  if (unit < 0x80) return unit === SPACE || (unit >= 0x09 && unit <= 0x0d);
  if (unit < 0x1680) return unit === 0x85 || unit === 0xa0;
  if (unit < 0x2000) return unit === 0x1680;
  return unit <= 0x200a || (unit >= 0x2028 && unit <= 0x2029) || unit === 0x202f || unit === 0x205f || unit === 0x3000;
}

function isPlainLetterOrDigit(unit: number): boolean {
  return (
    (unit >= 0x61 && unit <= 0x7a) ||
    (unit >= 0x41 && unit <= 0x5a) ||
    (unit >= 0x30 && unit <= 0x39) ||
    isCjkLetter(unit)
  );
}

/** Hiragana, katakana, ideographs and Hangul syllables: assigned letters in every Unicode version. */
function isCjkLetter(unit: number): boolean {
  return (
    (unit >= 0x3041 && unit <= 0x3096) ||
    (unit >= 0x30a1 && unit <= 0x30fa) ||
    (unit >= 0x4e00 && unit <= 0x9fa5) ||
    (unit >= 0xac00 && unit <= 0xd7a3)
  );
}

/** `、。「」，．！？：；` */
function isCjkPunctuation(unit: number): boolean {
  return (
    unit === 0x3001 ||
    unit === 0x3002 ||
    unit === 0x300c ||
    unit === 0x300d ||
    unit === 0xff0c ||
    unit === 0xff0e ||
    unit === 0xff01 ||
    unit === 0xff1f ||
    unit === 0xff1a ||
    unit === 0xff1b
  );
}
