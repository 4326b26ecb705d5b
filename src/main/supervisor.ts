/**
 * Owns the life of a host: its parts, which `wiring/parts.ts` makes and joins, start in order and stop under one deadline.
 *
 *   drain:  refuse new messages -> finish accepted turns (drainMs) -> abort what is left -> stop agents (hostMs, slots in
 *           parallel, agents in reverse order of start) -> tell the senders of what was cut off -> close channels and pool
 */
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
  Sessions,
  Status,
  Supervisor,
  SupervisorState,
} from './api.ts';
import { type OrreryConfig, type ResolvedConfig, resolveConfig } from './config/index.ts';
import { endLeftovers } from './ops/children.ts';
import { type DataDirLock, lockDataDir } from './ops/lock.ts';
import { VERSION } from './ops/version.ts';
import { loadImages } from './wiring/images.ts';
import type { SupervisorOptions } from './wiring/options.ts';
import { warnOfMemory } from './wiring/journal.ts';
import { HostParts } from './wiring/parts.ts';
import { readinessOf, statusOf } from './wiring/status.ts';
import { within } from './wiring/within.ts';

export type { SupervisorOptions } from './wiring/options.ts';

/** How long turns that were aborted, and errors on their way to their senders, are waited for, in milliseconds. */
const ABORT_GRACE_MS = 1_000;

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
  readonly #parts: HostParts;
  readonly #locksDir: boolean;
  #lock: DataDirLock | undefined;
  #images: ResidentTask['images'] = {};
  #state: SupervisorState = 'idle';
  #startedAt = 0;
  #draining: Promise<DrainReport> | undefined;
  readonly #drained = Promise.withResolvers<DrainReport>();
  #closing: Promise<void> | undefined;

  constructor(config: ResolvedConfig, options: SupervisorOptions) {
    const { log = pino({ enabled: false }), onFatal, load, locked = false } = options;
    this.#config = config;
    this.#log = log;
    const keepsFiles = config.delivery.journal === 'sqlite' || config.sessions.store === 'sqlite';
    this.#locksDir = keepsFiles && !locked;
    this.#parts = new HostParts({
      config,
      log,
      onFatal,
      load,
      host: this,
      state: () => this.#state,
      images: () => this.#images,
    });
  }

  get agents(): Agents {
    return this.#parts.agents;
  }

  get channels(): ChannelManagers {
    return this.#parts.channels;
  }

  get deadLetters(): DeadLetters {
    return this.#parts.recovery;
  }

  get sessions(): Sessions {
    return this.#parts.sessions;
  }

  async start(): Promise<void> {
    if (this.#state !== 'idle') {
      throw new OrreryError(
        'ORRERY_CLOSED',
        `Expected a supervisor that was never started, this one is ${this.#state}`,
      );
    }
    const { journal, loopDelay, admission, monitor, agents, recovery, intake, channels } = this.#parts;
    this.#state = 'starting';
    this.#startedAt = Date.now();
    for (const warning of this.#config.warnings ?? []) this.#log.warn(warning);
    warnOfMemory(journal, this.#config, this.#log);
    loopDelay.start();
    admission.start();
    monitor.start();
    try {
      if (this.#locksDir) this.#lock = await lockDataDir(this.#config.dataDir, VERSION, this.#log);
      // What they had under way is run again below.
      await endLeftovers(this.#config.dataDir, this.#log);
      // Stopped meanwhile: nothing may be opened any more. So again below.
      this.#checkStarting();
      await journal.open();
      this.#images = await loadImages(this.#log);
      this.#checkStarting();
      await agents.start();
      if (agents.unusable) throw agents.unusable;
      this.#checkStarting();
      // Before anything new: it stands before that in its sessions.
      await recovery.recover();
      this.#checkStarting();
      intake.open();
      await channels.start();
    } catch (error) {
      await (this.#draining ?? this.close());
      this.#lock?.release();
      throw error;
    }
    // A drain may have begun meanwhile: it is not taken back.
    if (this.#is('starting')) this.#state = 'running';
  }

  status(): Status {
    const { reloads, pool, agents, channels, account, journal, engine, monitor, loopDelay } = this.#parts;
    return statusOf({
      config: reloads.config,
      state: this.#state,
      startedAt: this.#startedAt,
      slots: pool.slots,
      agents: agents.list(),
      channels: channels.list(),
      account,
      journal,
      quarantine: engine.quarantine.snapshot(),
      zombies: monitor.zombies,
      loopDelayMs: loopDelay.read(),
    });
  }

  reload(config?: OrreryConfig): Promise<ReloadReport> {
    return this.#parts.reloads.reload(config);
  }

  readiness(): Readiness {
    const { journal, admission, engine, account, pool } = this.#parts;
    return readinessOf({
      state: this.#state,
      journal,
      refusal: admission.refusal(engine.pending + account.inIntake + 1),
      slots: pool.slots,
    });
  }

  metrics(): Promise<string> {
    return this.#parts.metrics.text();
  }

  cancel(id: string): boolean {
    return this.#parts.engine.cancel(id);
  }

  inject(
    message: InboundMessage,
    o: { signal?: AbortSignal; onDelta?: (text: string) => void } = {},
  ): Promise<DeliveredReply> {
    return this.#parts.injection.inject(message, o);
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
    const { account, intake, engine, agents } = this.#parts;
    const began = performance.now();
    const left = (): number => Math.max(0, timeoutMs - (performance.now() - began));
    const { drainMs, hostMs } = this.#config.shutdown;
    const answeredBefore = account.answered;
    if (this.#state === 'closed') return { clean: true, answered: 0, unfinished: 0, durationMs: 0 };
    this.#state = 'draining';
    intake.close(new OrreryError('ORRERY_DRAINING', 'The supervisor is stopping and takes in nothing new'));
    this.#log.info({ pending: engine.pending, timeoutMs }, 'draining');
    // Stopping the agents needs its share of the one deadline, whatever the turns do.
    const turnsMs = Math.min(drainMs, Math.max(0, left() - Math.min(hostMs, timeoutMs / 4) - ABORT_GRACE_MS));
    await this.#settled(turnsMs);
    const unfinished = engine.pending;
    if (unfinished > 0) {
      this.#log.warn({ unfinished }, 'turns did not end in time and are aborted');
      engine.abort('shutdown');
      await within(engine.idle(), Math.min(ABORT_GRACE_MS, left()));
    }
    const stopped = await agents.stop(Math.min(hostMs, left()));
    await this.close();
    const report: DrainReport = {
      clean: unfinished === 0 && stopped,
      answered: account.answered - answeredBefore,
      unfinished,
      durationMs: Math.round(performance.now() - began),
    };
    this.#log.info({ ...report }, 'drained');
    return report;
  }

  /** Waits until nothing is in intake and nothing unfinished; what passed intake before it closed is still to come. */
  async #settled(ms: number): Promise<void> {
    const { engine, account } = this.#parts;
    const until = performance.now() + ms;
    const left = (): number => until - performance.now();
    while (engine.pending + account.inIntake > 0 && left() > 0) {
      await within(engine.idle(), left());
      await nextTick();
    }
  }

  /** Ends what is left: after a drain channels and empty threads. The engine first: a send that its channel's end breaks off is no refusal. */
  async #close(): Promise<void> {
    const { intake, agents, pool, engine, channels, monitor, loopDelay, admission, tokens } = this.#parts;
    if (this.#state === 'starting' || this.#state === 'running') this.#state = 'draining';
    const error = new OrreryError('ORRERY_CLOSED', 'The supervisor was closed');
    if (!intake.refusal) intake.close(error);
    await agents.stop(0);
    await pool.close();
    // Their threads are gone, so that nothing of them can commit any more: now their senders are told.
    engine.abandon(new OrreryError('ORRERY_INTERRUPTED', 'The host stopped before the turn ended'));
    await within(engine.idle(), ABORT_GRACE_MS);
    engine.close();
    await channels.stop();
    monitor.stop();
    loopDelay.stop();
    admission.stop();
    await Promise.all([this.#closeJournal(), tokens.close()]);
    this.#lock?.release();
    this.#state = 'closed';
  }

  /** What could not be written then is lost to the next start as after a kill: it may send a reply again. */
  async #closeJournal(): Promise<void> {
    try {
      await this.#parts.journal.close();
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
