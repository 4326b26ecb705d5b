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
  type OutboundMessage,
  type QueueMode,
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
import { needsConnection } from '../config/diff.ts';
import type { ChannelConfig, RouteRule } from '../config/types.ts';
import { type DeliveryEngine, type Intake, type Origin, OriginBook } from '../delivery/index.ts';
import { type AgentNames, type Router, agentNames, compileRoutes } from '../routing/index.ts';
import { queueModes } from './queue-modes.ts';

export interface ChannelsOptions extends Routing {
  readonly configs: Readonly<Record<string, ChannelConfig>>;
  readonly intake: Intake;
  readonly engine: DeliveryEngine;
  readonly log: Logger;
  /** Makes the adapter of a configured channel; a new one for each start. */
  readonly create: (name: string, config: ChannelConfig) => Channel;
  /** Milliseconds that turns in flight get when a channel is stopped or restarted. */
  readonly shutdownTimeoutMs: number;
}

/** Which agents there are, and which of them a message goes to: replaced as a whole. */
export interface Routing {
  readonly routing: readonly RouteRule[];
  readonly agents: ReadonlySet<string>;
  readonly defaultAgent: string;
}

interface Hosted {
  readonly manager: ChannelManager;
  readonly origin: Origin;
  /** Of a channel that is in the configuration. */
  config: ChannelConfig | undefined;
  /** Compiled from the configuration. */
  modes: ((namespace: string) => QueueMode) | undefined;
  /** Lets what waits for the channel to be open again go on. */
  wake: () => void;
  /** It was not open when it was last told of; draining changes nothing of that. */
  isDown: boolean;
  /** It was taken out of the configuration: what is still to be sent cannot be. */
  isRemoved: boolean;
}

interface Table extends Routing {
  readonly route: Router;
  readonly names: AgentNames;
}

export class HostedChannels implements ChannelManagers, ChannelHost {
  readonly #options: ChannelsOptions;
  readonly #byName = new Map<string, Hosted>();
  readonly #byManager = new Map<ChannelManager, Hosted>();
  #table: Table;
  /** The adapter of each channel's last start. */
  readonly #adapters = new Map<string, Channel>();
  readonly #sends = new AbortController();

