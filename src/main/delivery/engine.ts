/**
 * Owns accepted deliveries from the mailbox to their outcome: dispatch, retry, abort. One turn of a session at a time; nothing
 * waits here for anything but its own session, its agent and its slot.
 *
 *   accepted -> mailbox (FIFO per session) -> runtime lane (bounded turns) -> slot lane (batches) -> outcome
 *     reply            -> committed -> outbox -> answered, with all whom the outcome names
 *     error, retryable -> retrying (holds its session) -> runtime lane again
 *     error            -> dead, and the sender is told
 *     the slot ended   -> again, uncounted; those who may have ended it are tried singly (quarantine.ts)
 *
 * A turn is known by its lead, the mailbox's active delivery. Others are joined to it when its request is made, and stand in the
 * mailbox again when it ends without an answer for them (docs/decisions/0006-queue-modes.md).
 */
import {
  type Accepted,
  type DeadReason,
  type DeliveryId,
  type DeliveryListener,
  type InboundMessage,
  type OrreryError,
  type Reply,
  type RuntimeId,
  type TurnKey,
  type TurnOutcome,
  type WireError,
  toWire,
} from '../../protocol/index.ts';
import { Attempts } from './attempts.ts';
import type { BeforeAck } from './before-ack.ts';
import { type AbortCause, Delivery, abortion } from './delivery.ts';
import type { PendingDelivery } from './journal.ts';
import { type RuntimeLane, SlotLane, type TurnHost } from './lanes.ts';
import { Ledger, type LedgerOptions } from './ledger.ts';
import { quiet, showTyping, tell } from './listening.ts';
import type { Findings, SlotLoss } from './loss.ts';
import { type Mailbox, Mailboxes } from './mailbox.ts';
import type { Origin } from './origin.ts';
import { Quarantine, type QuarantineHost, type Trial } from './quarantine.ts';
import { type Look, Recall } from './recall.ts';
import { Roster } from './roster.ts';
import { SLOT_ENDED, SlotEnds } from './slot-ends.ts';
import { Turns } from './turns.ts';

export interface EngineOptions extends LedgerOptions {
  readonly maxAttempts: number;
  readonly turnTimeoutMs: number;
  readonly maxTurnsPerAgent: number;
  readonly pickReplica: (session: string, runtimes: readonly RuntimeId[]) => RuntimeId | undefined;
  /** Looks for commits. Absent where a turn that ended with its slot has left nothing. */
  readonly look?: Look;
  /** Who has the slots for suspects; asked for when there is one, since it needs the engine itself. */
  readonly quarantine: () => QuarantineHost;
}

