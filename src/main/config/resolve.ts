/** Owns how a configuration becomes a {@link ResolvedConfig}: every error at once, or every default filled in. It reads no file. */
import { isAbsolute, resolve } from 'node:path';
import { isatty } from 'node:tty';
import { OrreryError } from '../../protocol/index.ts';
import { deafChannels, fillChannel } from './channels.ts';
import { checkOpenBinds, checkRelations, modulePath, openBind } from './checks.ts';
import * as defaults from './defaults.ts';
import { type Environment, substitute } from './environment.ts';
import type { AgentConfig, OrreryConfig } from './input.ts';
import { type Issue, Shower, invalidConfig, pathText } from './issues.ts';
import { type Override, applyOverrides } from './overrides.ts';
import { checkShape, coerce } from './schema.ts';
import type { ResolvedAgent, ResolvedConfig, RouteRule } from './types.ts';
import { takeUnbuilt } from './unbuilt.ts';

export interface ResolveOptions {
  /** Relative paths start here. */
  readonly dir: string;
  /** Named in errors. */
  readonly file?: string;
  /** Where `${NAME}` and the agents' `env` are taken from. Default: the process's environment. */
  readonly env?: Environment;
  /** What the command line and `ORRERY_*` say; a library's caller has none. */
  readonly overrides?: readonly Override[];
  /** Further warnings, such as those of the search for the file. */
  readonly warnings?: readonly string[];
}

/**
 * Checks a configuration and fills in its defaults. Throws `ORRERY_CONFIG_INVALID`, whose message lists everything that is
 * wrong, or `ORRERY_OPEN_BIND` where an open gateway is the only fault. Secrets are never part of a message.
 */
export function resolveConfig(input: unknown, options: ResolveOptions): ResolvedConfig {
  const env = options.env ?? process.env;
  const { value, names, issues: missing } = substitute(input, env);
  const shower = new Shower(names);
  const overridden = applyOverrides(value, options.overrides ?? []);
  const unbuilt = takeUnbuilt(value);
  coerce(value, (path) => names.has(pathText(path)));
  // A key whose variable is missing has been spoken of: what its empty text violates is no second error.
  const said = new Set(missing.map((issue) => pathText(issue.path)));
  const found = [...checkShape(value, shower), ...checkRelations(value, { dir: options.dir, shower })];
  const open = checkOpenBinds(value).filter((issue) => !said.has(pathText(issue.path)));
  const issues: Issue[] = [
    ...missing,
    ...overridden.issues,
    ...unbuilt,
    ...found.filter((issue) => !said.has(pathText(issue.path))),
  ];
  if (issues.length > 0) throw invalidConfig([...issues, ...open], options.file);
  if (open.length > 0) throw openBind(open);
  // The shape was checked above, key by key.
  return fill(value as OrreryConfig, options, env, [...(options.warnings ?? []), ...overridden.warnings]);
}

function fill(
  config: OrreryConfig,
  { dir, file }: ResolveOptions,
  env: Environment,
  warnings: readonly string[],
): ResolvedConfig {
  const agents = Object.entries(config.agents).map(
    ([name, agent]) => [name, fillAgent(name, agent, dir, env)] as const,
  );
  const unset = Object.entries(config.agents).flatMap(([name, agent]) =>
    (agent.env ?? [])
      .filter((variable) => env[variable] === undefined)
      .map((variable) => `agents.${name}.env: ${variable} is not set, so the agent does not get it`),
  );
  const [firstAgent = ''] = Object.keys(config.agents);
  return {
    ...(file === undefined ? {} : { file }),
    dir,
    agents: Object.fromEntries(agents),
    defaultAgent: config.defaultAgent ?? firstAgent,
    channels: Object.fromEntries(
      Object.entries(config.channels ?? {}).map(([name, channel]) => [name, fillChannel(channel)]),
    ),
    routing: config.routing ?? DEFAULT_ROUTING,
    workers: {
      threads: config.workers?.threads ?? defaults.DEFAULT_THREADS,
      ...(config.workers?.maxHeapMb === undefined ? {} : { maxHeapMb: config.workers.maxHeapMb }),
      maxTurnsPerAgent: config.workers?.maxTurnsPerAgent ?? defaults.DEFAULT_MAX_TURNS_PER_AGENT,
      ...fillHeartbeat(config.workers ?? {}),
    },
    restarts: fillRestarts(config.restarts ?? {}),
    delivery: fillDelivery(config.delivery ?? {}),
    sessions: fillSessions(config.sessions ?? {}),
    shutdown: fillShutdown(config.shutdown ?? {}),
    bench: { prices: config.bench?.prices ?? {} },
    dataDir: absolute(dir, config.dataDir ?? defaults.DEFAULT_DATA_DIR),
    log: {
      level: config.log?.level ?? defaults.DEFAULT_LOG_LEVEL,
      pretty: config.log?.pretty ?? isatty(1),
    },
    warnings: [...warnings, ...unset, ...deafChannels(config.channels ?? {})],
  };
}

