/** Owns the report of a load run: its form in `load.json`, ratios between targets, and what a reader has to be warned of. */
import type { LoadOptions } from './options.ts';
import type { DriverFigures } from './self.ts';
import type { TargetFigures } from './tally.ts';

export interface TargetReport extends TargetFigures {
  readonly name: string;
  readonly url: string;
  readonly model: string;
}

/** Figures of a target, divided by those of the first one; null where one of them is missing. */
export interface Ratios {
  readonly target: string;
  readonly of: string;
  readonly perSecond: number | null;
  readonly outputPerSecond: number | null;
  readonly latencyP50: number | null;
  readonly latencyP99: number | null;
  readonly firstTextP50: number | null;
  readonly firstTextP99: number | null;
}

/** Defaults are filled in; null where an option says nothing. */
export interface ShownOptions {
  readonly concurrency: number | null;
  readonly rate: number | null;
  readonly arrivals: 'poisson' | 'constant' | null;
  readonly maxInFlight: number | null;
  readonly durationMs: number | null;
  readonly requests: number | null;
  readonly warmupMs: number;
  readonly timeoutMs: number;
  readonly stream: boolean;
  /** Different ones. */
  readonly prompts: number;
  readonly suite: string | null;
  readonly sessions: number | null;
  readonly maxTokens: number | null;
  readonly seed: number;
  readonly expectedIntervalMs: number | null;
  readonly honourRetryAfter: boolean;
  readonly rounds: number;
}

export interface LoadReport {
  readonly version: 1;
  readonly startedAt: string;
  readonly endedAt: string;
  /** `failed`: nothing at all was answered. */
  readonly status: 'done' | 'interrupted' | 'failed';
  readonly mode: 'open' | 'closed';
  readonly options: ShownOptions;
  readonly machine: {
    readonly orrery: string;
    readonly node: string;
    readonly platform: string;
    readonly cpu: string;
  };
  readonly driver: DriverFigures;
  readonly targets: readonly TargetReport[];
  readonly ratios: readonly Ratios[];
  /** What makes the figures mean something else than they seem to, in words. */
  readonly warnings: readonly string[];
  /** Where `load.json` and `load.html` are; not in the file. */
  readonly dir?: string;
}

/** Latencies as they are to be quoted: corrected where they can be. */
export function quoted({ latencyMs }: TargetFigures): TargetFigures['latencyMs']['uncorrected'] {
  return latencyMs.corrected ?? latencyMs.uncorrected;
}

export function quotedFirst({ firstTextMs }: TargetFigures): TargetFigures['firstTextMs']['uncorrected'] {
  return firstTextMs.corrected ?? firstTextMs.uncorrected;
}

export function ratiosOf(targets: readonly TargetReport[]): readonly Ratios[] {
  const [first, ...others] = targets;
  if (!first) return [];
  return others.map((target) => ({
    target: target.name,
    of: first.name,
    perSecond: ratio(target.perSecond, first.perSecond),
    outputPerSecond: ratio(target.tokens.outputPerSecond, first.tokens.outputPerSecond),
    latencyP50: ratio(quoted(target).p50, quoted(first).p50),
    latencyP99: ratio(quoted(target).p99, quoted(first).p99),
    firstTextP50: ratio(quotedFirst(target).p50, quotedFirst(first).p50),
    firstTextP99: ratio(quotedFirst(target).p99, quotedFirst(first).p99),
  }));
}

export function ratio(value: number | null, of: number | null): number | null {
  return value === null || of === null || of === 0 ? null : value / of;
}

export function warningsOf(
  targets: readonly TargetReport[],
  driver: DriverFigures,
  { rate, expectedIntervalMs }: LoadOptions,
): readonly string[] {
  const warnings: string[] = [];
  if (driver.saturated) {
    warnings.push(
      `The driver was saturated, and these may be its figures: ${driver.reasons.join('; ')}. Drive from another machine, or less.`,
    );
  }
  for (const { name, sent, failed, held, unsent } of targets) {
    if (unsent > 0) {
      warnings.push(
        `${name}: ${unsent} arrivals were never sent, since those before them took too long. They are missing from the percentiles, which would be worse.`,
      );
    }
    if (held > 0) {
      warnings.push(
        `${name}: ${held} arrivals found --max-in-flight reached and waited. Their corrected latency has the wait in it.`,
      );
    }
    if (sent > 0 && failed === sent) {
      warnings.push(`${name}: nothing was answered; a target that refuses everything is given up before its time.`);
    } else if (failed > 0 && failed >= sent / 100) {
      warnings.push(`${name}: ${failed} of ${sent} requests failed. Latencies are those of the others alone.`);
    }
  }
  if (rate === undefined && expectedIntervalMs === undefined) {
    warnings.push(
      'A closed loop asks less while the target is slow: its latencies leave out what others would have waited (coordinated omission). Use --rate for those.',
    );
  }
  return warnings;
}
