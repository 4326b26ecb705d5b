export { type Interval, bcaInterval, meanInterval, percentileInterval, resample } from './bootstrap.ts';
export { chiSquaredTail, fairBinomialCdf, normalCdf, normalQuantile } from './distributions.ts';
export { type McNemar, holm, mcNemar, mcNemarStatistic, wilsonInterval } from './proportions.ts';
export { quantile } from './quantiles.ts';
