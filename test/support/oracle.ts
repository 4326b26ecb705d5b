/** Owns the comparison with tiktoken's own code (WASM), the oracle of every exactness test. */
import { type TiktokenEncoding, get_encoding } from 'tiktoken';
import type { Vocabulary } from '../../src/protocol/encodings.ts';
import { loadImage } from '../../src/main/tokens/images.ts';
import { type Encoder, openEncoder } from '../../src/worker/tokenizer/index.ts';

export interface Pair {
  readonly vocabulary: Vocabulary;
  readonly encoder: Encoder;
  /** Tells whose ids differ for a text; nothing when they are equal. */
  readonly differentIds: (text: string) => string | undefined;
  /** Also holds the count and the decoding against the text. */
  readonly difference: (text: string) => string | undefined;
}

export async function pairWithOracle(vocabulary: Vocabulary & TiktokenEncoding): Promise<Pair> {
  const encoder = openEncoder(await loadImage(vocabulary));
  const oracle = get_encoding(vocabulary);
  const differentIds = (text: string, ours: Uint32Array): string | undefined => {
    const theirs = oracle.encode_ordinary(text);
    let same = ours.length === theirs.length;
    for (let i = 0; same && i < ours.length; i++) same = ours[i] === theirs[i];
    if (same) return undefined;
    return `${vocabulary} ${JSON.stringify(text.slice(0, 200))}: [${ours.slice(0, 50).join()}] is not [${theirs.slice(0, 50).join()}]`;
  };
  return {
    vocabulary,
    encoder,
    differentIds: (text) => differentIds(text, encoder.encode(text)),
    difference(text) {
      const ours = encoder.encode(text);
      const different = differentIds(text, ours);
      if (different !== undefined) return different;
      const count = encoder.count(text);
      if (count !== ours.length) return `${vocabulary} ${JSON.stringify(text)}: count ${count}, ids ${ours.length}`;
      if (encoder.decode(ours) !== text.toWellFormed()) return `${vocabulary} ${JSON.stringify(text)}: does not decode`;
      return undefined;
    },
  };
}
