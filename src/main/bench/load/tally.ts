/** Owns the figures of one target while they come in. All of it is bounded, however long the run. */
import { type CurvePoint, Durations, type DurationSummary } from './histogram.ts';
import type { Answered, FailureKind, Failed, Outcome } from './outcome.ts';
import { Series, type SeriesSpan } from './series.ts';

/** Different failures that are told apart; what comes beyond counts under its kind alone. */
const MOST_FAILURES = 100;
/** Failures without any answer before a target is given up: it is not there, or refuses what it is asked. */
const HOPELESS = 50;

export interface FailureCount {
  readonly kind: FailureKind;
  readonly status?: number;
  readonly code?: string;
  /** Of the first one. */
  readonly message: string;
  readonly count: number;
}

export interface TokenFigures {
  readonly input: number;
  readonly output: number;
  /** Answers whose tokens the provider told, those that the exact tokenizer counted, and those that could not be counted in time. */
  readonly byProvider: number;
  readonly byTokenizer: number;
  readonly uncounted: number;
}

/** Durations are milliseconds. */
export interface TargetFigures {
  /** Time in which requests were sent and measured, in seconds. */
  readonly seconds: number;
  readonly sent: number;
  readonly answered: number;
  readonly failed: number;
  /** Arrivals that found the bound on what is under way reached, and waited. */
  readonly held: number;
  /** Arrivals that were never sent because they waited until the end. */
  readonly unsent: number;
  readonly failures: readonly FailureCount[];
  readonly retryAfter: { readonly count: number; readonly maxMs: number; readonly honoured: number };
  /** Answers a second. */
  readonly perSecond: number;
  readonly latencyMs: { readonly corrected: DurationSummary | null; readonly uncorrected: DurationSummary };
  /** To the first text, in streams. */
  readonly firstTextMs: { readonly corrected: DurationSummary | null; readonly uncorrected: DurationSummary };
  /** Between one piece of text and the next, in streams. */
  readonly gapMs: DurationSummary;
  /** From the first text to the end, for each token after the first, in streams. */
  readonly perTokenMs: DurationSummary;
  /** How much later than intended requests left, without those that the bound held and those behind them. */
  readonly latenessMs: DurationSummary;
  readonly tokens: TokenFigures & { readonly outputPerSecond: number };
  readonly curve: { readonly corrected: readonly CurvePoint[] | null; readonly uncorrected: readonly CurvePoint[] };
  readonly series: { readonly widthMs: number; readonly spans: readonly SeriesSpan[] };
}

interface Timing {
  readonly intended: number;
  readonly sent: number;
  readonly isMeasured: boolean;
  readonly isOpen: boolean;
}

export interface TallyOptions {
  /** Whether requests have a time at which they are meant to be sent. */
  readonly isOpen: boolean;
  /** In a closed loop: how often each caller is meant to ask, in milliseconds. */
  readonly expectedIntervalMs?: number;
  /** Counts the tokens of a reply whose provider does not; undefined when too many wait for it already. */
  readonly countTokens?: (text: string) => Promise<number | undefined>;
}

export class Tally {
  readonly #o: TallyOptions;
  readonly #latency = new Durations();
  readonly #corrected: Durations | undefined;
  readonly #first = new Durations();
  readonly #firstCorrected: Durations | undefined;
  readonly #gaps = new Durations();
  readonly #perToken = new Durations();
  readonly #lateness = new Durations();
  readonly #series = new Series();
  readonly #failures = new Map<string, { -readonly [K in keyof FailureCount]: FailureCount[K] }>();
  readonly #counting = new Set<Promise<void>>();
  #sent = 0;
  #answered = 0;
  #failed = 0;
  #held = 0;
  #unsent = 0;
  #inFlight = 0;
  #refused = 0;
  #anyAnswer = false;
  #retryAfter = { count: 0, maxMs: 0, honoured: 0 };
  #tokens = { input: 0, output: 0, byProvider: 0, byTokenizer: 0, uncounted: 0 };
  #ms = 0;
  /** Where the slice that runs now begins on the time line of all slices, less where it begins on the clock. */
  #offset = 0;
  #from = 0;
  #until = Infinity;
  /** Answers, and their tokens, that came while a slice was measured, whenever they were asked for. */
  #inTime = { answered: 0, tokens: 0 };

