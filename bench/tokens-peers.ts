/** Owns the tokenizers that the token benches put side by side, behind one shape; ours is the first. */
import { createRequire } from 'node:module';
import { buildImage } from '../src/worker/tokenizer/build.ts';
import { openEncoder } from '../src/worker/tokenizer/encoder.ts';

export interface Peer {
  readonly name: string;
  count(text: string): number;
  encode(text: string): ArrayLike<number>;
  /** Empties merge caches, where there are any. */
  clear(): void;
}

interface MergeCache {
  clear(): void;
}

export type PeerName = 'orrery' | 'gpt-tokenizer' | 'ai-tokenizer' | 'tiktoken';

/** Loads one tokenizer for an encoding. */
export async function loadPeer(name: PeerName, encoding: 'o200k_base' | 'cl100k_base'): Promise<Peer> {
  if (name === 'orrery') {
    const encoder = openEncoder(buildImage(encoding));
    return {
      name,
      count: (text) => encoder.count(text),
      encode: (text) => encoder.encode(text),
      clear: () => encoder.clearCache(),
    };
  }
  if (name === 'gpt-tokenizer') {
    const module =
      encoding === 'o200k_base'
        ? await import('gpt-tokenizer/encoding/o200k_base')
        : await import('gpt-tokenizer/encoding/cl100k_base');
    // Special tokens are plain text for everybody here.
    const options = { disallowedSpecial: new Set<string>() };
    return {
      name,
      count: (text) => module.countTokens(text, options),
      encode: (text) => module.encode(text, options),
      clear: () => module.clearMergeCache(),
    };
  }
  const require = createRequire(import.meta.url);
  if (name === 'ai-tokenizer') {
    const { Tokenizer } = require('ai-tokenizer') as { Tokenizer: new (data: unknown) => AiTokenizer };
    const tokenizer = new Tokenizer(require(`ai-tokenizer/encoding/${encoding}`));
    return {
      name,
      count: (text) => tokenizer.count(text),
      encode: (text) => tokenizer.encode(text, [], []),
      clear: () => tokenizer.mergeCache.clear(),
    };
  }
  const { get_encoding } = await import('tiktoken');
  const tiktoken = get_encoding(encoding);
  return {
    name,
    count: (text) => tiktoken.encode_ordinary(text).length,
    encode: (text) => tiktoken.encode_ordinary(text),
    clear: () => {},
  };
}

interface AiTokenizer {
  readonly mergeCache: MergeCache;
  count(text: string): number;
  encode(text: string, allowed: string[], disallowed: string[]): number[];
}

/** Loads all of them, ours first. */
export function loadPeers(encoding: 'o200k_base' | 'cl100k_base'): Promise<Peer[]> {
  const names: PeerName[] = ['orrery', 'gpt-tokenizer', 'ai-tokenizer', 'tiktoken'];
  return Promise.all(names.map((name) => loadPeer(name, encoding)));
}
