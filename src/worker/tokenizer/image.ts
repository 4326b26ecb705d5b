/**
 * Owns the layout of a vocabulary image: one SharedArrayBuffer that every thread reads and none writes. It opens views on
 * an image and checks its head; building one is `build.ts`.
 */
import { OrreryError } from '../../protocol/errors.ts';
import type { Vocabulary } from '../../protocol/encodings.ts';

/** 'ORVI' in the byte order of the machine that built it: an image of the other order is refused, and built again. */
export const IMAGE_MAGIC = 0x4f525649;
/** Raised with every change of layout or of a hash, so that an older image is built again. */
export const IMAGE_VERSION = 1;
/** Readable bytes behind the byte arena, so that four-byte loads never leave it. */
export const PADDING = 8;

export const VOCABULARY_CODES: Readonly<Record<Vocabulary, number>> = { o200k_base: 1, cl100k_base: 2 };

/** Words of the head: magic, version, vocabulary, bytes in all, tokens, trie's root, then offset and length a section. */
export const HEAD = { magic: 0, version: 1, vocabulary: 2, byteLength: 3, tokens: 4, root: 5, sections: 6 } as const;
export const SECTIONS = ['arena', 'offsets', 'pieces', 'pairs', 'splits', 'links', 'trie', 'classes'] as const;
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
  /** The two tokens that a token is merged from, at `2 * id` and `2 * id + 1`; -1 for single bytes. */
  readonly splits: Int32Array;
  /** A token's longest proper prefix that is a token, plus one, in the low 20 bits; its length in bytes above. */
  readonly links: Int32Array;
  /** Double-array trie: at `2 * slot` the base of a node's children; at `2 * slot + 1` token plus one, and the byte above. */
  readonly trie: Int32Array;
  readonly root: number;
  readonly classes: Uint8Array;
}

/** Bits of {@link Image.links} and of the trie's second word below which the id stands. */
export const LINK_BITS = 20;
export const LINK_MASK: number = (1 << LINK_BITS) - 1;

/** Opens views on an image; throws `ORRERY_TOKENS_IMAGE` when it is not a whole image of this version. */
export function openImage(buffer: SharedArrayBuffer): Image {
  if (buffer.byteLength < HEAD_BYTES) throw broken('is too short');
  const head = new Int32Array(buffer, 0, HEAD_BYTES / 4);
  if (head[HEAD.magic] !== IMAGE_MAGIC || head[HEAD.version] !== IMAGE_VERSION) throw broken('has another version');
  if (head[HEAD.byteLength] !== buffer.byteLength) throw broken('is cut short');
  const vocabulary = head[HEAD.vocabulary] === VOCABULARY_CODES.o200k_base ? 'o200k_base' : 'cl100k_base';
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
    splits: words('splits'),
    links: words('links'),
    trie: words('trie'),
    root: head[HEAD.root]!,
    classes: bytes('classes'),
  };
}

function broken(how: string): OrreryError {
  return new OrreryError('ORRERY_TOKENS_IMAGE', `The vocabulary image ${how}.`);
}
