/**
 * Owns how a replica is replaced while it serves: its next form starts beside it, takes over at one moment, and the earlier one
 * finishes its turns. A module cannot be unloaded from a thread, so that code of the agent's own starts in a new one.
 *
 *   start on a new slot   -> it fails: reported, the new slot goes, and nothing has changed
 *   take over             -> new turns go to the new slot; a session's next turn waits for its running one, wherever that runs
 *   retire                -> turns end by themselves or at their deadline; an own slot that is empty then is taken away
 *
 * Both forms commit meanwhile: each start has an owner of its own in the session store, and the earlier one is not fenced out.
 */
import type { Logger } from 'pino';
import { OrreryError, asOrreryError, fromWire } from '../../protocol/index.ts';
import type { ResolvedAgent, ResolvedConfig } from '../config/types.ts';
import type { DeliveryEngine } from '../delivery/index.ts';
import { type Pool, type Slot, leastLoaded } from '../pool/index.ts';
import { RestartTracker } from '../supervision/index.ts';
import { type Replica, applyTo, freeLabel, ownSlot, policyOf } from './replica.ts';
import type { Replicas } from './replicas.ts';
import { specOf } from './spec.ts';
import { turnHostOf } from './turn-host.ts';

/** Earlier forms of one replica that may still finish turns; one more swap waits until one of them has. */
export const MAX_RETIRING = 4;
/** A turn is aborted at its own deadline; past that its slot is ended. */
const RETIRE_MARGIN_MS = 2_000;

export interface SwapsOptions {
  readonly config: ResolvedConfig;
  readonly pool: Pool;
  readonly engine: DeliveryEngine;
  readonly log: Logger;
  readonly replicas: Replicas;
  readonly isStopping: () => boolean;
  /** Hears that an agent has another form now. */
  readonly swapped: (replica: Replica) => void;
}

export class Swaps {
  readonly #options: SwapsOptions;
  /** New slots on which nothing lives yet. */
  readonly #fresh = new Map<Slot, PromiseWithResolvers<void>>();
  /** Slots that are not started again. */
  readonly #leaving = new Set<Slot>();

  constructor(options: SwapsOptions) {
    this.#options = options;
  }

  /**
   * Brings a replica into another form, or into the same one anew. Resolves when that serves; rejects with what its start threw,
   * and then the earlier one goes on as if nothing had been.
   */
  async swap(replica: Replica, agent: ResolvedAgent): Promise<void> {
    const { retiring } = replica;
    while (retiring.size >= MAX_RETIRING) await Promise.race([...retiring.values()].map(({ done }) => done));
    this.#checkRunning();
    const slot = this.#place(replica, agent);
    const owner = freeOwner(replica);
    try {
      await this.#up(slot);
      const spec = specOf(agent, replica.runtime, replica.number, owner);
      const [result] = await slot.remote.host.startAgents([spec]);
      if (result?.ok === false) throw fromWire(result.error);
      this.#checkRunning();
    } catch (error) {
      this.#discard(slot);
      throw asOrreryError(error, 'ORRERY_AGENT_START');
    }
    this.#fresh.delete(slot);
    this.#takeOver(replica, agent, slot, owner);
  }

  /** Takes a replica out of service that gets no new turns any more. Resolves when nothing of it is left. */
  async remove(replica: Replica, timeoutMs: number): Promise<void> {
    const { slot, owner, runtime, retiring } = replica;
    clearTimeout(replica.timer);
    applyTo(replica, { type: 'drain' });
    replica.starting?.reject(new OrreryError('ORRERY_AGENT_STOPPED', `Agent ${replica.agent.name} was removed`));
    this.#options.replicas.remove(replica);
    this.#options.engine.moved(slot.number, runtime);
    this.#retire(replica, slot, owner, timeoutMs);
    await Promise.all([...retiring.values()].map(({ done }) => done));
  }

  /** Whether a slot that came up is one that nothing lives on yet. */
  ready(slot: Slot): boolean {
    const coming = this.#fresh.get(slot);
    coming?.resolve();
    return coming !== undefined;
  }

  /** Whether a slot that ended is not to be started again. */
  exited(slot: Slot, error: OrreryError): boolean {
    const coming = this.#fresh.get(slot);
    coming?.reject(error);
    return coming !== undefined || this.isGone(slot);
  }

  isGone(slot: Slot): boolean {
    return this.#leaving.has(slot) || !this.#options.pool.slots.includes(slot);
  }

