/**
 * Owns when requests are sent: in a closed loop, as soon as an answer frees a caller; in an open loop, when the schedule says, whatever becomes
 * of those before. It knows nothing of HTTP, and its time is its clock's.
 */
import { type ArrivalOptions, schedule } from './arrivals.ts';
import type { Clock } from './clock.ts';
import type { Outcome } from './outcome.ts';
import type { Tally } from './tally.ts';

export type Pace =
  | {
      readonly mode: 'closed';
      readonly concurrency: number;
      /** Whether a caller that was told `Retry-After` waits for so long. */
      readonly honourRetryAfter: boolean;
    }
  | ({
      readonly mode: 'open';
      /** Requests under way at once. An arrival that finds so many waits, and its time runs from when it was meant to be sent. */
      readonly maxInFlight: number;
    } & ArrivalOptions);

export interface DriveOptions {
  readonly pace: Pace;
  /** Milliseconds at the start that are not measured. */
  readonly warmupMs: number;
  /** Milliseconds that are measured; with `requests` as well, what comes first ends it. */
  readonly durationMs?: number;
  /** Measured requests. */
  readonly requests?: number;
  readonly clock: Clock;
  readonly tally: Tally;
  /** Never rejects. */
  readonly send: (n: number) => Promise<Outcome>;
  /** Gives up what is under way: each `send` resolves at once. */
  readonly cut: () => void;
  /** Sends nothing new from then on, and gives what is under way `graceMs`. */
  readonly stop: AbortSignal;
  readonly graceMs: number;
}

/** `Retry-After` may ask for days. */
const MAX_RETRY_AFTER_MS = 60_000;
/** A caller whose connection fails at once must not become a loop that does nothing else. */
const CONNECTION_PAUSE_MS = 100;

/** Resolves when what was sent has ended, one way or the other. */
export async function drive(options: DriveOptions): Promise<void> {
  const driver = new Driver(options);
  await driver.run();
}

class Driver {
  readonly #o: DriveOptions;
  readonly #start: number;
  /** When measuring begins and ends, in the clock's time. */
  readonly #from: number;
  readonly #until: number;
  readonly #underWay = new Set<Promise<unknown>>();
  #sent = 0;
  #measured = 0;
  #freed: (() => void) | undefined;

  constructor(options: DriveOptions) {
    this.#o = options;
    this.#start = options.clock.now();
    this.#from = this.#start + options.warmupMs;
    this.#until = this.#from + (options.durationMs ?? Infinity);
  }

