/**
 * Owns token counts for the agents of this thread: on the vocabulary images that main loaded once for all threads, so that
 * a thread pays for no table of its own. The encoder's code is loaded when an agent counts for the first time.
 */
import {
  ENCODINGS,
  type Encoding,
  DEFAULT_ENCODING,
  type Tokenizer,
  type Vocabulary,
  resolveModel,
} from '../protocol/encodings.ts';
import { OrreryError } from '../protocol/errors.ts';
import type { AgentTokens } from './agent.ts';
import type { Encoder } from './tokenizer/index.ts';

export type TokenImages = Partial<Record<Vocabulary, SharedArrayBuffer>>;

/** The encoders of one thread, one for each encoding that is used. */
export class ThreadTokens {
  readonly #images: TokenImages;
  readonly #encoders = new Map<Encoding, Promise<Encoder>>();

  constructor(images: TokenImages) {
    this.#images = images;
  }

  /** Gives the tokens of an agent: with its own tokenizer, else its model's encoding, else the default one. */
  of(model: string | undefined, own: Tokenizer | undefined): AgentTokens {
    if (own) return ownTokens(own);
    const { encoding, exact } = model === undefined ? { encoding: DEFAULT_ENCODING, exact: true } : resolveModel(model);
    return {
      exact,
      encoding,
      count: async (text, o = {}) => {
        const [encoder, { countInSlices }] = await Promise.all([
          this.#encoder(encoding),
          import('./tokenizer/index.ts'),
        ]);
        return countInSlices(encoder, text, o);
      },
      encode: async (text) => (await this.#encoder(encoding)).encode(text),
      decode: async (ids) => (await this.#encoder(encoding)).decode(ids),
    };
  }

  #encoder(encoding: Encoding): Promise<Encoder> {
    const known = this.#encoders.get(encoding);
    if (known) return known;
    const { vocabulary } = ENCODINGS[encoding];
    const image = this.#images[vocabulary];
    if (!image) {
      const error = new OrreryError(
        'ORRERY_TOKENS_IMAGE',
        `The vocabulary ${vocabulary} could not be loaded at the host's start`,
      );
      return Promise.reject(error);
    }
    const encoder = import('./tokenizer/index.ts').then(({ openEncoder }) => openEncoder(image, encoding));
    this.#encoders.set(encoding, encoder);
    return encoder;
  }
}

function ownTokens(tokenizer: Tokenizer): AgentTokens {
  return {
    exact: tokenizer.exact,
    count: (text) => Promise.resolve(tokenizer.count(text)),
    encode: (text) => Promise.resolve(tokenizer.encode(text)),
    decode: (ids) => Promise.resolve(tokenizer.decode(ids)),
  };
}
