/**
 * Owns the way to the slots: a lane for each agent runtime, which bounds its turns under way, and a lane for each slot,
 * which hands over all that waits. Nothing under way: it is sent at the end of the tick; a call under way: what comes
 * meanwhile goes with the next one, or before in full parts.
 */
import { KeyTable } from '../../lib/key-table.ts';
import {
  type CancelCause,
  type DeliveryId,
  type JoinedMessage,
  type RuntimeId,
  type TurnKey,
  type TurnOutcome,
  type TurnRequest,
  type WireError,
  codeOf,
} from '../../protocol/index.ts';
import type { Delivery } from './delivery.ts';

/** A slot, as delivery sees it. */
export interface TurnHost {
  readonly number: number;
  readonly label: string;
  readonly generation: number;
  dispatch(turns: readonly TurnRequest[]): Promise<readonly TurnOutcome[]>;
  cancel(turns: readonly TurnKey[], cause: CancelCause): Promise<void>;
  steer(turn: TurnKey, messages: readonly JoinedMessage[]): Promise<void>;
  unsteer(turn: TurnKey, deliveries: readonly DeliveryId[]): Promise<readonly DeliveryId[]>;
}

/**
 * Turns of one call. A large batch goes in parts, so that the slot begins with the first while main packs the second and both have work. More
 * or smaller parts cost more wake-ups than they save.
 */
const MAX_BATCH = 64;
/** Calls of one slot under way at once. */
const MAX_CALLS = 4;

/**
 * `waiting`: it is being started or restarted, and messages wait. `apart`: they run in quarantine only. `dead`: they are answered at once
 * with `error`.
 */
export type LaneStatus = 'up' | 'waiting' | 'apart' | 'dead';

export class RuntimeLane {
  readonly runtime: RuntimeId;
  readonly agent: string;
  status: LaneStatus = 'waiting';
  error: WireError | undefined;
  slot: SlotLane | undefined;
  readonly ready: Delivery[] = [];
  inFlight = 0;
  /** Turns that ended without ending their slot. */
  survived = 0;

  constructor(runtime: RuntimeId, agent: string) {
    this.runtime = runtime;
    this.agent = agent;
  }
}

export interface SlotLaneEvents {
  outcomes(lane: SlotLane, outcomes: readonly TurnOutcome[]): void;
  /** A delivery's request is about to be made, and others wait behind it in its session. */
  sending(delivery: Delivery, lane: SlotLane): void;
  /** It was sent, and others still wait there. */
  sent(delivery: Delivery, lane: SlotLane): void;
  /** A delivery whose request cannot cross a thread. */
  refused(delivery: Delivery, error: unknown): void;
}

export class SlotLane {
  readonly host: TurnHost;
  /** What waits for a call or is with the slot. */
  readonly #turns = new KeyTable<Delivery>();
  readonly #events: SlotLaneEvents;
  readonly #timeoutMs: number;
  #queue: Delivery[] = [];
  #scheduled = false;
  /** Calls under way. */
  #calls = 0;
  #sequence = 0;

  constructor(host: TurnHost, timeoutMs: number, events: SlotLaneEvents) {
    this.host = host;
    this.#timeoutMs = timeoutMs;
    this.#events = events;
  }

