/**
 * Owns the deliveries that may have ended a slot: it runs them one at a time on a slot where nothing else runs, until each is known to be
 * guilty or not. What becomes of a delivery then is the engine's; where the slot comes from is told from outside.
 *
 *   a slot ended and several had begun -> one case; each waits here, holding its session
 *   a trial ends in any outcome        -> innocent, uncounted; the case goes on with the next
 *   a trial ends its slot              -> guilty (suspicion.ts judges): the end is explained, and all others of the case are let go
 *   all came through                   -> nobody is found; whoever restarts the slot hears so
 *
 * The last begun is tried first: nothing begins behind a turn that does not come back to its loop.
 */
import { type OrreryError, type RuntimeId, asOrreryError } from '../../protocol/index.ts';
import type { Delivery } from './delivery.ts';
import type { TurnHost } from './lanes.ts';
import { type LeftDelivery, type RecoveryPlan, type Suspicion, type TrialPlace, planRecovery } from './suspicion.ts';

/** Whom a slot is wanted for. */
export interface TrialRequest {
  /** The replica that the delivery belongs to. */
  readonly runtime: RuntimeId;
  readonly place: TrialPlace;
}

/** A slot that runs this agent and nothing else now. */
export interface Trial {
  readonly host: TurnHost;
  /** The agent's runtime there. */
  readonly runtime: RuntimeId;
}

/** What delivery needs of whoever has slots and agents. */
export interface QuarantineHost {
  /** Gives a slot for one trial. At most one call at a time, none while a trial runs. Rejects when the agent cannot run there. */
  open(request: TrialRequest): Promise<Trial>;
  /** Nobody is left to be tried. */
  rest(): void;
  /** A turn of a replica ended its slot; `poison`: it is given up for that, unless it turns out that it had committed. */
  guilty(runtime: RuntimeId, error: OrreryError, poison: boolean): void;
  /** A turn of a replica that was suspected came through. */
  innocent(runtime: RuntimeId): void;
  /** All who were suspected of a slot's end came through. */
  unexplained(slot: number): void;
}

export interface QuarantineOptions {
  readonly host: () => QuarantineHost;
  /** Begins the turn. */
  readonly run: (delivery: Delivery, trial: Trial) => void;
  /** Places a delivery that is suspected no more. */
  readonly place: (delivery: Delivery) => void;
  /** A trial had no slot; its session is still held. */
  readonly unopened: (delivery: Delivery, error: OrreryError) => void;
}

/** Counts over the life of the process. */
export interface QuarantineSnapshot {
  /** Deliveries that are to be run singly, the running one included. */
  readonly waiting: number;
  /** Turns that were run singly. */
  readonly runs: number;
  /** Those that came through. */
  readonly innocent: number;
  /** Those that ended their slot and became dead letters for that; not those that turned out to have committed, which are answered. */
  readonly poison: number;
}

interface Entry {
  readonly delivery: Delivery;
  readonly runtime: RuntimeId;
}

