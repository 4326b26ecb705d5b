/**
 * Owns the way to the slots: a lane for each agent runtime, which bounds its turns under way, and a lane for each slot,
 * which hands over all that waits in one call. Nothing under way: it is sent at the end of the tick; a call under way:
 * what comes meanwhile goes with the next one.
 */
import {
  type CancelCause,
  type DeliveryId,
  type RuntimeId,
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
  cancel(ids: readonly DeliveryId[], cause: CancelCause): Promise<void>;
}

/** `waiting`: it is being started or restarted, and messages wait. `dead`: they are answered at once with `error`. */
export type LaneStatus = 'up' | 'waiting' | 'dead';

export class RuntimeLane {
  readonly runtime: RuntimeId;
  readonly agent: string;
  status: LaneStatus = 'waiting';
  error: WireError | undefined;
  slot: SlotLane | undefined;
  readonly ready: Delivery[] = [];
  inFlight = 0;

  constructor(runtime: RuntimeId, agent: string) {
    this.runtime = runtime;
    this.agent = agent;
  }
}

export interface SlotLaneEvents {
  outcomes(lane: SlotLane, outcomes: readonly TurnOutcome[]): void;
  /** A delivery whose request cannot cross a thread. */
  refused(delivery: Delivery, error: unknown): void;
}

export class SlotLane {
  readonly host: TurnHost;
  readonly inFlight: Map<DeliveryId, Delivery> = new Map();
  readonly #events: SlotLaneEvents;
  readonly #timeoutMs: number;
  #queue: Delivery[] = [];
  #scheduled = false;
  #calling = false;
  #sequence = 0;

  constructor(host: TurnHost, timeoutMs: number, events: SlotLaneEvents) {
    this.host = host;
    this.#timeoutMs = timeoutMs;
    this.#events = events;
  }

  push(delivery: Delivery): void {
    this.inFlight.set(delivery.id, delivery);
    this.#queue.push(delivery);
    if (this.#scheduled || this.#calling) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** Takes back a delivery that waits for the next call; false when it is already with the slot. */
  unqueue(delivery: Delivery): boolean {
    const at = this.#queue.indexOf(delivery);
    if (at < 0) return false;
    this.#queue.splice(at, 1);
    this.inFlight.delete(delivery.id);
    return true;
  }

  /** Forgets the present generation and returns what was with it, in order, with what was not sent yet at the end. */
  reset(): readonly Delivery[] {
    for (const delivery of this.#queue) delivery.sequence = Infinity;
    const left = [...this.inFlight.values()];
    this.inFlight.clear();
    this.#queue = [];
    this.#calling = false;
    this.#sequence = 0;
    return left;
  }

  #flush(): void {
    if (this.#calling || this.#queue.length === 0) return;
    const batch = this.#queue;
    this.#queue = [];
    this.#call(batch);
  }

  #call(batch: readonly Delivery[]): void {
    const { generation } = this.host;
    const requests = batch.map((delivery) => this.#request(delivery));
    this.#calling = true;
    this.host.dispatch(requests).then(
      (outcomes) => {
        if (this.host.generation !== generation) return;
        this.#calling = false;
        this.#events.outcomes(this, outcomes);
        this.#flush();
      },
      (error: unknown) => {
        // The slot died: its end, which comes before this rejection, has taken care of the batch.
        if (this.host.generation !== generation || codeOf(error) !== 'ORRERY_UNCLONEABLE') return;
        this.#calling = false;
        this.#uncloneable(batch, error);
      },
    );
  }

  /** Nothing of the batch was sent. One bad request must not fail its neighbours: each goes alone. */
  #uncloneable(batch: readonly Delivery[], error: unknown): void {
    this.#sequence -= batch.length;
    const [only] = batch;
    if (batch.length === 1 && only) this.#events.refused(only, error);
    else for (const delivery of batch) this.#call([delivery]);
    this.#flush();
  }

  #request(delivery: Delivery): TurnRequest {
    const { inbound, id, attempts } = delivery;
    this.#sequence += 1;
    delivery.sequence = this.#sequence;
    return {
      id,
      runtime: delivery.runtime ?? '',
      session: inbound.namespace,
      attempt: attempts,
      timeoutMs: this.#timeoutMs,
      stream: delivery.listener?.delta !== undefined,
      message: inbound.message,
      metadata: inbound.metadata,
      ...(inbound.context === undefined ? {} : { context: inbound.context }),
    };
  }
}
