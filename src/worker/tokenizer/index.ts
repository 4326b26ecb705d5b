export { Encoder, openEncoder } from './encoder.ts';
export { CharEstimator, asEstimate, loadTokenizerJson } from './estimate.ts';
export { countMessages } from './messages.ts';
export { countInSlices } from './slices.ts';
