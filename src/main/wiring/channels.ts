/**
 * Owns the channels of a running host: one manager for each, its adapter made from the configuration, and the way between
 * a channel and delivery in both directions.
 */
import type { Logger } from 'pino';
import {
  type Accepted,
  type ConnectionState,
  ERRORS,
  type InboundMessage,
  OrreryError,
  codeOf,
} from '../../protocol/index.ts';
import type { ChannelManagers, ChannelStatus } from '../api.ts';
import {
  type AcceptOptions,
  type AgentRef,
  type Channel,
  type ChannelHost,
  ChannelManager,
} from '../channels/index.ts';
import { GatewayChannel } from '../channels/gateway/index.ts';
import type { ChannelConfig, QueueConfig, RouteRule } from '../config/types.ts';
import { type DeliveryEngine, type Intake, type Origin, OriginBook } from '../delivery/index.ts';
import { type AgentNames, type Router, agentNames, compileRoutes } from '../routing/index.ts';
import { queueModes } from './queue-modes.ts';

export interface ChannelsOptions {
  readonly configs: Readonly<Record<string, ChannelConfig>>;
  readonly routing: readonly RouteRule[];
  readonly agents: ReadonlySet<string>;
  readonly defaultAgent: string;
  readonly intake: Intake;
  readonly engine: DeliveryEngine;
  readonly log: Logger;
  /** Makes the adapter of a configured channel; a new one for each start. */
  readonly create: (name: string, config: ChannelConfig) => Channel;
  /** Milliseconds that turns in flight get when a channel is stopped or restarted. */
  readonly shutdownTimeoutMs: number;
}

interface Hosted {
  readonly manager: ChannelManager;
  readonly origin: Origin;
  readonly type: string;
  /** The agent of all of the channel's messages that name none. */
  readonly agent: string | undefined;
}

/** One restart of a channel. */
interface Restart {
  /** Whether there was a connection on which its turns could still be answered. */
  readonly wasConnected: boolean;
}

export class HostedChannels implements ChannelManagers, ChannelHost {
  readonly #options: ChannelsOptions;
  readonly #byName = new Map<string, Hosted>();
  readonly #byManager = new Map<ChannelManager, Hosted>();
  readonly #route: Router;
  readonly #names: AgentNames;
  /** The adapter of each channel's last start. */
  readonly #adapters = new Map<string, Channel>();
  readonly #sends = new AbortController();
  /** Channels that are being restarted, by their last restart. */
  readonly #restarts = new Map<ChannelManager, Restart>();

  constructor(options: ChannelsOptions) {
    this.#options = options;
    this.#route = compileRoutes(options.routing);
    this.#names = agentNames(options.agents);
    for (const [name, config] of Object.entries(options.configs)) this.#add(name, config);
  }