  async run(): Promise<void> {
    const { pace, tally, stop, clock } = this.#o;
    tally.begin(this.#from);
    const wake = (): void => this.#freed?.();
    stop.addEventListener('abort', wake);
    if (pace.mode === 'open') await this.#open(pace);
    else await Promise.race([this.#closed(pace), aborted(stop)]);
    // A number of requests is done when the last one is answered; a time is over when it is over.
    const isCutShort = stop.aborted || tally.isHopeless;
    const over = isCutShort ? Math.min(this.#until, clock.now()) : this.#until;
    if (!this.#isEnough()) tally.close(Math.max(this.#from, over));
    await this.#settle();
    stop.removeEventListener('abort', wake);
    tally.end(clock.now());
  }

  async #open(pace: Extract<Pace, { mode: 'open' }>): Promise<void> {
    const { clock, stop, tally, warmupMs, durationMs = Infinity } = this.#o;
    // Whoever comes behind one that had to wait is late through no fault of the driver, until the schedule is reached again.
    let isCatchingUp = false;
    for (const offset of schedule(pace)) {
      // Of offsets, since sums with the clock's time are rounded.
      if (offset >= warmupMs + durationMs || this.#isEnough()) return;
      const intended = this.#start + offset;
      if (intended > clock.now()) {
        isCatchingUp = false;
        await clock.until(intended, stop);
      }
      const isHeld = this.#underWay.size >= pace.maxInFlight;
      if (isHeld) {
        isCatchingUp = true;
        if (intended >= this.#from) tally.held();
        await this.#slot(pace.maxInFlight);
      }
      // One that is only late by the driver's own doing is sent, be it the last.
      if (stop.aborted || tally.isHopeless || (isHeld && this.#isOver())) {
        this.#countUnsent(pace, offset);
        return;
      }
      void this.#send(intended, { isOpen: true, isCatchingUp });
    }
  }

  /** Resolves when fewer than `most` are under way, or sending is over. */
  async #slot(most: number): Promise<void> {
    const over = new AbortController();
    const end = Number.isFinite(this.#until) ? this.#o.clock.until(this.#until, over.signal) : undefined;
    while (this.#underWay.size >= most && !this.#isOver()) {
      const freed = Promise.withResolvers<void>();
      this.#freed = freed.resolve;
      await (end === undefined ? freed.promise : Promise.race([freed.promise, end]));
    }
    this.#freed = undefined;
    over.abort();
  }

  /** Arrivals that the schedule still had when the time was over, because those before them held them up. */
  #countUnsent(pace: ArrivalOptions, from: number): void {
    const { clock, tally, stop, requests = Infinity } = this.#o;
    if (tally.isHopeless) return;
    // After Ctrl-C only what was due by now was kept waiting.
    const until = Math.min(this.#until, stop.aborted ? clock.now() : Infinity);
    let left = requests - this.#measured;
    for (const offset of schedule(pace)) {
      if (this.#start + offset >= until || left <= 0) return;
      if (offset < from || this.#start + offset < this.#from) continue;
      tally.unsent();
      left -= 1;
    }
  }

  async #closed({ concurrency, honourRetryAfter }: Extract<Pace, { mode: 'closed' }>): Promise<void> {
    const { clock, stop, tally } = this.#o;
    const caller = async (): Promise<void> => {
      while (!this.#isOver() && !this.#isEnough()) {
        const outcome = await this.#send(clock.now(), { isOpen: false, isCatchingUp: false });
        if (outcome.ok) continue;
        if (honourRetryAfter && outcome.retryAfterMs !== undefined) {
          tally.honoured();
          await clock.until(clock.now() + Math.min(outcome.retryAfterMs, MAX_RETRY_AFTER_MS), stop);
        } else if (outcome.kind === 'connection') {
          await clock.until(clock.now() + CONNECTION_PAUSE_MS, stop);
        }
      }
    };
    await Promise.all(Array.from({ length: concurrency }, caller));
  }

  #send(
    intended: number,
    { isOpen, isCatchingUp }: { readonly isOpen: boolean; readonly isCatchingUp: boolean },
  ): Promise<Outcome> {
    const { clock, tally, send } = this.#o;
    const n = this.#sent;
    this.#sent += 1;
    const isMeasured = intended >= this.#from;
    if (isMeasured) this.#measured += 1;
    const sent = clock.now();
    if (isMeasured) tally.sent(intended, isCatchingUp ? undefined : sent);
    const run = send(n).then((outcome) => {
      this.#underWay.delete(run);
      tally.settled(outcome, { intended, sent, isMeasured, isOpen });
      this.#freed?.();
      return outcome;
    });
    this.#underWay.add(run);
    return run;
  }

  #isOver(): boolean {
    return this.#o.stop.aborted || this.#o.clock.now() >= this.#until || this.#o.tally.isHopeless;
  }

  #isEnough(): boolean {
    return this.#measured >= (this.#o.requests ?? Infinity);
  }

  /** Every request ends by its own timeout; once the run is to stop, within the grace. */
  async #settle(): Promise<void> {
    const { stop, clock, graceMs, cut } = this.#o;
    const all = Promise.all(this.#underWay);
    await Promise.race([all, aborted(stop)]);
    if (!stop.aborted) return;
    const done = new AbortController();
    await Promise.race([all, clock.until(clock.now() + graceMs, done.signal)]);
    done.abort();
    cut();
    await Promise.all(this.#underWay);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
