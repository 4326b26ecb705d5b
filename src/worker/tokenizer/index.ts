export { Encoder, type Truncated, WINDOW_UNITS, openEncoder } from './encoder.ts';
export { CharEstimator, asEstimate, loadTokenizerJson } from './estimate.ts';
export { type ChatCount, countMessages } from './messages.ts';
export { type SliceOptions, countInSlices } from './slices.ts';
export type { SpecialOptions } from './special.ts';
