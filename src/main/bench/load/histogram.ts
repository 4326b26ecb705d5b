/**
 * Owns durations as they are counted: in a histogram of constant size, exact to three digits. Node brings HdrHistogram itself (its C form,
 * as `createHistogram`), so that no package is needed for it; what Node's lacks of it is here.
 */
import { type RecordableHistogram, createHistogram } from 'node:perf_hooks';

/** The longest duration that is told apart: an hour. What is longer counts as an hour. */
const MAX_US = 3_600_000_000;

/** Percentiles that a summary tells, by their names. */
const PERCENTILES = { p50: 50, p75: 75, p90: 90, p95: 95, p99: 99, p999: 99.9 } as const;

/** Durations in milliseconds; all null when there are none. */
export interface DurationSummary {
  readonly count: number;
  readonly min: number | null;
  readonly mean: number | null;
  readonly p50: number | null;
  readonly p75: number | null;
  readonly p90: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  readonly p999: number | null;
  readonly max: number | null;
}

/** A point of the curve of percentiles: so many percent took at most so many milliseconds. */
export type CurvePoint = readonly [percentile: number, ms: number];

export class Durations {
  readonly #histogram: RecordableHistogram;
  #min = Infinity;
  #max = 0;
  #sum = 0;

  /** `figures` 3: off by a thousandth at most, 180 KiB; 2: by a hundredth, 23 KiB. */
  constructor(figures: 2 | 3 = 3) {
    this.#histogram = createHistogram({ lowest: 1, highest: MAX_US, figures });
  }

  get count(): number {
    return this.#histogram.count;
  }

  /** Counts a duration in milliseconds, to the microsecond. One below a microsecond counts as one. */
  record(ms: number): void {
    const us = Math.min(MAX_US, Math.max(1, Math.round(ms * 1_000)));
    this.#histogram.record(us);
    this.#min = Math.min(this.#min, us);
    this.#max = Math.max(this.#max, us);
    this.#sum += us;
  }

  /**
   * Counts a duration, and those that a caller who waits for each answer did not see meanwhile: one for every expected interval that it covers,
   * each an interval shorter. It is HdrHistogram's `recordValueWithExpectedInterval`.
   */
  recordCorrected(ms: number, expectedIntervalMs: number): void {
    for (let missed = ms; missed >= expectedIntervalMs || missed === ms; missed -= expectedIntervalMs) {
      this.record(missed);
    }
  }

  add(other: Durations): void {
    if (other.count === 0) return;
    this.#histogram.add(other.#histogram);
    this.#min = Math.min(this.#min, other.#min);
    this.#max = Math.max(this.#max, other.#max);
    this.#sum += other.#sum;
  }

  /** The milliseconds that so many percent (above 0, at most 100) stayed within; null when there is none. */
  percentile(percent: number): number | null {
    if (this.count === 0) return null;
    // The histogram tells the end of the range that a value fell into; nothing was longer than the longest.
    return Math.min(this.#histogram.percentile(percent), this.#max) / 1_000;
  }

  summary(): DurationSummary {
    const none = this.count === 0;
    const at = (name: keyof typeof PERCENTILES): number | null => this.percentile(PERCENTILES[name]);
    return {
      count: this.count,
      min: none ? null : this.#min / 1_000,
      mean: none ? null : Math.round(this.#sum / this.count) / 1_000,
      p50: at('p50'),
      p75: at('p75'),
      p90: at('p90'),
      p95: at('p95'),
      p99: at('p99'),
      p999: at('p999'),
      max: none ? null : this.#max / 1_000,
    };
  }

  /**
   * The curve of percentiles as HdrHistogram plots it: of what is left to 100 %, each halving in five steps, down to where a single
   * duration is left.
   */
  curve(): readonly CurvePoint[] {
    const { count } = this;
    if (count === 0) return [];
    const points: CurvePoint[] = [];
    for (let step = 0; ; step++) {
      const left = 2 ** (-step / 5);
      if (left * count < 1) break;
      const percent = 100 * (1 - left);
      const ms = percent === 0 ? this.#min / 1_000 : this.percentile(percent);
      if (ms !== null) points.push([Number(percent.toFixed(6)), ms]);
    }
    return [...points, [100, this.#max / 1_000]];
  }
}
