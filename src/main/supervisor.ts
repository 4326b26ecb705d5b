/**
 * Owns the composition root: it wires pool, agents, delivery and channels together, starts them in that order, and stops
 * them under one deadline.
 *
 *   drain:  refuse new messages -> finish accepted turns (drainMs) -> abort what is left -> stop agents (hostMs, slots in
 *           parallel, agents in reverse order of start) -> tell the senders of what was cut off -> close channels and pool
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setImmediate as nextTick } from 'node:timers/promises';
import { pino, type Logger } from 'pino';
import {
  type Accepted,
  type DeliveredReply,
  type InboundMessage,
  OrreryError,
  type ResidentTask,
  fromWire,
} from '../protocol/index.ts';
import type {
  Agents,
  ChannelManagers,
  DeadLetter,
  DeadLetters,
  DrainReport,
  Readiness,
  Sessions,
  Status,
  Supervisor,
  SupervisorState,
} from './api.ts';
import { GatewayChannel } from './channels/gateway/index.ts';
import { type OrreryConfig, type ResolvedConfig, resolveConfig } from './config/index.ts';
import {
  Account,
  DeadLetters as DeadLetterStore,
  DeliveryEngine,
  Intake,
  MemoryJournal,
  type Origin,
  OriginBook,
} from './delivery/index.ts';
import { LoopDelay } from './ops/loop-delay.ts';
import { Metrics } from './ops/metrics.ts';
import { VERSION } from './ops/version.ts';
import { Pool, rendezvous, type SlotEvents } from './pool/index.ts';
import { HostedAgents } from './wiring/agents.ts';
import { HostedChannels } from './wiring/channels.ts';
import { gatewayHostOf } from './wiring/gateway-host.ts';
import { loadImages } from './wiring/images.ts';
import { Monitor } from './wiring/monitor.ts';
import { HostedSessions, sessionsTaskOf } from './wiring/sessions.ts';
import { statusOf } from './wiring/status.ts';
import { LazyTokenPool } from './wiring/tokens.ts';
import { within } from './wiring/within.ts';

export interface SupervisorOptions {
  /** Relative paths of the configuration start here. Default: the working directory. */
  readonly dir?: string;
  /** A configuration that was checked already; `config` is not read then. */
  readonly resolved?: ResolvedConfig;
  /** Default: silent. */
  readonly log?: Logger;
  /** Hears of a state that only a new process mends: threads that native code holds. Default: an error in the log. */
  readonly onFatal?: (error: OrreryError) => void;
}

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
    resolve(new Host(resolved, options.log ?? pino({ enabled: false }), options.onFatal));
  });
}

class Host implements Supervisor {
  readonly #config: ResolvedConfig;
  readonly #log: Logger;
  readonly #account = new Account();
  readonly #letters: DeadLetterStore;
  readonly #journal: MemoryJournal;
  readonly #pool: Pool;
  readonly #engine: DeliveryEngine;
  readonly #intake: Intake;
  readonly #agents: HostedAgents;
  readonly sessions: Sessions;
  readonly #channels: HostedChannels;
  readonly #monitor: Monitor;
  readonly #metrics: Metrics;
  readonly #loopDelay = new LoopDelay();
  readonly #tokens: LazyTokenPool;
  readonly #injected = new OriginBook();
  readonly #route = (inbound: InboundMessage): string => this.#channels.route(inbound);
  #images: ResidentTask['images'] = {};
  #state: SupervisorState = 'idle';
  #startedAt = 0;
  #draining: Promise<DrainReport> | undefined;
  readonly #drained = Promise.withResolvers<DrainReport>();
  #closing: Promise<void> | undefined;

