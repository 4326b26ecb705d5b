/**
 * Owns the way back: it sends replies and errors to where their messages came from, in the order of their turns within a
 * session, with retries. It decides when a delivery is answered or undeliverable.
 */
import type { Logger } from 'pino';
import { type Backoff, backoffDelayMs } from '../../lib/backoff.ts';
import { ERRORS, type OutboundError, type Reply, codeOf, messageOf } from '../../protocol/index.ts';
import type { Delivery } from './delivery.ts';

export interface OutboxOptions {
  /** Sends of one reply before it is undeliverable. */
  readonly maxSends: number;
  readonly backoff: Backoff;
  readonly random: () => number;
  readonly log: Logger;
  readonly answered: (delivery: Delivery) => void;
  readonly undeliverable: (delivery: Delivery, error: unknown) => void;
  /** Hears that a session has nothing more to send. */
  readonly idle: (delivery: Delivery) => void;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #waits = new Set<() => void>();
  #closed = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Sends a committed reply. An origin inside the process answers at once, without a promise on the way. */
  reply(delivery: Delivery, reply: Reply): void {
    const { origin, target, mailbox, id, agent } = delivery;
    const out = { target, reply: { ...reply, id, agent, namespace: target.namespace } };
    this.#send(
      delivery,
      () => origin.reply(out, id),
      () => this.#options.answered(delivery),
      (error) => this.#options.undeliverable(delivery, error),
    );
    if (!mailbox.sending) this.#options.idle(delivery);
  }

  /** Tells the sender that its message failed, then calls `done`; also when that fails: the dead letter has it all. */
  error(delivery: Delivery, error: OutboundError['error'], done: () => void): void {
    const { origin, target, id, agent } = delivery;
    const failed = (cause: unknown): void => {
      this.#options.log.warn({ delivery: id, err: cause }, 'the sender could not be told of the error');
      done();
    };
    // Not within the call that brought the bad news: its channel must have heard of the acceptance first.
    const soon = new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    this.#send(delivery, () => origin.error({ target, delivery: id, agent, error }, id), done, failed, soon);
  }

  /** Gives up all waits between retries; what they held becomes undeliverable. */
  close(): void {
    this.#closed = true;
    for (const wake of this.#waits) wake();
  }

  #send(
    delivery: Delivery,
    send: () => void | Promise<void>,
    sent: () => void,
    failed: (e: unknown) => void,
    notBefore?: Promise<void>,
  ): void {
    const { mailbox } = delivery;
    const before = mailbox.sending;
    let first: Promise<void>;
    if (before || notBefore) {
      first = Promise.all([before, notBefore]).then(send);
    } else {
      try {
        const sending = send();
        if (!sending) return sent();
        first = sending;
      } catch (error) {
        first = Promise.reject(error);
      }
    }
    const sending: Promise<void> = this.#retried(first, send)
      .then(sent, failed)
      .then(() => {
        if (mailbox.sending !== sending) return;
        mailbox.sending = undefined;
        this.#options.idle(delivery);
      });
    mailbox.sending = sending;
  }

  async #retried(first: Promise<void>, send: () => void | Promise<void>): Promise<void> {
    const { maxSends, backoff, random } = this.#options;
    let attempt = first;
    for (let sends = 1; ; sends++) {
      try {
        return await attempt;
      } catch (error) {
        const code = codeOf(error);
        // An error without a code is the network's own, and may pass.
        if (sends >= maxSends || this.#closed || (code !== undefined && !ERRORS[code].retryable)) throw error;
        this.#options.log.debug({ err: messageOf(error), sends }, 'a send failed and is tried again');
        await this.#wait(retryAfterOf(error) ?? backoffDelayMs(sends, backoff, random()));
        attempt = Promise.resolve().then(send);
      }
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waits.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#waits.add(wake);
    });
  }
}

function retryAfterOf(error: unknown): number | undefined {
  const ms = typeof error === 'object' && error !== null && 'retryAfterMs' in error ? error.retryAfterMs : undefined;
  return typeof ms === 'number' ? ms : undefined;
}
