/**
 * Owns the composition root: it wires pool, agents, delivery and channels together, starts them in that order, and stops
 * them under one deadline.
 *
 *   drain:  refuse new messages -> finish accepted turns (drainMs) -> abort what is left -> stop agents (hostMs, slots in
 *           parallel, agents in reverse order of start) -> tell the senders of what was cut off -> close channels and pool
 */
import { join } from 'node:path';
import { setImmediate as nextTick } from 'node:timers/promises';
import { pino, type Logger } from 'pino';
import { type DeliveredReply, type InboundMessage, OrreryError, type ResidentTask } from '../protocol/index.ts';
import type {
  Agents,
  ChannelManagers,
  DeadLetters,
  DrainReport,
  Readiness,
  ReloadReport,
  Status,
  Supervisor,
  SupervisorState,
} from './api.ts';
import { type OrreryConfig, type ResolvedConfig, resolveConfig } from './config/index.ts';
import { Account, AdmissionControl, DeliveryEngine, Intake, type Journal, nobody } from './delivery/index.ts';
import { ChildrenFile, endLeftovers } from './ops/children.ts';
import { type DataDirLock, lockDataDir } from './ops/lock.ts';
import { LoopDelay } from './ops/loop-delay.ts';
import { Metrics } from './ops/metrics.ts';
import { VERSION } from './ops/version.ts';
import { Pool, rendezvous } from './pool/index.ts';
import { adaptersFor } from './wiring/adapters.ts';
import { HostedAgents } from './wiring/agents.ts';
import { HostedChannels } from './wiring/channels.ts';
import { gatewayHostOf } from './wiring/gateway-host.ts';
import { loadImages } from './wiring/images.ts';
import { Injection } from './wiring/injection.ts';
import { journalOf } from './wiring/journal.ts';
import { Monitor, tooManyZombies } from './wiring/monitor.ts';
import { Recovery } from './wiring/recovery.ts';
import { HostedSessions, sessionsTaskOf } from './wiring/sessions.ts';
import type { SupervisorOptions } from './wiring/options.ts';
import { Reloads } from './wiring/reloads.ts';
import { slotEventsOf } from './wiring/slot-events.ts';
import { readinessOf, statusOf } from './wiring/status.ts';
import { LazyTokenPool } from './wiring/tokens.ts';
import { within } from './wiring/within.ts';

export type { SupervisorOptions } from './wiring/options.ts';

/** How long turns that were aborted, and errors on their way to their senders, are waited for, in milliseconds. */
const ABORT_GRACE_MS = 1_000;
/** Sends of one reply before it is undeliverable. */
const MAX_SENDS = 5;

/**
 * Makes a supervisor from a configuration; `start()` runs it. Rejects with `ORRERY_CONFIG_INVALID`, which lists everything
 * that is wrong, or `ORRERY_OPEN_BIND`.
 */
export function createSupervisor(config: OrreryConfig, options: SupervisorOptions = {}): Promise<Supervisor> {
  return new Promise((resolve) => {
    const resolved = options.resolved ?? resolveConfig(config, { dir: options.dir ?? process.cwd() });
    resolve(new Host(resolved, options));
  });
}

class Host implements Supervisor {
  readonly #config: ResolvedConfig;
  readonly #log: Logger;
  readonly #account = new Account();
  readonly #admission: AdmissionControl;
  readonly #journal: Journal;
  readonly #recovery: Recovery;
  readonly #pool: Pool;
  readonly #engine: DeliveryEngine;
  readonly #intake: Intake;
  readonly #agents: HostedAgents;
  readonly sessions: HostedSessions;
  readonly #channels: HostedChannels;
  readonly #reloads: Reloads;
  readonly #monitor: Monitor;
  readonly #metrics: Metrics;
  readonly #loopDelay = new LoopDelay();
  readonly #tokens: LazyTokenPool;
  readonly #injection: Injection;
  readonly #locksDir: boolean;
  #lock: DataDirLock | undefined;
  #images: ResidentTask['images'] = {};
  #state: SupervisorState = 'idle';
  #startedAt = 0;
  #draining: Promise<DrainReport> | undefined;
  readonly #drained = Promise.withResolvers<DrainReport>();
  #closing: Promise<void> | undefined;

