/**
 * Owns the agents of a running host: where each replica lives, its state, and what follows when its start fails or its slot
 * ends. It joins pool, supervision and delivery, which do not know each other.
 *
 *   slot ready    -> start the replicas that live there -> lane up
 *   start failed  -> restart tracker: in place now, in place after a delay, or escalated (the lane answers at once)
 *   slot ended    -> the guilty (blamed, else suspects, else all) count a failure; the innocent start again with the slot
 */
import type { Logger } from 'pino';
import {
  type AgentSpec,
  type AgentStartResult,
  type AgentState,
  ERRORS,
  OrreryError,
  type RuntimeId,
  asOrreryError,
  codeOf,
  fromWire,
  toWire,
  transitionAgent,
} from '../../protocol/index.ts';
import type { AgentStatus } from '../api.ts';
import type { ResolvedAgent, ResolvedConfig } from '../config/types.ts';
import type { DeliveryEngine } from '../delivery/index.ts';
import { type Pool, type Slot, type SlotEnd, leastLoaded } from '../pool/index.ts';
import { type RestartPolicy, RestartTracker } from '../supervision/index.ts';
import { type Replica, applyTo, describe, guiltyOf, isLive, isRunning, ownSlot } from './replica.ts';
import { specOf } from './spec.ts';
import { turnHostOf } from './turn-host.ts';

export interface AgentsOptions {
  readonly config: ResolvedConfig;
  readonly pool: Pool;
  readonly engine: DeliveryEngine;
  readonly log: Logger;
  readonly random: () => number;
}

/** Ends of a slot that were asked for: nobody is guilty. */
const INTENDED = new Set(['ORRERY_CLOSED', 'ORRERY_SHUTDOWN_DEADLINE', 'ORRERY_AGENT_STOPPED']);

/** States of a replica that does not come back by itself. */
const GONE: ReadonlySet<AgentState['status']> = new Set(['escalated', 'stopped']);

export class HostedAgents {
  readonly #options: AgentsOptions;
  readonly #replicas = new Map<RuntimeId, Replica>();
  readonly #byNumber = new Map<number, Replica>();
  readonly #bySlot = new Map<Slot, Replica[]>();
  readonly #byAgent = new Map<string, Replica[]>();
  readonly #slotTrackers = new Map<Slot, RestartTracker>();
  readonly #slotTimers = new Set<NodeJS.Timeout>();
  #stopping = false;
  #unusable: OrreryError | undefined;

  constructor(options: AgentsOptions) {
    this.#options = options;
    for (const agent of Object.values(options.config.agents)) {
      for (let i = 1; i <= agent.replicas; i++) this.#add(agent, i === 1 ? agent.name : `${agent.name}#${i}`);
    }
    for (const slot of options.pool.slots) {
      this.#slotTrackers.set(slot, new RestartTracker({ ...this.#policy('permanent'), maxRestarts: Infinity }));
    }
  }

