/** Owns how long this thread's event loop keeps a timer waiting, sampled every millisecond. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Milliseconds beyond the sampling interval. */
export interface LoopDelayFigures {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly samples: number;
}

const RESOLUTION_MS = 1;

export class LoopDelay {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  begin(): void {
    this.#histogram.enable();
    this.#histogram.reset();
  }

  end(): LoopDelayFigures {
    this.#histogram.disable();
    const delay = (ns: number): number => Math.max(0, ns / 1e6 - RESOLUTION_MS);
    return {
      p50: delay(this.#histogram.percentile(50)),
      p99: delay(this.#histogram.percentile(99)),
      max: delay(this.#histogram.max),
      samples: this.#histogram.count,
    };
  }
}
