/**
 * Owns the deliveries that are unfinished and each step of their way: the state, the journal, the account, the dead letters and what the
 * sender hears of it. Which step comes next is the engine's.
 */
import type { Logger } from 'pino';
import type { Backoff } from '../../lib/backoff.ts';
import { KeyTable } from '../../lib/key-table.ts';
import {
  type DeadReason,
  type DeliveryId,
  OrreryError,
  type Reply,
  type WireError,
  toWire,
} from '../../protocol/index.ts';
import type { Account } from './account.ts';
import type { Delivery } from './delivery.ts';
import type { Journal } from './journal.ts';
import { forget, quiet, tell } from './listening.ts';
import type { Origin } from './origin.ts';
import { Outbox } from './outbox.ts';

export interface LedgerOptions {
  readonly journal: Journal;
  readonly account: Account;
  readonly log: Logger;
  /** Sends of one reply before it is undeliverable. */
  readonly maxSends: number;
  /** Replies of one channel that wait for it to be open again, and for how long, in milliseconds. */
  readonly maxHeld: number;
  readonly maxHeldMs: number;
  readonly retry: Backoff;
  readonly random: () => number;
}

export class Ledger {
  readonly #options: LedgerOptions;
  readonly #deliveries = new KeyTable<Delivery>();
  readonly #outbox: Outbox;
  #idle: (() => void)[] = [];

