/**
 * Owns what is made of the agents of a host that runs: one is added, changed, restarted or removed. What happens to one agent
 * happens one after another; different agents do not wait for each other.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { OrreryError, codeOf, toWire } from '../../protocol/index.ts';
import type { ResolvedAgent, ResolvedConfig } from '../config/types.ts';
import type { DeliveryEngine } from '../delivery/index.ts';
import type { Pool, Slot } from '../pool/index.ts';
import { RestartTracker } from '../supervision/index.ts';
import { Coalesced } from './coalesced.ts';
import { type Replica, freeLabel, isGone, leastLoadedSlot, ownSlot, policyOf } from './replica.ts';
import type { Replicas } from './replicas.ts';
import type { Swaps } from './swaps.ts';

/** How often an agent that is removed is looked at, in milliseconds, whether it has answered all. */
const BUSY_LOOK_MS = 20;

export interface AgentChangesOptions {
  readonly config: ResolvedConfig;
  readonly pool: Pool;
  readonly engine: DeliveryEngine;
  readonly log: Logger;
  readonly replicas: Replicas;
  readonly swaps: Swaps;
  readonly isStopping: () => boolean;
  /** Starts a replica that was made; rejects with what its start threw. */
  readonly start: (replica: Replica) => Promise<void>;
  /** Starts a replica in its place that was given up: it goes on by its restart policy. */
  readonly revive: (replica: Replica) => void;
}

export class AgentChanges {
  readonly #options: AgentChangesOptions;
  /** The last change of each agent; never rejects. */
  readonly #last = new Map<string, Promise<unknown>>();
  readonly #restarts = new Map<string, Coalesced<void>>();
  /** Modules that some thread of this process was given. */
  readonly #modules = new Set<string>();

  constructor(options: AgentChangesOptions) {
    this.#options = options;
  }

  /** Makes the replicas of an agent, which are not started yet. */
  make(agent: ResolvedAgent): readonly Replica[] {
    const isKnown = this.#isKnown(agent);
    return Array.from({ length: agent.replicas }, (_, i) => this.#make(agent, i + 1, isKnown));
  }

  /** Rejects with `ORRERY_AGENT_UNKNOWN`, and with what its start threw: then what ran goes on. */
  restart(name: string): Promise<void> {
    const { replicas } = this.#options;
    if (replicas.of(name).length === 0) return Promise.reject(unknown(name));
    let restarts = this.#restarts.get(name);
    if (!restarts) this.#restarts.set(name, (restarts = new Coalesced()));
    return restarts.run(() =>
      this.#inTurn(name, async () => {
        const all = replicas.of(name);
        if (all.length === 0) throw unknown(name);
        for (const replica of all) await this.#renew(replica);
      }),
    );
  }

  /** Where nothing serves that could go on, a start that failed and may not fail again is its restart policy's to repeat. */
  async #renew(replica: Replica): Promise<void> {
    const { swaps, revive } = this.#options;
    try {
      await swaps.swap(replica, replica.agent);
    } catch (error) {
      const code = codeOf(error);
      if (isGone(replica.state) && code === 'ORRERY_AGENT_START') revive(replica);
      throw error;
    }
  }

  /** Adds an agent. Rejects with what its start threw; it is there all the same, and goes on by its restart policy. */
  add(agent: ResolvedAgent): Promise<void> {
    return this.#inTurn(agent.name, async () => {
      await Promise.all(this.make(agent).map((replica) => this.#options.start(replica)));
    });
  }

  /** Brings an agent into another form. Rejects with what its start threw; a replica that is not replaced then goes on as it was. */
  change(agent: ResolvedAgent): Promise<void> {
    const { replicas, swaps, engine, config } = this.#options;
    return this.#inTurn(agent.name, async () => {
      const before = replicas.of(agent.name);
      for (const replica of before.slice(0, agent.replicas)) await swaps.swap(replica, agent);
      for (let i = before.length + 1; i <= agent.replicas; i++) await this.#options.start(this.#make(agent, i, true));
      for (const replica of before.slice(agent.replicas)) {
        engine.roster.dead(replica.runtime, toWire(removed(agent.name)));
        void swaps.remove(replica, config.delivery.turnTimeoutMs);
      }
    });
  }

  /**
   * Removes an agent that is given no new messages any more. What it has accepted is answered within `shutdown.drainMs`; the rest is
   * told so, and becomes dead letters (`agent-stopped`).
   */
  remove(name: string): Promise<void> {
    const { replicas, swaps, engine, config, log } = this.#options;
    return this.#inTurn(name, async () => {
      const until = performance.now() + config.shutdown.drainMs;
      while (engine.isBusy(name) && performance.now() < until && !this.#options.isStopping()) await delay(BUSY_LOOK_MS);
      // The supervisor's own stop keeps what is left for the next start.
      if (this.#options.isStopping()) return;
      const all = replicas.of(name);
      const isBusy = engine.isBusy(name);
      if (isBusy) log.warn({ agent: name }, 'an agent that is removed did not answer all in time');
      for (const { runtime } of all) engine.roster.dead(runtime, toWire(removed(name)));
      await Promise.all(all.map((replica) => swaps.remove(replica, isBusy ? 0 : config.shutdown.hostMs)));
      this.#restarts.delete(name);
    });
  }

  #make(agent: ResolvedAgent, index: number, isKnown: boolean): Replica {
    const { pool, engine, config, replicas } = this.#options;
    const runtime = index === 1 ? agent.name : `${agent.name}#${index}`;
    const slot = agent.isolation === 'shared' ? this.#sharedSlot(agent, isKnown) : ownSlot(pool, agent, runtime);
    if (agent.source.kind === 'module') this.#modules.add(agent.source.path);
    engine.roster.add(agent.name, runtime);
    return replicas.add(agent, runtime, slot, new RestartTracker(policyOf(config, agent.restart)));
  }

  /** Whether a thread of this process may have loaded the agent's module, perhaps before an edit. */
  #isKnown({ source }: ResolvedAgent): boolean {
    return source.kind === 'module' && this.#modules.has(source.path);
  }

  #sharedSlot({ name, source }: ResolvedAgent, isKnown: boolean): Slot {
    const { pool } = this.#options;
    const isRunning = pool.shared.some(({ generation }) => generation > 0);
    if (!isRunning || !isKnown || source.kind !== 'module') return leastLoadedSlot(pool);
    return pool.further(freeLabel(pool, `shared-${name}`));
  }

  #inTurn(name: string, work: () => Promise<void>): Promise<void> {
    const last = this.#last.get(name) ?? Promise.resolve();
    const done = last.then(() => {
      if (this.#options.isStopping()) throw new OrreryError('ORRERY_DRAINING', 'The supervisor stops');
      return work();
    });
    const settled = done
      .catch(() => undefined)
      .then(() => {
        if (this.#last.get(name) === settled) this.#last.delete(name);
      });
    this.#last.set(name, settled);
    return done;
  }
}

function unknown(name: string): OrreryError {
  return new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent "${name}"`);
}

function removed(name: string): OrreryError {
  return new OrreryError('ORRERY_AGENT_STOPPED', `Agent ${name} was taken out of the configuration`, {
    details: { agent: name },
  });
}
