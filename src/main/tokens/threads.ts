/**
 * Owns the token pool's threads and what goes to them: jobs wait in one line, and each thread is given batches of what
 * waits, one ahead of the one that it works on. It knows nothing of requests, only of jobs and how they end.
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
/** Batches that a thread holds: the one it works on, and one so that it need not wait for the main thread in between. */
const BATCHES_A_THREAD = 2;
/** The longest batch that another may wait behind: behind a longer one it could wait while other threads have nothing to do. */
const BRIEF_UNITS = 2 * JOB_UNITS;
/** Jobs already taken that may still stand in the line. */
const LINE_SLACK = 1024;

interface Waiting {
  readonly job: TokenJob;
  readonly image: SharedArrayBuffer;
  readonly units: number;
  attempts: number;
  /** True when nobody waits for it any more. */
  readonly dropped: () => boolean;
  readonly resolve: (value: TokenAnswers[TokenJob['kind']]) => void;
  readonly reject: (error: unknown) => void;
}

interface Batch {
  readonly jobs: readonly Waiting[];
  /** False when nothing may wait behind it: it may take long, or end its thread. */
  readonly brief: boolean;
}

/** One thread: a piscina of its own, so that it is known which batch waits behind which. */
interface Lane {
  pool: Piscina<TokenBatch, TokenOutcome[]> | undefined;
  readonly underWay: Set<Batch>;
}

export class TokenThreads {
  readonly #entry: string;
  readonly #lanes: readonly Lane[];
  #line: Waiting[] = [];
  #head = 0;
  /** Jobs that were submitted and have not ended. */
  #open = 0;
  #flushing = false;
  #idle: (() => void) | undefined;

  constructor(threads: number, entry: string = ENTRY) {
    this.#entry = entry;
    this.#lanes = Array.from({ length: threads }, () => ({ pool: undefined, underWay: new Set() }));
  }

  /**
   * Runs a job; jobs submitted in one tick travel together. Rejects with `ORRERY_TOKENS_IMAGE` when its vocabulary is not to
   * be had, with `ORRERY_WORKER_EXITED` when two threads ended under it.
   */
  async submit<K extends TokenJob['kind']>(
    job: Extract<TokenJob, { kind: K }>,
    dropped: () => boolean,
  ): Promise<TokenAnswers[K]> {
    this.#open++;
    try {
      const image = await loadImage(job.encoding);
      return await new Promise<TokenAnswers[K]>((resolve, reject) => {
        // The outcome at a job's index is its own kind's: the entry answers in order.
        const settle = resolve as Waiting['resolve'];
        this.#line.push({ job, image, units: unitsOf(job), attempts: 0, dropped, resolve: settle, reject });
        this.#flushSoon();
      });
    } finally {
      this.#open--;
      if (this.#open === 0) this.#idle?.();
    }
  }

  /** Waits until nothing runs or waits, then ends the threads. */
  async close(): Promise<void> {
    if (this.#open > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    await Promise.all(this.#lanes.map(async ({ pool }) => pool?.destroy()));
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
    for (;;) {
      const lane = this.#freeLane();
      if (lane === undefined) return;
      const batch = this.#takeBatch(lane);
      if (batch === undefined) return;
      lane.underWay.add(batch);
      void this.#run(lane, batch);
    }
  }

  /** Finds the thread for what is next in line: an idle one, else one that may be given a batch ahead. */
  #freeLane(): Lane | undefined {
    return (
      this.#lanes.find(({ underWay }) => underWay.size === 0) ??
      this.#lanes.find(({ underWay }) => underWay.size < BATCHES_A_THREAD && [...underWay].every(({ brief }) => brief))
    );
  }

  #takeBatch(lane: Lane): Batch | undefined {
    const jobs: Waiting[] = [];
    let units = 0;
    let brief = true;
    while (this.#head < this.#line.length && units < JOB_UNITS && brief) {
      const next = this.#line[this.#head]!;
      // What a thread ended under runs neither among others nor behind them.
      const suspect = next.attempts > 0;
      if (suspect && (jobs.length > 0 || lane.underWay.size > 0)) break;
      if (next.job.kind === 'file' && jobs.length > 0) break;
      this.#head++;
      if (next.dropped()) {
        next.reject(new OrreryError('ORRERY_CANCELLED', 'Nobody waits for this count.'));
        continue;
      }
      jobs.push(next);
      units += next.units;
      brief = !suspect && next.job.kind !== 'file' && units <= BRIEF_UNITS;
    }
    // What was taken is let go in large steps; one by one would move the whole line each time.
    if (this.#head === this.#line.length || this.#head > LINE_SLACK) {
      this.#line = this.#line.slice(this.#head);
      this.#head = 0;
    }
    return jobs.length === 0 ? undefined : { jobs, brief };
  }

  async #run(lane: Lane, batch: Batch): Promise<void> {
    try {
      lane.pool ??= this.#start();
      const images: Record<string, SharedArrayBuffer> = {};
      for (const { job, image } of batch.jobs) images[ENCODINGS[job.encoding].vocabulary] = image;
      const outcomes = await lane.pool.run({ images, jobs: batch.jobs.map(({ job }) => job) });
      for (const [i, outcome] of outcomes.entries()) {
        if ('error' in outcome) batch.jobs[i]!.reject(fromWire(outcome.error));
        else batch.jobs[i]!.resolve(outcome.value);
      }
    } catch (error) {
      this.#threadEnded(batch, error);
    } finally {
      lane.underWay.delete(batch);
      this.#flush();
    }
  }

  /** All that a thread held fails with it, whoever's doing it was; so each job is tried again where it can harm itself only. */
  #threadEnded(batch: Batch, cause: unknown): void {
    for (const waiting of batch.jobs) {
      waiting.attempts++;
      if (waiting.attempts < ATTEMPTS) {
        this.#line.push(waiting);
        continue;
      }
      waiting.reject(
        new OrreryError('ORRERY_WORKER_EXITED', 'A thread of the token pool ended twice under this work.', {
          cause,
          hint: 'The text may be too large for the memory of a thread.',
        }),
      );
    }
  }

  #start(): Piscina<TokenBatch, TokenOutcome[]> {
    const pool = new Piscina<TokenBatch, TokenOutcome[]>({
      filename: this.#entry,
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: BATCHES_A_THREAD,
      // An idle worker would block in Atomics.wait, and could not be asked anything else.
      atomics: 'disabled',
      idleTimeout: Number.POSITIVE_INFINITY,
      maxQueue: BATCHES_A_THREAD,
      recordTiming: false,
    });
    // A thread that dies idle is replaced by piscina; without a listener its error would end the process.
    pool.on('error', () => {});
    return pool;
  }
}
