/** Owns when one agent may be asked the next question: its concurrency, its rates, and what all agents together may have under way. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RateLimiter, type RateLimits } from './rate-limit.ts';

export interface LaneOptions extends RateLimits {
  readonly agent: string;
  /** Questions under way at once. */
  readonly concurrency: number;
  /** Whether first texts are timed. */
  readonly stream: boolean;
}

/** One agent, as it is asked. */
export class Lane {
  readonly agent: string;
  readonly concurrency: number;
  readonly stream: boolean;
  readonly limiter: RateLimiter;
  running = 0;
  /** Set when nothing more is asked of it. */
  isClosed = false;

  constructor(options: LaneOptions) {
    this.agent = options.agent;
    this.concurrency = options.concurrency;
    this.stream = options.stream;
    this.limiter = new RateLimiter(options);
  }
}

/** A wait for a rate is cut into pieces of this, so that a stop is noticed. */
const LOOK_MS = 250;

/** Counts what is under way in all, and lets questions wait for their place. */
export class Gate {
  readonly #total: number;
  #running = 0;
  #waiting: (() => void)[] = [];

  constructor(total: number) {
    this.#total = total;
  }

  get running(): number {
    return this.#running;
  }

  /** Takes a place at once: returns the tokens that the question is estimated to take, or undefined where there is no place now. */
  tryEnter(lane: Lane): number | undefined {
    if (lane.running >= lane.concurrency || this.#running >= this.#total) return undefined;
    if (!lane.limiter.isLimited) return this.#take(lane, 0);
    const now = performance.now();
    return lane.limiter.waitMs(now) === 0 ? this.#take(lane, now) : undefined;
  }

  /** As {@link tryEnter}, but waits for a place; resolves to undefined as soon as `isOver` says so. */
  async enter(lane: Lane, isOver: () => boolean, hasRoom: () => boolean = () => true): Promise<number | undefined> {
    for (;;) {
      if (isOver()) return undefined;
      if (lane.running >= lane.concurrency || this.#running >= this.#total || !hasRoom()) {
        await this.changed();
        continue;
      }
      const now = performance.now();
      const waitMs = lane.limiter.waitMs(now);
      if (waitMs === 0) return this.#take(lane, now);
      await sleep(Math.min(waitMs, LOOK_MS));
    }
  }

  #take(lane: Lane, now: number): number {
    lane.running += 1;
    this.#running += 1;
    return lane.limiter.take(now);
  }

  leave(lane: Lane): void {
    lane.running -= 1;
    this.#running -= 1;
    this.wake();
  }

  /** Resolves at the next change. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
