/**
 * Owns where pieces end: each encoding's pattern, written out by hand over well-formed UTF-8. It finds borders only, and
 * never looks behind the piece it is at. Bytes from `end` on must be four zero bytes, so that looking ahead needs no check.
 */
import { runEnd } from './run-end.ts';
import {
  BREAK,
  BY_CODE_POINT,
  DECODE,
  LETTER,
  LOWER,
  MARK,
  NUMBER,
  SPACE,
  UPPER,
  astralClass,
  widthOf,
} from './unicode.ts';

const APOSTROPHE = 0x27;
const SLASH = 0x2f;
const CR = 0x0d;
const LF = 0x0a;
/** The classes of ASCII letters. */
const CAPITAL: number = UPPER | LETTER;
const SMALL: number = LOWER | LETTER;

/** Gives the class of the character at `at`. */
function classAt(bytes: Uint8Array, classes: Uint8Array, at: number): number {
  const found = classes[bytes[at]!]!;
  return found === DECODE ? decodedClass(bytes, classes, at) : found;
}

function decodedClass(bytes: Uint8Array, classes: Uint8Array, at: number): number {
  const lead = bytes[at]!;
  if (lead < 0xe0) return classes[BY_CODE_POINT + (((lead & 0x1f) << 6) | (bytes[at + 1]! & 0x3f))]!;
  const rest = ((bytes[at + 1]! & 0x3f) << 6) | (bytes[at + 2]! & 0x3f);
  if (lead < 0xf0) return classes[BY_CODE_POINT + (((lead & 0x0f) << 12) | rest)]!;
  return astralClass(classes, ((lead & 0x07) << 18) | (rest << 6) | (bytes[at + 3]! & 0x3f));
}

/** Gives the end of `(?i:'s|'t|'re|'ve|'m|'ll|'d)` at `at`, or `at`. Case folding makes `ſ` an s, as tiktoken's does. */
function contractionEnd(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== APOSTROPHE) return at;
  const first = bytes[at + 1]! | 0x20;
  if (first === 0x73 || first === 0x74 || first === 0x6d || first === 0x64) return at + 2;
  const second = bytes[at + 2]! | 0x20;
  if ((first === 0x72 || first === 0x76) && second === 0x65) return at + 3;
  if (first === 0x6c && second === 0x6c) return at + 3;
  return bytes[at + 1] === 0xc5 && bytes[at + 2] === 0xbf ? at + 3 : at;
}

/** `\p{N}{1,3}` */
function numberEnd(bytes: Uint8Array, classes: Uint8Array, start: number, end: number): number {
  let at = start + widthOf(bytes[start]!);
  for (let left = 2; left > 0 && at < end && (classAt(bytes, classes, at) & NUMBER) !== 0; left--) {
    at += widthOf(bytes[at]!);
  }
  return at;
}

/** `[^\s\p{L}\p{N}]+[\r\n]*` from a character of the first class on; `o200k` takes slashes among the line breaks too. */
function otherEnd(bytes: Uint8Array, classes: Uint8Array, start: number, end: number, slashes: boolean): number {
  let at = start;
  while (at < end && (classAt(bytes, classes, at) & (SPACE | LETTER | NUMBER)) === 0) at += widthOf(bytes[at]!);
  while (at < end) {
    const byte = bytes[at]!;
    if (byte !== CR && byte !== LF && !(slashes && byte === SLASH)) break;
    at++;
  }
  return at;
}

/** `\s*[\r\n]+|\s+(?!\S)|\s+` */
function spaceEnd(bytes: Uint8Array, classes: Uint8Array, start: number, end: number): number {
  let at = start;
  let last = start;
  let afterBreak = -1;
  while (at < end) {
    const found = classAt(bytes, classes, at);
    if ((found & SPACE) === 0) break;
    const byte = bytes[at]!;
    if (byte < 0x80) {
      at++;
      // Most runs are short, but one can be a megabyte long.
      if (bytes[at] === byte) at = runEnd(bytes, at, end);
      last = at - 1;
    } else {
      last = at;
      at += widthOf(byte);
    }
    if ((found & BREAK) !== 0) afterBreak = at;
  }
  if (afterBreak >= 0) return afterBreak;
  // Before a character that is no space the run gives its last one back, unless that is all it has.
  return at === end || last === start ? at : last;
}

