/** Owns when the requests of an open loop are meant to be sent. It has no clock. */
import { randomOf } from '../selection.ts';

export type Arrivals = 'poisson' | 'constant';

export interface ArrivalOptions {
  /** Arrivals a second, on average. */
  readonly rate: number;
  /** `poisson`: gaps that are exponentially distributed, as those of callers who know nothing of each other; `constant`: all the same. */
  readonly arrivals: Arrivals;
  /** The same seed gives the same Poisson arrivals. */
  readonly seed: number;
}

/** Gives the times of arrivals in milliseconds from the start, without end and never backwards. */
export function* schedule({ rate, arrivals, seed }: ArrivalOptions): Generator<number, never> {
  const gapMs = 1_000 / rate;
  if (arrivals === 'constant') for (let n = 0; ; n++) yield n * gapMs;
  const random = randomOf(seed);
  for (let at = 0; ;) {
    // The inverse of the exponential distribution; `random` is below 1, so the logarithm is finite.
    at -= Math.log(1 - random()) * gapMs;
    yield at;
  }
}
