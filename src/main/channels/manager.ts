/**
 * Owns one channel's life: which adapter runs, which agents its messages may reach, and how it is started, stopped and
 * replaced. Connecting is the connection machine's; routing, turns and answers are the host's, behind {@link ChannelHost}.
 */
import { type Logger, pino } from 'pino';
import {
  type Accepted,
  type ConnectionState,
  type DeliveryListener,
  type InboundMessage,
  OrreryError,
  type OutboundError,
  type OutboundMessage,
  type OutboundTarget,
} from '../../protocol/index.ts';
import type { Channel, SendOptions, SendReceipt } from './channel.ts';
import {
  type Clock,
  Connection,
  DEFAULT_CONNECT_TIMEOUT_MS,
  DEFAULT_RECONNECT,
  type ReconnectOptions,
  SYSTEM_CLOCK,
  settledWithin,
} from './connection.ts';

/** An agent that a manager may be given: its name, and the host that runs it. */
export interface AgentRef {
  readonly name: string;
  readonly host: ChannelHost;
}

/** What a manager says of a message that it hands in. */
export interface AcceptOptions {
  readonly agents: ReadonlyMap<string, AgentRef> | undefined;
  readonly defaultAgent: string;
  readonly manager: ChannelManager;
  readonly listener?: DeliveryListener | undefined;
}

/** What a manager needs of the host: intake on one side, the turns of its deliveries on the other. */
export interface ChannelHost {
  /** Routes and accepts a message; `agents` is undefined until `setAgents`, when the default agent alone is there. */
  accept(inbound: InboundMessage, o: AcceptOptions): Promise<Accepted>;
  /** Hears that the manager's turns did not end in time: it may abort them, and their deliveries stay in the journal, or let them go on. */
  abort(manager: ChannelManager): void | Promise<void>;
  /** Resolves when no delivery of the manager is under way: each was answered, is dead, or was aborted. */
  settled(manager: ChannelManager): Promise<void>;
}

/** A copy of what a manager is at the moment. */
export interface ChannelState {
  /** True only while the connection is open. */
  readonly connected: boolean;
  /** Of the last start; kept after a stop. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly status: ConnectionState['status'];
}

export interface ChannelManagerOptions {
  /** Milliseconds that turns in flight get at a stop before they are aborted. Default 5,000. */
  readonly shutdownTimeoutMs?: number;
  /** The host of all agents. Default: the host of the agents given to `setAgents`. */
  readonly host?: ChannelHost;
  readonly log?: Logger;
  readonly reconnect?: ReconnectOptions;
  /** Milliseconds for one attempt to connect. Default 30,000. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds that `start` waits for a first attempt that is neither open nor failed. Default 5,000. */
  readonly startWaitMs?: number;
  readonly clock?: Clock;
  /** Hears of every change of the connection. */
  onState?(state: ConnectionState, manager: ChannelManager): void;
}

export const DEFAULT_SHUTDOWN_TIMEOUT_MS = 5000;
/** A network that is down must not hold up the supervisor's start: past this `start` resolves and the attempt goes on. */
export const DEFAULT_START_WAIT_MS = 5000;
/** Turns that were aborted get this long to end before the connection is closed under them. */
export const ABORT_GRACE_MS = 1000;

const DISCONNECTED: Disposable = { [Symbol.dispose]: () => undefined };