  /**
   * Starts all channels at once: one whose network is slow or refuses does not touch the others. Rejects when the configuration of one is wrong,
   * and when every one of them failed for good; those that run then are the caller's to stop.
   */
  async start(): Promise<void> {
    const names = [...this.#byName.keys()];
    const results = await Promise.allSettled(names.map((name) => this.#start(name)));
    const failures = results.flatMap((result): unknown[] => (result.status === 'rejected' ? [result.reason] : []));
    const wrong = failures.find((error) => isConfiguration(error));
    if (wrong !== undefined) throw wrong;
    if (failures.length > 0 && failures.length === names.length) throw failures[0];
  }

  list(): readonly ChannelStatus[] {
    return [...this.#byName.keys()].map((name) => this.#status(name));
  }

  get(name: string): ChannelManager | undefined {
    return this.#byName.get(name)?.manager;
  }

  agents(): ReadonlyMap<string, AgentRef> {
    const refs = new Map<string, AgentRef>();
    for (const name of this.#options.agents) refs.set(name, { name, host: this });
    return refs;
  }

  /** The way back to where a message came from; undefined when no such channel is configured. */
  origin(name: string): Origin | undefined {
    return this.#byName.get(name)?.origin;
  }

  async restart(name: string): Promise<ChannelStatus> {
    const manager = this.get(name);
    if (!manager) throw new OrreryError('ORRERY_NOT_FOUND', `There is no channel "${name}"`);
    const restart: Restart = { wasConnected: manager.isConnected() };
    this.#restarts.set(manager, restart);
    try {
      await this.#start(name);
    } finally {
      // Of two restarts at once the first ends while the second is under way.
      if (this.#restarts.get(manager) === restart) this.#restarts.delete(manager);
    }
    return this.#status(name);
  }

  /** Closes all channels. Turns have ended by then: nothing is waited for. */
  async stop(): Promise<void> {
    this.#sends.abort();
    await Promise.all([...this.#byName.values()].map(({ manager }) => manager.withShutdownTimeout(0).stop()));
  }

  /** Routes a message by the configured rules; throws a typed error when no agent is found. */
  route(
    inbound: InboundMessage,
    names: AgentNames = this.#names,
    defaultAgent: string = this.#options.defaultAgent,
  ): string {
    const result = this.#route(inbound, { agents: names, defaultAgent });
    if ('agent' in result) return result.agent;
    const message =
      result.rejected === 'ORRERY_AGENT_UNKNOWN'
        ? `There is no agent "${inbound.agent ?? ''}"`
        : `No agent is found for this message of channel "${inbound.channel}"`;
    throw new OrreryError(result.rejected, message);
  }

  // What managers ask

  accept(inbound: InboundMessage, o: AcceptOptions): Promise<Accepted> {
    const hosted = this.#hostedOf(o.manager);
    const route = (message: InboundMessage): string => {
      if (!o.agents) return alone(message, o.defaultAgent);
      if (hosted.agent !== undefined && message.agent === undefined) return hosted.agent;
      return this.route(message, agentNames(o.agents), o.defaultAgent);
    };
    return this.#options.intake.accept(inbound, route, hosted.origin, o.listener);
  }

  /** A turn that outlasts the patience of a restart goes on: what it answers is held until the new connection is open. */
  abort(manager: ChannelManager): void {
    if (this.#restarts.has(manager)) return;
    this.#options.engine.abort('shutdown', this.#hostedOf(manager).origin);
  }

  /** Without a connection nothing can be answered: it is the restart that brings one, and there is nothing to wait for. */
  settled(manager: ChannelManager): Promise<void> {
    if (this.#restarts.get(manager)?.wasConnected === false) return Promise.resolve();
    return this.#hostedOf(manager).origin.book.settled();
  }

  #add(name: string, config: ChannelConfig): void {
    const { defaultAgent, log, shutdownTimeoutMs } = this.#options;
    /** Who waits for the channel to be open again. */
    const awaited: (() => void)[] = [];
    const manager = new ChannelManager(defaultAgent, {
      host: this,
      log,
      shutdownTimeoutMs,
      onState: (state) => {
        logState(log, name, state);
        if (state.status === 'open') for (const resolve of awaited.splice(0)) resolve();
      },
    });
    manager.setAgents(this.agents(), defaultAgent);
    const origin: Origin = {
      ...this.#originOf(manager, config.queue),
      reachable: () => (manager.isConnected() ? undefined : new Promise((resolve) => awaited.push(resolve))),
    };
    const hosted = { manager, origin, type: config.type, agent: config.agent };
    this.#byName.set(name, hosted);
    this.#byManager.set(manager, hosted);
  }

  async #start(name: string): Promise<void> {
    const hosted = this.#byName.get(name);
    const config = this.#options.configs[name];
    if (!hosted || !config || this.#sends.signal.aborted) return; // stopped meanwhile
    const channel = this.#options.create(name, config);
    this.#adapters.set(name, channel);
    await hosted.manager.start(channel, { name });
  }

  /** A manager that the library's user made for itself becomes known with its first message. */
  #hostedOf(manager: ChannelManager): Hosted {
    const known = this.#byManager.get(manager);
    if (known) return known;
    const hosted = { manager, origin: this.#originOf(manager), type: manager.type, agent: undefined };
    this.#byManager.set(manager, hosted);
    return hosted;
  }

  #originOf(manager: ChannelManager, queue?: QueueConfig): Origin {
    const { signal } = this.#sends;
    return {
      book: new OriginBook(),
      reply: async (out, key) => {
        await manager.send(out, { key, signal });
      },
      error: (out, key) => manager.sendError(out, { key, signal }),
      typing: (target) => manager.startTyping(target),
      left: (out) => manager.left(out),
      ...(queue === undefined ? {} : { queue: queueModes(queue) }),
    };
  }

  #status(name: string): ChannelStatus {
    const hosted = this.#byName.get(name);
    const state = hosted?.manager.connection ?? { status: 'idle' };
    const adapter = this.#adapters.get(name);
    const health = adapter?.health?.();
    return {
      name,
      type: hosted?.type ?? '',
      connected: hosted?.manager.isConnected() ?? false,
      state,
      metadata: hosted?.manager.state().metadata ?? {},
      ...(health === undefined ? {} : { health }),
      ...reachedAt(adapter),
    };
  }
}

/** Before `setAgents` a manager has its default agent alone, whatever the rules say. */
function alone(inbound: InboundMessage, defaultAgent: string): string {
  if (inbound.agent === undefined || inbound.agent === defaultAgent) return defaultAgent;
  throw new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent "${inbound.agent}" behind this channel`);
}

/** What a person has to correct before anything else; a network's refusal is that one channel's affair. */
function isConfiguration(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && ERRORS[code].class === 'configuration';
}

/** Where a gateway listens: with port 0 it is known only once it is open. */
function reachedAt(channel: Channel | undefined): { url?: string } {
  const url = channel instanceof GatewayChannel ? channel.address?.url : undefined;
  return url === undefined ? {} : { url };
}

function logState(log: Logger, channel: string, state: ConnectionState): void {
  const level = state.status === 'waiting' ? 'warn' : 'info';
  log[level]({ channel, state: state.status }, `channel ${channel} is ${state.status}`);
}