  /** `idle` hears of a delivery whose session has nothing more to send. */
  constructor(options: LedgerOptions, idle: (delivery: Delivery) => void) {
    this.#options = options;
    this.#outbox = new Outbox({
      maxSends: options.maxSends,
      maxHeld: options.maxHeld,
      maxHeldMs: options.maxHeldMs,
      backoff: options.retry,
      random: options.random,
      log: options.log,
      answered: (delivery) => this.#answered(delivery),
      undeliverable: (delivery, error) => this.#undeliverable(delivery, error),
      left: (delivery, error) => {
        if (options.journal.durable) this.#leave(delivery);
        else this.#undeliverable(delivery, error);
      },
      idle,
    });
  }

  /** Unfinished deliveries. */
  get pending(): number {
    return this.#deliveries.size;
  }

  add(delivery: Delivery): void {
    delivery.key = this.#deliveries.add(delivery);
    this.#options.account.pending += 1;
    delivery.origin.book.pending += 1;
  }

  find(id: DeliveryId): Delivery | undefined {
    for (const delivery of this.#deliveries.values()) if (delivery.id === id) return delivery;
    return undefined;
  }

  /** Those of an origin, or all, in order of acceptance: what a session's sender hears of them keeps the order of its messages. */
  inOrder(origin?: Origin): readonly Delivery[] {
    const deliveries = [...this.#deliveries.values()].filter((one) => !origin || one.origin.book === origin.book);
    return deliveries.toSorted((a, b) => a.number - b.number);
  }

  /** Resolves when nothing is unfinished. */
  idle(): Promise<void> {
    if (this.#deliveries.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle.push(resolve);
    });
  }

  close(): void {
    this.#outbox.close();
    for (const delivery of this.#deliveries.values()) clearTimeout(delivery.retryTimer);
  }

  /** Begins an attempt. */
  dispatched(delivery: Delivery, slot: number, generation: number): void {
    delivery.attempts += 1;
    delivery.sentChars = 0;
    delivery.apply({ type: 'dispatch', slot, generation, attempt: delivery.attempts });
    this.#options.journal.mark(delivery.id, delivery.state, delivery.attempts);
  }

  /** Ends an attempt that answered nobody, until another one `at` a time; the text that was heard of it was provisional. */
  retrying(delivery: Delivery, cause: WireError, o: { readonly at: number; readonly counted: boolean }): void {
    quiet(delivery);
    forget(delivery, this.#options.log);
    if (!o.counted) delivery.attempts -= 1;
    if (!delivery.apply({ type: 'retry', at: o.at, attempt: delivery.attempts, cause })) return;
    this.#options.journal.mark(delivery.id, delivery.state, delivery.attempts);
  }

  /** Sends a reply that was committed; false when the delivery is over already. `find`: by an attempt that is long over. */
  committed(delivery: Delivery, reply: Reply, type: 'commit' | 'find' = 'commit'): boolean {
    if (!delivery.apply({ type, reply })) return false;
    const { content } = reply.message;
    const { journal, log } = this.#options;
    // Deltas travel on a port of their own and may come after the reply: what is missing is in the reply itself.
    if (delivery.sentChars < content.length) tell(delivery, content.slice(delivery.sentChars), log);
    journal.mark(delivery.id, delivery.state, delivery.attempts);
    this.#outbox.reply(delivery, reply);
    return true;
  }

  /** Sends a reply that an earlier process committed and did not send, or may not have sent. */
  resend(delivery: Delivery, reply: Reply): void {
    delivery.state = { status: 'committed', reply };
    this.#outbox.reply(delivery, reply);
  }

  /**
   * Gives a delivery up and tells its sender; false when it is over already. One that only this process gives up stays in a durable
   * journal as it is, for the next one.
   */
  die(delivery: Delivery, reason: DeadReason, error: WireError): boolean {
    if (reason === 'shutdown' && this.#options.journal.durable) return this.#leave(delivery);
    if (!delivery.apply({ type: 'die', reason, error })) return false;
    const { id, agent, inbound, attempts } = delivery;
    const { journal, log } = this.#options;
    clearTimeout(delivery.retryTimer);
    quiet(delivery);
    journal.mark(id, delivery.state, attempts);
    log.warn({ delivery: id, agent, session: inbound.namespace, reason, code: error.code }, error.message);
    if (reason === 'undeliverable') this.#buried(delivery, reason);
    else this.#outbox.error(delivery, error, () => this.#buried(delivery, reason));
    return true;
  }

  /** Still pending in the account, as it is in the journal. */
  #leave(delivery: Delivery): boolean {
    if (this.#deliveries.get(delivery.key) !== delivery) return false;
    const { id, agent, target } = delivery;
    clearTimeout(delivery.retryTimer);
    quiet(delivery);
    this.#removed(delivery);
    // By then it may be nobody's.
    const tellLeft = (): void => delivery.origin.left?.({ target, delivery: id, agent, error: LEFT });
    if (delivery.beforeAck) delivery.beforeAck.later(tellLeft);
    else tellLeft();
    return true;
  }

  /** The sender was told, or cannot be: only now is the delivery over, so that a drain waits for it. */
  #buried(delivery: Delivery, reason: DeadReason): void {
    this.#options.account.die(reason);
    this.#finished(delivery);
  }

  #answered(delivery: Delivery): void {
    const { by } = delivery;
    if (!delivery.apply(by === undefined ? ANSWER : { type: 'answer', by })) return;
    this.#options.account.answered += 1;
    this.#options.journal.mark(delivery.id, delivery.state, delivery.attempts);
    this.#finished(delivery);
  }

  #undeliverable(delivery: Delivery, cause: unknown): void {
    const error = new OrreryError('ORRERY_UNDELIVERABLE', `The reply to ${delivery.id} could not be sent`, { cause });
    this.die(delivery, 'undeliverable', toWire(error));
  }

  #finished(delivery: Delivery): void {
    this.#options.account.pending -= 1;
    this.#removed(delivery);
  }

  #removed(delivery: Delivery): void {
    this.#deliveries.delete(delivery.key);
    delivery.origin.book.settle();
    if (this.#deliveries.size > 0) return;
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }
}

const LEFT: WireError = toWire(
  new OrreryError('ORRERY_INTERRUPTED', 'The host stopped before the message was answered', {
    hint: 'It is in the journal, and is answered after the next start: ask again with the same id.',
  }),
);
const ANSWER = { type: 'answer' } as const;
