/** Owns the measurement of the main thread's event-loop delay over the last one to two minutes. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 10;
const WINDOW_MS = 60_000;

export class LoopDelay {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #timer: NodeJS.Timeout | undefined;
  #before = { p50: 0, p99: 0, max: 0 };

  start(): void {
    this.#histogram.enable();
    this.#timer = setInterval(() => {
      this.#before = this.#present();
      this.#histogram.reset();
    }, WINDOW_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  /** Milliseconds beyond the sampling interval; the worse of the present and the last full window. */
  read(): { readonly p50: number; readonly p99: number; readonly max: number } {
    const present = this.#present();
    return {
      p50: present.p50,
      p99: Math.max(present.p99, this.#before.p99),
      max: Math.max(present.max, this.#before.max),
    };
  }

  #present(): { p50: number; p99: number; max: number } {
    if (this.#histogram.count === 0) return { p50: 0, p99: 0, max: 0 };
    const delay = (ns: number): number => Math.max(0, Math.round((ns / 1e6 - RESOLUTION_MS) * 100) / 100);
    return {
      p50: delay(this.#histogram.percentile(50)),
      p99: delay(this.#histogram.percentile(99)),
      max: delay(this.#histogram.max),
    };
  }
}