  constructor(config: ResolvedConfig, log: Logger, onFatal?: (error: OrreryError) => void) {
    this.#config = config;
    this.#log = log;
    const { delivery, workers, restarts, shutdown } = config;
    const idPrefix = `${Date.now().toString(36)}${randomBytes(3).toString('hex')}`;
    this.#letters = new DeadLetterStore(delivery.maxDeadLetters);
    this.#journal = new MemoryJournal({ ...delivery, idPrefix });
    this.#pool = new Pool({
      threads: workers.threads,
      ...(workers.maxHeapMb === undefined ? {} : { maxHeapMb: workers.maxHeapMb }),
      heartbeatMs: workers.heartbeatMs,
      turnTimeoutMs: delivery.turnTimeoutMs,
      sessions: sessionsTaskOf(config),
      images: () => this.#images,
      workerLog: { ...config.log, level: log.isLevelEnabled('fatal') ? config.log.level : 'silent' },
      events: this.#slotEvents(),
      log,
      // A thread that comes up after a crash loads its code in half the time when it was compiled before.
      env: { NODE_COMPILE_CACHE: join(config.dataDir, 'compile-cache'), ...process.env },
    });
    this.#engine = new DeliveryEngine({
      ...delivery,
      journal: this.#journal,
      account: this.#account,
      deadLetters: this.#letters,
      log,
      maxTurnsPerAgent: workers.maxTurnsPerAgent,
      retry: { minMs: delivery.retryMinMs, maxMs: delivery.retryMaxMs, jitter: restarts.jitter },
      maxSends: MAX_SENDS,
      pickReplica: rendezvous,
      random: Math.random,
    });
    this.#intake = new Intake({ ...delivery, engine: this.#engine, journal: this.#journal, account: this.#account });
    this.#agents = new HostedAgents({ config, pool: this.#pool, engine: this.#engine, log, random: Math.random });
    this.sessions = new HostedSessions(this.#agents, this.#pool, config.sessions.store);
    this.#tokens = new LazyTokenPool();
    const gatewayHost = gatewayHostOf(this, this.#tokens, config.defaultAgent, () => this.drain());
    this.#channels = new HostedChannels({
      configs: config.channels,
      routing: config.routing,
      agents: this.#agents.names,
      defaultAgent: config.defaultAgent,
      intake: this.#intake,
      engine: this.#engine,
      log,
      create: (name, channel) => new GatewayChannel(channel, gatewayHost, { name, version: VERSION }),
      shutdownTimeoutMs: shutdown.drainMs,
    });
    this.#monitor = new Monitor({
      slots: this.#pool.slots,
      heartbeatMs: workers.heartbeatMs,
      lookMs: workers.heartbeatLookMs,
      killAfterMs: workers.killAfterMs,
      log,
      onTooManyZombies: (zombies) => {
        const error = new OrreryError(
          'ORRERY_INTERNAL',
          `${zombies} killed threads live on: only a new process gets rid of them`,
        );
        log.fatal({ zombies }, error.message);
        onFatal?.(error);
      },
    });
    this.#metrics = new Metrics(() => this.status());
  }

  get agents(): Agents {
    return this.#agents;
  }

  get channels(): ChannelManagers {
    return this.#channels;
  }

  get deadLetters(): DeadLetters {
    const letters = this.#letters;
    return {
      list: (): readonly DeadLetter[] => letters.list(),
      get: (id: string): DeadLetter | undefined => letters.get(id),
    };
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
    this.#log.info('the journal is in memory: what is accepted is lost if the process is killed');
    this.#loopDelay.start();
    this.#monitor.start();
    try {
      this.#images = await loadImages(this.#log);
      await this.#agents.start();
      if (this.#agents.unusable) throw this.#agents.unusable;
      // Stopped meanwhile: nothing may be opened any more.
      if (!this.#is('starting')) throw new OrreryError('ORRERY_CLOSED', 'The supervisor was stopped while it started');
      this.#intake.open();
      await this.#channels.start();
    } catch (error) {
      await (this.#draining ?? this.close());
      throw error;
    }
    // A drain may have begun meanwhile: it is not taken back.
    if (this.#is('starting')) this.#state = 'running';
  }

  status(): Status {
    return statusOf({
      config: this.#config,
      state: this.#state,
      startedAt: this.#startedAt,
      slots: this.#pool.slots,
      agents: this.#agents.list(),
      channels: this.#channels.list(),
      account: this.#account,
      zombies: this.#monitor.zombies,
      loopDelayMs: this.#loopDelay.read(),
    });
  }

  readiness(): Readiness {
    const reasons: string[] = [];
    if (this.#state !== 'running') reasons.push(this.#state);
    if (this.#engine.pending >= this.#config.delivery.maxPending) reasons.push('saturated');
    if (!this.#pool.slots.some((slot) => slot.state.status === 'ready')) reasons.push('no slot is ready');
    return { ready: reasons.length === 0, reasons };
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
    const { promise, resolve, reject } = Promise.withResolvers<DeliveredReply>();
    const { signal, onDelta } = o;
    const origin: Origin = {
      book: this.#injected,
      reply: (out) => resolve(out.reply),
      error: (out) => reject(fromWire(out.error)),
    };
    const taken = (accepted: Accepted): void => {
      if (accepted.status === 'duplicate') settleDuplicate(message.id, accepted, resolve, reject);
      else if (signal) this.#cancelOn(signal, accepted.id, promise);
    };
    try {
      signal?.throwIfAborted();
      const accepting = this.#intake.take(message, this.#route, origin, onDelta && { delta: onDelta });
      if (accepting instanceof Promise) accepting.then(taken, reject);
      else taken(accepting);
    } catch (error) {
      reject(error);
    }
    return promise;
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

  /** Ends everything that is left: after a drain nothing but the channels and empty threads. */
  async #close(): Promise<void> {
    if (this.#state === 'starting' || this.#state === 'running') this.#state = 'draining';
    const error = new OrreryError('ORRERY_CLOSED', 'The supervisor was closed');
    if (!this.#intake.refusal) this.#intake.close(error);
    await this.#agents.stop(0);
    await this.#pool.close();
    // Their threads are gone, so that nothing of them can commit any more: now their senders are told.
    this.#engine.abandon(new OrreryError('ORRERY_INTERRUPTED', 'The host stopped before the turn ended'));
    await within(this.#engine.idle(), ABORT_GRACE_MS);
    await this.#channels.stop();
    this.#engine.close();
    this.#monitor.stop();
    this.#loopDelay.stop();
    await Promise.all([this.#journal.close(), this.#tokens.close()]);
    this.#state = 'closed';
  }

  #slotEvents(): SlotEvents {
    return {
      ready: (slot) => this.#agents.slotReady(slot),
      exited: (slot, end) => this.#agents.slotExited(slot, end),
      outcomes: (slot, outcomes) => this.#engine.outcomesOf(slot.number, outcomes),
      delta: (slot, turn, text) => this.#engine.delta(slot.number, turn, text),
      changed: (slot) =>
        this.#log.debug({ slot: slot.label, state: slot.state.status, generation: slot.generation }, 'slot'),
    };
  }

  /** Cancels a delivery when its caller gives up before it has its answer. */
  #cancelOn(signal: AbortSignal, id: string, answer: Promise<unknown>): void {
    const cancel = (): void => {
      this.#engine.cancel(id);
    };
    const off = (): void => signal.removeEventListener('abort', cancel);
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel, { once: true });
    answer.then(off, off);
  }

  #is(state: SupervisorState): boolean {
    return this.#state === state;
  }
}

/** What a caller gets whose message was taken in before. */
function settleDuplicate(
  id: string,
  duplicate: Extract<Accepted, { status: 'duplicate' }>,
  resolve: (reply: DeliveredReply) => void,
  reject: (error: unknown) => void,
): void {
  if (duplicate.state === 'answered') resolve(duplicate.reply);
  else if (duplicate.state === 'dead') reject(fromWire(duplicate.error));
  else reject(new OrreryError('ORRERY_DUPLICATE_IN_FLIGHT', `The message ${id} is still being answered`));
}
