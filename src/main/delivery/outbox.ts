/**
 * Owns the way back: it sends replies and errors to where their messages came from, in the order of their turns within a
 * session, with retries. It decides when a delivery is answered or undeliverable.
 *
 *   sent               -> answered
 *   network refuses    -> again with backoff, `maxSends` times       -> undeliverable
 *   channel is closed  -> held until it is open again, however often -> sent, or undeliverable past `maxHeld` and `maxHeldMs`
 *   it says it is open -> held too, and tried with backoff
 *   outbox is closed   -> left: what a durable journal has, the next process sends
 */
import type { Logger } from 'pino';
import { type Backoff, backoffDelayMs } from '../../lib/backoff.ts';
import { ERRORS, type OutboundError, OrreryError, type Reply, codeOf, messageOf } from '../../protocol/index.ts';
import type { Delivery } from './delivery.ts';
import { heldMs, isTooLongToHold } from './holding.ts';

export interface OutboxOptions {
  /** Sends of one reply before it is undeliverable. */
  readonly maxSends: number;
  /** Replies and errors of one channel that wait for it to be open again. */
  readonly maxHeld: number;
  /** How long one of them waits, in milliseconds. */
  readonly maxHeldMs: number;
  readonly backoff: Backoff;
  readonly random: () => number;
  readonly log: Logger;
  readonly answered: (delivery: Delivery) => void;
  readonly undeliverable: (delivery: Delivery, error: unknown) => void;
  /** Hears of a reply that was still to be sent when the outbox closed. */
  readonly left: (delivery: Delivery, error: unknown) => void;
  /** Hears that a session has nothing more to send. */
  readonly idle: (delivery: Delivery) => void;
}