export class DeliveryEngine {
  readonly #options: EngineOptions;
  readonly #mailboxes = new Mailboxes<Delivery>();
  readonly #slots = new Map<number, SlotLane>();
  readonly #ledger: Ledger;
  readonly #turns: Turns;
  readonly #attempts: Attempts;
  readonly #ends: SlotEnds;
  readonly roster: Roster;
  readonly quarantine: Quarantine;
  /** Asked before a delivery is given up whose turn may have committed. */
  readonly recall: Recall | undefined;
  /** Deliveries taken over so far. */
  #taken = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.roster = new Roster({
      maxTurns: options.maxTurnsPerAgent,
      pickReplica: options.pickReplica,
      begin: (delivery, lane) => this.#begin(delivery, lane),
      quarantine: (delivery, runtime) => this.quarantine.add(delivery, runtime),
      takeBack: (runtime) => this.quarantine.take(runtime),
      refuse: (delivery, error) => this.#attempts.giveUp(delivery, 'agent-stopped', error),
    });
    this.#ledger = new Ledger(options, (delivery) => this.#mailboxes.release(delivery.mailbox));
    this.#turns = new Turns({
      ledger: this.#ledger,
      abort: (delivery) => this.#die(delivery, ...abortion(delivery.aborted ?? 'cancelled')),
      next: (mailbox) => this.#next(mailbox),
    });
    const { look, log } = options;
    this.recall = look && new Recall({ look, log });
    const place = (delivery: Delivery): void => this.roster.place(delivery);
    this.#attempts = new Attempts({
      ...options,
      ledger: this.#ledger,
      turns: this.#turns,
      place,
      die: (delivery, reason, error) => this.#die(delivery, reason, error),
      ended: (lead) => this.#ends.forget(lead),
      recall: this.recall,
    });
    this.quarantine = new Quarantine({
      host: options.quarantine,
      run: (delivery, trial) => this.#try(delivery, trial),
      place,
      unopened: (delivery, error) => this.#attempts.unopened(delivery, error),
    });
    const { roster, quarantine } = this;
    this.#ends = new SlotEnds({ ...options, attempts: this.#attempts, quarantine, roster });
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

  /** Takes an accepted message over. With `beforeAck`, its sender does not know yet and hears nothing of it. */
  enqueue(
    { id, agent }: Accepted,
    inbound: InboundMessage,
    mailbox: Mailbox<Delivery>,
    origin: Origin,
    listener?: DeliveryListener,
    beforeAck?: BeforeAck,
  ): Delivery {
    const delivery = this.#admit({ id, agent, inbound }, mailbox, origin, listener);
    delivery.beforeAck = beforeAck;
    this.#queue(delivery);
    return delivery;
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
    if (state.status === 'committed') return this.#ledger.resend(delivery, state.reply);
    const isDispatched = state.status === 'dispatched';
    // No slot has it while it waits, perhaps for its trial: the next end of the process is not its doing.
    if (isDispatched) this.#options.journal.mark(delivery.id, delivery.state, delivery.attempts);
    this.quarantine.recovered(delivery, { crashes, dispatched: isDispatched });
    this.#queue(delivery);
  }

  /** Gives up what is in the journal and is not to be run, and tells its sender. */
  bury(pending: PendingDelivery, origin: Origin, reason: DeadReason, error: OrreryError): void {
    const { agent, inbound, attempts } = pending;
    const delivery = this.#admit(pending, this.mailbox(agent, inbound.namespace), origin);
    delivery.attempts = attempts;
    delivery.adopted = true;
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
    for (const delivery of this.#ledger.inOrder(origin)) this.#cancel(delivery, cause);
  }

  /** Resolves when nothing is unfinished. */
  idle(): Promise<void> {
    return this.#ledger.idle();
  }

  close(): void {
    this.recall?.close();
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

  /** A runtime is up on another slot: what this one was not given yet goes there, what it runs ends here. */
  moved(slot: number, runtime: RuntimeId): void {
    const lane = this.#slots.get(slot);
    for (const delivery of lane?.unsent(runtime) ?? []) {
      lane?.unqueue(delivery);
      this.roster.finished(delivery, false);
      this.#attempts.again(delivery, SLOT_ENDED);
    }
  }

  /** A slot ended for good. */
  slotGone(slot: number): void {
    this.#slots.delete(slot);
  }

  /** Whether an agent has messages that no turn has answered yet, those included that the journal is about to have. */
  isBusy(agent: string): boolean {
    return this.#mailboxes.isBusy(agent);
  }

  /** Takes back what was with a slot that ended, and says what that shows of whose doing it was. */
  slotDown(slot: number, loss: SlotLoss): Findings {
    return this.#ends.slotDown(slot, this.#slots.get(slot)?.reset() ?? [], loss);
  }

  /** The same of a slot that was given for a trial. */
  trialDown(slot: number, loss: SlotLoss): void {
    this.#ends.trialDown(this.#slots.get(slot)?.reset() ?? [], loss);
  }

  outcomes(outcomes: readonly TurnOutcome[], lane: SlotLane): void {
    for (const outcome of outcomes) {
      const delivery = lane.get(outcome.turn);
      if (!delivery) continue;
      lane.delete(delivery);
      quiet(delivery);
      this.roster.finished(delivery, true);
      if (delivery.suspicion) this.#tried(delivery, outcome);
      if ('reply' in outcome) this.#committed(delivery, outcome.reply, outcome.answers);
      else this.#attempts.failed(delivery, outcome.error);
    }
  }

  /** Outcomes that came by the slot's own call, not with a dispatch. */
  outcomesOf(slot: number, outcomes: readonly TurnOutcome[]): void {
    const lane = this.#slots.get(slot);
    if (lane) this.outcomes(outcomes, lane);
  }

  /** Gives up whatever is unfinished, as far as this process goes: the threads are gone. */
  abandon(error: OrreryError): void {
    const left = this.#ledger.inOrder().filter(({ state }) => state.status !== 'committed');
    for (const delivery of left) this.#die(delivery, 'shutdown', toWire(error));
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
    else this.#mailboxes.release(mailbox);
  }

  #begin(delivery: Delivery, { slot }: RuntimeLane): void {
    if (slot) this.#dispatch(delivery, slot);
  }

  /** Begins a trial. Its runtime is none of the roster's, which counts what runs beside others. */
  #try(delivery: Delivery, { host, runtime }: Trial): void {
    delivery.runtime = runtime;
    this.#dispatch(delivery, this.slotUp(host));
  }

  /** An outcome is the proof of innocence, whatever it is, unless the turn was not begun at all. */
  #tried(delivery: Delivery, outcome: TurnOutcome): void {
    if ('error' in outcome && outcome.error.code === 'ORRERY_SLOT_NOT_READY') this.quarantine.inconclusive(delivery);
    else this.quarantine.cleared(delivery);
  }

  #dispatch(delivery: Delivery, lane: SlotLane): void {
    delivery.superseded = false;
    this.#ledger.dispatched(delivery, lane.host.number, lane.host.generation);
    showTyping(delivery);
    lane.push(delivery);
  }

  #committed(lead: Delivery, reply: Reply, answers: readonly DeliveryId[] | undefined): void {
    if (this.#turns.committed(lead, reply, answers)) this.#next(lead.mailbox);
  }

  #refused(lead: Delivery, lane: SlotLane, error: unknown): void {
    lane.delete(lead);
    this.roster.finished(lead, true);
    if (lead.suspicion) this.quarantine.cleared(lead);
    this.#turns.dissolve(lead, () => ['agent-error', toWire(error)]);
  }

  // Giving up

  #cancel(delivery: Delivery, cause: AbortCause): boolean {
    if (delivery.over) return false;
    const { mailbox } = delivery;
    const { active: lead } = mailbox;
    const lane = lead && this.#laneOf(lead);
    if (lead && lane) {
      if (delivery === lead ? !lane.unqueue(lead) : mailbox.joined.includes(delivery)) {
        // Its outcome decides: a turn that committed before the abort reached it is answered.
        delivery.aborted = cause;
        lane.host.cancel([lead.turn], cause).catch(() => undefined);
        return true;
      }
      if (delivery === lead) {
        this.roster.finished(lead, true);
        if (lead.suspicion) this.quarantine.inconclusive(lead);
      } else if (mailbox.isOffered(delivery)) {
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
    if (delivery.suspicion) this.quarantine.withdraw(delivery);
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
