/** Owns a run over time, in a bounded number of equal spans: when there are too many, two become one. */
import { Durations } from './histogram.ts';

const FIRST_WIDTH_MS = 250;
const MOST = 240;

/** A span as it is told. Latencies are of what arrived in it, in milliseconds. */
export interface SeriesSpan {
  /** Seconds from the start of what is measured. */
  readonly from: number;
  readonly arrived: number;
  readonly answered: number;
  readonly failed: number;
  readonly tokens: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

interface Span {
  arrived: number;
  answered: number;
  failed: number;
  tokens: number;
  latency: Durations | undefined;
}

const empty = (): Span => ({ arrived: 0, answered: 0, failed: 0, tokens: 0, latency: undefined });

export class Series {
  readonly #most: number;
  #widthMs = FIRST_WIDTH_MS;
  #spans: Span[] = [];

  constructor(most: number = MOST) {
    this.#most = most;
  }

  get widthMs(): number {
    return this.#widthMs;
  }

  /** All times are milliseconds from the start of what is measured. */
  arrived(at: number): void {
    this.#at(at).arrived += 1;
  }

  /** Something that arrived at one time was answered at another, so much later than it was to be counted from. */
  answered(arrivedAt: number, answeredAt: number, latencyMs: number): void {
    this.#at(answeredAt).answered += 1;
    // Asked for again: the first may have made spans wider.
    const span = this.#at(arrivedAt);
    span.latency ??= new Durations(2);
    span.latency.record(latencyMs);
  }

  failed(at: number): void {
    this.#at(at).failed += 1;
  }

  tokens(at: number, count: number): void {
    this.#at(at).tokens += count;
  }

  read(): readonly SeriesSpan[] {
    return this.#spans.map(({ latency, ...counts }, i) => ({
      from: (i * this.#widthMs) / 1_000,
      ...counts,
      p50: latency?.percentile(50) ?? null,
      p99: latency?.percentile(99) ?? null,
      max: latency?.percentile(100) ?? null,
    }));
  }

  #at(ms: number): Span {
    let i = Math.floor(Math.max(0, ms) / this.#widthMs);
    while (i >= this.#most) {
      this.#fold();
      i = Math.floor(ms / this.#widthMs);
    }
    while (this.#spans.length <= i) this.#spans.push(empty());
    return this.#spans[i] ?? empty();
  }

  #fold(): void {
    const folded: Span[] = [];
    for (const [i, span] of this.#spans.entries()) {
      const into = folded[i >> 1];
      if (into) merge(into, span);
      else folded.push(span);
    }
    this.#spans = folded;
    this.#widthMs *= 2;
  }
}

function merge(into: Span, { arrived, answered, failed, tokens, latency }: Span): void {
  into.arrived += arrived;
  into.answered += answered;
  into.failed += failed;
  into.tokens += tokens;
  if (latency && into.latency) into.latency.add(latency);
  else into.latency ??= latency;
}
