/**
 * Owns accepted deliveries from the mailbox to their outcome: dispatch, retry, abort. One turn of a session at a time; nothing
 * waits here for anything but its own session, its agent and its slot.
 *
 *   accepted -> mailbox (FIFO per session) -> runtime lane (bounded turns) -> slot lane (batches) -> outcome
 *     reply            -> committed -> outbox -> answered, with all whom the outcome names
 *     error, retryable -> retrying (holds its session) -> runtime lane again
 *     error            -> dead, and the sender is told
 *
 * A turn is known by its lead, the mailbox's active delivery. Others are joined to it when its request is made, and stand in the
 * mailbox again when it ends without an answer for them (docs/decisions/0006-queue-modes.md).
 */
import { backoffDelayMs } from '../../lib/backoff.ts';
import {
  type Accepted,
  type DeadReason,
  type DeliveryId,
  type DeliveryListener,
  ERRORS,
  type InboundMessage,
  type OrreryError,
  type Reply,
  type RuntimeId,
  type TurnKey,
  type TurnOutcome,
  type WireError,
  isErrorCode,
  toWire,
} from '../../protocol/index.ts';
import { type AbortCause, type Death, Delivery, abortion, deadReason, exhaustion, withDetails } from './delivery.ts';
import { heldMs, isTooLongToHold } from './holding.ts';
import type { PendingDelivery } from './journal.ts';
import { type RuntimeLane, SlotLane, type TurnHost } from './lanes.ts';
import { Ledger, type LedgerOptions } from './ledger.ts';
import { quiet, tell } from './listening.ts';
import { type SlotLoss, TELLING_ENDS, isSuspect } from './loss.ts';
import { type Mailbox, Mailboxes } from './mailbox.ts';
import type { Origin } from './origin.ts';
import { Roster } from './roster.ts';
import { Turns } from './turns.ts';

export interface EngineOptions extends LedgerOptions {
  readonly maxAttempts: number;
  readonly turnTimeoutMs: number;
  readonly maxTurnsPerAgent: number;
  readonly pickReplica: (session: string, runtimes: readonly RuntimeId[]) => RuntimeId | undefined;
}

const SLOT_ENDED: WireError = { name: 'OrreryError', message: 'Its slot ended', code: 'ORRERY_WORKER_EXITED' };