/** Starts, stops and replaces the connection of one channel. `start` and `stop` run one at a time, in call order. */
export class ChannelManager {
  readonly #options: ChannelManagerOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  #shutdownTimeoutMs: number;
  #agents: ReadonlyMap<string, AgentRef> | undefined;
  #defaultAgent: string;
  #host: ChannelHost | undefined;
  #name = '';
  #type = '';
  #metadata: Readonly<Record<string, string>> = {};
  #connection: Connection | undefined;
  #state: ConnectionState = { status: 'idle' };
  /** The last operation of the chain; never rejects. */
  #last: Promise<void> = Promise.resolve();
  /** Ends the wait of a running `start`, because something was called after it. */
  #hurry: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(defaultAgent: string, options: ChannelManagerOptions = {}) {
    this.#defaultAgent = defaultAgent;
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#log = options.log ?? pino({ enabled: false });
    this.#host = options.host;
    this.#shutdownTimeoutMs = milliseconds(
      'shutdownTimeoutMs',
      options.shutdownTimeoutMs ?? DEFAULT_SHUTDOWN_TIMEOUT_MS,
    );
  }

  /** Sets the milliseconds that turns in flight get at a stop, from the next stop on. Returns the manager itself. */
  withShutdownTimeout(ms: number): this {
    this.#shutdownTimeoutMs = milliseconds('shutdownTimeoutMs', ms);
    return this;
  }

  /** Replaces the agents that messages may reach: the next message sees them. The map is copied. */
  setAgents(agents: ReadonlyMap<string, AgentRef>, defaultAgent: string): void {
    this.#agents = new Map(agents);
    this.#defaultAgent = defaultAgent;
    const [first] = this.#agents.values();
    this.#host = this.#options.host ?? (this.#agents.get(defaultAgent) ?? first)?.host ?? this.#host;
  }

  /**
   * Connects a channel; a running one is stopped first, and its accepted messages are kept.
   *
   * Resolves when the first attempt is open, or has failed in a way that is retried from now on, or is still undecided after
   * `startWaitMs` or when the next `start` or `stop` is called: `isConnected()` tells which. Rejects with the attempt's
   * error when that is final (a configuration code, or `retryable: false`), and with `ORRERY_CONFIG_INVALID` while no
   * agents are known.
   */
  start(
    channel: Channel,
    o: { readonly name: string; readonly metadata?: Readonly<Record<string, string>> },
  ): Promise<void> {
    const { name } = o;
    const metadata = Object.freeze({ ...o.metadata });
    return this.#enqueue(async (hurry) => {
      if (this.#host === undefined) {
        throw new OrreryError('ORRERY_CONFIG_INVALID', `The channel "${name}" was started before it was given agents`, {
          hint: 'Call `setAgents(agents, defaultAgent)` before `start`.',
        });
      }
      await this.#close();
      await this.#open(channel, name, metadata, hurry);
    });
  }

  /**
   * Ends intake, lets turns in flight finish, aborts those that do not within the timeout (they stay in the journal), and
   * closes. Never rejects; a no-op when nothing runs.
   */
  stop(): Promise<void> {
    return this.#enqueue(() => this.#close());
  }

  /** Returns a copy: what it says never changes. */
  state(): ChannelState {
    return { connected: this.isConnected(), metadata: { ...this.#metadata }, status: this.#state.status };
  }

  isConnected(): boolean {
    return this.#state.status === 'open';
  }

  /** The connection with what is known of it: since when, how often tried, why it was lost. */
  get connection(): ConnectionState {
    return this.#state;
  }

  /** The channel's name in the configuration; empty before the first start. */
  get name(): string {
    return this.#name;
  }

  /** The adapter's network; empty before the first start. */
  get type(): string {
    return this.#type;
  }

  /** Sends a reply. Rejects with `ORRERY_CHANNEL_CLOSED`, the message untouched, when there is no connection. */
  send(out: OutboundMessage, options: SendOptions): Promise<SendReceipt> {
    return this.#connection?.send(out, options) ?? Promise.reject(this.#closedError());
  }

  /** Sends a reply without a promise where the channel has `sendNow`; false where it has not, or is not open: then `send` is to be called. */
  sendNow(out: OutboundMessage): boolean {
    return this.#connection?.sendNow(out) ?? false;
  }

  /** Tells a sender what became of a message, under the same conditions as `send`. */
  sendError(out: OutboundError, options: SendOptions): Promise<void> {
    return this.#connection?.sendError(out, options) ?? Promise.reject(this.#closedError());
  }

  /** Tells whoever waits for the answer to a message that the next process gives it. Never throws. */
  left(error: OutboundError): void {
    try {
      this.#connection?.channel.left?.(error);
    } catch (cause) {
      this.#log.debug({ err: cause, channel: this.#name }, 'the channel failed to tell that a message is left');
    }
  }

  /** Shows that an answer is being written until disposed; does nothing where the network has no such thing. Never throws. */
  startTyping(target: OutboundTarget): Disposable {
    try {
      return this.#connection?.startTyping(target) ?? DISCONNECTED;
    } catch (error) {
      this.#log.debug({ err: error, channel: this.#name }, 'the channel failed to show that an answer is written');
      return DISCONNECTED;
    }
  }

  /** Runs operations one at a time in call order, and makes a `start` that only waits give way to the next one. */
  #enqueue(operation: (hurry: Promise<void>) => Promise<void>): Promise<void> {
    this.#hurry.resolve();
    this.#hurry = Promise.withResolvers();
    const hurry = this.#hurry.promise;
    const done = this.#last.then(() => operation(hurry));
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #open(
    channel: Channel,
    name: string,
    metadata: Readonly<Record<string, string>>,
    hurry: Promise<void>,
  ): Promise<void> {
    this.#name = name;
    this.#type = channel.type;
    this.#metadata = metadata;
    const connection = new Connection(channel, {
      name,
      metadata,
      log: this.#log.child({ channel: name }),
      clock: this.#clock,
      reconnect: this.#options.reconnect ?? DEFAULT_RECONNECT,
      connectTimeoutMs: this.#options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
      accept: (inbound, listener) => this.#accept(inbound, listener),
      onState: (state) => this.#changed(connection, state),
    });
    this.#connection = connection;
    const undecided = Promise.withResolvers<void>();
    using _wait = this.#clock.after(this.#options.startWaitMs ?? DEFAULT_START_WAIT_MS, undecided.resolve);
    await Promise.race([connection.start(), undecided.promise, hurry]);
  }

  async #close(): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    const timeoutMs = this.#shutdownTimeoutMs;
    connection.drain(this.#clock.now() + timeoutMs);
    await this.#endTurns(timeoutMs);
    await connection.close('stopped');
    this.#connection = undefined;
  }

  async #endTurns(timeoutMs: number): Promise<void> {
    const host = this.#host;
    if (host === undefined || (await settledWithin(host.settled(this), timeoutMs, this.#clock))) return;
    this.#log.warn({ channel: this.#name, timeoutMs }, 'turns did not end in time');
    // The next connection must not open over turns of this one that still run, so that they are waited for again.
    const aborted = async (): Promise<void> => {
      await host.abort(this);
      await host.settled(this);
    };
    await settledWithin(aborted(), ABORT_GRACE_MS, this.#clock);
  }

  #accept(inbound: InboundMessage, listener: DeliveryListener | undefined): Promise<Accepted> {
    const host = this.#host;
    if (host === undefined) return Promise.reject(this.#closedError());
    return host.accept(inbound, {
      agents: this.#agents,
      defaultAgent: this.#defaultAgent,
      manager: this,
      listener,
    });
  }

  #changed(connection: Connection, state: ConnectionState): void {
    // Race: an adapter that hung in `dispose` comes back after the next start; what it says is of a connection of the past.
    if (this.#connection !== connection) return;
    this.#state = state;
    this.#options.onState?.(state, this);
  }

  #closedError(): OrreryError {
    return new OrreryError('ORRERY_CHANNEL_CLOSED', `The channel "${this.#name}" is not connected`, {
      details: { channel: this.#name },
    });
  }
}

function milliseconds(name: string, value: number): number {
  if (!Number.isFinite(value) || value < 0) {
    throw new OrreryError(
      'ORRERY_CONFIG_INVALID',
      `Expected \`${name}\` to be milliseconds, 0 or more, got ${String(value)}`,
    );
  }
  return value;
}
