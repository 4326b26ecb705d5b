/** Owns the indicators of typing of one connection: shown again before the network forgets them, once for a room however many answers are written. */

interface Shown {
  holders: number;
  readonly timer: NodeJS.Timeout;
}

export class Typing {
  readonly #everyMs: number;
  readonly #show: (target: string) => Promise<void>;
  readonly #rooms = new Map<string, Shown>();

  /** `forgottenMs`: after so many milliseconds the network forgets an indicator. A `show` that fails is not repeated out of turn. */
  constructor(forgottenMs: number, show: (target: string) => Promise<void>) {
    this.#everyMs = Math.round(forgottenMs * 0.8);
    this.#show = show;
  }

  /** Shows it until disposed; disposing twice is the same as once. */
  start(target: string): Disposable {
    const shown = this.#rooms.get(target) ?? this.#begin(target);
    shown.holders += 1;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#release(target, shown);
      },
    };
  }

  /** Ends all of them. */
  stop(): void {
    for (const { timer } of this.#rooms.values()) clearInterval(timer);
    this.#rooms.clear();
  }

  #begin(target: string): Shown {
    const show = (): void => void this.#show(target).catch(() => undefined);
    const shown: Shown = { holders: 0, timer: setInterval(show, this.#everyMs) };
    shown.timer.unref();
    this.#rooms.set(target, shown);
    show();
    return shown;
  }

  #release(target: string, shown: Shown): void {
    shown.holders -= 1;
    if (shown.holders > 0) return;
    clearInterval(shown.timer);
    // After a stop() the room may have an indicator of a later answer.
    if (this.#rooms.get(target) === shown) this.#rooms.delete(target);
  }
}