const DEFAULT_ROUTING: readonly RouteRule[] = [{ rule: 'metadataKey', key: 'agent' }];

function fillAgent(name: string, agent: AgentConfig, dir: string, env: Environment): ResolvedAgent {
  const values = (agent.env ?? []).flatMap((variable) => {
    const value = env[variable];
    return value === undefined ? [] : [[variable, value] as const];
  });
  return {
    name,
    source: sourceOf(name, agent, dir),
    replicas: agent.replicas ?? 1,
    isolation: agent.isolation ?? 'shared',
    limits: agent.limits ?? {},
    env: Object.fromEntries(values),
    restart: agent.restart ?? 'permanent',
  };
}

function sourceOf(name: string, agent: AgentConfig, dir: string): ResolvedAgent['source'] {
  if (agent.use?.startsWith('builtin:') === true) return { kind: 'builtin', name: agent.use.slice('builtin:'.length) };
  if (agent.use !== undefined) return { kind: 'module', path: modulePath(dir, agent.use) ?? agent.use };
  if (agent.model === undefined)
    throw new OrreryError('ORRERY_INTERNAL', `Agent ${name} has no source after the checks`);
  const { baseUrl, apiKey, system, temperature, maxOutputTokens, context, maxSteps, fallback } = agent;
  return {
    kind: 'model',
    spec: {
      model: agent.model,
      ...(baseUrl === undefined ? {} : { baseUrl }),
      ...(apiKey === undefined ? {} : { apiKey }),
      ...(system === undefined ? {} : { system }),
      ...(temperature === undefined ? {} : { temperature }),
      ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
      ...(context === undefined ? {} : { context }),
      ...(maxSteps === undefined ? {} : { maxSteps }),
      ...(fallback === undefined ? {} : { fallback }),
    },
  };
}

/** A shorter `killAfterMs` shortens the beat and the look with it, so that a test's 1 s does not kill a healthy thread. */
function fillHeartbeat(
  workers: NonNullable<OrreryConfig['workers']>,
): Pick<ResolvedConfig['workers'], 'heartbeatMs' | 'heartbeatLookMs' | 'killAfterMs'> {
  const killAfterMs = workers.killAfterMs ?? defaults.DEFAULT_KILL_AFTER_MS;
  const share = Math.min(1, killAfterMs / defaults.DEFAULT_KILL_AFTER_MS);
  return {
    heartbeatMs: workers.heartbeatMs ?? Math.max(1, Math.round(defaults.DEFAULT_HEARTBEAT_MS * share)),
    heartbeatLookMs: workers.heartbeatLookMs ?? Math.max(1, Math.round(defaults.DEFAULT_HEARTBEAT_LOOK_MS * share)),
    killAfterMs,
  };
}

/** Of two ends of a range of which one is given, the other gives way. */
function range(
  min: number | undefined,
  max: number | undefined,
  defaultMin: number,
  defaultMax: number,
): readonly [min: number, max: number] {
  const low = min ?? Math.min(defaultMin, max ?? defaultMax);
  return [low, max ?? Math.max(defaultMax, low)];
}

function fillRestarts(restarts: NonNullable<OrreryConfig['restarts']>): ResolvedConfig['restarts'] {
  const [backoffMinMs, backoffMaxMs] = range(
    restarts.backoffMinMs,
    restarts.backoffMaxMs,
    defaults.DEFAULT_BACKOFF_MIN_MS,
    defaults.DEFAULT_BACKOFF_MAX_MS,
  );
  return {
    maxRestarts: restarts.maxRestarts ?? defaults.DEFAULT_MAX_RESTARTS,
    periodMs: restarts.periodMs ?? defaults.DEFAULT_RESTART_PERIOD_MS,
    backoffMinMs,
    backoffMaxMs,
    jitter: restarts.jitter ?? defaults.DEFAULT_JITTER,
    resetAfterMs: restarts.resetAfterMs ?? defaults.DEFAULT_RESET_AFTER_MS,
  };
}

