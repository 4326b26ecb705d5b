export type { CountedMessage, Encoding, Tokenizer } from '../../protocol/encodings.ts';
export { loadImage } from './images.ts';
export type { TokenOptions } from './requests.ts';
export {
  type FileCount,
  type FileCounts,
  type FileOptions,
  type CountResult,
  TokenPool,
  type TokenPoolOptions,
} from './token-pool.ts';
