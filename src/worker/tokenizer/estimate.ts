/** Owns the tokenizers that are no exact encoder of ours: estimates, and the one that reads a `tokenizer.json`. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Tokenizer } from '../../protocol/encodings.ts';
import { OrreryError } from '../../protocol/errors.ts';
import type { Encoder } from './encoder.ts';

const CHARACTERS_PER_TOKEN = 4;

/** Estimates: characters (code points) divided by 4, rounded up. It needs no vocabulary and cannot encode. */
export class CharEstimator implements Tokenizer {
  readonly exact = false;

  count(text: string): number {
    let characters = text.length;
    for (let i = 1; i < text.length; i++) {
      if ((text.charCodeAt(i) & 0xfc00) === 0xdc00 && (text.charCodeAt(i - 1) & 0xfc00) === 0xd800) characters--;
    }
    return Math.ceil(characters / CHARACTERS_PER_TOKEN);
  }

  /** Throws `ORRERY_UNSUPPORTED`: an estimate has no ids. */
  encode(): Uint32Array {
    throw new OrreryError('ORRERY_UNSUPPORTED', 'An estimator cannot encode.');
  }

  /** Throws `ORRERY_UNSUPPORTED`: an estimate has no ids. */
  decode(): string {
    throw new OrreryError('ORRERY_UNSUPPORTED', 'An estimator cannot decode.');
  }
}

/** Estimates for a model with no public tokenizer: the count of another encoding, labelled as not exact. */
export function asEstimate(encoder: Encoder): Tokenizer {
  return {
    exact: false,
    count: (text) => encoder.count(text),
    encode: (text) => encoder.encode(text),
    decode: (ids) => encoder.decode(ids),
  };
}

interface PeerTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: number[], options: { skip_special_tokens: boolean }): string;
}

interface PeerModule {
  readonly Tokenizer: new (tokenizer: object, config: object) => PeerTokenizer;
}

const PEER = '@huggingface/tokenizers';

/**
 * Reads a `tokenizer.json` (and a `tokenizer_config.json` beside it, if there is one) with the optional peer
 * `@huggingface/tokenizers`. Rejects with `ORRERY_PEER_MISSING` without the peer, and with `ORRERY_TOKENS_BAD_INPUT` for a
 * file that cannot be read or that the peer does not understand.
 */
export async function loadTokenizerJson(path: string): Promise<Tokenizer> {
  const { Tokenizer: Peer } = await importPeer();
  const tokenizer = await readJson(path);
  const config = await readJson(join(dirname(path), 'tokenizer_config.json')).catch(() => ({}));
  const peer = opened(Peer, tokenizer, config, path);
  return {
    exact: true,
    count: (text) => peer.encode(text, { add_special_tokens: false }).ids.length,
    encode: (text) => Uint32Array.from(peer.encode(text, { add_special_tokens: false }).ids),
    decode: (ids) => peer.decode([...ids], { skip_special_tokens: false }),
  };
}

function opened(Peer: PeerModule['Tokenizer'], tokenizer: object, config: object, path: string): PeerTokenizer {
  try {
    return new Peer(tokenizer, config);
  } catch (cause) {
    throw new OrreryError('ORRERY_TOKENS_BAD_INPUT', `${path} is no tokenizer.json that ${PEER} reads.`, { cause });
  }
}

async function importPeer(): Promise<PeerModule> {
  try {
    return (await import(PEER)) as PeerModule;
  } catch (cause) {
    throw new OrreryError('ORRERY_PEER_MISSING', `A tokenizer.json needs ${PEER}.`, {
      cause,
      hint: `npm install ${PEER}`,
    });
  }
}

async function readJson(path: string): Promise<object> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as object;
  } catch (cause) {
    throw new OrreryError('ORRERY_TOKENS_BAD_INPUT', `${path} is no readable tokenizer.json.`, { cause });
  }
}