export class DeliveryEngine {
  readonly #options: EngineOptions;
  readonly #mailboxes = new Mailboxes<Delivery>();
  readonly #slots = new Map<number, SlotLane>();
  readonly #ledger: Ledger;
  readonly #turns: Turns;
  readonly roster: Roster;
  /** Deliveries taken over so far. */
  #taken = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.roster = new Roster({
      maxTurns: options.maxTurnsPerAgent,
      pickReplica: options.pickReplica,
      begin: (delivery, lane) => this.#begin(delivery, lane),
      refuse: (delivery, error) => this.#die(delivery, 'agent-stopped', error),
    });
    this.#ledger = new Ledger(options, (delivery) => this.#mailboxes.release(delivery.mailbox));
    this.#turns = new Turns({
      ledger: this.#ledger,
      abort: (delivery) => this.#die(delivery, ...abortion(delivery.aborted ?? 'cancelled')),
      next: (mailbox) => this.#next(mailbox),
    });
  }

  /** Unfinished deliveries. */
  get pending(): number {
    return this.#ledger.pending;
  }

  /** Sessions that have something under way. */
  get sessions(): number {
    return this.#mailboxes.size;
  }

  /** The mailbox of a session, so that intake can keep a place in it. */
  mailbox(agent: string, namespace: string): Mailbox<Delivery> {
    return this.#mailboxes.open(agent, namespace);
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
    const { id, agent } = accepted;
    this.#queue(this.#admit({ id, agent, inbound }, mailbox, origin, listener));
  }

  /**
   * Takes over what is in the journal and in no process: what an earlier one left, or a dead letter that was put back. It stands behind all that its
   * session has. A turn that was committed is not run again; an attempt that was cut off does not count.
   */
  adopt(pending: PendingDelivery, origin: Origin): void {
    const { agent, inbound, state, attempts, crashes } = pending;
    const delivery = this.#admit(pending, this.mailbox(agent, inbound.namespace), origin);
    delivery.attempts = state.status === 'dispatched' ? Math.max(0, attempts - 1) : attempts;
    delivery.adopted = true;
    delivery.crashes = crashes;
    if (state.status === 'committed') this.#ledger.resend(delivery, state.reply);
    else this.#queue(delivery);
  }

  /** Gives up what is in the journal and is not to be run, and tells its sender. */
  bury(pending: PendingDelivery, origin: Origin, reason: DeadReason, error: OrreryError): void {
    const { agent, inbound, attempts } = pending;
    const delivery = this.#admit(pending, this.mailbox(agent, inbound.namespace), origin);
    delivery.attempts = attempts;
    this.#ledger.die(delivery, reason, toWire(error));
  }

  #admit(
    { id, agent, inbound }: Pick<PendingDelivery, 'id' | 'agent' | 'inbound'>,
    mailbox: Mailbox<Delivery>,
    origin: Origin,
    listener?: DeliveryListener,
  ): Delivery {
    this.#taken += 1;
    const delivery = new Delivery(id, this.#taken, inbound, agent, origin, mailbox, listener);
    this.#ledger.add(delivery);
    return delivery;
  }

  #queue(delivery: Delivery): void {
    const { mailbox } = delivery;
    if (mailbox.begin(delivery)) return this.roster.place(delivery);
    mailbox.push(delivery);
    if (!mailbox.active) this.#next(mailbox);
    else if (delivery.mode === 'steer' || delivery.mode === 'interrupt') this.#intrude(delivery, mailbox.active);
  }

  /** A message that need not wait came behind a turn. One that is not sent yet will have it joined or offered then. */
  #intrude(newest: Delivery, lead: Delivery): void {
    const lane = this.#laneOf(lead);
    if (lane?.runs(lead)) this.#turns.intrude(newest, lead, lane);
  }

  /** Aborts a delivery wherever it is; false when it is not under way. */
  cancel(id: DeliveryId, cause: AbortCause = 'cancelled'): boolean {
    const delivery = this.#ledger.find(id);
    return delivery !== undefined && this.#cancel(delivery, cause);
  }

  /** Aborts every delivery that came from an origin, or all of them. */
  abort(cause: AbortCause, origin?: Origin): void {
    for (const delivery of this.#ledger.inOrder()) {
      if (!origin || delivery.origin === origin) this.#cancel(delivery, cause);
    }
  }

  /** Resolves when nothing is unfinished. */
  idle(): Promise<void> {
    return this.#ledger.idle();
  }

  close(): void {
    this.#ledger.close();
  }

  // What the slots tell

  slotUp(host: TurnHost): SlotLane {
    const lane =
      this.#slots.get(host.number) ??
      new SlotLane(host, this.#options.turnTimeoutMs, {
        outcomes: (_, outcomes) => this.outcomes(outcomes, lane),
        sending: (delivery) => this.#turns.join(delivery),
        sent: (delivery) => this.#turns.offer(delivery, lane),
        refused: (delivery, error) => this.#refused(delivery, lane, error),
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
      else this.#again(this.#turns.dissolve(delivery, ifAborted), SLOT_ENDED);
    }
    return new Set(suspects.map((delivery) => delivery.runtime));
  }

  outcomes(outcomes: readonly TurnOutcome[], lane: SlotLane): void {
    for (const outcome of outcomes) {
      const delivery = lane.get(outcome.turn);
      if (!delivery) continue;
      lane.delete(delivery);
      quiet(delivery);
      this.roster.finished(delivery);
      if ('reply' in outcome) this.#committed(delivery, outcome.reply, outcome.answers);
      else this.#failed(delivery, outcome.error);
    }
  }

  /** Outcomes that came by the slot's own call, not with a dispatch. */
  outcomesOf(slot: number, outcomes: readonly TurnOutcome[]): void {
    const lane = this.#slots.get(slot);
    if (lane) this.outcomes(outcomes, lane);
  }

  /** Gives up whatever is unfinished, as far as this process goes: the threads are gone. */
  abandon(error: OrreryError): void {
    for (const delivery of this.#ledger.inOrder()) {
      if (delivery.state.status !== 'committed') this.#die(delivery, 'shutdown', toWire(error));
    }
  }

  delta(slot: number, turn: TurnKey, text: string): void {
    const delivery = this.#slots.get(slot)?.get(turn);
    if (!delivery) return;
    const { log } = this.#options;
    tell(delivery, text, log);
    for (const joined of delivery.mailbox.joined) tell(joined, text, log);
  }

  // A turn

  #next(mailbox: Mailbox<Delivery>): void {
    const delivery = mailbox.next();
    if (delivery) this.roster.place(delivery);
  }

  #begin(delivery: Delivery, runtime: RuntimeLane): void {
    const lane = runtime.slot;
    if (!lane) return;
    delivery.superseded = false;
    this.#ledger.dispatched(delivery, lane.host.number, lane.host.generation);
    delivery.typing = delivery.origin.typing?.(delivery.target);
    lane.push(delivery);
  }

  #committed(lead: Delivery, reply: Reply, answers: readonly DeliveryId[] | undefined): void {
    if (!this.#turns.committed(lead, reply, answers)) return;
    const { mailbox } = lead;
    this.#next(mailbox);
    this.#mailboxes.release(mailbox);
  }

  #failed(lead: Delivery, error: WireError): void {
    const code = isErrorCode(error.code) ? error.code : 'ORRERY_AGENT_FAILED';
    const { maxAttempts, retry } = this.#options;
    const { joined, offered } = lead.mailbox;
    if (code === 'ORRERY_CONTEXT_TOO_LARGE' && (joined.length > 0 || offered > 0)) return this.#unshare(lead, error);
    if (code === 'ORRERY_SLOT_NOT_READY') return this.#later(this.#turns.dissolve(lead, ifAborted), error, false);
    if (code === 'ORRERY_SUPERSEDED') return this.#again(this.#turns.dissolve(lead, ifAborted), error);
    const ended = code === 'ORRERY_CANCELLED' || code === 'ORRERY_INTERRUPTED';
    if (ended && [lead, ...joined].some(({ aborted }) => aborted)) {
      // Ended for the sake of some: the others begin again without them.
      const judge = ({ aborted }: Delivery): Death | undefined => aborted && [deadReason(code), error];
      return this.#again(this.#turns.dissolve(lead, judge), error);
    }
    // Its agent was stopped under it, and comes back.
    if (code === 'ORRERY_INTERRUPTED') return this.#later(this.#turns.dissolve(lead, ifAborted), error, false);
    if (ended || !ERRORS[code].retryable) {
      this.#turns.dissolve(lead, () => [deadReason(code), error]);
      return;
    }
    const isHopeless = isTooLongToHold(error.retryAfterMs, retry);
    const left = this.#turns.dissolve(lead, (delivery) =>
      isHopeless || delivery.attempts >= maxAttempts ? exhaustion(delivery, error, 'exhausted') : ifAborted(delivery),
    );
    this.#later(left, error, true);
  }

  /**
   * Together they were too large for the model's context: each runs alone, uncounted. That is the lead's too when others were only offered, for
   * the turn may have taken them; they are as they were.
   */
  #unshare(lead: Delivery, error: WireError): void {
    const left = this.#turns.dissolve(lead, ifAborted);
    for (const delivery of left) delivery.unshared = true;
    this.#again(left, error);
  }

  #crashed(lead: Delivery, error: OrreryError, alone: boolean): void {
    const wire = alone ? withDetails(toWire(error), { agent: lead.agent }) : toWire(error);
    const poison = alone && TELLING_ENDS.has(error.code);
    const left = this.#turns.dissolve(lead, (delivery) =>
      poison || delivery.attempts >= this.#options.maxAttempts
        ? exhaustion(delivery, wire, alone ? 'poison' : 'exhausted')
        : ifAborted(delivery),
    );
    this.#later(left, wire, true);
  }

  #refused(lead: Delivery, lane: SlotLane, error: unknown): void {
    lane.delete(lead);
    this.roster.finished(lead);
    this.#turns.dissolve(lead, () => ['agent-error', toWire(error)]);
  }

  /** Runs a turn again that did nothing wrong: at once, and without counting. */
  #again(left: readonly Delivery[], cause: WireError): void {
    for (const delivery of left) this.#ledger.retrying(delivery, cause, { at: Date.now(), counted: false });
    const [first] = left;
    if (first) this.roster.place(first);
  }

  #later(left: readonly Delivery[], error: WireError, counted: boolean): void {
    const [first] = left;
    if (!first) return;
    const { retry, random, account } = this.#options;
    const attempts = counted ? first.attempts : first.attempts - 1;
    const delayMs = heldMs(error.retryAfterMs ?? backoffDelayMs(Math.max(1, attempts), retry, random()), retry);
    for (const delivery of left) this.#ledger.retrying(delivery, error, { at: Date.now() + delayMs, counted });
    account.retries += 1;
    first.retryTimer = setTimeout(() => {
      first.retryTimer = undefined;
      if (first.state.status === 'retrying') this.roster.place(first);
    }, delayMs);
  }

  // Giving up

  #cancel(delivery: Delivery, cause: AbortCause): boolean {
    const { state, mailbox } = delivery;
    if (state.status === 'committed' || state.status === 'dead') return false;
    const { active: lead } = mailbox;
    const lane = lead && this.#laneOf(lead);
    if (lead && lane) {
      if (delivery === lead ? !lane.unqueue(lead) : mailbox.joined.includes(delivery)) {
        // Its outcome decides: a turn that committed before the abort reached it is answered.
        delivery.aborted = cause;
        lane.host.cancel([lead.turn], cause).catch(() => undefined);
        return true;
      }
      if (delivery === lead) this.roster.finished(lead);
      else if (mailbox.isOffered(delivery)) {
        delivery.aborted = cause;
        this.#turns.takeBack(delivery, lead, lane);
        return true;
      }
    }
    this.roster.withdraw(delivery);
    this.#die(delivery, ...abortion(cause));
    return true;
  }

  /** Gives up a delivery that does not run; its session goes on. */
  #die(delivery: Delivery, reason: DeadReason, error: WireError): void {
    if (!this.#ledger.die(delivery, reason, error)) return;
    const { mailbox } = delivery;
    if (mailbox.remove(delivery) || mailbox.active !== delivery) return;
    mailbox.putBack(mailbox.part());
    this.#next(mailbox);
  }

  #laneOf(delivery: Delivery): SlotLane | undefined {
    if (delivery.state.status !== 'dispatched') return undefined;
    const lane = this.#slots.get(delivery.state.slot);
    return lane?.has(delivery) ? lane : undefined;
  }
}

function ifAborted({ aborted }: Delivery): Death | undefined {
  return aborted && abortion(aborted);
}
