/** Owns the making of a vocabulary image from a `.tiktoken` file. It runs once a release or a checkout, on no hot path. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { IMAGE_HEAD, IMAGE_MAGIC, IMAGE_VERSION, VOCABULARY_CODES, type Vocabulary } from '../../protocol/encodings.ts';
import { OrreryError } from '../../protocol/errors.ts';
import { FINGERPRINT_MASK, ID_BITS, ID_MASK, PAIR_BITS_BYTES, hashBytes } from './hash.ts';
import { HEAD, HEAD_BYTES, type Image, PADDING, SECTIONS, type Section, recordOf } from './image.ts';
import { NO_MERGE, SINGLE_BYTES, addPair, isStablePair, mergeOf } from './pairs.ts';
import { DoubleArray } from './trie.ts';
import { buildClassTable } from './unicode.ts';

/** SHA-256 of the files that OpenAI publishes, as tiktoken itself checks them. */
const PUBLISHED: Readonly<Record<Vocabulary, string>> = {
  o200k_base: '446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d',
  cl100k_base: '223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7',
};

/** Reads the published ranks and builds the image; throws `ORRERY_TOKENS_IMAGE` when they are missing or not the published ones. */
export function buildImage(vocabulary: Vocabulary): SharedArrayBuffer {
  const text = readRanks(vocabulary);
  const tokens = parseRanks(text);
  const { arena, offsets } = packArena(tokens);
  const arenaView = new DataView(arena.buffer);
  const pieces = hashPieces(arenaView, offsets, tokens.length);
  const find = (bytes: Uint8Array): number => findPiece(arena, arenaView, offsets, pieces, bytes);

  const trie = new DoubleArray();
  for (let id = 0; id < tokens.length; id++) trie.add(tokens[id]!, id);
  const packed = trie.pack();
  const image: Image = {
    vocabulary,
    tokens: tokens.length,
    arena,
    arenaView,
    offsets,
    pieces,
    pairs: new Int32Array(2 * tableSize(tokens.length)),
    pairBits: new Int32Array(PAIR_BITS_BYTES / 4),
    bytePairs: new Int32Array(256 * 256).fill(NO_MERGE),
    characters: characterTokens(find),
    // No merge over a border: above every rank, so that a walk stops at once.
    borders: new Int32Array(256 * 256).fill(ID_MASK),
    records: new Int32Array(2 * tokens.length),
    trie: packed.words,
    root: packed.root,
    classes: buildClassTable(),
  };
  splitTokens(image, tokens, find);
  return pack(image);
}

/**
 * Builds an image and writes it as `VOCABULARY.img` into a folder, whole or not at all: two processes may do it at once.
 * A folder that cannot be written is no error, the image is returned all the same.
 */
export function writeImage(vocabulary: Vocabulary, folder: string): SharedArrayBuffer {
  const image = buildImage(vocabulary);
  const draft = join(folder, `.${vocabulary}.${process.pid}.${threadId}.draft`);
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(draft, new Uint8Array(image));
    renameSync(draft, join(folder, `${vocabulary}.img`));
  } catch {
    rmSync(draft, { force: true });
  }
  return image;
}

function readRanks(vocabulary: Vocabulary): string {
  let data: Buffer;
  try {
    data = readFileSync(createRequire(import.meta.url).resolve(`gpt-tokenizer/data/${vocabulary}.tiktoken`));
  } catch (cause) {
    throw new OrreryError('ORRERY_TOKENS_IMAGE', `There are no ranks to build ${vocabulary} from.`, {
      cause,
      hint: 'Install gpt-tokenizer, or take the images that the package ships in `vocab/`.',
    });
  }
  const sum = createHash('sha256').update(data).digest('hex');
  if (sum !== PUBLISHED[vocabulary]) {
    throw new OrreryError(
      'ORRERY_TOKENS_IMAGE',
      `The ranks of ${vocabulary} are not the published ones (SHA-256 ${sum}).`,
    );
  }
  return data.toString('latin1');
}

function parseRanks(text: string): Uint8Array[] {
  const tokens: Uint8Array[] = [];
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ');
    if (space > 0) tokens[Number(line.slice(space + 1))] = Buffer.from(line.slice(0, space), 'base64');
  }
  // The encoder relies on all three: ids without gaps, single bytes first, lengths that fit a byte.
  for (let id = 0; id < tokens.length; id++) {
    const length = tokens[id]?.length ?? 0;
    if (length === 0 || length > 255 || (length === 1) !== id < SINGLE_BYTES) {
      throw new OrreryError('ORRERY_TOKENS_IMAGE', `Rank ${id} is not what the encoder expects.`);
    }
  }
  return tokens;
}

function packArena(tokens: readonly Uint8Array[]): { arena: Uint8Array; offsets: Uint32Array } {
  const offsets = new Uint32Array(tokens.length + 1);
  for (let id = 0; id < tokens.length; id++) offsets[id + 1] = offsets[id]! + tokens[id]!.length;
  const arena = new Uint8Array(offsets[tokens.length]! + PADDING);
  for (let id = 0; id < tokens.length; id++) arena.set(tokens[id]!, offsets[id]);
  return { arena, offsets };
}