  constructor(config: ResolvedConfig, options: SupervisorOptions) {
    const { log = pino({ enabled: false }), onFatal, locked = false } = options;
    this.#config = config;
    this.#log = log;
    const { delivery, workers, restarts, shutdown } = config;
    const keepsFiles = delivery.journal === 'sqlite' || config.sessions.store === 'sqlite';
    this.#locksDir = keepsFiles && !locked;
    const journal = journalOf(config, log);
    this.#journal = journal;
    this.#admission = new AdmissionControl({
      ...delivery,
      finished: () => this.#account.answered + this.#account.dead,
      appends: () => journal.lag.appends,
    });
    this.#pool = new Pool({
      threads: workers.threads,
      ...(workers.maxHeapMb === undefined ? {} : { maxHeapMb: workers.maxHeapMb }),
      heartbeatMs: workers.heartbeatMs,
      turnTimeoutMs: delivery.turnTimeoutMs,
      sessions: sessionsTaskOf(config),
      images: () => this.#images,
      children: new ChildrenFile(config.dataDir, log),
      workerLog: { ...config.log, level: log.isLevelEnabled('fatal') ? config.log.level : 'silent' },
      events: slotEventsOf(
        () => this.#agents,
        () => this.#engine,
        log,
      ),
      log,
      // A thread that comes up after a crash loads its code in half the time when it was compiled before.
      env: { NODE_COMPILE_CACHE: join(config.dataDir, 'compile-cache'), ...process.env },
    });
    this.#engine = new DeliveryEngine({
      ...delivery,
      journal: this.#journal,
      account: this.#account,
      log,
      maxTurnsPerAgent: workers.maxTurnsPerAgent,
      retry: { minMs: delivery.retryMinMs, maxMs: delivery.retryMaxMs, jitter: restarts.jitter },
      maxSends: MAX_SENDS,
      maxHeld: delivery.maxHeldReplies,
      maxHeldMs: delivery.maxAgeMs,
      pickReplica: rendezvous,
      quarantine: () => this.#agents.quarantine,
      recall: (deliveries) => this.sessions.committed(deliveries),
      random: Math.random,
    });
    this.#intake = new Intake({
      ...delivery,
      engine: this.#engine,
      journal,
      account: this.#account,
      admission: this.#admission,
      log,
    });
    this.#agents = new HostedAgents({ config, pool: this.#pool, engine: this.#engine, log, random: Math.random });
    this.sessions = new HostedSessions(this.#agents, this.#pool, config.sessions.store);
    this.#tokens = new LazyTokenPool();
    const gatewayHost = gatewayHostOf(
      this,
      this.#tokens,
      () => this.#reloads.config.defaultAgent,
      () => this.drain(),
    );
    this.#channels = new HostedChannels({
      configs: config.channels,
      routing: config.routing,
      agents: this.#agents.names,
      defaultAgent: config.defaultAgent,
      intake: this.#intake,
      engine: this.#engine,
      log,
      create: adaptersFor({ gatewayHost, dataDir: config.dataDir, log }),
      shutdownTimeoutMs: shutdown.drainMs,
    });
    this.#reloads = new Reloads({
      config,
      agents: this.#agents,
      channels: this.#channels,
      log,
      state: () => this.#state,
      load: options.load,
    });
    this.#recovery = new Recovery({
      engine: this.#engine,
      journal,
      intake: this.#intake,
      account: this.#account,
      agents: () => this.#agents.names,
      originOf: ({ channel }) => this.#channels.origin(channel) ?? nobody(),
      recall: (deliveries) => this.sessions.committed(deliveries),
      isStopping: () => !this.#is('starting'),
      maxAgeMs: delivery.maxAgeMs,
      log,
    });
    this.#monitor = new Monitor({
      slots: this.#pool.slots,
      heartbeatMs: workers.heartbeatMs,
      lookMs: workers.heartbeatLookMs,
      killAfterMs: workers.killAfterMs,
      log,
      onTooManyZombies: tooManyZombies(log, onFatal),
    });
    this.#injection = new Injection({
      intake: this.#intake,
      engine: this.#engine,
      route: (inbound) => this.#channels.route(inbound),
    });
    this.#metrics = new Metrics(() => this.status(), journal);
  }

  get agents(): Agents {
    return this.#agents;
  }

  get channels(): ChannelManagers {
    return this.#channels;
  }

  get deadLetters(): DeadLetters {
    return this.#recovery;
  }

  async start(): Promise<void> {
    if (this.#state !== 'idle') {
      throw new OrreryError(
        'ORRERY_CLOSED',
        `Expected a supervisor that was never started, this one is ${this.#state}`,
      );
    }
    this.#state = 'starting';
    this.#startedAt = Date.now();
    for (const warning of this.#config.warnings ?? []) this.#log.warn(warning);
    if (!this.#journal.durable) {
      this.#log.warn('the journal is in memory: what is accepted is lost if the process is killed');
    }
    this.#loopDelay.start();
    this.#admission.start();
    this.#monitor.start();
    try {
      if (this.#locksDir) this.#lock = await lockDataDir(this.#config.dataDir, VERSION, this.#log);
      // What they had under way is run again below.
      await endLeftovers(this.#config.dataDir, this.#log);
      // Stopped meanwhile: nothing may be opened any more. So again below.
      this.#checkStarting();
      await this.#journal.open();
      this.#images = await loadImages(this.#log);
      await this.#agents.start();
      if (this.#agents.unusable) throw this.#agents.unusable;
      this.#checkStarting();
      // Before anything new: it stands before that in its sessions.
      await this.#recovery.recover();
      this.#checkStarting();
      this.#intake.open();
      await this.#channels.start();
    } catch (error) {
      await (this.#draining ?? this.close());
      this.#lock?.release();
      throw error;
    }
    // A drain may have begun meanwhile: it is not taken back.
    if (this.#is('starting')) this.#state = 'running';
  }

  status(): Status {
    return statusOf({
      config: this.#reloads.config,
      state: this.#state,
      startedAt: this.#startedAt,
      slots: this.#pool.slots,
      agents: this.#agents.list(),
      channels: this.#channels.list(),
      account: this.#account,
      journal: this.#journal,
      quarantine: this.#engine.quarantine.snapshot(),
      zombies: this.#monitor.zombies,
      loopDelayMs: this.#loopDelay.read(),
    });
  }

  reload(config?: OrreryConfig): Promise<ReloadReport> {
    return this.#reloads.reload(config);
  }

  readiness(): Readiness {
    return readinessOf({
      state: this.#state,
      journal: this.#journal,
      refusal: this.#admission.refusal(this.#engine.pending + this.#account.inIntake + 1),
      slots: this.#pool.slots,
    });
  }

  metrics(): Promise<string> {
    return this.#metrics.text();
  }

  cancel(id: string): boolean {
    return this.#engine.cancel(id);
  }

  inject(
    message: InboundMessage,
    o: { signal?: AbortSignal; onDelta?: (text: string) => void } = {},
  ): Promise<DeliveredReply> {
    return this.#injection.inject(message, o);
  }

  drain(o: { timeoutMs?: number } = {}): Promise<DrainReport> {
    if (!this.#draining) {
      this.#draining = this.#drain(o.timeoutMs ?? this.#config.shutdown.timeoutMs);
      this.#draining.then(this.#drained.resolve, this.#drained.reject);
    }
    return this.#draining;
  }

  drained(): Promise<DrainReport> {
    return this.#drained.promise;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'idle' || this.#state === 'closed') return this.close();
    await this.drain();
  }

  async #drain(timeoutMs: number): Promise<DrainReport> {
    const began = performance.now();
    const left = (): number => Math.max(0, timeoutMs - (performance.now() - began));
    const { drainMs, hostMs } = this.#config.shutdown;
    const answeredBefore = this.#account.answered;
    if (this.#state === 'closed') return { clean: true, answered: 0, unfinished: 0, durationMs: 0 };
    this.#state = 'draining';
    this.#intake.close(new OrreryError('ORRERY_DRAINING', 'The supervisor is stopping and takes in nothing new'));
    this.#log.info({ pending: this.#engine.pending, timeoutMs }, 'draining');
    // Stopping the agents needs its share of the one deadline, whatever the turns do.
    const turnsMs = Math.min(drainMs, Math.max(0, left() - Math.min(hostMs, timeoutMs / 4) - ABORT_GRACE_MS));
    await this.#settled(turnsMs);
    const unfinished = this.#engine.pending;
    if (unfinished > 0) {
      this.#log.warn({ unfinished }, 'turns did not end in time and are aborted');
      this.#engine.abort('shutdown');
      await within(this.#engine.idle(), Math.min(ABORT_GRACE_MS, left()));
    }
    const stopped = await this.#agents.stop(Math.min(hostMs, left()));
    await this.close();
    const report: DrainReport = {
      clean: unfinished === 0 && stopped,
      answered: this.#account.answered - answeredBefore,
      unfinished,
      durationMs: Math.round(performance.now() - began),
    };
    this.#log.info({ ...report }, 'drained');
    return report;
  }

  /** Waits until nothing is in intake and nothing unfinished; what passed intake before it closed is still to come. */
  async #settled(ms: number): Promise<void> {
    const until = performance.now() + ms;
    const left = (): number => until - performance.now();
    while (this.#engine.pending + this.#account.inIntake > 0 && left() > 0) {
      await within(this.#engine.idle(), left());
      await nextTick();
    }
  }

  /** Ends what is left: after a drain channels and empty threads. The engine first: a send that its channel's end breaks off is no refusal. */
  async #close(): Promise<void> {
    if (this.#state === 'starting' || this.#state === 'running') this.#state = 'draining';
    const error = new OrreryError('ORRERY_CLOSED', 'The supervisor was closed');
    if (!this.#intake.refusal) this.#intake.close(error);
    await this.#agents.stop(0);
    await this.#pool.close();
    // Their threads are gone, so that nothing of them can commit any more: now their senders are told.
    this.#engine.abandon(new OrreryError('ORRERY_INTERRUPTED', 'The host stopped before the turn ended'));
    await within(this.#engine.idle(), ABORT_GRACE_MS);
    this.#engine.close();
    await this.#channels.stop();
    this.#monitor.stop();
    this.#loopDelay.stop();
    this.#admission.stop();
    await Promise.all([this.#closeJournal(), this.#tokens.close()]);
    this.#lock?.release();
    this.#state = 'closed';
  }

  /** What could not be written then is lost to the next start as after a kill: it may send a reply again. */
  async #closeJournal(): Promise<void> {
    try {
      await this.#journal.close();
    } catch (error) {
      this.#log.error({ err: error }, 'the journal could not be closed in order');
    }
  }

  #checkStarting(): void {
    if (!this.#is('starting')) throw new OrreryError('ORRERY_CLOSED', 'The supervisor was stopped while it started');
  }

  #is(state: SupervisorState): boolean {
    return this.#state === state;
  }
}
