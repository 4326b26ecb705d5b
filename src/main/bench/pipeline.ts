/**
 * Owns the way of a run's cases: read as they are needed, asked of each agent within its bounds, judged, counted and written down.
 *
 *   suite -> gate (concurrency, rates) -> host -> judges -> scorers and tokens -> ledger
 *
 * Agents share what was read of the suite, and a slow one holds up nobody. What a case does to its thread is the host's to judge: the
 * cases beside it are run again there, and only the guilty one's answer is the error.
 */
import { OrreryError, asOrreryError } from '../../protocol/index.ts';
import type { ScorerSpec } from '../../protocol/scorers.ts';
import { type Outcome, Work, converse, failedOutcome, judge } from './asking.ts';
import type { Asker } from './dataset-channel.ts';
import { Gate, type Lane } from './lane.ts';
import type { BenchResult } from './results.ts';
import { SharedCases } from './shared-cases.ts';
import type { CaseBatch } from './suite.ts';

/** A case that an agent is done with, on its way to its result. */
export class Finished {
  readonly work: Work;
  readonly outcome: Outcome;
  /** Replies of the judges, by the scorer's name; undefined where none was asked. */
  readonly verdicts: Readonly<Record<string, string>> | undefined;
  readonly judgeError: OrreryError | undefined;

  constructor(work: Work, outcome: Outcome, verdicts?: Finished['verdicts'], judgeError?: OrreryError) {
    this.work = work;
    this.outcome = outcome;
    this.verdicts = verdicts;
    this.judgeError = judgeError;
  }
}

export interface PipelineOptions {
  readonly channel: Asker;
  readonly lanes: readonly Lane[];
  /** Lanes of agents that grade and are not graded, by their names. */
  readonly judgeLanes: ReadonlyMap<string, Lane>;
  readonly concurrency: number;
  readonly repeats: number;
  readonly seed: number;
  readonly judges: readonly Extract<ScorerSpec, { kind: 'judge' }>[];
  /** Reads the run's cases from the start; at each call the same. */
  readonly cases: () => AsyncIterable<CaseBatch>;
  readonly isDone: (work: Work) => boolean;
  /** Judges and writes down; resolves with the results in the order given. */
  readonly finish: (batch: readonly Finished[]) => Promise<readonly BenchResult[]>;
  readonly batchSize: number;
  /** Batches that are judged at once. */
  readonly batches: number;
  /** Replies that may wait to be judged before nothing new is asked, beside as many as may be under way. */
  readonly backlog: number;
  readonly onResult: (result: BenchResult) => void;
  readonly onAgentGone: (agent: string, error: OrreryError) => void;
}

export type StopReason = 'interrupted' | 'cost-limit';

/** Said of a message that the end of the run cut off: it has no result. */
const CUT_OFF: ReadonlySet<string> = new Set([
  'ORRERY_INTERRUPTED',
  'ORRERY_DRAINING',
  'ORRERY_CLOSED',
  'ORRERY_CANCELLED',
  'ORRERY_CHANNEL_CLOSED',
]);
/** The agent answers nothing any more. */
const GONE: ReadonlySet<string> = new Set(['ORRERY_AGENT_STOPPED', 'ORRERY_AGENT_ESCALATED']);

/** Characters of the replies that are judged together. */
const MAX_BATCH_CHARS = 262_144;

