/**
 * Owns the way of text deltas to main: joined per delivery while no credit is there, one message a tick while there is.
 * The port is raw because a comlink callback costs a channel per call. Nothing here waits: a turn never blocks on a slow
 * listener, since what waits is at most its own reply's text.
 */
import type { MessagePort } from 'node:worker_threads';
import { DELTA_CREDITS, type DeliveryId } from '../protocol/index.ts';

export class DeltaSender {
  readonly #port: MessagePort;
  readonly #waiting = new Map<DeliveryId, string>();
  #credits = DELTA_CREDITS;
  #scheduled = false;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (credit: number) => {
      this.#credits += credit;
      this.#schedule();
    });
    // The port alone must not keep a thread alive that has nothing else to do.
    port.unref();
  }

  push(delivery: DeliveryId, text: string): void {
    const before = this.#waiting.get(delivery);
    this.#waiting.set(delivery, before === undefined ? text : before + text);
    this.#schedule();
  }

  /** Forgets what waits of a delivery: its outcome says it all. */
  drop(delivery: DeliveryId): void {
    this.#waiting.delete(delivery);
  }

  #schedule(): void {
    if (this.#scheduled || this.#credits <= 0 || this.#waiting.size === 0) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    if (this.#waiting.size === 0 || this.#credits <= 0) return;
    const message: string[] = [];
    for (const [delivery, text] of this.#waiting) message.push(delivery, text);
    this.#waiting.clear();
    this.#credits -= 1;
    this.#port.postMessage(message);
  }
}
