/**
 * Owns which parts a host is made of, and what each of them is told of the others. It starts and stops none of them: in which order that
 * happens is the supervisor's.
 *
 * They need each other in circles: what is made later, and the host itself, is reached through functions that are called when there is
 * something to say.
 */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { ResidentTask } from '../../protocol/index.ts';
import type { Supervisor, SupervisorState } from '../api.ts';
import type { ResolvedConfig } from '../config/index.ts';
import { Account, AdmissionControl, DeliveryEngine, Intake, type Journal } from '../delivery/index.ts';
import { ChildrenFile } from '../ops/children.ts';
import { LoopDelay } from '../ops/loop-delay.ts';
import { Metrics } from '../ops/metrics.ts';
import { Pool, rendezvous } from '../pool/index.ts';
import { adaptersFor } from './adapters.ts';
import { HostedAgents } from './agents.ts';
import { HostedChannels } from './channels.ts';
import { gatewayHostOf } from './gateway-host.ts';
import { Injection } from './injection.ts';
import { journalOf } from './journal.ts';
import { Monitor, tooManyZombies } from './monitor.ts';
import type { SupervisorOptions } from './options.ts';
import { Recovery } from './recovery.ts';
import { Reloads } from './reloads.ts';
import { HostedSessions, sessionsTaskOf } from './sessions.ts';
import { slotEventsOf } from './slot-events.ts';
import { LazyTokenPool } from './tokens.ts';

export interface HostPartsOptions {
  readonly config: ResolvedConfig;
  readonly load: SupervisorOptions['load'];
  readonly onFatal: SupervisorOptions['onFatal'];
  readonly log: Logger;
  /** The host that they are parts of. */
  readonly host: Supervisor;
  readonly state: () => SupervisorState;
  /** The vocabularies, once they are loaded. */
  readonly images: () => ResidentTask['images'];
}

/** Sends of one reply before it is undeliverable. */
const MAX_SENDS = 5;

export class HostParts {
  readonly account: Account = new Account();
  readonly loopDelay: LoopDelay = new LoopDelay();
  readonly tokens: LazyTokenPool = new LazyTokenPool();
  readonly journal: Journal;
  readonly admission: AdmissionControl;
  readonly pool: Pool;
  readonly engine: DeliveryEngine;
  readonly intake: Intake;
  readonly agents: HostedAgents;
  readonly sessions: HostedSessions;
  readonly channels: HostedChannels;
  readonly reloads: Reloads;
  readonly recovery: Recovery;
  readonly monitor: Monitor;
  readonly injection: Injection;
  readonly metrics: Metrics;

  /** In this order: each is told at once of those before it. */
  constructor(options: HostPartsOptions) {
    const { config, log, host, state, load } = options;
    const { account } = this;
    this.journal = journalOf(config, log);
    this.admission = admissionOf(this, options);
    this.pool = poolOf(this, options);
    this.engine = engineOf(this, options);
    const { journal, admission, pool, engine } = this;
    this.intake = new Intake({ ...config.delivery, engine, journal, account, admission, log });
    this.agents = new HostedAgents({ config, pool, engine, log, random: Math.random });
    this.sessions = new HostedSessions(this.agents, pool, config.sessions.store);
    this.channels = channelsOf(this, options);
    const { intake, agents, channels } = this;
    this.reloads = new Reloads({ config, agents, channels, log, state, load });
    this.recovery = recoveryOf(this, options);
    this.monitor = monitorOf(this, options);
    this.injection = new Injection({ intake, engine, route: (inbound) => channels.route(inbound) });
    this.metrics = new Metrics(() => host.status(), journal);
  }
}

function admissionOf({ account, journal }: HostParts, { config }: HostPartsOptions): AdmissionControl {
  return new AdmissionControl({
    ...config.delivery,
    finished: () => account.answered + account.dead,
    appends: () => journal.lag.appends,
  });
}

function poolOf(parts: HostParts, { config, log, images }: HostPartsOptions): Pool {
  const { workers, delivery, dataDir } = config;
  return new Pool({
    threads: workers.threads,
    ...(workers.maxHeapMb === undefined ? {} : { maxHeapMb: workers.maxHeapMb }),
    heartbeatMs: workers.heartbeatMs,
    turnTimeoutMs: delivery.turnTimeoutMs,
    sessions: sessionsTaskOf(config),
    images,
    children: new ChildrenFile(dataDir, log),
    workerLog: { ...config.log, level: log.isLevelEnabled('fatal') ? config.log.level : 'silent' },
    events: slotEventsOf(
      () => parts.agents,
      () => parts.engine,
      log,
    ),
    log,
    // A thread that comes up after a crash loads its code in half the time when it was compiled before.
    env: { NODE_COMPILE_CACHE: join(dataDir, 'compile-cache'), ...process.env },
  });
}

function engineOf(parts: HostParts, { config, log }: HostPartsOptions): DeliveryEngine {
  const { delivery, workers, restarts } = config;
  return new DeliveryEngine({
    ...delivery,
    journal: parts.journal,
    account: parts.account,
    log,
    maxTurnsPerAgent: workers.maxTurnsPerAgent,
    retry: { minMs: delivery.retryMinMs, maxMs: delivery.retryMaxMs, jitter: restarts.jitter },
    maxSends: MAX_SENDS,
    maxHeld: delivery.maxHeldReplies,
    maxHeldMs: delivery.maxAgeMs,
    pickReplica: rendezvous,
    quarantine: () => parts.agents.quarantine,
    look: (deliveries) => parts.sessions.committed(deliveries),
    random: Math.random,
  });
}

function channelsOf(parts: HostParts, { config, log, host }: HostPartsOptions): HostedChannels {
  const { intake, engine, agents, tokens } = parts;
  const gatewayHost = gatewayHostOf(
    host,
    tokens,
    () => parts.reloads.config.defaultAgent,
    () => host.drain(),
  );
  return new HostedChannels({
    configs: config.channels,
    routing: config.routing,
    agents: agents.names,
    defaultAgent: config.defaultAgent,
    intake,
    engine,
    log,
    create: adaptersFor({ gatewayHost, dataDir: config.dataDir, log }),
    shutdownTimeoutMs: config.shutdown.drainMs,
  });
}

function recoveryOf(parts: HostParts, { config, log, state }: HostPartsOptions): Recovery {
  const { engine, journal, intake, account, agents, channels } = parts;
  return new Recovery({
    engine,
    journal,
    intake,
    account,
    agents: () => agents.names,
    originOf: ({ channel }) => channels.origin(channel),
    isStopping: () => state() !== 'starting',
    maxAgeMs: config.delivery.maxAgeMs,
    log,
  });
}

function monitorOf({ pool }: HostParts, { config, log, onFatal }: HostPartsOptions): Monitor {
  const { heartbeatMs, heartbeatLookMs, killAfterMs } = config.workers;
  return new Monitor({
    slots: pool.slots,
    heartbeatMs,
    lookMs: heartbeatLookMs,
    killAfterMs,
    log,
    onTooManyZombies: tooManyZombies(log, onFatal),
  });
}
