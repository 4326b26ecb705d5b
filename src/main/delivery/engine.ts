/**
 * Owns accepted deliveries from the mailbox to their end: dispatch, outcome, retry, death. One turn of a session at a time;
 * nothing waits here for anything but its own session, its agent and its slot.
 *
 *   accepted -> mailbox (FIFO per session) -> runtime lane (bounded turns) -> slot lane (batches) -> outcome
 *     reply            -> committed -> outbox -> answered
 *     error, retryable -> retrying (holds its session) -> runtime lane again
 *     error            -> dead, and the sender is told
 */
import type { Logger } from 'pino';
import { type Backoff, backoffDelayMs } from '../../lib/backoff.ts';
import { KeyTable } from '../../lib/key-table.ts';
import {
  type Accepted,
  type CancelCause,
  type DeadReason,
  type DeliveryId,
  type DeliveryListener,
  ERRORS,
  type InboundMessage,
  OrreryError,
  type Reply,
  type RuntimeId,
  type TurnKey,
  type TurnOutcome,
  type WireError,
  isErrorCode,
  toWire,
} from '../../protocol/index.ts';
import type { Account } from './account.ts';
import type { DeadLetters } from './dead-letters.ts';
import { Delivery, abortError, deadReason, withDetails } from './delivery.ts';
import type { Journal } from './journal.ts';
import { type RuntimeLane, SlotLane, type TurnHost } from './lanes.ts';
import { type SlotLoss, TELLING_ENDS, isSuspect } from './loss.ts';
import { type Mailbox, Mailboxes, sessionKey } from './mailbox.ts';
import type { Origin } from './origin.ts';
import { Outbox } from './outbox.ts';
import { Roster } from './roster.ts';

export interface EngineOptions {
  readonly journal: Journal;
  readonly account: Account;
  readonly deadLetters: DeadLetters;
  readonly log: Logger;
  readonly maxAttempts: number;
  readonly turnTimeoutMs: number;
  readonly maxTurnsPerAgent: number;
  readonly retry: Backoff;
  /** Sends of one reply before it is undeliverable. */
  readonly maxSends: number;
  readonly pickReplica: (session: string, runtimes: readonly RuntimeId[]) => RuntimeId | undefined;
  readonly random: () => number;
}

export class DeliveryEngine {
  readonly #options: EngineOptions;
  readonly #mailboxes = new Mailboxes<Delivery>();
  readonly #deliveries = new KeyTable<Delivery>();
  readonly #slots = new Map<number, SlotLane>();
  readonly #outbox: Outbox;
  readonly roster: Roster;
  /** Deliveries taken over so far. */
  #taken = 0;
  #idle: (() => void)[] = [];

