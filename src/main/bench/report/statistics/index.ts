export {
  type BootstrapOptions,
  DEFAULT_LEVEL,
  DEFAULT_RESAMPLES,
  type Interval,
  MAX_DRAWN,
  type Statistic,
  bcaInterval,
  meanInterval,
  percentileInterval,
  resample,
} from './bootstrap.ts';
export { chiSquaredTail, fairBinomialCdf, normalCdf, normalQuantile } from './distributions.ts';
export { EXACT_BELOW, type McNemar, holm, mcNemar, mcNemarStatistic, wilsonInterval } from './proportions.ts';
export { quantile } from './quantiles.ts';
