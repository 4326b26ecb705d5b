/**
 * Owns the scorer threads of a run. A batch that does not end in time loses its thread and is judged again case by case, so that a
 * scorer that hangs, or ends its thread, costs the case that it hangs on.
 */
import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';
import { OrreryError, toWire } from '../../protocol/index.ts';
import type { ScoreBatch, ScoreJob, ScoreOutcome, ScorerSpec } from '../../protocol/scorers.ts';

const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const ENTRY = new URL(`../../worker/scorers/pool-entry.${EXTENSION}`, import.meta.url).href;
/** For one call; a batch that takes longer is judged case by case. */
export const DEFAULT_SCORER_TIMEOUT_MS = 10_000;
const MAX_THREADS = 4;
/** Two messages and a write of the file are the same work for many cases as for few. */
const PLAIN_BATCH = 256;
const SLOW_BATCH = 8;

export interface ScoringOptions {
  readonly specs: readonly ScorerSpec[];
  /** URL of the suite's module. */
  readonly module?: string;
  /** Default: one less than the cores, from 1 to 4; one for scorers that only compare. */
  readonly threads?: number;
  /** Milliseconds that judging one case may take. Default 10,000. */
  readonly timeoutMs?: number;
}

export class Scoring {
  readonly #options: ScoringOptions;
  readonly #timeoutMs: number;
  readonly threads: number;
  /** Cases that are worth judging together. */
  readonly batchSize: number;
  readonly #pool: Piscina<ScoreBatch, ScoreOutcome[]>;

  constructor(options: ScoringOptions) {
    this.#options = options;
    const { specs } = options;
    const isPlain = specs.every(({ kind }) => kind !== 'code' && kind !== 'custom');
    const codeMs = specs.reduce((sum, spec) => sum + (spec.kind === 'code' ? spec.timeoutMs : 0), 0);
    this.#timeoutMs = (options.timeoutMs ?? DEFAULT_SCORER_TIMEOUT_MS) + codeMs;
    this.batchSize = isPlain ? PLAIN_BATCH : codeMs > 0 ? 1 : SLOW_BATCH;
    this.threads = options.threads ?? (isPlain ? 1 : Math.min(MAX_THREADS, Math.max(1, availableParallelism() - 1)));
    this.#pool = new Piscina<ScoreBatch, ScoreOutcome[]>({
      filename: ENTRY,
      minThreads: this.threads,
      maxThreads: this.threads,
      concurrentTasksPerWorker: 1,
      // An idle worker would block in Atomics.wait, and its child processes could not be heard.
      atomics: 'disabled',
      idleTimeout: Number.POSITIVE_INFINITY,
      recordTiming: false,
    });
    // A thread that dies idle is replaced by piscina; without a listener its error would end the process.
    this.#pool.on('error', () => undefined);
  }

  /** Judges replies; never rejects: a case whose scorer failed says so. */
  async score(jobs: readonly ScoreJob[]): Promise<readonly ScoreOutcome[]> {
    if (jobs.length === 0) return [];
    try {
      return await this.#run(jobs);
    } catch (error) {
      if (jobs.length === 1) return [failure(error, this.#timeoutMs)];
      const outcomes: ScoreOutcome[] = [];
      for (const job of jobs) outcomes.push(...(await this.score([job])));
      return outcomes;
    }
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }

  async #run(jobs: readonly ScoreJob[]): Promise<readonly ScoreOutcome[]> {
    const { specs, module } = this.#options;
    const batch = { specs, jobs, ...(module === undefined ? {} : { module }) };
    const late = new AbortController();
    // Aborting is what ends a thread that does not come back to its loop.
    const timer = setTimeout(() => late.abort(), this.#timeoutMs);
    try {
      return await this.#pool.run(batch, { signal: late.signal });
    } finally {
      clearTimeout(timer);
    }
  }
}

function failure(error: unknown, timeoutMs: number): ScoreOutcome {
  const isLate = error instanceof Error && error.name === 'AbortError';
  const message = isLate ? `The scorers did not end within ${timeoutMs} ms` : 'The thread of the scorers ended';
  return { scores: {}, error: toWire(new OrreryError('ORRERY_SCORER_FAILED', message, { cause: error })) };
}
