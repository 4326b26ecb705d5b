/**
 * Owns the agents of a running host: the state of each replica, and what follows when its start fails or its slot ends. It joins
 * pool, supervision and delivery, which do not know each other.
 *
 *   slot ready    -> start the replicas that live there -> lane up
 *   start failed  -> restart tracker: in place now, in place after a delay, or escalated (the lane answers at once)
 *   slot ended    -> the guilty (charges.ts) count a failure; the innocent start again with the slot
 *   trial ended   -> a guilty one counts a failure where it lives; poison after poison: quarantined, then escalated
 *   nobody found  -> the next such end divides the slot's agents among two
 *   asked for     -> the next form starts beside the one that serves (swaps.ts)
 */
import type { Logger } from 'pino';
import { ERRORS, OrreryError, type RuntimeId, toWire } from '../../protocol/index.ts';
import type { AgentStatus } from '../api.ts';
import type { ResolvedConfig } from '../config/types.ts';
import type { DeliveryEngine, Findings } from '../delivery/index.ts';
import type { Pool, Slot, SlotEnd } from '../pool/index.ts';
import { AgentChanges } from './agent-changes.ts';
import { type Charges, chargesOf } from './charges.ts';
import { type Replica, applyTo, freeLabel, isGone, isLive, policyOf, statusOfAgent } from './replica.ts';
import { Replicas } from './replicas.ts';
import { SlotRestarts } from './slot-restarts.ts';
import { startReplicas } from './starts.ts';
import { Swaps } from './swaps.ts';
import { turnHostOf } from './turn-host.ts';
import { Verdicts } from './verdicts.ts';

export interface AgentsOptions {
  readonly config: ResolvedConfig;
  readonly pool: Pool;
  readonly engine: DeliveryEngine;
  readonly log: Logger;
  readonly random: () => number;
}

/** Ends of a slot that were asked for: nobody is guilty. */
const INTENDED = new Set(['ORRERY_CLOSED', 'ORRERY_SHUTDOWN_DEADLINE', 'ORRERY_AGENT_STOPPED']);

const CANNOT_START = 'cannot start';
const NOBODY: Charges = { guilty: [], divide: [] };

export class HostedAgents {
  readonly #options: AgentsOptions;
  readonly #replicas = new Replicas();
  readonly #slots: SlotRestarts;
  readonly #swaps: Swaps;
  /** What a person or a new configuration makes of the agents while they run. */
  readonly changes: AgentChanges;
  /** What delivery asks of quarantine, and tells of it. */
  readonly quarantine: Verdicts;
  #stopping = false;
  #unusable: OrreryError | undefined;

