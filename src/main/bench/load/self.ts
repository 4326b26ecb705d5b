/** Owns what the driver tells of itself, so that figures of the driver are not taken for figures of the target. */
import { availableParallelism } from 'node:os';
import { type EventLoopUtilization, monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { DurationSummary } from './histogram.ts';

/** The loop of the driver is looked at so often, in milliseconds. */
const RESOLUTION_MS = 10;
/** Beyond one of these, the driver is what is measured. */
export const LATE_MS = 10;
export const BUSY = 0.9;

export interface DriverFigures {
  /** Delay of the driver's own event loop, in milliseconds. */
  readonly loopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Share of one core that the driver's process took; above 1 with threads. */
  readonly cpuShare: number;
  /** Share of the time in which the driver's event loop had something to do, 0 to 1. */
  readonly utilization: number;
  /** Cores of the machine that both ran on, if the target is local. */
  readonly cores: number;
  /** Whether the driver was late or busy enough to be what was measured. */
  readonly saturated: boolean;
  /** Why, in words. */
  readonly reasons: readonly string[];
}

export class SelfWatch {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #began = performance.now();
  readonly #cpu = process.cpuUsage();
  readonly #utilization: EventLoopUtilization = performance.eventLoopUtilization();

  constructor() {
    this.#histogram.enable();
  }

  /** Ends the watch. `lateness` is of each target, open loop only. */
  read(lateness: readonly DurationSummary[]): DriverFigures {
    this.#histogram.disable();
    const { user, system } = process.cpuUsage(this.#cpu);
    const wallMs = performance.now() - this.#began;
    const delay = (ns: number): number => Math.max(0, Math.round((ns / 1e6 - RESOLUTION_MS) * 100) / 100);
    const isEmpty = this.#histogram.count === 0;
    const loopDelayMs = {
      p50: isEmpty ? 0 : delay(this.#histogram.percentile(50)),
      p99: isEmpty ? 0 : delay(this.#histogram.percentile(99)),
      max: isEmpty ? 0 : delay(this.#histogram.max),
    };
    const { utilization } = performance.eventLoopUtilization(this.#utilization);
    const reasons = reasonsOf(loopDelayMs.p99, utilization, lateness);
    return {
      loopDelayMs,
      cpuShare: Math.round((1_000 * (user + system)) / 1_000 / wallMs) / 1_000,
      utilization: Math.round(utilization * 1_000) / 1_000,
      cores: availableParallelism(),
      saturated: reasons.length > 0,
      reasons,
    };
  }
}

export function reasonsOf(delayP99: number, utilization: number, lateness: readonly DurationSummary[]): string[] {
  const late = Math.max(0, ...lateness.map(({ p99 }) => p99 ?? 0));
  const reasons: string[] = [];
  if (delayP99 > LATE_MS) reasons.push(`its event loop was ${delayP99} ms late at p99 (more than ${LATE_MS} ms)`);
  if (late > LATE_MS) reasons.push(`requests left ${Math.round(late)} ms late at p99 (more than ${LATE_MS} ms)`);
  if (utilization > BUSY) reasons.push(`its event loop was busy ${Math.round(utilization * 100)} % of the time`);
  return reasons;
}
