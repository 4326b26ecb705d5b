/**
 * Owns how a running host takes over another configuration: the difference alone, in an order in which no message meets half of it.
 *
 *   agents that are new or changed start  ->  routing, names and default agent in one step  ->  channels close, connect anew, open
 *   ->  agents that are gone answer what they accepted, and stop
 *
 * What does not start leaves what was before in its place, and is named in the report. One reload runs at a time; of those that come
 * meanwhile the latest is run after it.
 */
import type { Logger } from 'pino';
import { type ErrorCode, OrreryError, asOrreryError, toWire } from '../../protocol/index.ts';
import type { ReloadFailure, ReloadReport, SupervisorState } from '../api.ts';
import {
  type ChannelConfig,
  type ConfigDiff,
  type OrreryConfig,
  type ResolvedAgent,
  type ResolvedConfig,
  changesNothing,
  diffConfig,
  resolveConfig,
  takenOver,
} from '../config/index.ts';
import type { HostedAgents } from './agents.ts';
import type { HostedChannels } from './channels.ts';
import { Coalesced } from './coalesced.ts';

/** Agents that start at once. */
const MAX_STARTS = 4;

export interface ReloadsOptions {
  readonly agents: HostedAgents;
  readonly channels: HostedChannels;
  readonly log: Logger;
  readonly state: () => SupervisorState;
  /** Reads the configuration's source again; absent where the host was given an object. */
  readonly load: (() => Promise<ResolvedConfig>) | undefined;
  /** What the host began with. */
  readonly config: ResolvedConfig;
}

export class Reloads {
  readonly #options: ReloadsOptions;
  readonly #coalesced = new Coalesced<ReloadReport>();
  #config: ResolvedConfig;

  constructor(options: ReloadsOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  /** What is in force. */
  get config(): ResolvedConfig {
    return this.#config;
  }

  /** As `Supervisor.reload`. */
  reload(config?: OrreryConfig): Promise<ReloadReport> {
    return this.#coalesced.run(() => this.#reload(config));
  }

  async #reload(config: OrreryConfig | undefined): Promise<ReloadReport> {
    const { log } = this.#options;
    this.#checkRunning();
    const began = performance.now();
    let after: ResolvedConfig;
    try {
      after = await this.#read(config);
    } catch (error) {
      log.error({ err: error }, 'the new configuration is not taken over; the one before stays in force');
      throw error;
    }
    this.#checkRunning();
    const before = this.#config;
    const diff = diffConfig(before, after);
    const failed = changesNothing(diff) ? [] : await this.#apply(before, after, diff);
    const { agents, channels, routing, defaultAgent, needsRestart } = diff;
    const report: ReloadReport = {
      ...(after.file === undefined ? {} : { file: after.file }),
      agents,
      channels,
      routing,
      ...(defaultAgent ? { defaultAgent: after.defaultAgent } : {}),
      needsRestart,
      failed,
      warnings: after.warnings ?? [],
      durationMs: Math.round(performance.now() - began),
    };
    this.#tell(report);
    return report;
  }