  constructor(options: AgentsOptions) {
    this.#options = options;
    const { config, random } = options;
    this.#slots = new SlotRestarts({
      policy: policyOf(config, 'permanent'),
      random,
      replicasOf: (slot) => this.#replicas.on(slot),
      isGone: (slot) => this.#swaps.isGone(slot),
    });
    this.#swaps = new Swaps({
      ...options,
      replicas: this.#replicas,
      isStopping: () => this.#stopping,
      swapped: () => this.quarantine.outdated(),
    });
    this.quarantine = new Verdicts({
      ...options,
      find: (runtime) => this.#replicas.find(runtime),
      escalate: (replica, cause, why) => this.#escalate(replica, cause, why),
      stopped: (replica, cause) => this.#stopped(replica, cause),
      again: (replica) => this.#again(replica),
    });
    this.changes = new AgentChanges({
      ...options,
      replicas: this.#replicas,
      swaps: this.#swaps,
      isStopping: () => this.#stopping,
      start: (replica) => this.#startNew(replica),
      revive: (replica) => this.#revive(replica),
    });
    for (const agent of Object.values(options.config.agents)) this.changes.make(agent);
  }

  /** Starts all slots; resolves when every agent has started, failed its first start, or waits to be started again. */
  async start(): Promise<void> {
    const first = [...this.#replicas.all].map((replica) => this.#expectStart(replica));
    for (const slot of this.#options.pool.slots) slot.start();
    await Promise.allSettled(first);
  }

  /** Why no agent can run here at all: the sessions' file cannot be used. */
  get unusable(): OrreryError | undefined {
    return this.#unusable;
  }

  get names(): ReadonlySet<string> {
    return this.#replicas.names;
  }

  /** The replicas of an agent that may still answer, by their slots. */
  slotsOf(name: string): ReadonlyMap<RuntimeId, Slot> {
    const living = this.#replicas.of(name).filter(({ state }) => !isGone(state));
    return new Map(living.map(({ runtime, slot }) => [runtime, slot]));
  }

  list(): readonly AgentStatus[] {
    return [...this.names].map((name) => this.#status(name));
  }

  /** Starts every replica of an agent anew, one after another, while the one before it finishes its turns. */
  async restart(name: string): Promise<AgentStatus> {
    await this.changes.restart(name);
    return this.#status(name);
  }

  /** Stops every slot's agents in parallel, each in reverse order of start; true when all ended in time by themselves. */
  async stop(timeoutMs: number): Promise<boolean> {
    this.#stopping = true;
    this.quarantine.close();
    this.#slots.close();
    for (const replica of this.#replicas.all) {
      clearTimeout(replica.timer);
      replica.starting?.reject(new OrreryError('ORRERY_DRAINING', 'The supervisor stops'));
      applyTo(replica, { type: 'drain' });
    }
    const clean = await Promise.all(this.#options.pool.slots.map((slot) => slot.stop(timeoutMs)));
    for (const replica of this.#replicas.all) applyTo(replica, { type: 'stopped' });
    return clean.every(Boolean);
  }

  // What the slots tell

  slotReady(slot: Slot): void {
    if (slot.quarantine) return this.quarantine.ready();
    if (this.#swaps.ready(slot)) return;
    this.#options.engine.slotUp(turnHostOf(slot));
    const waiting = this.#replicas.on(slot).filter((r) => r.state.status === 'starting');
    this.#startReplicas(slot, waiting);
  }

  slotExited(slot: Slot, end: SlotEnd): void {
    const { engine, log } = this.#options;
    const replicas = this.#replicas.on(slot);
    // A resident task ends by itself only when it was told to stop.
    const intended = this.#stopping || end.exit === 'clean' || INTENDED.has(end.error.code);
    const blamed = this.#replicas.numbered(end.blamed);
    // Before the deliveries are given back: a lane that is up would send them to the dead slot again.
    for (const replica of replicas) if (isLive(replica.state)) engine.roster.waiting(replica.runtime);
    const { error, begun, blamedTurns } = end;
    const loss = { error, blamed: blamed?.runtime, blamedTurns, begun, own: slot.dedicated, intended };
    if (slot.quarantine) {
      this.quarantine.exited(end);
      engine.trialDown(slot.number, loss);
      if (!intended) log.warn({ slot: slot.label, exit: end.exit, code: end.error.code }, end.error.message);
      return;
    }
    const findings = engine.slotDown(slot.number, loss);
    const isOver = this.#swaps.exited(slot, error);
    const again = this.quarantine.isUnexplained(slot);
    const { guilty, divide } = intended ? NOBODY : chargesOf({ replicas, blamed, findings, again });
    if (this.#stopping) return;
    if (!intended) this.quarantine.explained(slot, guilty.length > 0 || findings.suspects > 0);
    const level = intended ? 'info' : 'error';
    const { suspects } = findings;
    log[level](
      { slot: slot.label, exit: end.exit, code: error.code, blamed: blamed?.runtime, suspects },
      error.message,
    );
    for (const replica of replicas) {
      if (guilty.includes(replica)) this.#charge(replica, error, end.exitCode === 0 ? 'normal' : 'abnormal', findings);
      else if (isLive(replica.state))
        applyTo(replica, { type: 'failed', error: toWire(end.error) }, { type: 'restart' });
    }
    if (isOver) return;
    if (divide.length > 1) this.#divide(slot, divide);
    this.#slots.restart(slot, intended);
  }

  // Starting

  /** Starts one that was added while the host runs; rejects with what its start threw, and it goes on by its restart policy. */
  #startNew(replica: Replica): Promise<void> {
    const started = this.#expectStart(replica);
    const { slot } = replica;
    if (slot.state.status === 'exited' && this.#options.pool.isRemovable(slot)) slot.start();
    else this.#startAt(replica, slot);
    return started;
  }

  #revive(replica: Replica): void {
    replica.tracker.reset();
    replica.poisons = 0;
    this.#options.engine.roster.waiting(replica.runtime);
    this.#again(replica);
  }

  /** Two who wait for the same start share its outcome. */
  #expectStart(replica: Replica): Promise<void> {
    if (replica.starting) return replica.starting.promise;
    const starting = Promise.withResolvers<void>();
    starting.promise.catch(() => undefined); // whoever waits hears it; nobody need wait
    replica.starting = starting;
    return starting.promise;
  }

  #startReplicas(slot: Slot, replicas: readonly Replica[]): void {
    startReplicas(slot, replicas, {
      isOver: () => this.#stopping,
      started: (replica) => this.#started(replica),
      failed: (replica, error) => this.#failed(replica, error),
      hangs: (replica) => this.#hangs(replica),
    });
  }

  #started(replica: Replica): void {
    const { engine, log } = this.#options;
    if (!applyTo(replica, { type: 'started' })) {
      // Given up, or quarantined, while it started.
      void replica.slot.remote.host.stopAgents([replica.runtime], 0).catch(() => undefined);
      return;
    }
    engine.roster.up(replica.runtime, engine.slotUp(turnHostOf(replica.slot)));
    log.debug({ agent: replica.runtime, slot: replica.slot.label }, 'the agent runs');
    replica.starting?.resolve();
    replica.starting = undefined;
  }

  /** Counts an end of its slot against a replica. */
  #charge(replica: Replica, error: OrreryError, end: 'normal' | 'abnormal', { guilty, poison }: Findings): void {
    const sentence = poison && guilty === replica.runtime ? this.quarantine.sentence(replica) : 'restart';
    if (sentence === 'escalate') {
      applyTo(replica, { type: 'failed', error: toWire(error) });
      this.#escalate(replica, error, this.quarantine.reason);
    } else this.#failed(replica, error, end, sentence === 'quarantine');
  }

  /** Decides what follows a failure of this replica: its own start's, or its slot's end. */
  #failed(replica: Replica, error: OrreryError, end: 'normal' | 'abnormal' = 'abnormal', apart = false): void {
    if (!applyTo(replica, { type: 'failed', error: toWire(error) })) return;
    const { engine, log, random } = this.#options;
    if (error.code === 'ORRERY_DATABASE_UNUSABLE') this.#unusable = error;
    engine.roster.waiting(replica.runtime);
    replica.starting?.reject(error);
    replica.starting = undefined;
    // What no second try mends (a module that does not load) is not tried again.
    const final = error.code !== 'ORRERY_INTERNAL' && !ERRORS[error.code].retryable;
    const decision = replica.tracker.ended(end, performance.now(), random());
    if (final) return this.#escalate(replica, error, CANNOT_START);
    if (decision.type === 'escalate') return this.#escalate(replica, error);
    if (decision.type === 'stop') return this.#stopped(replica, error);
    if (apart) return this.quarantine.isolate(replica, error);
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
    const { slot, leaving } = replica;
    // Its stop there is under way: a start that overtakes it would be refused.
    if (leaving) void leaving.then(() => this.#startAt(replica, slot));
    else this.#startAt(replica, slot);
  }

  #startAt(replica: Replica, slot: Slot): void {
    if (replica.state.status !== 'starting' || replica.slot !== slot) return;
    if (slot.state.status === 'ready' || slot.state.status === 'unresponsive') this.#startReplicas(slot, [replica]);
    else if (slot.dedicated && slot.state.status === 'exited') this.#slots.start(slot);
  }

  /** A start that never ends is given up, and not tried again: it may still end, and the agent would run twice. */
  #hangs(replica: Replica): void {
    if (replica.state.status !== 'starting') return;
    const error = new OrreryError('ORRERY_AGENT_START', `Agent ${replica.agent.name} did not finish its start`);
    applyTo(replica, { type: 'failed', error: toWire(error) });
    replica.starting?.reject(error);
    replica.starting = undefined;
    this.#escalate(replica, error, CANNOT_START);
  }

  #often(): string {
    const { maxRestarts, periodMs } = this.#options.config.restarts;
    return `failed more than ${maxRestarts} times in ${periodMs / 1000} s`;
  }

  #escalate(replica: Replica, cause: OrreryError, why: string = this.#often()): void {
    applyTo(replica, { type: 'escalate' });
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

  // Dividing

  /** Half of those who may have ended a slot, and nobody knows who, move to a further one. */
  #divide(slot: Slot, candidates: readonly Replica[]): void {
    const { pool, log } = this.#options;
    const moved = candidates.slice(0, candidates.length >> 1);
    const further = pool.further(freeLabel(pool, slot.label));
    for (const replica of moved) this.#replicas.move(replica, further);
    // Whoever it was, both are under suspicion.
    this.quarantine.explained(further, false);
    log.warn(
      { slot: slot.label, moved: moved.map(({ runtime }) => runtime), to: further.label },
      'the agents of a slot that keeps ending are divided',
    );
    further.start();
  }

  #status(name: string): AgentStatus {
    const { roster } = this.#options.engine;
    return statusOfAgent(name, this.#replicas.of(name), (runtime) => roster.running(runtime));
  }
}