  constructor(options: TallyOptions) {
    this.#o = options;
    const corrects = options.isOpen || options.expectedIntervalMs !== undefined;
    this.#corrected = corrects ? new Durations() : undefined;
    this.#firstCorrected = options.isOpen ? new Durations() : undefined;
  }

  /** Nothing was answered, and what was asked was refused for good again and again. */
  get isHopeless(): boolean {
    return !this.#anyAnswer && this.#refused >= HOPELESS;
  }

  get answered(): number {
    return this.#answered;
  }

  /** Begins a slice: from then on, in the clock's time, is measured. */
  begin(from: number): void {
    this.#offset = this.#ms - from;
    this.#from = from;
    this.#until = Infinity;
  }

  /** Ends the time that rates are of; what is answered later counts in everything else. */
  close(at: number): void {
    this.#until = at;
  }

  /** Ends a slice. */
  end(settledAt: number): void {
    this.#ms += Math.max(0, (Number.isFinite(this.#until) ? this.#until : settledAt) - this.#from);
  }

  held(): void {
    this.#held += 1;
  }

  unsent(): void {
    this.#unsent += 1;
  }

  honoured(): void {
    this.#retryAfter.honoured += 1;
  }

  /** `sent` is left out where something else than the driver made it late. */
  sent(intended: number, sent: number | undefined): void {
    this.#sent += 1;
    this.#inFlight += 1;
    this.#series.arrived(intended + this.#offset);
    if (this.#o.isOpen && sent !== undefined) this.#lateness.record(sent - intended);
  }

  settled(outcome: Outcome, timing: Timing): void {
    this.#judge(outcome);
    if (outcome.ok && this.#isInTime(outcome.endedAt)) this.#inTime.answered += 1;
    if (outcome.ok) this.#countTokens(outcome, timing.isMeasured);
    if (!timing.isMeasured) return;
    this.#inFlight -= 1;
    if (outcome.ok) this.#answer(outcome, timing);
    else this.#failure(outcome);
  }

  /** Resolves when the tokens of what was answered are counted. */
  async counted(): Promise<void> {
    await Promise.all(this.#counting);
  }

  /** A few figures for somebody who waits. */
  glance(): TallyGlance {
    const shown = this.#corrected ?? this.#latency;
    return {
      sent: this.#sent,
      answered: this.#answered,
      failed: this.#failed,
      inFlight: this.#inFlight,
      p50: shown.percentile(50),
      p99: shown.percentile(99),
    };
  }

  read(): TargetFigures {
    // To the microsecond: differences of the clock's times are rounded.
    const seconds = Math.round(this.#ms * 1_000) / 1e6;
    const perSecond = (count: number): number => (seconds === 0 ? 0 : count / seconds);
    const failures = [...this.#failures.values()].toSorted((a, b) => b.count - a.count);
    return {
      seconds,
      sent: this.#sent,
      answered: this.#answered,
      failed: this.#failed,
      held: this.#held,
      unsent: this.#unsent,
      failures,
      retryAfter: { ...this.#retryAfter },
      perSecond: perSecond(this.#inTime.answered),
      latencyMs: { corrected: this.#corrected?.summary() ?? null, uncorrected: this.#latency.summary() },
      firstTextMs: { corrected: this.#firstCorrected?.summary() ?? null, uncorrected: this.#first.summary() },
      gapMs: this.#gaps.summary(),
      perTokenMs: this.#perToken.summary(),
      latenessMs: this.#lateness.summary(),
      tokens: { ...this.#tokens, outputPerSecond: perSecond(this.#inTime.tokens) },
      curve: { corrected: this.#corrected?.curve() ?? null, uncorrected: this.#latency.curve() },
      series: { widthMs: this.#series.widthMs, spans: this.#series.read() },
    };
  }

  #isInTime(at: number): boolean {
    return at >= this.#from && at <= this.#until;
  }

  #answer(answer: Answered, { intended, sent, isOpen }: Timing): void {
    const { expectedIntervalMs } = this.#o;
    const { endedAt, firstAt } = answer;
    this.#answered += 1;
    const fromSent = endedAt - sent;
    this.#latency.record(fromSent);
    if (isOpen) this.#corrected?.record(endedAt - intended);
    else if (expectedIntervalMs !== undefined) this.#corrected?.recordCorrected(fromSent, expectedIntervalMs);
    if (firstAt !== null) {
      this.#first.record(firstAt - sent);
      this.#firstCorrected?.record(firstAt - intended);
    }
    for (const gap of answer.gaps) this.#gaps.record(gap);
    this.#series.answered(intended + this.#offset, endedAt + this.#offset, endedAt - (isOpen ? intended : sent));
  }

  /** Those of the warm-up count only where they came while it was measured. */
  #countTokens({ inputTokens, outputTokens, text, firstAt, endedAt }: Answered, isMeasured: boolean): void {
    const isInTime = this.#isInTime(endedAt);
    if (!isMeasured && !isInTime) return;
    const at = endedAt + this.#offset;
    const add = (by: 'byProvider' | 'byTokenizer' | 'uncounted', tokens = 0): void => {
      if (isInTime) this.#inTime.tokens += tokens;
      this.#series.tokens(at, tokens);
      if (!isMeasured) return;
      this.#tokens[by] += 1;
      this.#tokens.input += inputTokens ?? 0;
      this.#tokens.output += tokens;
      if (firstAt !== null && tokens > 1) this.#perToken.record((endedAt - firstAt) / (tokens - 1));
    };
    // A host that knows no count of its model says 0.
    if (outputTokens !== null && (outputTokens > 0 || text === '')) {
      add('byProvider', outputTokens);
      return;
    }
    const counting = (this.#o.countTokens?.(text) ?? Promise.resolve(undefined))
      .then(
        (tokens) => add(tokens === undefined ? 'uncounted' : 'byTokenizer', tokens),
        () => add('uncounted'),
      )
      .finally(() => this.#counting.delete(counting));
    this.#counting.add(counting);
  }

  #failure({ kind, status, code, message, endedAt, retryAfterMs }: Failed): void {
    this.#failed += 1;
    if (retryAfterMs !== undefined) {
      this.#retryAfter.count += 1;
      this.#retryAfter.maxMs = Math.max(this.#retryAfter.maxMs, retryAfterMs);
    }
    this.#series.failed(endedAt + this.#offset);
    const key = `${kind} ${status ?? ''} ${code ?? ''}`;
    const known = this.#failures.get(key);
    if (known) known.count += 1;
    else if (this.#failures.size < MOST_FAILURES) {
      const named = { ...(status === undefined ? {} : { status }), ...(code === undefined ? {} : { code }) };
      this.#failures.set(key, { kind, ...named, message, count: 1 });
    } else {
      const rest = this.#failures.get(kind);
      if (rest) rest.count += 1;
      else this.#failures.set(kind, { kind, message: 'further failures', count: 1 });
    }
  }

  /** Judges what is known of the target, in the warm-up too. */
  #judge(outcome: Outcome): void {
    if (outcome.ok) {
      this.#anyAnswer = true;
      return;
    }
    const { kind, status } = outcome;
    // A server that is full may have room later.
    if (kind === 'connection' || kind === 'answer' || (kind === 'http' && status !== 429 && status !== 503)) {
      this.#refused += 1;
    }
  }
}

export interface TallyGlance {
  readonly sent: number;
  readonly answered: number;
  readonly failed: number;
  readonly inFlight: number;
  /** Milliseconds; corrected where they can be. */
  readonly p50: number | null;
  readonly p99: number | null;
}
