/** Owns what delivery needs of the place a message came from: a way to answer, and to say that it is working on it. */
import type { OutboundError, OutboundMessage, OutboundTarget, QueueMode } from '../../protocol/index.ts';

/** Counts the unfinished deliveries of one origin. */
export class OriginBook {
  pending = 0;
  /** Replies and errors that wait for the origin to be reached again. */
  held = 0;
  #waiting: (() => void)[] = [];

  settle(): void {
    this.pending -= 1;
    if (this.pending > 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Resolves when nothing of the origin is unfinished. */
  settled(): Promise<void> {
    if (this.pending === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}

export interface Origin {
  readonly book: OriginBook;
  /** Sends a reply; a promise when it takes a network. A rejection is retried, then the delivery is `undeliverable`. */
  reply(out: OutboundMessage, key: string): void | Promise<void>;
  error(out: OutboundError, key: string): void | Promise<void>;
  /** The queue mode of messages of a session that ask for none. Default: `followup`. */
  queue?(namespace: string): QueueMode;
  /** Shows that a turn runs; what it returns is disposed when the turn ends. */
  typing?(target: OutboundTarget): Disposable | undefined;
  /**
   * Undefined while it can be reached, else a promise that resolves when it can be again: a send that was rejected with
   * `ORRERY_CHANNEL_CLOSED` waits for that, and is tried again with backoff while there is nothing to wait for: it counts as no refusal. Absent:
   * such a send is tried again with backoff, as any other.
   */
  reachable?(): Promise<void> | undefined;
  /** Hears of a message that is accepted and is not answered by this process: the next one does it. */
  left?(out: OutboundError): void;
}

/** Answers nobody: the sender is gone, and what it asked for is kept under its id. */
export function nobody(): Origin {
  return { book: new OriginBook(), reply: () => undefined, error: () => undefined };
}
