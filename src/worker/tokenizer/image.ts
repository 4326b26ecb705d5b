/**
 * Owns the layout of a vocabulary image: one SharedArrayBuffer that every thread reads and none writes. It opens views on
 * an image and checks its head; building one is `build.ts`.
 */
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
  /** Open addressing: the token that a pair of tokens merges to, by the hash of the pair. */
  readonly pairs: Int32Array;
  /** A bit by the hash of a pair: where it is 0 the pair merges to nothing, and `pairs` need not be looked at. */
  readonly pairBits: Int32Array;
  /** By two bytes, the first times 256: the token that they merge to, or `NO_MERGE`. */
  readonly bytePairs: Int32Array;
  /** By the last byte of a left and the first byte of a right part: the lowest token that is merged from such two. */
  readonly borders: Int32Array;
  /**
   * Three words a token, see {@link RECORD}: its longest proper prefix that is a token, plus one, with its length in bytes
   * above; and the two tokens that it is merged from, -1 for single bytes.
   */
  readonly records: Int32Array;
  /** Double-array trie: at `2 * slot` the base of a node's children; at `2 * slot + 1` token plus one, and the byte above. */
  readonly trie: Int32Array;
  readonly root: number;
  readonly classes: Uint8Array;
}

/** Words of a token in {@link Image.records}. */
export const RECORD = { words: 3, link: 0, left: 1, right: 2 } as const;

/** Bits of a record's link and of the trie's second word below which the id stands. */
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
    borders: words('borders'),
    records: words('records'),
    trie: words('trie'),
    root: head[HEAD.root]!,
    classes: bytes('classes'),
  };
}
