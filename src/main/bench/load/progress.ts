/** Owns what a run tells of itself while it runs. */
import type { LoadOptions, LoadProgress } from './options.ts';
import { DEFAULT_DURATION_MS } from './options.ts';
import type { Tally } from './tally.ts';

const EVERY_MS = 500;

export class Progress {
  readonly #o: LoadOptions;
  readonly #rounds: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LoadOptions, rounds: number) {
    this.#o = options;
    this.#rounds = rounds;
  }

  begin(target: string, tally: Tally, round: number): void {
    const { onProgress } = this.#o;
    if (!onProgress) return;
    const began = performance.now();
    let last = { at: began, answered: tally.answered };
    this.#timer = setInterval(() => {
      const now = performance.now();
      const glance = tally.glance();
      const perSecond = (glance.answered - last.answered) / ((now - last.at) / 1_000);
      last = { at: now, answered: glance.answered };
      const seconds = (now - began) / 1_000;
      onProgress({ target, seconds, part: this.#part(seconds, glance.sent, round), perSecond, ...glance });
    }, EVERY_MS);
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #part(seconds: number, sent: number, round: number): LoadProgress['part'] {
    const { requests, durationMs, warmupMs = 0 } = this.#o;
    const ms = durationMs ?? (requests === undefined ? DEFAULT_DURATION_MS : Infinity);
    const byTime = Number.isFinite(ms)
      ? (round + (1_000 * seconds * this.#rounds) / (ms + warmupMs)) / this.#rounds
      : 0;
    const byCount = requests === undefined ? 0 : sent / requests;
    return Math.min(1, Math.max(byTime, byCount));
  }
}