  constructor(options: ChannelsOptions) {
    this.#options = options;
    this.#table = tableOf(options);
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
    for (const name of this.#table.agents) refs.set(name, { name, host: this });
    return refs;
  }

  /** The way back to where a message came from; undefined when no such channel is configured. */
  origin(name: string): Origin | undefined {
    return this.#byName.get(name)?.origin;
  }

  async restart(name: string): Promise<ChannelStatus> {
    if (!this.#byName.has(name)) throw new OrreryError('ORRERY_NOT_FOUND', `There is no channel "${name}"`);
    await this.#start(name);
    return this.#status(name);
  }

  /** Replaces agents and rules in one step: the next message sees all of it, and none sees half. */
  setRouting(routing: Routing): void {
    this.#table = tableOf(routing);
    const refs = this.agents();
    for (const { manager } of this.#byName.values()) manager.setAgents(refs, routing.defaultAgent);
  }

  /** Adds a channel and connects it. Rejects with what ends it for good, and then it is not there. */
  async add(name: string, config: ChannelConfig): Promise<void> {
    this.#add(name, config);
    try {
      await this.#start(name);
    } catch (error) {
      await this.remove(name);
      throw error;
    }
  }

  /**
   * Brings a channel into another form: connected anew where the difference asks for that, and its replies that are not sent go out
   * on the new connection. Rejects with what ends that one for good; then the channel is as it was.
   */
  async change(name: string, config: ChannelConfig): Promise<void> {
    const hosted = this.#byName.get(name);
    const before = hosted?.config;
    if (!hosted || !before) throw new OrreryError('ORRERY_NOT_FOUND', `There is no channel "${name}"`);
    configure(hosted, config);
    if (!needsConnection(before, config)) return;
    try {
      await this.#start(name);
    } catch (error) {
      configure(hosted, before);
      await this.#start(name).catch((cause: unknown) => {
        this.#options.log.error({ err: cause, channel: name }, 'the channel is not connected as it was before either');
      });
      throw error;
    }
  }

  /**
   * Closes a channel and forgets it. Its turns under way get `shutdown.drainMs` to be answered; they go on after that, but the reply of
   * one that is not sent by then is a dead letter (`undeliverable`).
   */
  async remove(name: string): Promise<void> {
    const hosted = this.#byName.get(name);
    if (!hosted) return;
    await hosted.manager.stop();
    this.#byName.delete(name);
    this.#byManager.delete(hosted.manager);
    this.#adapters.delete(name);
    hosted.isRemoved = true;
    hosted.wake();
  }

  /** Closes all channels. Turns have ended by then: nothing is waited for. */
  async stop(): Promise<void> {
    this.#sends.abort();
    await Promise.all([...this.#byName.values()].map(({ manager }) => manager.withShutdownTimeout(0).stop()));
  }

  /** Routes a message by the configured rules; throws a typed error when no agent is found. */
  route(
    inbound: InboundMessage,
    names: AgentNames = this.#table.names,
    defaultAgent: string = this.#table.defaultAgent,
  ): string {
    const result = this.#table.route(inbound, { agents: names, defaultAgent });
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
      const { config } = hosted;
      const own = message.agent === undefined ? config?.agent : undefined;
      if (own !== undefined && o.agents.has(own)) return own;
      return this.route(message, agentNames(o.agents), o.defaultAgent);
    };
    return this.#options.intake.accept(inbound, route, hosted.origin, o.listener);
  }

  /** A channel that is connected anew, or taken away, leaves its turns alone: only the host's end cuts them off. */
  abort(manager: ChannelManager): void {
    if (this.#hostedOf(manager).config !== undefined && !this.#sends.signal.aborted) return;
    this.#options.engine.abort('shutdown', this.#hostedOf(manager).origin);
  }

  /** Without a connection nothing can be answered: it is the restart that brings one, and there is nothing to wait for. */
  settled(manager: ChannelManager): Promise<void> {
    const { isDown } = this.#hostedOf(manager);
    if (isDown && !this.#sends.signal.aborted) return Promise.resolve();
    return this.#hostedOf(manager).origin.book.settled();
  }

  #add(name: string, config: ChannelConfig): void {
    const { log, shutdownTimeoutMs } = this.#options;
    const manager: ChannelManager = new ChannelManager(this.#table.defaultAgent, {
      host: this,
      log,
      shutdownTimeoutMs,
      onState: (state) => {
        logState(log, name, state);
        if (state.status === 'open') hosted.wake();
        if (state.status !== 'draining') hosted.isDown = state.status !== 'open';
      },
    });
    manager.setAgents(this.agents(), this.#table.defaultAgent);
    const hosted = this.#hosted(manager);
    configure(hosted, config);
    this.#byName.set(name, hosted);
  }

  async #start(name: string): Promise<void> {
    const hosted = this.#byName.get(name);
    if (!hosted?.config || this.#sends.signal.aborted) return; // stopped meanwhile
    const channel = this.#options.create(name, hosted.config);
    this.#adapters.set(name, channel);
    await hosted.manager.start(channel, { name });
  }

  /** A manager that the library's user made for itself becomes known with its first message. */
  #hostedOf(manager: ChannelManager): Hosted {
    return this.#byManager.get(manager) ?? this.#hosted(manager);
  }

  #hosted(manager: ChannelManager): Hosted {
    /** Who waits for the channel to be open again. */
    const awaited: (() => void)[] = [];
    const { signal } = this.#sends;
    const sent = (): void => {
      if (!hosted.isRemoved) return;
      throw new OrreryError('ORRERY_UNDELIVERABLE', `The channel "${manager.name}" was taken out of the configuration`);
    };
    const send = async (out: OutboundMessage, key: string): Promise<void> => {
      await manager.send(out, { key, signal });
    };
    const origin: Origin = {
      book: new OriginBook(),
      reply: (out, key) => {
        sent();
        return manager.sendNow(out) ? undefined : send(out, key);
      },
      error: async (out, key) => {
        sent();
        await manager.sendError(out, { key, signal });
      },
      typing: (target) => manager.startTyping(target),
      left: (out) => manager.left(out),
      queue: (namespace) => hosted.modes?.(namespace) ?? 'followup',
      reachable: () => {
        if (!hosted.config || hosted.isRemoved || manager.isConnected()) return undefined;
        return new Promise((resolve) => awaited.push(resolve));
      },
    };
    const hosted: Hosted = {
      manager,
      origin,
      config: undefined,
      modes: undefined,
      wake: () => {
        for (const resolve of awaited.splice(0)) resolve();
      },
      isDown: false,
      isRemoved: false,
    };
    this.#byManager.set(manager, hosted);
    return hosted;
  }

  #status(name: string): ChannelStatus {
    const hosted = this.#byName.get(name);
    const state = hosted?.manager.connection ?? { status: 'idle' };
    const adapter = this.#adapters.get(name);
    const health = adapter?.health?.();
    return {
      name,
      type: hosted?.config?.type ?? '',
      connected: hosted?.manager.isConnected() ?? false,
      state,
      metadata: hosted?.manager.state().metadata ?? {},
      ...(health === undefined ? {} : { health }),
      ...reachedAt(adapter),
    };
  }
}

function tableOf({ routing, agents, defaultAgent }: Routing): Table {
  return { routing, agents, defaultAgent, route: compileRoutes(routing), names: agentNames(agents) };
}

function configure(hosted: Hosted, config: ChannelConfig): void {
  hosted.config = config;
  hosted.modes = config.queue && queueModes(config.queue);
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
