/**
 * Owns token counts for the agents of this thread: on the vocabulary images that main loaded once for all threads, so that
 * a thread pays for no table of its own; a process of its own reads them itself. The encoder's code is loaded when an agent counts for the first time.
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
/** Gets an image that is not at hand; undefined when it cannot. */
type LoadImage = (vocabulary: Vocabulary) => Promise<SharedArrayBuffer | undefined>;

/** The encoders of one thread, one for each encoding that is used. */
export class ThreadTokens {
  readonly #images: TokenImages;
  readonly #load: LoadImage | undefined;
  readonly #encoders = new Map<Encoding, Promise<Encoder>>();

  /** `load`: where the images are not the process's already. It is asked when an agent counts for the first time. */
  constructor(images: TokenImages, load?: LoadImage) {
    this.#images = images;
    this.#load = load;
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
    const encoder = this.#open(encoding);
    this.#encoders.set(encoding, encoder);
    // What failed is tried again by the next count.
    encoder.catch(() => this.#encoders.delete(encoding));
    return encoder;
  }

  async #open(encoding: Encoding): Promise<Encoder> {
    const { vocabulary } = ENCODINGS[encoding];
    const image = this.#images[vocabulary] ?? (await this.#load?.(vocabulary));
    if (!image) throw new OrreryError('ORRERY_TOKENS_IMAGE', `The vocabulary ${vocabulary} could not be loaded`);
    const { openEncoder } = await import('./tokenizer/index.ts');
    return openEncoder(image, encoding);
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