function fillDelivery(delivery: NonNullable<OrreryConfig['delivery']>): ResolvedConfig['delivery'] {
  const [retryMinMs, retryMaxMs] = range(
    delivery.retryMinMs,
    delivery.retryMaxMs,
    defaults.DEFAULT_RETRY_MIN_MS,
    defaults.DEFAULT_RETRY_MAX_MS,
  );
  const { journal = 'sqlite' } = delivery;
  const inMemory = journal === 'memory';
  return {
    journal,
    maxAttempts: delivery.maxAttempts ?? defaults.DEFAULT_MAX_ATTEMPTS,
    turnTimeoutMs: delivery.turnTimeoutMs ?? defaults.DEFAULT_TURN_TIMEOUT_MS,
    mailboxSize: delivery.mailboxSize ?? defaults.DEFAULT_MAILBOX_SIZE,
    maxPending: delivery.maxPending ?? defaults.DEFAULT_MAX_PENDING,
    dedupeRetentionMs:
      delivery.dedupeRetentionMs ??
      (inMemory ? defaults.DEFAULT_MEMORY_DEDUPE_RETENTION_MS : defaults.DEFAULT_DEDUPE_RETENTION_MS),
    replyRetentionMs:
      delivery.replyRetentionMs ??
      (inMemory ? defaults.DEFAULT_MEMORY_REPLY_RETENTION_MS : defaults.DEFAULT_REPLY_RETENTION_MS),
    maxMessageBytes: delivery.maxMessageBytes ?? defaults.DEFAULT_MAX_MESSAGE_BYTES,
    retryMinMs,
    retryMaxMs,
    maxDeadLetters: delivery.maxDeadLetters ?? defaults.DEFAULT_MAX_DEAD_LETTERS,
    maxAgeMs: delivery.maxAgeMs ?? defaults.DEFAULT_MAX_AGE_MS,
    maxHeldReplies: delivery.maxHeldReplies ?? defaults.DEFAULT_MAX_HELD_REPLIES,
    maxJournalLag: delivery.maxJournalLag ?? defaults.DEFAULT_MAX_JOURNAL_LAG,
    ...(delivery.maxJournalBytes === undefined ? {} : { maxJournalBytes: delivery.maxJournalBytes }),
    maxLoopDelayMs: delivery.maxLoopDelayMs ?? defaults.DEFAULT_MAX_LOOP_DELAY_MS,
  };
}

function fillSessions(sessions: NonNullable<OrreryConfig['sessions']>): ResolvedConfig['sessions'] {
  const { store = 'sqlite', synchronous = 'normal', maxAgeMs, maxMessages } = sessions;
  const kept = maxMessages === undefined ? {} : { maxMessages };
  if (store === 'memory') return { store, ...kept };
  const { cacheBytes = defaults.DEFAULT_SESSION_CACHE_BYTES } = sessions;
  return { store, synchronous, cacheBytes, ...kept, ...(maxAgeMs === undefined ? {} : { maxAgeMs }) };
}

function fillShutdown(shutdown: NonNullable<OrreryConfig['shutdown']>): ResolvedConfig['shutdown'] {
  const timeoutMs = shutdown.timeoutMs ?? defaults.DEFAULT_SHUTDOWN_MS;
  return {
    timeoutMs,
    drainMs: Math.min(timeoutMs, shutdown.drainMs ?? Math.round(timeoutMs * defaults.DEFAULT_DRAIN_SHARE)),
    hostMs: Math.min(timeoutMs, shutdown.hostMs ?? Math.round(timeoutMs * defaults.DEFAULT_HOST_SHARE)),
  };
}

function absolute(dir: string, path: string): string {
  return isAbsolute(path) ? path : resolve(dir, path);
}

/** The configuration that runs where no file is found: two built-in agents behind a gateway on this machine only. */
export const BUILT_IN_CONFIG: OrreryConfig = {
  agents: { eliza: { use: 'builtin:eliza' }, echo: { use: 'builtin:echo' } },
  defaultAgent: 'eliza',
  channels: { web: { type: 'gateway' } },
};
