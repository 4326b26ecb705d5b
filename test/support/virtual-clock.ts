/** Owns a time that passes only when nothing else is left to do, so that a test of seconds takes none and is always the same. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../src/main/bench/load/clock.ts';

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export class VirtualClock implements Clock {
  #now = 0;
  readonly #sleepers = new Set<Sleeper>();

  now(): number {
    return this.#now;
  }

  until(time: number, signal: AbortSignal = new AbortController().signal): Promise<void> {
    if (time <= this.#now || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#sleepers.delete(sleeper);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const sleeper: Sleeper = { at: time, wake };
      this.#sleepers.add(sleeper);
      signal.addEventListener('abort', wake);
    });
  }

  /** Lets time pass until the work is done. Throws when it waits for nothing that could come. */
  async run<T>(work: Promise<T>): Promise<T> {
    const ended = { yes: false };
    const end = (): void => {
      ended.yes = true;
    };
    void work.then(end, end);
    for (;;) {
      await turn();
      if (ended.yes) return work;
      const next = Math.min(...[...this.#sleepers].map(({ at }) => at));
      if (!Number.isFinite(next)) throw new Error(`nothing is left to wait for at ${this.#now} ms`);
      this.#now = next;
      for (const { at, wake } of this.#sleepers) if (at <= next) wake();
    }
  }
}