/** Three quarters full for both vocabularies: a look-up reads a few slots, but they stand side by side. */
function tableSize(entries: number): number {
  return 2 ** Math.ceil(Math.log2(entries));
}

function insert(table: Int32Array, hash: number, id: number): void {
  const mask = table.length - 1;
  let slot = hash & mask;
  while (table[slot] !== 0) slot = (slot + 1) & mask;
  table[slot] = (hash & FINGERPRINT_MASK) | (id + 1);
}

function hashPieces(view: DataView, offsets: Uint32Array, tokens: number): Int32Array {
  const table = new Int32Array(tableSize(tokens));
  for (let id = 0; id < tokens; id++) {
    insert(table, hashBytes(view, offsets[id]!, offsets[id + 1]! - offsets[id]!), id);
  }
  return table;
}

function findPiece(
  arena: Uint8Array,
  view: DataView,
  offsets: Uint32Array,
  table: Int32Array,
  bytes: Uint8Array,
): number {
  const padded = new Uint8Array(bytes.length + PADDING);
  padded.set(bytes);
  const hash = hashBytes(new DataView(padded.buffer), 0, bytes.length);
  const mask = table.length - 1;
  for (let slot = hash & mask; table[slot] !== 0; slot = (slot + 1) & mask) {
    const id = (table[slot]! & ((1 << ID_BITS) - 1)) - 1;
    if (Buffer.compare(arena.subarray(offsets[id], offsets[id + 1]), bytes) === 0) return id;
  }
  return -1;
}

/** Finds the token of each character of the basic plane that is one. */
function characterTokens(find: (bytes: Uint8Array) => number): Int32Array {
  return Int32Array.from({ length: 0x1_0000 }, (_, codePoint) => {
    const surrogate = codePoint >= 0xd800 && codePoint < 0xe000;
    const id = surrogate ? -1 : find(Buffer.from(String.fromCharCode(codePoint)));
    return id < 0 ? NO_MERGE : id;
  });
}

/** Gives the longest proper prefix that is a token, or -1. */
function longestPrefix(token: Uint8Array, find: (bytes: Uint8Array) => number): number {
  for (let end = token.length - 1; end > 0; end--) {
    const prefix = find(token.subarray(0, end));
    if (prefix >= 0) return prefix;
  }
  return -1;
}

/**
 * Finds the one pair of older tokens that each token is merged from, in the order of rank: the pair that merging with all
 * older ranks leaves. The encoder's proof needs that every token has one, so a vocabulary without is refused.
 */
function splitTokens(image: Image, tokens: readonly Uint8Array[], find: (bytes: Uint8Array) => number): void {
  for (let id = 0; id < SINGLE_BYTES; id++) image.records.set(recordOf(0, 0, -1, 1), 2 * id);
  for (let id = SINGLE_BYTES; id < tokens.length; id++) {
    const token = tokens[id]!;
    let left = -1;
    let right = -1;
    for (let end = token.length - 1; end > 0; end--) {
      const a = find(token.subarray(0, end));
      const b = a < 0 || a >= id ? -1 : find(token.subarray(end));
      if (
        b >= 0 &&
        b < id &&
        mergeOf(image, a, b) === NO_MERGE &&
        isStablePair(image, a, b, (token[end - 1]! << 8) | token[end]!)
      ) {
        left = a;
        right = b;
        break;
      }
    }
    if (left < 0) throw new OrreryError('ORRERY_TOKENS_IMAGE', `Token ${id} cannot be reached by merging.`);
    image.records.set(recordOf(left, right, longestPrefix(token, find), token.length), 2 * id);
    addPair(image, left, right, id);
    if (token.length === 2) image.bytePairs[(left << 8) | right] = id;
    const border = (tokens[left]!.at(-1)! << 8) | tokens[right]![0]!;
    image.borders[border] = Math.min(image.borders[border]!, id);
  }
}

function pack(image: Image): SharedArrayBuffer {
  const parts = SECTIONS.map((section: Section) => image[section]);
  const starts: number[] = [];
  let size = HEAD_BYTES;
  for (const part of parts) {
    starts.push(size);
    size += (part.byteLength + 63) & ~63;
  }
  const buffer = new SharedArrayBuffer(size);
  const head = new Int32Array(buffer, 0, HEAD_BYTES / 4);
  head[IMAGE_HEAD.magic] = IMAGE_MAGIC;
  head[IMAGE_HEAD.version] = IMAGE_VERSION;
  head[IMAGE_HEAD.vocabulary] = VOCABULARY_CODES[image.vocabulary];
  head[IMAGE_HEAD.byteLength] = size;
  head[HEAD.tokens] = image.tokens;
  head[HEAD.root] = image.root;
  for (const [i, part] of parts.entries()) {
    head[HEAD.sections + 2 * i] = starts[i]!;
    head[HEAD.sections + 2 * i + 1] = part.byteLength;
    new Uint8Array(buffer, starts[i], part.byteLength).set(
      new Uint8Array(part.buffer, part.byteOffset, part.byteLength),
    );
  }
  return buffer;
}
