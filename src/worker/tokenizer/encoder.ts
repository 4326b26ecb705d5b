/**
 * Owns counting, encoding, decoding and truncating on one thread, with one vocabulary image. It takes a text in windows
 * that end where no piece can, so its memory does not grow with the text, and its caller may pause between two of them.
 */
import { ENCODINGS, type Encoding, type Tokenizer, safeCut } from '../../protocol/encodings.ts';
import { OrreryError } from '../../protocol/errors.ts';
import { PieceEncoder } from './bpe.ts';
import { LONGEST_CACHED, PieceCache } from './cache.ts';
import { hashBytes } from './hash.ts';
import { type Image, lengthOf, openImage } from './image.ts';
import { findPiece } from './lookup.ts';
import { pieceEndCl100k, pieceEndO200k } from './pretokenize.ts';
import { type SpecialOptions, specialTexts, splitSpecial } from './special.ts';
import { widthOf } from './unicode.ts';

/** UTF-16 units in a window; a longer one is taken only where a text has no safe place to cut. */
export const WINDOW_UNITS = 16_384;
/** Readable bytes behind a window's text. */
const PADDING = 8;
/** Longer pieces are no token. */
const LONGEST_TOKEN = 128;
/** Pieces that are looked up together. */
const BLOCK = 128;
/** Bytes of scratch memory that any window within {@link WINDOW_UNITS} has room in. */
const KEPT_BYTES = 3 * WINDOW_UNITS + PADDING;
/** Short windows after which the memory of a long one is let go. */
const SHORT_WINDOWS = 256;

const utf8 = new TextEncoder();

export interface Truncated {
  readonly text: string;
  readonly tokens: number;
  /** True when something was cut off. */
  readonly cut: boolean;
}