/** A reply that waits for its network. */
interface Hold {
  /** When it is given up, in milliseconds of `performance.now()`. */
  readonly until: number;
  /** Sends that did not reach the network. */
  tries: number;
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
    if (delivery.beforeAck) return delivery.beforeAck.later(() => this.reply(delivery, reply));
    const { origin, target, mailbox, id, agent, by } = delivery;
    const { message, usage, steps } = reply;
    const delivered = { message, usage, steps, id, agent, namespace: target.namespace };
    const out = { target, reply: by === undefined ? delivered : { ...delivered, by } };
    const send = (): void | Promise<void> => origin.reply(out, id);
    const first = mailbox.sending ? mailbox.sending.then(send) : begun(send);
    if (first) {
      const { answered, undeliverable, left } = this.#options;
      this.#settle(
        delivery,
        this.#retried(delivery, first, send).then(
          () => answered(delivery),
          (error: unknown) => (this.#closed ? left : undeliverable)(delivery, error),
        ),
      );
    } else {
      this.#options.answered(delivery);
      this.#options.idle(delivery);
    }
  }

  /** Tells the sender that its message failed, then calls `told`; also when that fails: the dead letter has it all. */
  error(delivery: Delivery, error: OutboundError['error'], told: () => void): void {
    if (delivery.beforeAck) return delivery.beforeAck.later(() => this.error(delivery, error, told));
    const { origin, target, mailbox, id, agent } = delivery;
    const send = (): void | Promise<void> => origin.error({ target, delivery: id, agent, error }, id);
    // Not within the call that brought the bad news: its channel must have heard of the acceptance first.
    const soon = new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    const sent = Promise.all([mailbox.sending, soon]).then(async () => {
      const first = begun(send);
      if (first) {
        await this.#retried(delivery, first, send).catch((cause: unknown) => {
          this.#options.log.warn({ delivery: id, err: cause }, 'the sender could not be told of the error');
        });
      }
      told();
    });
    this.#settle(delivery, sent);
  }

  /** Gives up all waits: what they held is left, or undeliverable. */
  close(): void {
    this.#closed = true;
    for (const wake of this.#waits) wake();
  }

  /** What the session sends next waits for `sent`, which does not reject. */
  #settle(delivery: Delivery, sent: Promise<void>): void {
    const { mailbox } = delivery;
    const sending: Promise<void> = sent.then(() => {
      if (mailbox.sending !== sending) return;
      mailbox.sending = undefined;
      this.#options.idle(delivery);
    });
    mailbox.sending = sending;
  }

  async #retried(delivery: Delivery, first: Promise<void>, send: () => void | Promise<void>): Promise<void> {
    const { origin } = delivery;
    let attempt = first;
    let hold: Hold | undefined;
    try {
      for (let sends = 1; ;) {
        try {
          return await attempt;
        } catch (error) {
          if (this.#closed) throw error;
          if (origin.reachable && codeOf(error) === 'ORRERY_CHANNEL_CLOSED') {
            hold ??= this.#hold(delivery, error);
            await this.#reached(delivery, hold, error);
          } else {
            await this.#refused(sends, error);
            sends += 1;
          }
          if (this.#closed) throw error;
          attempt = Promise.resolve().then(send);
        }
      }
    } finally {
      if (hold) origin.book.held -= 1;
    }
  }

  /** Waits before the next send of what the network refused; rejects where there is none. */
  async #refused(sends: number, error: unknown): Promise<void> {
    const { maxSends, backoff, random, log } = this.#options;
    const code = codeOf(error);
    // An error without a code is the network's own, and may pass.
    if (sends >= maxSends || (code !== undefined && !ERRORS[code].retryable)) throw error;
    const retryAfterMs = retryAfterOf(error);
    // The session's later replies wait behind this one.
    if (isTooLongToHold(retryAfterMs, backoff)) throw error;
    log.debug({ err: messageOf(error), sends }, 'a send failed and is tried again');
    await this.#wait(heldMs(retryAfterMs ?? backoffDelayMs(sends, backoff, random()), backoff));
  }

  /** Begins to hold a reply whose channel is down; throws where too many are held already. */
  #hold({ origin, id, target, adopted }: Delivery, cause: unknown): Hold {
    const { maxHeld, maxHeldMs, log } = this.#options;
    const { book } = origin;
    const { channel } = target;
    // At a start all channels are down, and what an earlier process had is within its bounds.
    if (book.held >= maxHeld && !adopted) {
      throw unreached(`The channel ${channel} is down, and ${maxHeld} replies wait for it already`, cause);
    }
    if (book.held === 0) log.warn({ channel, delivery: id }, 'the channel is down: its replies are held');
    book.held += 1;
    return { until: performance.now() + maxHeldMs, tries: 0 };
  }

  /** Waits until the channel is open again; rejects when it takes too long. */
  async #reached({ origin, target }: Delivery, hold: Hold, cause: unknown): Promise<void> {
    const { maxHeldMs, backoff, random } = this.#options;
    const leftMs = Math.max(0, hold.until - performance.now());
    const reachable = origin.reachable?.();
    hold.tries += 1;
    // Race: a network that went away counts as connected until its driver has noticed, or for as long as its library is busy resuming. Those
    // sends are no refusals, however many of them there are.
    const againMs = reachable ? leftMs : Math.min(leftMs, backoffDelayMs(hold.tries, backoff, random()));
    const isOpen = await this.#wait(againMs, reachable);
    if (isOpen || this.#closed || performance.now() < hold.until) return;
    throw unreached(`The channel ${target.channel} was down for ${maxHeldMs} ms`, cause);
  }

  /** Resolves after a time, or before that to true with `early`; at once when the outbox closes. */
  #wait(ms: number, early?: Promise<void>): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (isEarly: boolean): void => {
        clearTimeout(timer);
        this.#waits.delete(wake);
        resolve(isEarly);
      };
      const wake = (): void => end(false);
      const timer = setTimeout(wake, ms);
      this.#waits.add(wake);
      void early?.then(() => end(true));
    });
  }
}

/** Sends once; undefined when that is all, a promise when it takes a network or failed. */
function begun(send: () => void | Promise<void>): Promise<void> | undefined {
  try {
    return send() ?? undefined;
  } catch (error) {
    return Promise.reject(error);
  }
}

function retryAfterOf(error: unknown): number | undefined {
  const ms = typeof error === 'object' && error !== null && 'retryAfterMs' in error ? error.retryAfterMs : undefined;
  return typeof ms === 'number' && !Number.isNaN(ms) ? ms : undefined;
}

function unreached(message: string, cause: unknown): OrreryError {
  return new OrreryError('ORRERY_CHANNEL_CLOSED', message, { cause });
}