  #read(config: OrreryConfig | undefined): Promise<ResolvedConfig> {
    const { load } = this.#options;
    if (config) return Promise.resolve().then(() => resolveConfig(config, { dir: this.#config.dir }));
    if (load) return load();
    const message = 'This supervisor was made from an object, so that there is no file to read again';
    const hint = 'Give `reload` the new configuration.';
    return Promise.reject(new OrreryError('ORRERY_UNSUPPORTED', message, { hint }));
  }

  async #apply(before: ResolvedConfig, after: ResolvedConfig, diff: ConfigDiff): Promise<readonly ReloadFailure[]> {
    const { agents, channels } = this.#options;
    const failed: ReloadFailure[] = [];
    const attempt = async (kind: ReloadFailure['kind'], name: string, work: Promise<void>): Promise<void> => {
      try {
        await work;
      } catch (error) {
        failed.push({ kind, name, error: toWire(asOrreryError(error, 'ORRERY_INTERNAL')) });
      }
    };
    const didFail = (kind: ReloadFailure['kind'], name: string): boolean =>
      failed.some((failure) => failure.kind === kind && failure.name === name);

    const starts = [...diff.agents.added, ...diff.agents.changed];
    for (let i = 0; i < starts.length; i += MAX_STARTS) {
      await Promise.all(
        starts.slice(i, i + MAX_STARTS).map((name) => {
          const agent = agentOf(after, name);
          const { changes } = agents;
          return attempt('agent', name, diff.agents.added.includes(name) ? changes.add(agent) : changes.change(agent));
        }),
      );
      this.#checkRunning();
    }
    const names = new Set(Object.keys(after.agents));
    channels.setRouting({ routing: after.routing, agents: names, defaultAgent: after.defaultAgent });

    const { removed, changed, added } = diff.channels;
    // What is removed goes first: its port may be another's now.
    await Promise.all(removed.map((name) => attempt('channel', name, channels.remove(name))));
    this.#checkRunning();
    await Promise.all(changed.map((name) => attempt('channel', name, channels.change(name, channelOf(after, name)))));
    this.#checkRunning();
    await Promise.all(added.map((name) => attempt('channel', name, channels.add(name, channelOf(after, name)))));
    this.#checkRunning();
    await Promise.all(diff.agents.removed.map((name) => attempt('agent', name, agents.changes.remove(name))));

    // An agent that was added stays, as one that fails when the host starts: its restart policy has it.
    const isKept = (name: string): boolean => diff.agents.changed.includes(name) && didFail('agent', name);
    this.#config = takenOver(before, after, {
      agents: mapped(after.agents, (name, agent) => (isKept(name) ? before.agents[name] : agent)),
      channels: mapped(after.channels, (name, channel) => (didFail('channel', name) ? before.channels[name] : channel)),
    });
    return failed;
  }

  #tell({ agents, channels, routing, defaultAgent, needsRestart, failed, warnings, durationMs }: ReloadReport): void {
    const { log } = this.#options;
    for (const warning of warnings) log.warn(warning);
    for (const { kind, name, error } of failed) {
      log.error({ [kind]: name, err: error }, `the new form of ${kind} ${name} did not start; what was before stays`);
    }
    if (needsRestart.length > 0) log.warn({ keys: needsRestart }, 'these keys need a restart of the process');
    log.info({ agents, channels, routing, defaultAgent, durationMs }, 'the configuration was read again');
  }

  #checkRunning(): void {
    const state = this.#options.state();
    const refusal = REFUSALS[state];
    if (refusal) throw new OrreryError(refusal, `The supervisor is ${state}: its configuration is not read again`);
  }
}

const REFUSALS: Readonly<Record<SupervisorState, ErrorCode | undefined>> = {
  idle: 'ORRERY_STARTING',
  starting: 'ORRERY_STARTING',
  running: undefined,
  draining: 'ORRERY_DRAINING',
  closed: 'ORRERY_CLOSED',
};

function agentOf({ agents }: ResolvedConfig, name: string): ResolvedAgent {
  const agent = agents[name];
  if (agent) return agent;
  throw new OrreryError('ORRERY_INTERNAL', `The configuration has no agent ${name}`);
}

function channelOf({ channels }: ResolvedConfig, name: string): ChannelConfig {
  const channel = channels[name];
  if (channel) return channel;
  throw new OrreryError('ORRERY_INTERNAL', `The configuration has no channel ${name}`);
}

/** Entries for which there is nothing are left out. */
function mapped<T>(
  record: Readonly<Record<string, T>>,
  map: (name: string, value: T) => T | undefined,
): Readonly<Record<string, T>> {
  return Object.fromEntries(
    Object.entries(record).flatMap(([name, value]): (readonly [string, T])[] => {
      const found = map(name, value);
      return found === undefined ? [] : [[name, found]];
    }),
  );
}