/** Encodes with one of the encodings, exactly as tiktoken's `encode_ordinary` does. */
export class Encoder implements Tokenizer {
  readonly exact: boolean = true;
  readonly encoding: Encoding;
  readonly #image: Image;
  readonly #o200k: boolean;
  readonly #cache = new PieceCache();
  readonly #pieces: PieceEncoder;
  readonly #block = {
    starts: new Int32Array(BLOCK + 1),
    hashes: new Int32Array(BLOCK),
    entries: new Int32Array(BLOCK),
  };
  #bytes = new Uint8Array(0);
  #view = new DataView(new ArrayBuffer(0));
  #ids = new Uint32Array(0);
  #shortWindows = 0;

  constructor(encoding: Encoding, image: Image) {
    this.encoding = encoding;
    this.#image = image;
    this.#pieces = new PieceEncoder(image);
    this.#o200k = ENCODINGS[encoding].vocabulary === 'o200k_base';
  }

  /** Counts a text's tokens; special tokens are plain text unless `special` names them. */
  count(text: string, options: SpecialOptions = {}): number {
    if (options.special === undefined) return this.#countPlain(text);
    let total = 0;
    for (const part of splitSpecial(text, this.encoding, options.special))
      total += part.id >= 0 ? 1 : this.#countPlain(part.text);
    return total;
  }

  /** Encodes a text; special tokens are plain text unless `special` names them. */
  encode(text: string, options: SpecialOptions = {}): Uint32Array {
    const chunks: Uint32Array[] = [];
    if (options.special === undefined) {
      this.#encodePlain(text, chunks);
      return chunks.length === 1 ? chunks[0]! : concat(chunks);
    }
    for (const part of splitSpecial(text, this.encoding, options.special)) {
      if (part.id >= 0) chunks.push(Uint32Array.of(part.id));
      else this.#encodePlain(part.text, chunks);
    }
    return chunks.length === 1 ? chunks[0]! : concat(chunks);
  }

  /** Decodes ids; what is no whole code point becomes U+FFFD. Throws `ORRERY_TOKENS_BAD_INPUT` for an id of no token. */
  decode(ids: Uint32Array): string {
    const { arena, offsets, tokens } = this.#image;
    const chunks: Uint8Array[] = [];
    for (const id of ids) {
      if (id < tokens) {
        chunks.push(arena.subarray(offsets[id], offsets[id + 1]));
        continue;
      }
      const text = specialTexts(this.encoding).get(id);
      if (text === undefined) {
        throw new OrreryError('ORRERY_TOKENS_BAD_INPUT', `${id} is no token of ${this.encoding}.`);
      }
      chunks.push(utf8.encode(text));
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(chunks));
  }

  /**
   * Keeps as much of a text's start as has at most `maxTokens` tokens, whole code points only; `tokens` is the count of
   * what is kept. Throws `ORRERY_TOKENS_BAD_INPUT` when `maxTokens` is no whole number from 0 on.
   */
  truncate(text: string, maxTokens: number): Truncated {
    if (!Number.isInteger(maxTokens) || maxTokens < 0) {
      throw new OrreryError(
        'ORRERY_TOKENS_BAD_INPUT',
        `Expected \`maxTokens\` to be a whole number from 0 on, got ${maxTokens}.`,
      );
    }
    let total = 0;
    for (let at = 0; at < text.length;) {
      const end = safeCut(text, at, at + WINDOW_UNITS);
      const count = this.countRange(text, at, end);
      if (total + count > maxTokens) return this.#truncateWindow(text, at, end, total, maxTokens - total);
      total += count;
      at = end;
    }
    return { text, tokens: total, cut: false };
  }

  /** Counts a part of a text that safe cuts bound. */
  countRange(text: string, from: number, to: number): number {
    return this.#window(text, from, to);
  }

  /** Forgets the pieces met so far; results do not change, only times. */
  clearCache(): void {
    this.#cache.clear();
    this.#pieces.clear();
  }

  #countPlain(text: string): number {
    let total = 0;
    for (let at = 0; at < text.length;) {
      const end = safeCut(text, at, at + WINDOW_UNITS);
      total += this.#window(text, at, end);
      at = end;
    }
    return total;
  }

  #encodePlain(text: string, chunks: Uint32Array[]): void {
    for (let at = 0; at < text.length;) {
      const end = safeCut(text, at, at + WINDOW_UNITS);
      const count = this.#window(text, at, end);
      chunks.push(this.#ids.slice(0, count));
      at = end;
    }
  }

  /** Cuts inside the window that was encoded last. A cut piece may fall apart, so what is kept is counted again. */
  #truncateWindow(text: string, at: number, end: number, before: number, room: number): Truncated {
    const { records } = this.#image;
    const lengths = this.#ids.slice(0, room).map((id) => lengthOf(records, id));
    for (let keep = room; keep > 0; keep--) {
      this.#window(text, at, end);
      const size = lengths.subarray(0, keep).reduce((sum, length) => sum + length, 0);
      const kept = text.slice(at, at + wholeUnits(this.#bytes, size));
      const count = this.#window(kept, 0, kept.length);
      if (count <= room) return { text: text.slice(0, at) + kept, tokens: before + count, cut: true };
    }
    return { text: text.slice(0, at), tokens: before, cut: true };
  }

  /** Encodes one window into `#ids` and returns how many there are. */
  #window(text: string, from: number, to: number): number {
    const window = from === 0 && to === text.length ? text : text.slice(from, to);
    const units = to - from;
    this.#reserve(units <= WINDOW_UNITS ? 3 * units : Buffer.byteLength(window));
    const bytes = this.#bytes;
    const end = utf8.encodeInto(window, bytes).written;
    bytes.fill(0, end, end + PADDING);
    return this.#encodeBytes(end);
  }

  #encodeBytes(end: number): number {
    const bytes = this.#bytes;
    const view = this.#view;
    const out = this.#ids;
    const image = this.#image;
    const { classes, pieces } = image;
    const mask = pieces.length - 1;
    const cache = this.#cache;
    const o200k = this.#o200k;
    const encoder = this.#pieces;
    const { starts, hashes, entries } = this.#block;
    let top = 0;
    let at = 0;
    while (at < end) {
      // In blocks, finding borders first and looking up after: the loads from the big table then overlap each other.
      let size = 0;
      for (; size < BLOCK && at < end; size++) {
        const stop = o200k ? pieceEndO200k(bytes, classes, at, end) : pieceEndCl100k(bytes, classes, at, end);
        const hash = stop - at > LONGEST_CACHED ? 0 : hashBytes(view, at, stop - at);
        starts[size] = at;
        hashes[size] = hash;
        entries[size] = pieces[hash & mask]!;
        at = stop;
      }
      starts[size] = at;
      for (let i = 0; i < size; i++) {
        const start = starts[i]!;
        const length = starts[i + 1]! - start;
        const hash = hashes[i]!;
        const id = length > LONGEST_TOKEN ? -1 : findPiece(image, view, start, length, hash, entries[i]!);
        if (id >= 0) {
          out[top++] = id;
          continue;
        }
        const cached = length > LONGEST_CACHED ? -1 : cache.get(view, start, length, hash, out, top);
        if (cached >= 0) {
          top = cached;
          continue;
        }
        const after = encoder.encode(bytes, start, start + length, out, top);
        if (length <= LONGEST_CACHED) cache.set(view, start, length, hash, out, top, after);
        top = after;
      }
    }
    return top;
  }

  /** Makes room for a window's bytes and ids. What one long window needed is let go after many short ones. */
  #reserve(size: number): void {
    const wanted = size + PADDING;
    const held = this.#bytes.length;
    if (wanted > KEPT_BYTES) this.#shortWindows = 0;
    else if (held > KEPT_BYTES) this.#shortWindows++;
    if (held >= wanted && this.#shortWindows < SHORT_WINDOWS) return;
    this.#shortWindows = 0;
    const length = wanted <= KEPT_BYTES ? KEPT_BYTES : wanted + (wanted >> 2);
    this.#bytes = new Uint8Array(length);
    this.#view = new DataView(this.#bytes.buffer);
    this.#ids = new Uint32Array(length);
  }
}

/** Counts the UTF-16 units of the whole characters in the first `size` bytes. */
function wholeUnits(bytes: Uint8Array, size: number): number {
  let units = 0;
  for (let at = 0; at < size;) {
    const width = widthOf(bytes[at]!);
    if (at + width > size) break;
    units += width === 4 ? 2 : 1;
    at += width;
  }
  return units;
}

function concat(chunks: readonly Uint32Array[]): Uint32Array {
  const ids = new Uint32Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let to = 0;
  for (const chunk of chunks) {
    ids.set(chunk, to);
    to += chunk.length;
  }
  return ids;
}

/** Opens an encoder on a vocabulary image that another thread loaded; throws `ORRERY_TOKENS_IMAGE` when it does not fit. */
export function openEncoder(buffer: SharedArrayBuffer, encoding?: Encoding): Encoder {
  const image = openImage(buffer);
  return new Encoder(encoding ?? image.vocabulary, image);
}
