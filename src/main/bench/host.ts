/** Owns the host of a run: a supervisor with the configured agents and one channel, the dataset. */
import type { Logger } from 'pino';
import type { Supervisor } from '../api.ts';
import { ChannelManager } from '../channels/index.ts';
import type { OrreryConfig, ResolvedConfig } from '../config/index.ts';
import { createSupervisor } from '../supervisor.ts';
import { DatasetChannel } from './dataset-channel.ts';
import { invalid } from './errors.ts';

const CHANNEL = 'bench';
/** A case that takes its thread down costs itself, whatever their number: its agent is back at once, every time. */
const MAX_RESTARTS = 1_000_000;
const BACKOFF = { backoffMinMs: 10, backoffMaxMs: 1_000 } as const;

export interface AdaptOptions {
  readonly dataDir: string;
  readonly turnTimeoutMs?: number;
}

/** Milliseconds. No case comes twice, and a reply is in the results: what outlives the young heap only costs its collector. */
const BRIEFLY = { dedupeRetentionMs: 20, replyRetentionMs: 20 };

/**
 * Gives a configuration, as it was written, the defaults of a benchmark: one attempt, sessions in memory, ids and replies kept for a
 * blink, agents that are restarted however often. What it configures itself of these holds. The journal is in memory, for the results are the record; the
 * configured channels stay closed, and no rule routes, for every case names its agent.
 */
export function adaptConfig(input: unknown, { dataDir, turnTimeoutMs }: AdaptOptions): unknown {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return input;
  const { channels: _channels, routing: _routing, defaultAgent: _default, ...rest } = input as Partial<OrreryConfig>;
  const { agents, delivery, sessions, restarts } = rest;
  const own = isObject(delivery) ? delivery : {};
  // Keys of the journal's file are an error beside a journal in memory.
  const { maxJournalBytes: _bytes, ...kept } = own;
  return {
    ...rest,
    defaultAgent: isObject(agents) ? Object.keys(agents)[0] : undefined,
    delivery:
      delivery === undefined || isObject(delivery)
        ? {
            ...BRIEFLY,
            maxAttempts: 1,
            ...kept,
            journal: 'memory',
            ...(turnTimeoutMs === undefined ? {} : { turnTimeoutMs }),
          }
        : delivery,
    sessions: sessions ?? { store: 'memory' },
    restarts: restarts === undefined || isObject(restarts) ? restartsOf(restarts ?? {}) : restarts,
    dataDir,
  };
}

/** Of the two ends of the backoff both are the configuration's as soon as one is. */
function restartsOf(restarts: Readonly<Record<string, unknown>>): unknown {
  const hasBackoff = 'backoffMinMs' in restarts || 'backoffMaxMs' in restarts;
  return { maxRestarts: MAX_RESTARTS, ...(hasBackoff ? {} : BACKOFF), ...restarts };
}

export class BenchHost {
  readonly supervisor: Supervisor;
  readonly channel: DatasetChannel = new DatasetChannel();
  readonly #manager: ChannelManager;

  private constructor(supervisor: Supervisor, agent: string) {
    this.supervisor = supervisor;
    this.#manager = new ChannelManager(agent, { shutdownTimeoutMs: 0 });
  }

  /** Starts agents and channel. The data directory's lock is the caller's. */
  static async start(config: ResolvedConfig, log: Logger): Promise<BenchHost> {
    const supervisor = await createSupervisor({ agents: {} }, { resolved: config, locked: true, log });
    const host = new BenchHost(supervisor, config.defaultAgent);
    try {
      await supervisor.start();
      host.#manager.setAgents(supervisor.channels.agents(), config.defaultAgent);
      await host.#manager.start(host.channel, { name: CHANNEL });
      return host;
    } catch (error) {
      await supervisor.close();
      throw error;
    }
  }

  /** Ends everything, what is under way included: questions that are open are rejected. */
  async close(): Promise<void> {
    await this.supervisor.close();
    await this.#manager.stop();
  }
}

/** Throws `ORRERY_BENCH_INVALID` for an agent that is not configured. */
export function checkAgents(config: ResolvedConfig, agents: readonly string[], what: string): void {
  for (const agent of agents) {
    if (Object.hasOwn(config.agents, agent)) continue;
    throw invalid(`Expected ${what} to name an agent of the configuration, got ${JSON.stringify(agent)}`, {
      hint: `The agents are: ${Object.keys(config.agents).join(', ')}`,
    });
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
