/**
 * Owns the layout of a vocabulary image: one SharedArrayBuffer that every thread reads and none writes. It opens views on
 * an image and checks its head; building one is `build.ts`.
 */
import { ID_BITS, ID_MASK } from './hash.ts';
import { OrreryError } from '../../protocol/errors.ts';
import { type Vocabulary, isCurrentImage } from '../../protocol/encodings.ts';

/** Readable bytes behind the byte arena, so that four-byte loads never leave it. */
export const PADDING = 8;

/** Words of the head behind those of {@link IMAGE_HEAD}: tokens, the trie's root, then offset and length a section. */
export const HEAD = { tokens: 4, root: 5, sections: 6 } as const;
export const SECTIONS = [
  'arena',
  'offsets',
  'pieces',
  'pairs',
  'pairBits',
  'bytePairs',
  'characters',
  'borders',
  'records',
  'trie',
  'classes',
] as const;
export type Section = (typeof SECTIONS)[number];
export const HEAD_BYTES = 128;

/** Views on one image. All are plain typed arrays: a token id and a byte index is all that the hot loops know. */
export interface Image {
  readonly vocabulary: Vocabulary;
  readonly tokens: number;
  /** Every token's bytes, in the order of their ids. */
  readonly arena: Uint8Array;
  readonly arenaView: DataView;
  /** Where a token's bytes start; the next entry is where they end. */
  readonly offsets: Uint32Array;
  /** Open addressing: token by the hash of its bytes. */
  readonly pieces: Int32Array;
  /** Open addressing: the token that a pair of tokens merges to, by the hash of the pair; two words a slot, see `pairs.ts`. */
  readonly pairs: Int32Array;
  /** A bit by the hash of a pair: where it is 0 the pair merges to nothing, and `pairs` need not be looked at. */
  readonly pairBits: Int32Array;
  /** By the tokens of two single bytes, the first times 256: the token that they merge to, or `NO_MERGE`. */
  readonly bytePairs: Int32Array;
  /** By the code points of the basic plane: the token that the character is, or `NO_MERGE`. */
  readonly characters: Int32Array;
  /** By the last byte of a left and the first byte of a right part: the lowest token that is merged from such two. */
  readonly borders: Int32Array;
  /** Two words a token, see {@link recordOf}: what it is merged from, its longest prefix that is a token, its length. */
  readonly records: Int32Array;
  /** Double-array trie: at `2 * slot` the base of a node's children; at `2 * slot + 1` token plus one, and the byte above. */
  readonly trie: Int32Array;
  readonly root: number;
  readonly classes: Uint8Array;
}

/**
 * Packs a token's record: the two tokens it is merged from, its longest proper prefix that is a token (-1: none), and its
 * length in bytes. Single bytes are merged from nothing, and nobody asks.
 */
export function recordOf(left: number, right: number, prefix: number, length: number): [number, number] {
  return [left | (right << ID_BITS), (right >>> LOW_BITS) | ((prefix + 1) << PREFIX_SHIFT) | (length << LENGTH_SHIFT)];
}

export function leftOf(records: Int32Array, token: number): number {
  return records[2 * token]! & ID_MASK;
}

export function rightOf(records: Int32Array, token: number): number {
  return (records[2 * token]! >>> ID_BITS) | ((records[2 * token + 1]! & HIGH_MASK) << LOW_BITS);
}

/** Gives the longest proper prefix that is a token, or -1. */
export function prefixOf(records: Int32Array, token: number): number {
  return ((records[2 * token + 1]! >>> PREFIX_SHIFT) & ID_MASK) - 1;
}

export function lengthOf(records: Int32Array, token: number): number {
  return records[2 * token + 1]! >>> LENGTH_SHIFT;
}

/** Bits of a right part that the first word has room for, and the mask of those in the second. */
const LOW_BITS: number = 32 - ID_BITS;
const HIGH_MASK: number = (1 << (ID_BITS - LOW_BITS)) - 1;
const PREFIX_SHIFT: number = ID_BITS - LOW_BITS;
const LENGTH_SHIFT: number = PREFIX_SHIFT + ID_BITS;

/** Bits of the trie's second word below which the token stands. */
export const LINK_BITS = 20;
export const LINK_MASK: number = (1 << LINK_BITS) - 1;

/** Opens views on an image; throws `ORRERY_TOKENS_IMAGE` when it is not a whole image of this version. */
export function openImage(buffer: SharedArrayBuffer): Image {
  const vocabulary = (['o200k_base', 'cl100k_base'] as const).find((name) => isCurrentImage(buffer, name));
  if (vocabulary === undefined) {
    throw new OrreryError('ORRERY_TOKENS_IMAGE', 'This is no whole vocabulary image of this version.');
  }
  const head = new Int32Array(buffer, 0, HEAD_BYTES / 4);
  const at = (section: Section): [number, number] => {
    const index = HEAD.sections + 2 * SECTIONS.indexOf(section);
    return [head[index]!, head[index + 1]!];
  };
  const bytes = (section: Section): Uint8Array => new Uint8Array(buffer, ...at(section));
  const words = (section: Section): Int32Array => {
    const [offset, length] = at(section);
    return new Int32Array(buffer, offset, length / 4);
  };
  const offsets = words('offsets');
  return {
    vocabulary,
    tokens: head[HEAD.tokens]!,
    arena: bytes('arena'),
    arenaView: new DataView(buffer, ...at('arena')),
    offsets: new Uint32Array(buffer, offsets.byteOffset, offsets.length),
    pieces: words('pieces'),
    pairs: words('pairs'),
    pairBits: words('pairBits'),
    bytePairs: words('bytePairs'),
    characters: words('characters'),
    borders: words('borders'),
    records: words('records'),
    trie: words('trie'),
    root: head[HEAD.root]!,
    classes: bytes('classes'),
  };
}
