/**
 * Owns the token pool's threads and what goes to them: jobs wait in one line, each free thread takes a batch of what waits.
 * It knows nothing of requests, only of jobs and how they end.
 */
import { Piscina } from 'piscina';
import { ENCODINGS } from '../../protocol/encodings.ts';
import { OrreryError, fromWire } from '../../protocol/errors.ts';
import type { TokenAnswers, TokenBatch, TokenJob, TokenOutcome } from '../../worker/tokenizer/pool-entry.ts';
import { loadImage } from './images.ts';
import { JOB_UNITS, unitsOf } from './requests.ts';

const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const ENTRY = new URL(`../../worker/tokenizer/pool-entry.${EXTENSION}`, import.meta.url).href;
/** A job whose thread ended is tried once more, alone. */
const ATTEMPTS = 2;
/** Jobs already taken that may still stand in the line. */
const LINE_SLACK = 1024;

interface Waiting {
  readonly job: TokenJob;
  readonly units: number;
  attempts: number;
  /** True when nobody waits for it any more. */
  readonly dropped: () => boolean;
  readonly resolve: (value: TokenAnswers[TokenJob['kind']]) => void;
  readonly reject: (error: unknown) => void;
}

export class TokenThreads {
  readonly #threads: number;
  readonly #entry: string;
  #pool: Piscina<TokenBatch, TokenOutcome[]> | undefined;
  #line: Waiting[] = [];
  #head = 0;
  #running = 0;
  #flushing = false;
  #idle: (() => void) | undefined;

  constructor(threads: number, entry: string = ENTRY) {
    this.#threads = threads;
    this.#entry = entry;
  }

  /** Runs a job; jobs submitted in one tick travel together. Rejects with `ORRERY_WORKER_EXITED` when two threads ended under it. */
  submit<K extends TokenJob['kind']>(
    job: Extract<TokenJob, { kind: K }>,
    dropped: () => boolean,
  ): Promise<TokenAnswers[K]> {
    const { promise, resolve, reject } = Promise.withResolvers<TokenAnswers[K]>();
    // The outcome at a job's index is its own kind's: the entry answers in order.
    const settle = resolve as Waiting['resolve'];
    this.#line.push({ job, units: unitsOf(job), attempts: 0, dropped, resolve: settle, reject });
    this.#flushSoon();
    return promise;
  }

  /** Waits until nothing runs or waits, then ends the threads. */
  async close(): Promise<void> {
    if (this.#busy()) await new Promise<void>((resolve) => (this.#idle = resolve));
    await this.#pool?.destroy();
    this.#pool = undefined;
  }

  #busy(): boolean {
    return this.#running > 0 || this.#head < this.#line.length;
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#running < this.#threads) {
      const batch = this.#takeBatch();
      if (batch.length === 0) break;
      this.#running++;
      void this.#run(batch);
    }
    if (!this.#busy()) this.#idle?.();
  }

  #takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    let units = 0;
    while (this.#head < this.#line.length && units < JOB_UNITS) {
      const next = this.#line[this.#head]!;
      const alone = next.attempts > 0 || next.job.kind === 'file';
      if (alone && batch.length > 0) break;
      this.#head++;
      if (next.dropped()) {
        next.reject(new OrreryError('ORRERY_CANCELLED', 'Nobody waits for this count.'));
        continue;
      }
      batch.push(next);
      units += next.units;
      if (alone) break;
    }
    // What was taken is let go in large steps; one by one would move the whole line each time.
    if (this.#head === this.#line.length || this.#head > LINE_SLACK) {
      this.#line = this.#line.slice(this.#head);
      this.#head = 0;
    }
    return batch;
  }

  async #run(batch: readonly Waiting[]): Promise<void> {
    try {
      const images: Record<string, SharedArrayBuffer> = {};
      for (const { job } of batch) images[ENCODINGS[job.encoding].vocabulary] ??= await loadImage(job.encoding);
      this.#pool ??= this.#start();
      const outcomes = await this.#pool.run({ images, jobs: batch.map(({ job }) => job) });
      for (const [i, outcome] of outcomes.entries()) {
        if ('error' in outcome) batch[i]!.reject(fromWire(outcome.error));
        else batch[i]!.resolve(outcome.value);
      }
    } catch (error) {
      this.#failed(batch, error);
    } finally {
      this.#running--;
      this.#flush();
    }
  }

  /** A batch fails as a whole when its image is missing or when its thread ended; the latter may be a neighbour's doing. */
  #failed(batch: readonly Waiting[], error: unknown): void {
    for (const waiting of batch) {
      waiting.attempts++;
      if (error instanceof OrreryError) {
        waiting.reject(error);
      } else if (waiting.attempts < ATTEMPTS) {
        this.#line.push(waiting);
      } else {
        waiting.reject(
          new OrreryError('ORRERY_WORKER_EXITED', 'A thread of the token pool ended twice under this work.', {
            cause: error,
            hint: 'The text may be too large for the memory of a thread.',
          }),
        );
      }
    }
  }

  #start(): Piscina<TokenBatch, TokenOutcome[]> {
    const pool = new Piscina<TokenBatch, TokenOutcome[]>({
      filename: this.#entry,
      minThreads: this.#threads,
      maxThreads: this.#threads,
      concurrentTasksPerWorker: 1,
      // An idle worker would block in Atomics.wait, and could not be asked anything else.
      atomics: 'disabled',
      idleTimeout: Number.POSITIVE_INFINITY,
      maxQueue: this.#threads,
      recordTiming: false,
    });
    // A thread that dies idle is replaced by piscina; without a listener its error would end the process.
    pool.on('error', () => {});
    return pool;
  }
}