  /** A module gets a thread of its own; what is the host's own code, or a model without any, goes to one that is there. */
  #place(replica: Replica, agent: ResolvedAgent): Slot {
    const { pool, config } = this.#options;
    if (agent.isolation !== 'shared') return this.#noted(ownSlot(pool, agent, replica.runtime));
    // In memory a thread that comes again would bring a past of the session that is not its newest.
    const mayShare = agent.source.kind !== 'module' && config.sessions.store === 'sqlite';
    const known = mayShare ? freestBut(pool, replica) : undefined;
    return known ?? this.#noted(pool.further(freeLabel(pool, `shared-${replica.runtime}`)));
  }

  #noted(slot: Slot): Slot {
    const coming = Promise.withResolvers<void>();
    coming.promise.catch(() => undefined); // whoever waits for it hears it
    this.#fresh.set(slot, coming);
    return slot;
  }

  async #up(slot: Slot): Promise<void> {
    const coming = this.#fresh.get(slot);
    if (!coming) return;
    slot.start();
    await coming.promise;
  }

  #discard(slot: Slot): void {
    if (!this.#fresh.has(slot)) return;
    this.#leaving.add(slot);
    slot.kill(new OrreryError('ORRERY_AGENT_STOPPED', `What was to run on slot ${slot.label} did not start`));
    void slot.ended.then(() => this.#takeAway(slot));
  }

  #takeOver(replica: Replica, agent: ResolvedAgent, slot: Slot, owner: string): void {
    const { engine, replicas, config, log, swapped } = this.#options;
    const { slot: earlier, owner: earlierOwner, runtime } = replica;
    clearTimeout(replica.timer);
    replica.timer = undefined;
    // A person asked for it: the past is forgotten.
    if (replica.agent.restart === agent.restart) replica.tracker.reset();
    else replica.tracker = new RestartTracker(policyOf(config, agent.restart));
    replica.poisons = 0;
    replica.agent = agent;
    replica.owner = owner;
    replicas.move(replica, slot);
    engine.roster.waiting(runtime);
    engine.quarantine.release(runtime);
    applyTo(replica, { type: 'restart' }, { type: 'started' });
    engine.roster.up(runtime, engine.slotUp(turnHostOf(slot)));
    engine.moved(earlier.number, runtime);
    replica.starting?.resolve();
    replica.starting = undefined;
    swapped(replica);
    log.info(
      { agent: runtime, from: earlier.label, to: slot.label },
      'the agent runs anew; what ran finishes its turns',
    );
    this.#retire(replica, earlier, earlierOwner, config.delivery.turnTimeoutMs);
  }

  #retire({ runtime, retiring }: Replica, slot: Slot, owner: string, timeoutMs: number): void {
    const isLast = slot.runtimes.size === 0 && this.#options.pool.isRemovable(slot);
    if (isLast) this.#leaving.add(slot);
    const done = (isLast ? this.#end(slot, timeoutMs) : stopOn(slot, runtime, timeoutMs)).then(() => {
      retiring.delete(owner);
    });
    retiring.set(owner, { slot, done });
  }

  async #end(slot: Slot, timeoutMs: number): Promise<void> {
    await slot.stop(timeoutMs + RETIRE_MARGIN_MS);
    this.#takeAway(slot);
  }

  #takeAway(slot: Slot): void {
    const { engine, pool, log } = this.#options;
    engine.slotGone(slot.number);
    const removed = pool.remove(slot);
    this.#leaving.delete(slot);
    this.#fresh.delete(slot);
    removed.catch((error: unknown) => log.warn({ err: error, slot: slot.label }, 'a thread did not end in order'));
  }

  #checkRunning(): void {
    if (this.#options.isStopping()) throw new OrreryError('ORRERY_DRAINING', 'The supervisor stops');
  }
}

/** Names that are in use are those of starts that live: their number is bounded, and so is the store's table of them. */
function freeOwner({ runtime, owner, retiring }: Replica): string {
  for (let n = 0; ; n++) {
    const name = n === 0 ? runtime : `${runtime}~${n}`;
    if (name !== owner && !retiring.has(name)) return name;
  }
}

/** The least loaded shared slot that is up and has no form of this replica. */
function freestBut({ shared }: Pool, { slot, retiring }: Replica): Slot | undefined {
  const had = new Set([slot, ...[...retiring.values()].map((one) => one.slot)]);
  const free = shared.filter((other) => other.state.status === 'ready' && !had.has(other));
  const loads = free.map(({ runtimes, pulse, utilization }) => {
    return { agents: runtimes.size, running: pulse.running, utilization };
  });
  return free[leastLoaded(loads)];
}

/** A slot that ended has nothing left to stop. */
async function stopOn(slot: Slot, runtime: string, timeoutMs: number): Promise<void> {
  if (slot.state.status !== 'ready' && slot.state.status !== 'unresponsive') return;
  await slot.remote.host.stopAgents([runtime], timeoutMs).catch(() => undefined);
}