/**
 * Gives the end of an `o200k` word that starts, behind any prefix, at `start` with a letter or mark; negative, the end's
 * complement, when the word has no second half: the pattern's first branch then fails, and its second one matches.
 */
function wordEnd(bytes: Uint8Array, classes: Uint8Array, start: number, end: number): number {
  // Most words are ASCII: capitals, then small letters. The zero behind the text ends both loops.
  let at = start;
  let ascii = classes[bytes[at]!]!;
  while (ascii === CAPITAL) ascii = classes[bytes[++at]!]!;
  if (ascii === SMALL) {
    do ascii = classes[bytes[++at]!]!;
    while (ascii === SMALL);
    if (ascii !== DECODE) return bytes[at] === APOSTROPHE ? contractionEnd(bytes, at) : at;
    while (at < end && (classAt(bytes, classes, at) & LOWER) !== 0) at += widthOf(bytes[at]!);
    return contractionEnd(bytes, at);
  }
  let caseless = -1;
  while (at < end) {
    const found = classAt(bytes, classes, at);
    if ((found & UPPER) === 0) {
      if ((found & LOWER) === 0) break;
      do at += widthOf(bytes[at]!);
      while (at < end && (classAt(bytes, classes, at) & LOWER) !== 0);
      return contractionEnd(bytes, at);
    }
    at += widthOf(bytes[at]!);
    if ((found & LOWER) !== 0) caseless = at;
  }
  if (caseless >= 0) return contractionEnd(bytes, caseless);
  return ~contractionEnd(bytes, at);
}

/** Gives the end of the `o200k` piece that starts at `start`. */
export function pieceEndO200k(bytes: Uint8Array, classes: Uint8Array, start: number, end: number): number {
  const lead = bytes[start]!;
  const first = classAt(bytes, classes, start);
  if (lead === 0x20 && (classes[bytes[start + 1]!]! & LETTER) !== 0) {
    const word = wordEnd(bytes, classes, start + 1, end);
    return word < 0 ? ~word : word;
  }
  if ((first & LETTER) !== 0) {
    const word = wordEnd(bytes, classes, start, end);
    return word < 0 ? ~word : word;
  }
  if ((first & NUMBER) !== 0) return numberEnd(bytes, classes, start, end);
  const second = start + widthOf(lead);
  const next = second < end ? classAt(bytes, classes, second) : SPACE;
  if ((first & BREAK) === 0 && (next & MARK) !== 0) {
    const word = wordEnd(bytes, classes, second, end);
    if (word >= 0) return word;
    // A mark before capitals only: as a prefix it leaves the first branch nothing, alone it is a word.
    return (first & MARK) === 0 ? ~word : second;
  }
  if ((first & MARK) !== 0) return contractionEnd(bytes, second);
  if ((first & SPACE) === 0) return otherEnd(bytes, classes, start, end, true);
  if (lead === 0x20 && (next & (SPACE | LETTER | NUMBER)) === 0) return otherEnd(bytes, classes, second, end, true);
  return spaceEnd(bytes, classes, start, end);
}

/** `\p{L}+` from a letter on. */
function lettersEnd(bytes: Uint8Array, classes: Uint8Array, start: number, end: number): number {
  let at = start;
  do at += widthOf(bytes[at]!);
  while (at < end && (classAt(bytes, classes, at) & LETTER) !== 0);
  return at;
}

/** Gives the end of the `cl100k` piece that starts at `start`. */
export function pieceEndCl100k(bytes: Uint8Array, classes: Uint8Array, start: number, end: number): number {
  const lead = bytes[start]!;
  const first = classAt(bytes, classes, start);
  if ((first & LETTER) !== 0) return lettersEnd(bytes, classes, start, end);
  if ((first & NUMBER) !== 0) return numberEnd(bytes, classes, start, end);
  if (lead === APOSTROPHE) {
    const contraction = contractionEnd(bytes, start);
    if (contraction > start) return contraction;
  }
  const second = start + widthOf(lead);
  const next = second < end ? classAt(bytes, classes, second) : SPACE;
  if ((first & BREAK) === 0 && (next & LETTER) !== 0) return lettersEnd(bytes, classes, second, end);
  if ((first & SPACE) === 0) return otherEnd(bytes, classes, start, end, false);
  if (lead === 0x20 && (next & (SPACE | LETTER | NUMBER)) === 0) return otherEnd(bytes, classes, second, end, false);
  return spaceEnd(bytes, classes, start, end);
}