export class Quarantine {
  readonly #options: QuarantineOptions;
  /** The suspects of each end that is not explained yet, wherever they are. */
  readonly #cases = new Map<Suspicion, Set<Delivery>>();
  #queue: Entry[] = [];
  #current: Entry | undefined;
  /** The last that a trial showed nothing of: it comes next, so that the fresh thread is its own. */
  #repeated: Delivery | undefined;
  #runs = 0;
  #innocent = 0;
  #poison = 0;

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  snapshot(): QuarantineSnapshot {
    const waiting = this.#queue.length + (this.#current ? 1 : 0);
    return { waiting, runs: this.#runs, innocent: this.#innocent, poison: this.#poison };
  }

  /** Ends that are not explained yet. */
  get cases(): number {
    return this.#cases.size;
  }

  /** The replica whose turn is tried now. */
  get trying(): RuntimeId | undefined {
    return this.#current?.runtime;
  }

  /** Opens a case: from now on these run here alone, in whatever order they come. */
  suspect(deliveries: readonly Delivery[], suspicion: Suspicion): void {
    if (deliveries.length === 0) return;
    this.#cases.set(suspicion, new Set(deliveries));
    for (const delivery of deliveries) {
      // Of an end that takes a suspect of another one along, the newer is the one to explain.
      if (delivery.suspicion) this.#leave(delivery);
      delivery.suspicion = suspicion;
    }
  }

  /**
   * Decides how a delivery that an earlier process left is to be run, before it is placed. Each is a case of its own: the end of a process
   * costs too much to be explained by the first that is found. `poison`: it is not to be run.
   */
  recovered(delivery: Delivery, left: LeftDelivery): RecoveryPlan {
    const plan = planRecovery(left);
    if (plan === 'normal' || plan === 'poison') return plan;
    const place = plan === 'quarantine-process' ? 'process' : 'thread';
    this.suspect([delivery], { of: 'process', place, known: false });
    return plan;
  }

  /** Takes a delivery that is its session's turn. One that nobody suspects is of an agent that runs nowhere else. */
  add(delivery: Delivery, runtime: RuntimeId): void {
    if (!delivery.suspicion) this.suspect([delivery], { of: 'agent', place: 'thread', known: false });
    const entry = { delivery, runtime };
    if (delivery === this.#repeated) this.#queue.unshift(entry);
    else this.#queue.push(entry);
    this.#pump();
  }

  /** Forgets a delivery that is over. */
  withdraw(delivery: Delivery): void {
    this.#queue = this.#queue.filter((entry) => entry.delivery !== delivery);
    this.#leave(delivery);
    this.#settle();
  }

  /** Takes out what waits here for a replica that cannot be tried any more, or need not be. */
  take(runtime: RuntimeId): readonly Delivery[] {
    const taken = this.#queue.filter((entry) => entry.runtime === runtime);
    this.#queue = this.#queue.filter((entry) => entry.runtime !== runtime);
    return taken.map(({ delivery }) => delivery);
  }

  /** Lets go of those that are here for their agent's sake alone. */
  release(runtime: RuntimeId): void {
    const taken = this.take(runtime);
    for (const delivery of taken) {
      if (delivery.suspicion?.of === 'agent') this.#leave(delivery);
      this.#options.place(delivery);
    }
  }

  /** The running trial came through. */
  cleared(delivery: Delivery): void {
    const entry = this.#end(delivery);
    const { suspicion } = delivery;
    this.#innocent += 1;
    this.#leave(delivery);
    const host = this.#options.host();
    if (suspicion?.slot !== undefined && !suspicion.known && !this.#cases.has(suspicion)) {
      host.unexplained(suspicion.slot);
    }
    if (entry) host.innocent(entry.runtime);
    this.#settle();
  }

  /** The running trial ended its slot. The others of its case are let go: an end has one cause. */
  guilty(delivery: Delivery, error: OrreryError, poison: boolean): void {
    const entry = this.#end(delivery);
    const { suspicion } = delivery;
    const others = suspicion && !suspicion.known ? [...(this.#cases.get(suspicion) ?? [])] : [];
    if (poison) this.#leave(delivery);
    for (const other of others) if (other !== delivery) this.#letGo(other);
    // What it did is explained by itself now, even if it does not do it again.
    if (!poison && suspicion) this.suspect([delivery], { ...suspicion, known: true });
    if (entry) this.#options.host().guilty(entry.runtime, error, poison);
    this.#settle();
  }

  /** One that was found guilty is given up for it: no commit of it was found. */
  poisoned(): void {
    this.#poison += 1;
  }

  /** The running trial ended and showed nothing: it stays a suspect. */
  inconclusive(delivery: Delivery): void {
    this.#end(delivery);
    this.#repeated = delivery;
    this.#settle();
  }

  #end(delivery: Delivery): Entry | undefined {
    const entry = this.#current;
    if (entry?.delivery !== delivery) return undefined;
    this.#current = undefined;
    return entry;
  }

  #letGo(delivery: Delivery): void {
    const waited = this.#queue.some((entry) => entry.delivery === delivery);
    this.#queue = this.#queue.filter((entry) => entry.delivery !== delivery);
    this.#leave(delivery);
    if (waited) this.#options.place(delivery);
  }

  #leave(delivery: Delivery): void {
    const { suspicion } = delivery;
    if (!suspicion) return;
    delivery.suspicion = undefined;
    const suspects = this.#cases.get(suspicion);
    suspects?.delete(delivery);
    if (suspects?.size === 0) this.#cases.delete(suspicion);
  }

  /** Goes on once the caller has done with the one that ended: its session may bring the next suspect. */
  #settle(): void {
    queueMicrotask(() => {
      this.#pump();
      if (!this.#current) this.#options.host().rest();
    });
  }

  #pump(): void {
    if (this.#current) return;
    // Those who keep an end unexplained go before those whose agent runs nowhere else.
    const first = this.#queue.findIndex(({ delivery }) => delivery.suspicion?.of !== 'agent');
    const [entry] = this.#queue.splice(Math.max(0, first), 1);
    if (!entry) return;
    this.#current = entry;
    const { delivery, runtime } = entry;
    const { host, run, unopened } = this.#options;
    const place = delivery.suspicion?.place ?? 'thread';
    host()
      .open({ runtime, place })
      .then(
        (trial) => {
          // Cancelled, or given up with its agent, while the slot came up.
          if (!delivery.suspicion || delivery.state.status === 'dead') return this.inconclusive(delivery);
          this.#runs += 1;
          this.#repeated = undefined;
          run(delivery, trial);
        },
        (error: unknown) => {
          this.#end(delivery);
          if (delivery.suspicion) unopened(delivery, asOrreryError(error, 'ORRERY_WORKER_EXITED'));
          this.#settle();
        },
      );
  }
}
