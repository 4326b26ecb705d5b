/**
 * Owns what one turn answers: it joins waiting messages to a turn when its request is made, offers others to it while it runs, and
 * at its end sorts them into those that it answered and those that wait again. A turn is known by its lead, the mailbox's active delivery.
 */
import type { DeliveryId, Reply, WireError } from '../../protocol/index.ts';
import type { Death, Delivery } from './delivery.ts';
import { interrupts, joining, offering } from './joining.ts';
import { type SlotLane, joinedMessageOf } from './lanes.ts';
import type { Ledger } from './ledger.ts';
import type { Mailbox } from './mailbox.ts';

export interface TurnsOptions {
  readonly ledger: Ledger;
  /** Gives up a waiting delivery that was cancelled. */
  readonly abort: (delivery: Delivery) => void;
  /** A session's turn is over, and nobody of it is left. */
  readonly next: (mailbox: Mailbox<Delivery>) => void;
}

const NOT_ANSWERED: WireError = {
  name: 'OrreryError',
  message: 'The turn that it was joined to had been committed without it',
  code: 'ORRERY_SLOT_NOT_READY',
};

export class Turns {
  readonly #options: TurnsOptions;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** Joins what waits to a turn whose request is about to be made: as late as can be, so that nobody just misses it. */
  join(lead: Delivery): void {
    const { mailbox, state } = lead;
    if (mailbox.joined.length > 0 || state.status !== 'dispatched') return;
    const count = joining(lead, mailbox.waiting);
    if (count === 0) return;
    const { ledger } = this.#options;
    for (const delivery of mailbox.join(count)) ledger.dispatched(delivery, state.slot, state.generation);
  }

  /** Offers what waits to a running turn. It goes on waiting: the outcome tells what was taken. */
  offer(lead: Delivery, lane: SlotLane): void {
    const offers = offering(lead);
    if (offers.length === 0) return;
    lead.mailbox.offered += offers.length;
    for (const delivery of offers) delivery.offered = true;
    lane.host.steer(lead.turn, offers.map(joinedMessageOf)).catch(() => undefined);
  }

  /** A message that need not wait came behind a running turn. */
  intrude(newest: Delivery, lead: Delivery, lane: SlotLane): void {
    if (newest.mode === 'steer') return this.offer(lead, lane);
    if (lead.superseded || !interrupts(newest)) return;
    lead.superseded = true;
    lane.host.cancel([lead.turn], 'superseded').catch(() => undefined);
  }

  /** When the turn has taken it, the outcome decides; when that ends without it, the delivery is given up then. */
  takeBack(delivery: Delivery, lead: Delivery, lane: SlotLane): void {
    lane.host.unsteer(lead.turn, [delivery.id]).then(
      (ids) => {
        if (ids.includes(delivery.id)) this.#options.abort(delivery);
      },
      () => undefined,
    );
  }

  /** Sends a committed reply to all whom it answers; false when the turn is over already. Those that it does not name wait again. */
  committed(lead: Delivery, reply: Reply, answers: readonly DeliveryId[] = []): boolean {
    const { ledger } = this.#options;
    const { mailbox, state } = lead;
    if (!ledger.committed(lead, reply)) return false;
    if (mailbox.joined.length === 0 && mailbox.offered === 0) return true;
    const offered = offeredIn(mailbox);
    const left: Delivery[] = [];
    for (const delivery of mailbox.part()) {
      if (answers.includes(delivery.id)) this.#answeredBy(lead, reply, delivery);
      else left.push(delivery);
    }
    for (const delivery of offered) {
      if (!answers.includes(delivery.id) || state.status !== 'dispatched') continue;
      mailbox.remove(delivery);
      ledger.dispatched(delivery, state.slot, state.generation);
      this.#answeredBy(lead, reply, delivery);
    }
    for (const delivery of left) ledger.retrying(delivery, NOT_ANSWERED, { at: Date.now(), counted: false });
    mailbox.putBack(left);
    this.#giveUpAborted([...left, ...offered]);
    return true;
  }

  /** Sends the reply of an earlier attempt to a delivery that has its session and does not run. */
  found(delivery: Delivery, reply: Reply): void {
    const { ledger, next } = this.#options;
    if (ledger.committed(delivery, reply, 'find')) next(delivery.mailbox);
  }

  /**
   * Takes a turn apart that answered nobody. Those whom `judge` gives a death die now, in order; the others are returned and stand first in
   * their session again, the first of them active. When there is none, the session goes on.
   */
  dissolve(lead: Delivery, judge: (delivery: Delivery) => Death | undefined): readonly Delivery[] {
    const { ledger, next } = this.#options;
    const { mailbox } = lead;
    const offered = offeredIn(mailbox);
    const left: Delivery[] = [];
    for (const delivery of [lead, ...mailbox.part()]) {
      const death = judge(delivery);
      // First its error takes its place in the outbox: the next turn may end at once.
      if (death) ledger.die(delivery, ...death);
      else left.push(delivery);
    }
    this.#giveUpAborted(offered);
    const [first, ...rest] = left;
    mailbox.putBack(rest);
    if (first) mailbox.active = first;
    else next(mailbox);
    return left;
  }

  #answeredBy(lead: Delivery, reply: Reply, delivery: Delivery): void {
    delivery.by = lead.id;
    this.#options.ledger.committed(delivery, reply);
  }

  #giveUpAborted(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) if (delivery.aborted) this.#options.abort(delivery);
  }
}

function offeredIn({ waiting, offered }: Mailbox<Delivery>): readonly Delivery[] {
  return offered === 0 ? [] : waiting.slice(0, offered);
}