export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #gate: Gate;
  readonly #cases: SharedCases;
  /** Results on their way to the ledger. */
  #finishing = 0;
  readonly #queue: Finished[] = [];
  #batches = 0;
  #stopped: StopReason | undefined;
  #isCut = false;
  #failure: OrreryError | undefined;

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#gate = new Gate(options.concurrency);
    this.#cases = new SharedCases(options.cases);
  }

  /** Runs until all is done, or after a stop until what was under way is. Rejects when results cannot be written. */
  async run(): Promise<StopReason | 'done'> {
    await Promise.all(this.#options.lanes.map((lane) => this.#feed(lane)));
    while (this.#gate.running + this.#finishing > 0) await this.#gate.changed();
    if (this.#failure) throw this.#failure;
    return this.#stopped ?? 'done';
  }

  /** Asks nothing new; what is under way is finished. */
  stop(reason: StopReason): void {
    this.#stopped ??= reason;
    this.#gate.wake();
  }

  /** What is under way now is being cut off, and gets no result. */
  cut(): void {
    this.#isCut = true;
    this.stop('interrupted');
  }

  get #isOver(): boolean {
    return this.#stopped !== undefined || this.#failure !== undefined;
  }

  async #feed(lane: Lane): Promise<void> {
    const { repeats, seed, isDone, concurrency, backlog } = this.#options;
    const isOver = (): boolean => this.#isOver || lane.isClosed;
    const hasRoom = (): boolean => this.#finishing < concurrency + backlog;
    try {
      for await (const { cases } of this.#cases.read()) {
        if (isOver()) return;
        for (const one of cases) {
          for (let repeat = 0; repeat < repeats; repeat++) {
            const work = new Work(lane.agent, one, repeat, seed + repeat);
            if (isDone(work)) continue;
            // Replies come many at a time, and leave as many places: only the first question after them has to wait.
            const now = isOver() || !hasRoom() ? undefined : this.#gate.tryEnter(lane);
            const estimate = now ?? (await this.#gate.enter(lane, isOver, hasRoom));
            if (estimate === undefined) return;
            void this.#ask(lane, work, estimate);
          }
        }
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Never rejects. The place in the gate was taken before, and is given back. */
  async #ask(lane: Lane, work: Work, estimate: number): Promise<void> {
    const startedAt = Date.now();
    let outcome: Outcome | undefined;
    try {
      outcome = await converse(this.#options.channel, work, { stream: lane.stream, startedAt });
    } catch (error) {
      outcome = this.#failed(lane, asOrreryError(error, 'ORRERY_INTERNAL'), startedAt);
    }
    if (outcome) {
      if (lane.limiter.isLimited) lane.limiter.settle(estimate, tokensOf(outcome));
      this.#finishing += 1;
    }
    this.#gate.leave(lane);
    if (outcome) this.#judge(work, outcome);
  }

  /** The result of a case that failed; undefined where it has none. */
  #failed(lane: Lane, error: OrreryError, startedAt: number): Outcome | undefined {
    if (this.#isCut && CUT_OFF.has(error.code)) return undefined;
    if (GONE.has(error.code)) {
      if (!lane.isClosed) this.#options.onAgentGone(lane.agent, error);
      lane.isClosed = true;
      return undefined;
    }
    return failedOutcome(error, startedAt);
  }

  #judge(work: Work, outcome: Outcome): void {
    if (this.#options.judges.length > 0 && !outcome.error) void this.#askJudges(work, outcome);
    else this.#push(new Finished(work, outcome));
  }

  /** Never rejects. */
  async #askJudges(work: Work, outcome: Outcome): Promise<void> {
    const { judges } = this.#options;
    const verdicts: Record<string, string> = {};
    let judgeError: OrreryError | undefined;
    await Promise.all(
      judges.map(async (spec) => {
        try {
          verdicts[spec.name] = await this.#askJudge(spec, work, outcome.output);
        } catch (error) {
          const cause = asOrreryError(error, 'ORRERY_INTERNAL');
          const message = `The judge ${spec.agent} failed: ${cause.message}`;
          judgeError ??= new OrreryError('ORRERY_SCORER_FAILED', message, { cause });
        }
      }),
    );
    // A case whose judge was cut off is asked again by the next start.
    if (judgeError && this.#isCut) this.#settled(1);
    else this.#push(new Finished(work, outcome, verdicts, judgeError));
  }

  async #askJudge(spec: Extract<ScorerSpec, { kind: 'judge' }>, work: Work, output: string): Promise<string> {
    const { channel, lanes, judgeLanes } = this.#options;
    const lane = judgeLanes.get(spec.agent) ?? lanes.find(({ agent }) => agent === spec.agent);
    if (!lane) throw new OrreryError('ORRERY_INTERNAL', `There is no lane for the judge ${spec.agent}`);
    const estimate = await this.#gate.enter(lane, () => this.#isCut);
    if (estimate === undefined) throw new OrreryError('ORRERY_INTERRUPTED', 'The run ended before the verdict');
    try {
      const verdict = await judge(channel, spec, work, output);
      lane.limiter.settle(estimate, verdict.tokens);
      return verdict.text;
    } finally {
      this.#gate.leave(lane);
    }
  }

  #push(finished: Finished): void {
    this.#queue.push(finished);
    // In the next step, so that replies that come together are judged together.
    if (this.#queue.length === 1) queueMicrotask(() => this.#pump());
  }

  #pump(): void {
    const { batches, batchSize } = this.#options;
    while (this.#batches < batches && this.#queue.length > 0) {
      const batch = this.#queue.splice(0, batchLength(this.#queue, batchSize));
      this.#batches += 1;
      void this.#finish(batch);
    }
  }

  async #finish(batch: readonly Finished[]): Promise<void> {
    try {
      for (const result of await this.#options.finish(batch)) this.#options.onResult(result);
    } catch (error) {
      this.#fail(error);
    }
    this.#batches -= 1;
    this.#settled(batch.length);
    this.#pump();
  }

  #settled(count: number): void {
    this.#finishing -= count;
    this.#gate.wake();
  }

  #fail(error: unknown): void {
    this.#failure ??= asOrreryError(error, 'ORRERY_INTERNAL');
    this.#gate.wake();
  }
}

/** How many of those that wait are judged together: so many at most, and of long replies fewer, since main packs and writes all of them at once. */
function batchLength(queue: readonly Finished[], most: number): number {
  const longest = Math.min(most, queue.length);
  let chars = 0;
  for (let count = 0; count < longest; count++) {
    chars += queue[count]!.outcome.output.length;
    if (chars > MAX_BATCH_CHARS && count > 0) return count;
  }
  return longest;
}

/** Characters stand in for tokens that nobody counted: four of them. */
function tokensOf({ usage, outputs }: Outcome): number {
  if (usage) return usage.input + usage.output;
  return Math.ceil(outputs.reduce((sum, text) => sum + text.length, 0) / 4);
}
