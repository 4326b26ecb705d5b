/**
 * Owns the judgement whether the host can take one more message: from what is unfinished, from what waits for the journal, and
 * from how late the main thread's loop is. It also estimates when whoever is turned away should come back. Per-session
 * bounds are the mailbox's.
 */
import { OrreryError } from '../../protocol/index.ts';

export interface AdmissionBounds {
  /** Deliveries under way in all. */
  readonly maxPending: number;
  /** Messages that wait for the journal. */
  readonly maxJournalLag: number;
  /** How late the main thread's loop may be, in milliseconds, smoothed over about a second. */
  readonly maxLoopDelayMs: number;
}

/** What the host has under way. */
export interface Load {
  /** Unfinished deliveries, those in intake included. */
  readonly pending: number;
  /** Messages whose append is not answered yet. */
  readonly appends: number;
  readonly loopDelayMs: number;
  /** Deliveries that end in a second, smoothed; 0 while nothing is known. */
  readonly perSecond: number;
}

/** When to come back, in milliseconds, at the least and at the most. */
export const MIN_SHED_MS = 1_000;
export const MAX_SHED_MS = 30_000;
/** The share of all that waits which has to be done before there is room worth coming back for. */
const ROOM_SHARE = 0.1;

/** Returns the error of a message that there is no room for; undefined while there is. */
export function shed(load: Load, bounds: AdmissionBounds): OrreryError | undefined {
  const { pending, appends, loopDelayMs } = load;
  const { maxPending, maxJournalLag, maxLoopDelayMs } = bounds;
  if (pending > maxPending) {
    return overloaded(
      `The host has ${pending} messages under way, its bound is ${maxPending}`,
      backMs(load, ROOM_SHARE),
    );
  }
  if (appends > maxJournalLag) {
    return overloaded(`${appends} messages wait for the journal, its bound is ${maxJournalLag}`, MIN_SHED_MS);
  }
  if (loopDelayMs > maxLoopDelayMs) {
    const late = Math.round(loopDelayMs);
    return overloaded(`The host's loop is ${late} ms late, its bound is ${maxLoopDelayMs} ms`, clamp(2 * loopDelayMs));
  }
  return undefined;
}

/** Milliseconds until a share of what waits is done, at the present pace. */
export function backMs({ pending, perSecond }: Pick<Load, 'pending' | 'perSecond'>, share: number): number {
  return perSecond > 0 ? clamp((pending * share * 1_000) / perSecond) : MIN_SHED_MS;
}

function clamp(ms: number): number {
  return Math.round(Math.min(MAX_SHED_MS, Math.max(MIN_SHED_MS, ms)));
}

function overloaded(message: string, retryAfterMs: number): OrreryError {
  return new OrreryError('ORRERY_OVERLOADED', message, { retryAfterMs });
}

export interface AdmissionControlOptions extends AdmissionBounds {
  /** Deliveries that ended so far. */
  readonly finished: () => number;
  readonly appends: () => number;
}

/** How often loop and pace are looked at, in milliseconds, and the weight of each look. */
const LOOK_MS = 250;
const WEIGHT = 0.3;

export class AdmissionControl {
  readonly #options: AdmissionControlOptions;
  #timer: NodeJS.Timeout | undefined;
  #loopDelayMs = 0;
  #perSecond = 0;

  constructor(options: AdmissionControlOptions) {
    this.#options = options;
  }

  /** Begins to look at loop and pace. */
  start(): void {
    let before = performance.now();
    let finished = this.#options.finished();
    this.#timer = setInterval(() => {
      const now = performance.now();
      const ended = this.#options.finished();
      const elapsedMs = now - before;
      this.#loopDelayMs += WEIGHT * (Math.max(0, elapsedMs - LOOK_MS) - this.#loopDelayMs);
      this.#perSecond += WEIGHT * (((ended - finished) * 1_000) / elapsedMs - this.#perSecond);
      before = now;
      finished = ended;
    }, LOOK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Throws `ORRERY_OVERLOADED`, with the time to come back. `pending` counts the message that asks. */
  check(pending: number): void {
    const error = shed(this.#load(pending), this.#options);
    if (error) throw error;
  }

  /** When whoever found its session full should come back, in milliseconds: about as long as one delivery takes now. */
  turnMs(pending: number): number {
    const { perSecond } = this.#load(pending);
    return backMs({ pending, perSecond }, 1);
  }

  /** Why a new message would be turned away; undefined while it would not. */
  refusal(pending: number): OrreryError | undefined {
    return shed(this.#load(pending), this.#options);
  }

  #load(pending: number): Load {
    const { appends } = this.#options;
    return { pending, appends: appends(), loopDelayMs: this.#loopDelayMs, perSecond: this.#perSecond };
  }
}