  constructor(options: EngineOptions) {
    this.#options = options;
    this.roster = new Roster({
      maxTurns: options.maxTurnsPerAgent,
      pickReplica: options.pickReplica,
      begin: (delivery, lane) => this.#begin(delivery, lane),
      refuse: (delivery, error) => this.#die(delivery, 'agent-stopped', error),
    });
    this.#outbox = new Outbox({
      maxSends: options.maxSends,
      backoff: options.retry,
      random: options.random,
      log: options.log,
      answered: (delivery) => this.#answered(delivery),
      undeliverable: (delivery, error) => this.#undeliverable(delivery, error),
      idle: (delivery) => this.#mailboxes.release(delivery.mailbox),
    });
  }

  /** Unfinished deliveries. */
  get pending(): number {
    return this.#deliveries.size;
  }

  /** Sessions that have something under way. */
  get sessions(): number {
    return this.#mailboxes.size;
  }

  /** The mailbox of a session, so that intake can keep a place in it. */
  mailbox(agent: string, namespace: string): Mailbox<Delivery> {
    return this.#mailboxes.open(sessionKey(agent, namespace));
  }

  /** Gives up a place that was kept for a message which was not accepted. */
  release(mailbox: Mailbox<Delivery>): void {
    this.#mailboxes.release(mailbox);
  }

  /** Takes an accepted message over. */
  enqueue(
    accepted: Accepted,
    inbound: InboundMessage,
    mailbox: Mailbox<Delivery>,
    origin: Origin,
    listener?: DeliveryListener,
  ): void {
    this.#taken += 1;
    const delivery = new Delivery(accepted.id, this.#taken, inbound, accepted.agent, origin, mailbox, listener);
    delivery.key = this.#deliveries.add(delivery);
    this.#options.account.pending += 1;
    origin.book.pending += 1;
    mailbox.push(delivery);
    if (!mailbox.active) this.#next(mailbox);
  }

  /** Aborts a delivery wherever it is; false when it is not under way. */
  cancel(id: DeliveryId, cause: CancelCause = 'cancelled'): boolean {
    for (const delivery of this.#deliveries.values()) if (delivery.id === id) return this.#cancel(delivery, cause);
    return false;
  }

  #cancel(delivery: Delivery, cause: CancelCause): boolean {
    if (delivery.state.status === 'committed' || delivery.state.status === 'dead') return false;
    const lane = this.#laneOf(delivery);
    if (lane && !lane.unqueue(delivery)) {
      // Its outcome decides: a turn that committed before the abort reached it is answered.
      delivery.aborted = cause;
      lane.host.cancel([delivery.turn], cause).catch(() => undefined);
      return true;
    }
    if (lane) this.roster.finished(delivery);
    this.roster.withdraw(delivery);
    this.#abort(delivery, cause);
    return true;
  }

  /** Aborts every delivery that came from an origin, or all of them. */
  abort(cause: CancelCause, origin?: Origin): void {
    for (const delivery of this.#inOrder()) {
      if (!origin || delivery.origin === origin) this.#cancel(delivery, cause);
    }
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

  // What the slots tell

  slotUp(host: TurnHost): SlotLane {
    const lane =
      this.#slots.get(host.number) ??
      new SlotLane(host, this.#options.turnTimeoutMs, {
        outcomes: (_, outcomes) => this.outcomes(outcomes, lane),
        refused: (delivery, error) => this.#refused(delivery, error),
      });
    this.#slots.set(host.number, lane);
    return lane;
  }

  /** Gives back what was with a slot that ended; returns the runtimes of the turns that may have ended it. */
  slotDown(slot: number, loss: SlotLoss): ReadonlySet<RuntimeId | undefined> {
    const lane = this.#slots.get(slot);
    if (!lane) return new Set();
    const left = lane.reset();
    const suspects = left.filter((d) => !loss.intended && d.sequence <= loss.begun && isSuspect(d, loss));
    for (const delivery of left) this.roster.finished(delivery);
    for (const delivery of left) {
      if (suspects.includes(delivery)) this.#crashed(delivery, loss.error, suspects.length === 1);
      else this.#again(delivery);
    }
    return new Set(suspects.map((delivery) => delivery.runtime));
  }

  outcomes(outcomes: readonly TurnOutcome[], lane: SlotLane): void {
    for (const outcome of outcomes) {
      const delivery = lane.get(outcome.turn);
      if (!delivery) continue;
      lane.delete(delivery);
      this.#quiet(delivery);
      this.roster.finished(delivery);
      if ('reply' in outcome) this.#committed(delivery, outcome.reply);
      else this.#failed(delivery, outcome.error);
    }
  }

  /** Outcomes that came by the slot's own call, not with a dispatch. */
  outcomesOf(slot: number, outcomes: readonly TurnOutcome[]): void {
    const lane = this.#slots.get(slot);
    if (lane) this.outcomes(outcomes, lane);
  }

  /** Gives up whatever is unfinished: the threads are gone, and the in-memory journal ends with the process. */
  abandon(error: OrreryError): void {
    for (const delivery of this.#inOrder()) {
      if (delivery.state.status !== 'committed') this.#die(delivery, 'shutdown', toWire(error));
    }
  }

  delta(slot: number, turn: TurnKey, text: string): void {
    const delivery = this.#slots.get(slot)?.get(turn);
    if (delivery) this.#tell(delivery, text);
  }

  /** In order of acceptance: what a session's sender hears of them keeps the order of its messages. */
  #inOrder(): readonly Delivery[] {
    return [...this.#deliveries.values()].toSorted((a, b) => a.number - b.number);
  }

  // One delivery

  #next(mailbox: Mailbox<Delivery>): void {
    const delivery = mailbox.next();
    if (delivery) this.roster.place(delivery);
  }

  #begin(delivery: Delivery, runtime: RuntimeLane): void {
    const lane = runtime.slot;
    if (!lane) return;
    delivery.attempts += 1;
    delivery.sentChars = 0;
    const { number, generation } = lane.host;
    delivery.apply({ type: 'dispatch', slot: number, generation, attempt: delivery.attempts });
    this.#options.journal.mark(delivery.id, delivery.state, delivery.attempts);
    delivery.typing = delivery.origin.typing?.(delivery.target);
    lane.push(delivery);
  }

  #committed(delivery: Delivery, reply: Reply): void {
    if (!delivery.apply({ type: 'commit', reply })) return;
    const { content } = reply.message;
    // Deltas travel on a port of their own and may come after the reply: what is missing is in the reply itself.
    if (delivery.sentChars < content.length) this.#tell(delivery, content.slice(delivery.sentChars));
    this.#options.journal.mark(delivery.id, delivery.state, delivery.attempts);
    const { mailbox } = delivery;
    this.#outbox.reply(delivery, reply);
    this.#next(mailbox);
    this.#mailboxes.release(mailbox);
  }

  #failed(delivery: Delivery, error: WireError): void {
    const code = isErrorCode(error.code) ? error.code : 'ORRERY_AGENT_FAILED';
    if (code === 'ORRERY_SLOT_NOT_READY') return this.#later(delivery, error, false);
    if (!ERRORS[code].retryable || code === 'ORRERY_INTERRUPTED') {
      return this.#die(delivery, deadReason(code), error);
    }
    if (delivery.attempts >= this.#options.maxAttempts) return this.#exhausted(delivery, error, 'exhausted');
    this.#later(delivery, error, true);
  }

  #crashed(delivery: Delivery, error: OrreryError, alone: boolean): void {
    this.#quiet(delivery);
    const wire = alone ? withDetails(toWire(error), { agent: delivery.agent }) : toWire(error);
    if (alone && TELLING_ENDS.has(error.code)) return this.#exhausted(delivery, wire, 'poison');
    if (delivery.attempts >= this.#options.maxAttempts) {
      return this.#exhausted(delivery, wire, alone ? 'poison' : 'exhausted');
    }
    this.#later(delivery, wire, true);
  }

  #exhausted(delivery: Delivery, error: WireError, reason: DeadReason): void {
    this.#die(delivery, reason, withDetails(error, { attempts: delivery.attempts }));
  }

  #abort(delivery: Delivery, cause: CancelCause): void {
    const error = abortError(cause);
    this.#die(delivery, deadReason(error.code), toWire(error));
  }

  /** Runs a delivery again that did nothing wrong: at once, and without counting. */
  #again(delivery: Delivery): void {
    if (delivery.aborted) return this.#abort(delivery, delivery.aborted);
    this.#quiet(delivery);
    this.#forget(delivery);
    delivery.attempts -= 1;
    const cause: WireError = { name: 'OrreryError', message: 'Its slot ended', code: 'ORRERY_WORKER_EXITED' };
    if (!delivery.apply({ type: 'retry', at: Date.now(), attempt: delivery.attempts, cause })) return;
    this.roster.place(delivery);
  }

  #later(delivery: Delivery, error: WireError, counted: boolean): void {
    const { retry, random, journal, account } = this.#options;
    if (delivery.aborted) return this.#abort(delivery, delivery.aborted);
    this.#forget(delivery);
    if (!counted) delivery.attempts -= 1;
    const delayMs = error.retryAfterMs ?? backoffDelayMs(Math.max(1, delivery.attempts), retry, random());
    const at = Date.now() + delayMs;
    if (!delivery.apply({ type: 'retry', at, attempt: delivery.attempts, cause: error })) return;
    account.retries += 1;
    journal.mark(delivery.id, delivery.state, delivery.attempts);
    delivery.retryTimer = setTimeout(() => {
      delivery.retryTimer = undefined;
      if (delivery.state.status === 'retrying') this.roster.place(delivery);
    }, delayMs);
  }

  #refused(delivery: Delivery, error: unknown): void {
    this.#quiet(delivery);
    this.#laneOf(delivery)?.delete(delivery);
    this.roster.finished(delivery);
    this.#die(delivery, 'agent-error', toWire(error));
  }

  #die(delivery: Delivery, reason: DeadReason, error: WireError): void {
    if (!delivery.apply({ type: 'die', reason, error })) return;
    const { id, agent, inbound, attempts, mailbox } = delivery;
    clearTimeout(delivery.retryTimer);
    this.#quiet(delivery);
    this.#options.journal.mark(id, delivery.state, attempts);
    this.#options.deadLetters.add({ id, agent, reason, attempts, diedAt: Date.now(), inbound, error });
    this.#options.log.warn(
      { delivery: id, agent, session: inbound.namespace, reason, code: error.code },
      error.message,
    );
    // First its error takes its place in the outbox: the next turn may end at once.
    if (reason === 'undeliverable') this.#buried(delivery, reason);
    else this.#outbox.error(delivery, error, () => this.#buried(delivery, reason));
    if (!mailbox.remove(delivery) && mailbox.active === delivery) this.#next(mailbox);
  }

  /** The sender was told, or cannot be: only now is the delivery over, so that a drain waits for it. */
  #buried(delivery: Delivery, reason: DeadReason): void {
    this.#options.account.die(reason);
    this.#finished(delivery);
  }

  #answered(delivery: Delivery): void {
    if (!delivery.apply({ type: 'answer' })) return;
    this.#options.account.answered += 1;
    this.#options.journal.mark(delivery.id, delivery.state, delivery.attempts);
    this.#finished(delivery);
  }

  #undeliverable(delivery: Delivery, cause: unknown): void {
    const error = new OrreryError('ORRERY_UNDELIVERABLE', `The reply to ${delivery.id} could not be sent`, { cause });
    this.#die(delivery, 'undeliverable', toWire(error));
  }

  #finished(delivery: Delivery): void {
    this.#deliveries.delete(delivery.key);
    this.#options.account.pending -= 1;
    delivery.origin.book.settle();
    if (this.#deliveries.size > 0) return;
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }

  #laneOf(delivery: Delivery): SlotLane | undefined {
    if (delivery.state.status !== 'dispatched') return undefined;
    const lane = this.#slots.get(delivery.state.slot);
    return lane?.has(delivery) ? lane : undefined;
  }

  /** Text of a failed attempt was provisional: the listener forgets it. */
  #forget(delivery: Delivery): void {
    if (delivery.sentChars === 0) return;
    delivery.sentChars = 0;
    this.#guard(delivery, () => delivery.listener?.reset?.());
  }

  #tell(delivery: Delivery, text: string): void {
    if (!delivery.listener?.delta || text === '') return;
    delivery.sentChars += text.length;
    this.#guard(delivery, () => delivery.listener?.delta?.(text));
  }

  /** A channel's fault must not stop the outcomes behind it. */
  #guard(delivery: Delivery, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.log.error({ delivery: delivery.id, err: error }, 'a listener of a channel threw');
    }
  }

  #quiet(delivery: Delivery): void {
    delivery.typing?.[Symbol.dispose]();
    delivery.typing = undefined;
  }
}
