/**
 * Owns counting, encoding, decoding and truncating on one thread, with one vocabulary image. It takes a text in windows
 * that end where no piece can, so its memory does not grow with the text, and its caller may pause between two of them.
 */
import { ENCODINGS, type Encoding, type Tokenizer, safeCut } from '../../protocol/encodings.ts';
import { encodePiece } from './bpe.ts';
import { LONGEST_CACHED, PieceCache } from './cache.ts';
import { FINGERPRINT_MASK, ID_MASK, hashBytes } from './hash.ts';
import { type Image, openImage } from './image.ts';
import { pieceEndCl100k, pieceEndO200k } from './pretokenize.ts';

/** UTF-16 units in a window; a longer one is taken only where a text has no safe place to cut. */
export const WINDOW_UNITS = 16_384;
/** Readable bytes behind a window's text. */
const PADDING = 8;
/** Longer pieces are no token. */
const LONGEST_TOKEN = 128;
/** Bytes of scratch memory that are kept from window to window; what a longer one needed is let go. */
const KEPT_BYTES = 3 * WINDOW_UNITS + PADDING;

const utf8 = new TextEncoder();

/** Encodes with one of the encodings, exactly as tiktoken's `encode_ordinary` does. */
export class Encoder implements Tokenizer {
  readonly exact: boolean = true;
  readonly encoding: Encoding;
  readonly #image: Image;
  readonly #o200k: boolean;
  readonly #cache = new PieceCache();
  #bytes = new Uint8Array(0);
  #view = new DataView(new ArrayBuffer(0));
  #ids = new Uint32Array(0);
  #dead = new Uint8Array(0);

  constructor(encoding: Encoding, image: Image) {
    this.encoding = encoding;
    this.#image = image;
    this.#o200k = ENCODINGS[encoding].vocabulary === 'o200k_base';
  }

  count(text: string): number {
    let total = 0;
    for (let at = 0; at < text.length;) {
      const end = safeCut(text, at, at + WINDOW_UNITS);
      total += this.#window(text, at, end);
      at = end;
    }
    return total;
  }

  encode(text: string): Uint32Array {
    const parts: Uint32Array[] = [];
    let total = 0;
    for (let at = 0; at < text.length;) {
      const end = safeCut(text, at, at + WINDOW_UNITS);
      const count = this.#window(text, at, end);
      parts.push(this.#ids.slice(0, count));
      total += count;
      at = end;
    }
    if (parts.length === 1) return parts[0]!;
    const ids = new Uint32Array(total);
    let to = 0;
    for (const part of parts) {
      ids.set(part, to);
      to += part.length;
    }
    return ids;
  }

  decode(ids: Uint32Array): string {
    const { arena, offsets } = this.#image;
    let size = 0;
    for (const id of ids) size += offsets[id + 1]! - offsets[id]!;
    const bytes = new Uint8Array(size);
    let to = 0;
    for (const id of ids) {
      bytes.set(arena.subarray(offsets[id], offsets[id + 1]), to);
      to += offsets[id + 1]! - offsets[id]!;
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  }

  clearCache(): void {
    this.#cache.clear();
  }

  /** Encodes one window into `#ids` and returns how many there are. */
  #window(text: string, from: number, to: number): number {
    this.#reserve(3 * (to - from));
    const bytes = this.#bytes;
    const window = from === 0 && to === text.length ? text : text.slice(from, to);
    const end = utf8.encodeInto(window, bytes).written;
    bytes.fill(0, end, end + PADDING);
    return this.#encodeBytes(end);
  }

  #encodeBytes(end: number): number {
    const bytes = this.#bytes;
    const view = this.#view;
    const out = this.#ids;
    const image = this.#image;
    const { classes, pieces, arenaView, offsets } = image;
    const mask = pieces.length - 1;
    const cache = this.#cache;
    const o200k = this.#o200k;
    let top = 0;
    let at = 0;
    scan: while (at < end) {
      const stop = o200k ? pieceEndO200k(bytes, classes, at, end) : pieceEndCl100k(bytes, classes, at, end);
      const length = stop - at;
      const start = at;
      at = stop;
      if (length > LONGEST_CACHED) {
        top = encodePiece(image, bytes, start, stop, out, top, this.#dead);
        continue;
      }
      const hash = hashBytes(view, start, length);
      if (length <= LONGEST_TOKEN) {
        for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
          const entry = pieces[slot]!;
          if (entry === 0) break;
          if (((entry ^ hash) & FINGERPRINT_MASK) !== 0) continue;
          const id = (entry & ID_MASK) - 1;
          const offset = offsets[id]!;
          if (offsets[id + 1]! - offset === length && sameBytes(arenaView, offset, view, start, length)) {
            out[top++] = id;
            continue scan;
          }
        }
      }
      const cached = cache.get(view, start, length, hash, out, top);
      if (cached >= 0) {
        top = cached;
        continue;
      }
      const after = encodePiece(image, bytes, start, stop, out, top, this.#dead);
      cache.set(view, start, length, hash, out, top, after);
      top = after;
    }
    return top;
  }

  #reserve(size: number): void {
    const wanted = size + PADDING;
    if (this.#bytes.length >= wanted && (wanted > KEPT_BYTES || this.#bytes.length <= KEPT_BYTES)) return;
    const length = Math.max(wanted, KEPT_BYTES);
    this.#bytes = new Uint8Array(length);
    this.#view = new DataView(this.#bytes.buffer);
    this.#ids = new Uint32Array(length);
    this.#dead = new Uint8Array(length);
  }
}

function sameBytes(a: DataView, aAt: number, b: DataView, bAt: number, length: number): boolean {
  let i = 0;
  for (; i + 4 <= length; i += 4) if (a.getInt32(aAt + i, true) !== b.getInt32(bAt + i, true)) return false;
  const rest = length & 3;
  if (rest === 0) return true;
  return ((a.getInt32(aAt + i, true) ^ b.getInt32(bAt + i, true)) & ((1 << (rest << 3)) - 1)) === 0;
}

/** Opens an encoder on a vocabulary image that another thread loaded; throws `ORRERY_TOKENS_IMAGE` when it does not fit. */
export function openEncoder(buffer: SharedArrayBuffer, encoding?: Encoding): Encoder {
  const image = openImage(buffer);
  return new Encoder(encoding ?? image.vocabulary, image);
}
