/**
 * Owns which runtimes an agent has and which of them can take a turn: it places a delivery on a runtime's lane, begins
 * what the lane's bound allows, hands to quarantine what may not run beside others, and refuses at once what only dead
 * runtimes could take.
 */
import { OrreryError, type RuntimeId, type WireError, toWire } from '../../protocol/index.ts';
import type { Delivery } from './delivery.ts';
import { type LaneStatus, RuntimeLane, type SlotLane } from './lanes.ts';

export interface RosterOptions {
  /** Turns under way at once on one runtime. */
  readonly maxTurns: number;
  readonly pickReplica: (session: string, runtimes: readonly RuntimeId[]) => RuntimeId | undefined;
  readonly begin: (delivery: Delivery, lane: RuntimeLane) => void;
  /** Takes a suspect, or whatever is a quarantined runtime's. */
  readonly quarantine: (delivery: Delivery, runtime: RuntimeId) => void;
  /** Gives what waits in quarantine for a runtime back, to be placed anew. */
  readonly takeBack: (runtime: RuntimeId) => readonly Delivery[];
  readonly refuse: (delivery: Delivery, error: WireError) => void;
}

export class Roster {
  readonly #options: RosterOptions;
  readonly #byRuntime = new Map<RuntimeId, RuntimeLane>();
  readonly #byAgent = new Map<string, RuntimeLane[]>();
  /** The runtimes of each agent that are not dead: found once, not for each message. */
  readonly #living = new Map<string, readonly RuntimeId[]>();

  constructor(options: RosterOptions) {
    this.#options = options;
  }

  /** Makes a runtime known, or one that is dead wait again; its messages wait until it is up. */
  add(agent: string, runtime: RuntimeId): void {
    if (this.#byRuntime.has(runtime)) return this.waiting(runtime);
    const lane = new RuntimeLane(runtime, agent);
    this.#living.delete(agent);
    this.#byRuntime.set(runtime, lane);
    const lanes = this.#byAgent.get(agent);
    if (lanes) lanes.push(lane);
    else this.#byAgent.set(agent, [lane]);
  }

  /** Turns under way on a runtime. */
  running(runtime: RuntimeId): number {
    return this.#byRuntime.get(runtime)?.inFlight ?? 0;
  }

  /** Turns that ended on a runtime and left its slot alive. */
  survived(runtime: RuntimeId): number {
    return this.#byRuntime.get(runtime)?.survived ?? 0;
  }

  up(runtime: RuntimeId, slot: SlotLane): void {
    const lane = this.#byRuntime.get(runtime);
    if (!lane) return;
    this.#become(lane, 'up');
    lane.error = undefined;
    lane.slot = slot;
    this.#pump(lane);
  }

  /** The runtime is being restarted: its messages wait. */
  waiting(runtime: RuntimeId): void {
    const lane = this.#byRuntime.get(runtime);
    if (lane) this.#become(lane, 'waiting');
  }

  /** The runtime takes its slot along: its messages are run in quarantine until one is answered there. */
  apart(runtime: RuntimeId): void {
    const lane = this.#byRuntime.get(runtime);
    if (!lane) return;
    this.#become(lane, 'apart');
    for (const delivery of lane.ready.splice(0)) this.place(delivery);
  }

  /** The runtime comes back no more by itself: what waits for it goes to another replica, or is answered with `error`. */
  dead(runtime: RuntimeId, error: WireError): void {
    const lane = this.#byRuntime.get(runtime);
    if (!lane) return;
    this.#become(lane, 'dead');
    lane.error = error;
    for (const delivery of [...lane.ready.splice(0), ...this.#options.takeBack(runtime)]) this.place(delivery);
  }

  place(delivery: Delivery): void {
    const lane = this.#choose(delivery);
    if (lane.status === 'dead') {
      this.#options.refuse(
        delivery,
        lane.error ?? toWire(new OrreryError('ORRERY_AGENT_STOPPED', `Agent ${delivery.agent} is stopped`)),
      );
      return;
    }
    delivery.runtime = lane.runtime;
    if (delivery.suspicion || lane.status === 'apart') return this.#options.quarantine(delivery, lane.runtime);
    // Past the queue, as in Mailbox.begin.
    if (lane.ready.length === 0 && this.#mayBegin(lane)) return this.#begin(delivery, lane);
    lane.ready.push(delivery);
    this.#pump(lane);
  }

  /** Gives back the turn that a delivery took of its runtime, if it was that one's. */
  finished(delivery: Delivery, survived: boolean): void {
    const lane = delivery.runtime === undefined ? undefined : this.#byRuntime.get(delivery.runtime);
    if (!lane) return;
    lane.inFlight -= 1;
    if (survived) lane.survived += 1;
    if (lane.ready.length > 0) this.#pump(lane);
  }

  /** Takes a delivery out that waits for its runtime. */
  withdraw(delivery: Delivery): void {
    const lane = delivery.runtime === undefined ? undefined : this.#byRuntime.get(delivery.runtime);
    const at = lane?.ready.indexOf(delivery) ?? -1;
    if (at >= 0) lane?.ready.splice(at, 1);
  }

  /** A session stays with its replica as long as that one may come back: moving would cost it its history in memory. */
  #choose(delivery: Delivery): RuntimeLane {
    const { agent, mailbox } = delivery;
    const lanes = this.#byAgent.get(agent) ?? [];
    const [only] = lanes;
    if (lanes.length === 1 && only) return only;
    let living = this.#living.get(agent);
    if (!living) {
      living = lanes.filter((lane) => lane.status !== 'dead').map((lane) => lane.runtime);
      this.#living.set(agent, living);
    }
    // Each change of the living makes a new list of them.
    if (mailbox.among !== living) {
      mailbox.among = living;
      mailbox.replica = this.#options.pickReplica(mailbox.key, living);
    }
    const runtime = mailbox.replica;
    const lane = runtime === undefined ? only : this.#byRuntime.get(runtime);
    if (!lane) throw new OrreryError('ORRERY_INTERNAL', `Agent ${agent} has no runtime`);
    return lane;
  }

  #become(lane: RuntimeLane, status: LaneStatus): void {
    lane.status = status;
    this.#living.delete(lane.agent);
  }

  #pump(lane: RuntimeLane): void {
    while (this.#mayBegin(lane)) {
      const delivery = lane.ready.shift();
      if (!delivery) return;
      this.#begin(delivery, lane);
    }
  }

  #mayBegin({ status, inFlight }: RuntimeLane): boolean {
    return status === 'up' && inFlight < this.#options.maxTurns;
  }

  #begin(delivery: Delivery, lane: RuntimeLane): void {
    lane.inFlight += 1;
    this.#options.begin(delivery, lane);
  }
}