  push(delivery: Delivery): void {
    delivery.turn = this.#turns.add(delivery);
    delivery.sequence = 0;
    this.#queue.push(delivery);
    if (this.#scheduled || !this.#mayCall()) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** The delivery of a turn that has not ended. */
  get(turn: TurnKey): Delivery | undefined {
    return this.#turns.get(turn);
  }

  has(delivery: Delivery): boolean {
    return this.#turns.get(delivery.turn) === delivery;
  }

  /** Tells whether the slot was given the delivery's turn, and has not ended it. */
  runs(delivery: Delivery): boolean {
    return delivery.sequence > 0 && this.has(delivery);
  }

  /** The turn has ended. */
  delete(delivery: Delivery): void {
    this.#turns.delete(delivery.turn);
  }

  /** Takes back a delivery that waits for the next call; false when it is already with the slot. */
  unqueue(delivery: Delivery): boolean {
    const at = this.#queue.indexOf(delivery);
    if (at < 0) return false;
    this.#queue.splice(at, 1);
    this.delete(delivery);
    return true;
  }

  /** What of a runtime waits for a call. */
  unsent(runtime: RuntimeId): readonly Delivery[] {
    return this.#queue.filter((delivery) => delivery.runtime === runtime);
  }

  /** Forgets the present generation and returns what was with it, in order, with what was not sent yet at the end. */
  reset(): readonly Delivery[] {
    for (const delivery of this.#queue) delivery.sequence = Infinity;
    const sent = [...this.#turns.values()].filter((delivery) => delivery.sequence !== Infinity);
    const left = [...sent.toSorted((a, b) => a.sequence - b.sequence), ...this.#queue];
    for (const delivery of left) this.delete(delivery);
    this.#queue = [];
    this.#calls = 0;
    this.#sequence = 0;
    return left;
  }

  #flush(): void {
    if (!this.#mayCall()) return;
    while (this.#queue.length > 0 && this.#calls < MAX_CALLS) this.#call(this.#queue.splice(0, MAX_BATCH));
  }

  /** Beside a call that is under way only a full part is worth its wake-up: less gathers until that one returns. */
  #mayCall(): boolean {
    return this.#calls === 0 || (this.#queue.length >= MAX_BATCH && this.#calls < MAX_CALLS);
  }

  #call(batch: readonly Delivery[]): void {
    const { generation } = this.host;
    const requests = batch.map((delivery) => this.#request(delivery));
    this.#calls += 1;
    this.host.dispatch(requests).then(
      (outcomes) => {
        if (this.host.generation !== generation) return;
        this.#calls -= 1;
        this.#events.outcomes(this, outcomes);
        this.#flush();
      },
      (error: unknown) => {
        // The slot died: its end, which comes before this rejection, has taken care of the batch.
        if (this.host.generation !== generation || codeOf(error) !== 'ORRERY_UNCLONEABLE') return;
        this.#calls -= 1;
        this.#uncloneable(batch, error);
      },
    );
    // Behind the call on the same port: what is offered to a turn must not come before it.
    for (const delivery of batch) if (delivery.mailbox.waiting.length > 0) this.#events.sent(delivery, this);
  }

  /** Nothing of the batch was sent. One bad request must not fail its neighbours: each goes alone. */
  #uncloneable(batch: readonly Delivery[], error: unknown): void {
    const first = batch[0]?.sequence ?? 0;
    // The worker never saw these: what was sent after them moves up in its count.
    this.#sequence -= batch.length;
    for (const delivery of this.#turns.values()) if (delivery.sequence > first) delivery.sequence -= batch.length;
    const [only] = batch;
    if (batch.length === 1 && only) this.#events.refused(only, error);
    else for (const delivery of batch) this.#call([delivery]);
    this.#flush();
  }

  #request(delivery: Delivery): TurnRequest {
    const { inbound, id, attempts, mailbox } = delivery;
    this.#sequence += 1;
    delivery.sequence = this.#sequence;
    if (mailbox.waiting.length > 0) this.#events.sending(delivery, this);
    const { joined } = mailbox;
    const { context } = inbound;
    const request = {
      turn: delivery.turn,
      id,
      runtime: delivery.runtime ?? '',
      session: inbound.namespace,
      attempt: attempts,
      timeoutMs: this.#timeoutMs,
      stream: isHeard(delivery),
      message: inbound.message,
      metadata: inbound.metadata,
    };
    // Most have neither, and are not copied.
    if (context) return { ...request, context };
    if (joined.length === 0) return request;
    return { ...request, stream: request.stream || joined.some(isHeard), joined: joined.map(joinedMessageOf) };
  }
}

/** Whether somebody hears the pieces of its reply as they come. */
function isHeard({ listener }: Delivery): boolean {
  return listener?.delta !== undefined;
}

export function joinedMessageOf({ id, inbound }: Delivery): JoinedMessage {
  return { id, message: inbound.message };
}
