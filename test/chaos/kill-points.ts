/** Owns the points of the host's main thread at which it may be told to kill its own process: around the journal's methods. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { MemoryJournal } from '../../src/main/delivery/memory-journal.ts';
import { SqliteJournal } from '../../src/main/delivery/sqlite-journal/sqlite-journal.ts';
import type { WrittenListener } from '../../src/main/delivery/journal.ts';
import type { Accepted, DeliveryState } from '../../src/protocol/index.ts';
import { around } from './around.ts';
import { type MainPoint, THREAD_POINTS } from './plan.ts';
import { type Arming, KILLS_FILE, type ToThreads } from './protocol.ts';

export interface KillPointsOptions {
  readonly directory: string;
  /** Deliveries under way. */
  readonly pending: () => number;
  readonly arms: (message: ToThreads) => void;
}

export class KillPoints {
  readonly #options: KillPointsOptions;
  #armed: { readonly arming: Arming; left: number } | undefined;

  constructor(options: KillPointsOptions) {
    this.#options = options;
  }

  /** Puts the points in. `recovery`: the delivery taken over at which the process ends; 0 for none. */
  install(recovery: number): void {
    let recovered = 0;
    for (const { prototype } of [MemoryJournal, SqliteJournal]) {
      for (const append of ['append', 'appendNow']) {
        if (append in prototype) around(prototype, append, (call, args) => this.#append(call, args));
      }
      around(prototype, 'mark', (call, [, state]) => {
        call();
        this.#pass((state as DeliveryState).status);
      });
      around(prototype, 'recover', (call) =>
        each(call() as AsyncIterable<unknown>, () => {
          recovered += 1;
          if (recovered === recovery) this.#die('recovery');
        }),
      );
    }
  }

  arm(arming: Arming): void {
    this.#armed = undefined;
    if (THREAD_POINTS.some((point) => point === arming.point)) this.#options.arms({ type: 'arm', ...arming });
    else this.#armed = { arming, left: arming.nth };
  }

  disarm(): void {
    this.#armed = undefined;
    this.#options.arms({ type: 'disarm' });
  }

  #append(call: (other?: readonly unknown[]) => unknown, [batch, written]: readonly unknown[]): unknown {
    this.#pass('before-append');
    const appended = call([
      batch,
      (accepted: readonly Accepted[]) => {
        (written as WrittenListener | undefined)?.(accepted);
        this.#pass('written');
      },
    ]);
    if (!(appended instanceof Promise)) {
      this.#pass('after-append');
      return appended;
    }
    return appended.then((answers: unknown) => {
      this.#pass('after-append');
      return answers;
    });
  }

  #pass(point: MainPoint | 'accepted'): void {
    const armed = this.#armed;
    if (armed?.arming.point !== point) return;
    armed.left -= 1;
    if (armed.left > 0) return;
    this.#armed = undefined;
    const { delayMs } = armed.arming;
    if (delayMs === 0) this.#die(point);
    else setTimeout(() => this.#die(point), delayMs);
  }

  #die(point: string): void {
    appendFileSync(join(this.#options.directory, KILLS_FILE), `${point} ${this.#options.pending()}\n`);
    process.kill(process.pid, 'SIGKILL');
  }
}

async function* each<T>(values: AsyncIterable<T>, look: () => void): AsyncIterable<T> {
  for await (const value of values) {
    look();
    yield value;
  }
}