  /** Starts all slots; resolves when every agent has started, failed its first start, or waits to be started again. */
  async start(): Promise<void> {
    const first = [...this.#replicas.values()].map((replica) => this.#expectStart(replica));
    for (const slot of this.#options.pool.slots) slot.start();
    await Promise.allSettled(first);
  }

  /** Why no agent can run here at all: the sessions' file cannot be used. */
  get unusable(): OrreryError | undefined {
    return this.#unusable;
  }

  get names(): ReadonlySet<string> {
    return new Set(this.#byAgent.keys());
  }

  /** The replicas of an agent that may still answer, by their slots. */
  slotsOf(name: string): ReadonlyMap<RuntimeId, Slot> {
    const living = (this.#byAgent.get(name) ?? []).filter(({ state }) => !GONE.has(state.status));
    return new Map(living.map(({ runtime, slot }) => [runtime, slot]));
  }

  list(): readonly AgentStatus[] {
    return [...this.#byAgent.keys()].map((name) => this.#status(name));
  }

  /** Restarts every replica of an agent, one after another: its running turns end first, and its messages wait. */
  async restart(name: string): Promise<AgentStatus> {
    const replicas = this.#byAgent.get(name);
    if (!replicas) throw new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent "${name}"`);
    for (const replica of replicas) {
      replica.restarting ??= this.#restartReplica(replica).finally(() => {
        replica.restarting = undefined;
      });
      await replica.restarting;
    }
    return this.#status(name);
  }

  /** Stops every slot's agents in parallel, each in reverse order of start; true when all ended in time by themselves. */
  async stop(timeoutMs: number): Promise<boolean> {
    this.#stopping = true;
    for (const timer of this.#slotTimers) clearTimeout(timer);
    for (const replica of this.#replicas.values()) {
      clearTimeout(replica.timer);
      replica.starting?.reject(new OrreryError('ORRERY_DRAINING', 'The supervisor stops'));
      applyTo(replica, { type: 'drain' });
    }
    const clean = await Promise.all(this.#options.pool.slots.map((slot) => slot.stop(timeoutMs)));
    for (const replica of this.#replicas.values()) applyTo(replica, { type: 'stopped' });
    return clean.every(Boolean);
  }

  // What the slots tell

  slotReady(slot: Slot): void {
    this.#options.engine.slotUp(turnHostOf(slot));
    const waiting = (this.#bySlot.get(slot) ?? []).filter((r) => r.state.status === 'starting');
    this.#startReplicas(slot, waiting);
  }

  slotExited(slot: Slot, end: SlotEnd): void {
    const { engine, log } = this.#options;
    const replicas = this.#bySlot.get(slot) ?? [];
    // A resident task ends by itself only when it was told to stop.
    const intended = this.#stopping || end.exit === 'clean' || INTENDED.has(end.error.code);
    const blamed = end.blamed === undefined ? undefined : this.#byNumber.get(end.blamed);
    // Before the deliveries are given back: a lane that is up would send them to the dead slot again.
    for (const replica of replicas) if (isLive(replica.state)) engine.roster.waiting(replica.runtime);
    const loss = { error: end.error, blamed: blamed?.runtime, begun: end.begun, intended };
    const suspected = engine.slotDown(slot.number, loss);
    const guilty = new Set(intended ? [] : guiltyOf(replicas, blamed, suspected));
    if (this.#stopping) return;
    const level = intended ? 'info' : 'error';
    log[level]({ slot: slot.label, exit: end.exit, code: end.error.code, blamed: blamed?.runtime }, end.error.message);
    for (const replica of replicas) {
      if (guilty.has(replica)) this.#failed(replica, end.error, end.exitCode === 0 ? 'normal' : 'abnormal');
      else if (isLive(replica.state))
        applyTo(replica, { type: 'failed', error: toWire(end.error) }, { type: 'restart' });
    }
    this.#restartSlot(slot, intended);
  }

  // Starting

  #add(agent: ResolvedAgent, runtime: RuntimeId): void {
    const { pool, engine } = this.#options;
    const slot = agent.isolation === 'shared' ? this.#leastLoaded() : ownSlot(pool, agent, runtime);
    const replica: Replica = {
      agent,
      runtime,
      number: this.#byNumber.size + 1,
      slot,
      tracker: new RestartTracker(this.#policy(agent.restart)),
      state: { status: 'starting' },
      timer: undefined,
      starting: undefined,
      restarting: undefined,
    };
    slot.runtimes.add(runtime);
    engine.roster.add(agent.name, runtime);
    this.#replicas.set(runtime, replica);
    this.#byNumber.set(replica.number, replica);
    push(this.#bySlot, slot, replica);
    push(this.#byAgent, agent.name, replica);
  }

  #leastLoaded(): Slot {
    const { shared } = this.#options.pool;
    const loads = shared.map((slot) => ({
      agents: slot.runtimes.size,
      running: slot.pulse.running,
      utilization: slot.utilization,
    }));
    const slot = shared[leastLoaded(loads)];
    if (!slot) throw new OrreryError('ORRERY_CONFIG_INVALID', 'A shared agent needs `workers.threads` of at least 1');
    return slot;
  }

  /** Two who wait for the same start share its outcome. */
  #expectStart(replica: Replica): Promise<void> {
    if (replica.starting) return replica.starting.promise;
    const starting = Promise.withResolvers<void>();
    starting.promise.catch(() => undefined); // whoever waits hears it; nobody need wait
    replica.starting = starting;
    return starting.promise;
  }

  /** Modules run code of their own at load, and one that hangs must not hold up the others: each goes in its own call. */
  #startReplicas(slot: Slot, replicas: readonly Replica[]): void {
    const modules = replicas.filter((r) => r.agent.source.kind === 'module');
    const others = replicas.filter((r) => r.agent.source.kind !== 'module');
    for (const replica of modules) void this.#call(slot, [replica]);
    if (others.length > 0) void this.#call(slot, others);
  }

  async #call(slot: Slot, replicas: readonly Replica[]): Promise<void> {
    const { generation } = slot;
    const specs: AgentSpec[] = [];
    for (const replica of replicas) {
      specs.push(specOf(replica.agent, replica.runtime, replica.number));
    }
    let results: readonly AgentStartResult[];
    try {
      results = await slot.remote.host.startAgents(specs);
    } catch (error) {
      // When the slot died, its end has been told, and took care of these.
      if (codeOf(error) === 'ORRERY_CALL_DEADLINE')
        for (const replica of replicas) this.#hangs(replica, slot, generation);
      return;
    }
    if (slot.generation !== generation || this.#stopping) return;
    for (const [i, replica] of replicas.entries()) {
      const result = results[i];
      if (result?.ok) this.#started(replica);
      else if (result) this.#failed(replica, fromWire(result.error));
    }
  }

  #started(replica: Replica): void {
    const { engine, log } = this.#options;
    if (!applyTo(replica, { type: 'started' })) return;
    engine.roster.up(replica.runtime, engine.slotUp(turnHostOf(replica.slot)));
    log.debug({ agent: replica.runtime, slot: replica.slot.label }, 'the agent runs');
    replica.starting?.resolve();
    replica.starting = undefined;
  }

  /** Decides what follows a failure of this replica: its own start's, or its slot's end. */
  #failed(replica: Replica, error: OrreryError, end: 'normal' | 'abnormal' = 'abnormal'): void {
    if (!applyTo(replica, { type: 'failed', error: toWire(error) })) return;
    const { engine, log, random } = this.#options;
    if (error.code === 'ORRERY_DATABASE_UNUSABLE') this.#unusable = error;
    engine.roster.waiting(replica.runtime);
    replica.starting?.reject(error);
    replica.starting = undefined;
    // What no second try mends (a module that does not load) is not tried again.
    const final = error.code !== 'ORRERY_INTERNAL' && !ERRORS[error.code].retryable;
    const decision = replica.tracker.ended(end, performance.now(), random());
    if (final || decision.type === 'escalate') return this.#escalate(replica, error, final);
    if (decision.type === 'stop') return this.#stopped(replica, error);
    const { delayMs } = decision;
    log.warn({ agent: replica.runtime, delayMs, err: error }, 'the agent failed and is started again');
    if (delayMs === 0) return this.#again(replica);
    applyTo(replica, { type: 'backoff', restartAt: Date.now() + delayMs });
    clearTimeout(replica.timer);
    replica.timer = setTimeout(() => this.#again(replica), delayMs);
  }

  #again(replica: Replica): void {
    // A start by hand overtakes the one that was planned, which would start the agent a second time.
    clearTimeout(replica.timer);
    replica.timer = undefined;
    if (!applyTo(replica, { type: 'restart' })) return;
    const { slot } = replica;
    if (slot.state.status === 'ready' || slot.state.status === 'unresponsive') this.#startReplicas(slot, [replica]);
    else if (slot.dedicated && slot.state.status === 'exited') this.#startSlot(slot);
  }

  /** A start that never ends is given up, and not tried again: it may still end, and the agent would run twice. */
  #hangs(replica: Replica, slot: Slot, generation: number): void {
    if (slot.generation !== generation || this.#stopping || replica.state.status !== 'starting') return;
    const error = new OrreryError('ORRERY_AGENT_START', `Agent ${replica.agent.name} did not finish its start`);
    applyTo(replica, { type: 'failed', error: toWire(error) });
    replica.starting?.reject(error);
    replica.starting = undefined;
    this.#escalate(replica, error, true);
  }

  #escalate(replica: Replica, cause: OrreryError, final: boolean): void {
    applyTo(replica, { type: 'escalate' });
    const { maxRestarts, periodMs } = this.#options.config.restarts;
    const why = final ? 'cannot start' : `failed more than ${maxRestarts} times in ${periodMs / 1000} s`;
    const error = new OrreryError('ORRERY_AGENT_ESCALATED', `Agent ${replica.agent.name} ${why}: ${cause.message}`, {
      cause,
      details: { agent: replica.agent.name },
    });
    this.#options.log.error({ agent: replica.runtime, err: cause }, error.message);
    this.#options.engine.roster.dead(replica.runtime, toWire(error));
  }

  #stopped(replica: Replica, cause: OrreryError): void {
    applyTo(replica, { type: 'stopped' });
    const error = new OrreryError('ORRERY_AGENT_STOPPED', `Agent ${replica.agent.name} ended and is not restarted`, {
      cause,
      details: { agent: replica.agent.name },
    });
    this.#options.log.warn({ agent: replica.runtime, err: cause }, error.message);
    this.#options.engine.roster.dead(replica.runtime, toWire(error));
  }

  // Restarting

  #restartSlot(slot: Slot, intended: boolean): void {
    const replicas = this.#bySlot.get(slot) ?? [];
    // A dedicated slot lives for its agent: while that one waits or is given up, there is nothing to run.
    if (slot.dedicated && !replicas.some((r) => r.state.status === 'starting')) return;
    const tracker = this.#slotTrackers.get(slot);
    const decision = intended ? undefined : tracker?.ended('abnormal', performance.now(), this.#options.random());
    const delayMs = decision?.type === 'restart' ? decision.delayMs : 0;
    if (delayMs === 0 || slot.dedicated) return this.#startSlot(slot);
    const timer = setTimeout(() => {
      this.#slotTimers.delete(timer);
      this.#startSlot(slot);
    }, delayMs);
    this.#slotTimers.add(timer);
  }

  #startSlot(slot: Slot): void {
    if (this.#stopping || slot.state.status !== 'exited') return;
    slot.restarts += 1;
    slot.start();
  }

  async #restartReplica(replica: Replica): Promise<void> {
    const { engine, config } = this.#options;
    const { slot } = replica;
    clearTimeout(replica.timer);
    replica.tracker.reset();
    engine.roster.waiting(replica.runtime);
    if (slot.dedicated) await slot.stop(config.shutdown.drainMs);
    else if (isRunning(replica.state)) {
      await slot.remote.host.stopAgents([replica.runtime], config.shutdown.drainMs).catch(() => undefined);
    }
    const started = this.#expectStart(replica);
    // After a stop that its slot's end overtook, the replica is being started already.
    if (replica.state.status !== 'starting') this.#again(replica);
    else if (slot.dedicated) this.#startSlot(slot);
    await started.catch((error: unknown) => {
      throw asOrreryError(error, 'ORRERY_AGENT_START');
    });
  }

  #status(name: string): AgentStatus {
    const replicas = this.#byAgent.get(name) ?? [];
    const [first] = replicas;
    return {
      name,
      source: first ? describe(first.agent.source) : '',
      isolation: first?.agent.isolation ?? 'shared',
      replicas: replicas.map((r) => ({ runtime: r.runtime, slot: r.slot.label, state: this.#stateOf(r) })),
      restarts: replicas.reduce((sum, r) => sum + r.tracker.total, 0),
    };
  }

  /** `busy` and `idle` follow from the turns under way: they are derived when asked for, not kept at every turn. */
  #stateOf(replica: Replica): AgentState {
    const running = this.#options.engine.roster.running(replica.runtime);
    return transitionAgent(replica.state, { type: 'turns', running }) ?? replica.state;
  }

  #policy(restart: ResolvedAgent['restart']): RestartPolicy {
    const { maxRestarts, periodMs, resetAfterMs, backoffMinMs, backoffMaxMs, jitter } = this.#options.config.restarts;
    const backoff = { minMs: backoffMinMs, maxMs: backoffMaxMs, jitter };
    return { restart, maxRestarts, periodMs, resetAfterMs, backoff };
  }
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
