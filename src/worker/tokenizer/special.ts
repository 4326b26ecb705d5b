/** Owns special tokens in a text: plain text by default, tokens where a caller asks for them by name. */
import { ENCODINGS, type Encoding } from '../../protocol/encodings.ts';
import { OrreryError } from '../../protocol/errors.ts';

export interface SpecialOptions {
  /** Which special tokens count as one token each: none by default. Never pass a user's text on with 'all'. */
  readonly special?: 'all' | readonly string[];
}

/** A stretch of plain text, or with `id` from 0 on a special token. */
export interface SpecialPart {
  readonly id: number;
  readonly text: string;
}

const OPEN = '<|';
const CLOSE = '|>';
/** Longer than the longest special token: how far from an opening the closing is looked for. */
const REACH = 32;

/** Splits a text at the special tokens asked for; throws `ORRERY_TOKENS_BAD_INPUT` for one the encoding has not. */
export function* splitSpecial(
  text: string,
  encoding: Encoding,
  special: 'all' | readonly string[],
): Generator<SpecialPart> {
  const all = ENCODINGS[encoding].special;
  const wanted = special === 'all' ? all : new Map(special.map((name) => [name, idOf(all, name, encoding)]));
  let plain = 0;
  for (let at = text.indexOf(OPEN); at >= 0; at = text.indexOf(OPEN, at)) {
    const close = text.slice(at + OPEN.length, at + REACH).indexOf(CLOSE);
    const name = close < 0 ? '' : text.slice(at, at + OPEN.length + close + CLOSE.length);
    const id = wanted.get(name);
    if (id === undefined) {
      at++;
      continue;
    }
    if (at > plain) yield { id: -1, text: text.slice(plain, at) };
    yield { id, text: name };
    at += name.length;
    plain = at;
  }
  if (plain < text.length) yield { id: -1, text: text.slice(plain) };
}

function idOf(all: ReadonlyMap<string, number>, name: string, encoding: Encoding): number {
  const id = all.get(name);
  if (id === undefined) {
    throw new OrreryError('ORRERY_TOKENS_BAD_INPUT', `${encoding} has no special token ${JSON.stringify(name)}.`);
  }
  return id;
}

const texts = new Map<Encoding, ReadonlyMap<number, string>>();

/** Gives an encoding's special tokens by id. Of two names for one id the plain one wins over the reserved one. */
export function specialTexts(encoding: Encoding): ReadonlyMap<number, string> {
  let byId = texts.get(encoding);
  if (byId === undefined) {
    const entries = [...ENCODINGS[encoding].special].toSorted(
      ([a], [b]) => Number(isReserved(b)) - Number(isReserved(a)),
    );
    byId = new Map(entries.map(([text, id]) => [id, text]));
    texts.set(encoding, byId);
  }
  return byId;
}

function isReserved(name: string): boolean {
  return name.startsWith('<|reserved_');
}
