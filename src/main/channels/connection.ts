/**
 * Owns the connection machine of one started channel: it connects, waits and connects again until the channel is stopped,
 * ends by itself or fails for good. It knows nothing of agents and turns; its manager decides when it drains.
 */
import type { Logger } from 'pino';
import { type Backoff, backoffDelayMs } from '../../lib/backoff.ts';
import {
  type Accepted,
  type ConnectionCloseReason,
  type ConnectionEvent,
  type ConnectionState,
  type DeliveryListener,
  ERRORS,
  type InboundMessage,
  OrreryError,
  type OutboundError,
  type OutboundMessage,
  type OutboundTarget,
  asOrreryError,
  codeOf,
  toWire,
  transitionConnection,
} from '../../protocol/index.ts';
import type { Channel, SendOptions, SendReceipt } from './channel.ts';

/** Supplies time, timers and randomness, so that a test decides them. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** In [0, 1). */
  random(): number;
  /** Runs `run` once after `ms` milliseconds; disposing takes that back. */
  after(ms: number, run: () => void): Disposable;
}

export const SYSTEM_CLOCK: Clock = {
  now: Date.now,
  random: Math.random,
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

export interface ReconnectOptions extends Backoff {
  /** A connection that was open this long in milliseconds starts the backoff anew when it is lost. */
  readonly resetAfterMs: number;
}

/** The first reconnect is immediate, then 1 s to 60 s. */
export const DEFAULT_RECONNECT: ReconnectOptions = { minMs: 1000, maxMs: 60_000, jitter: 0.2, resetAfterMs: 60_000 };
/** An adapter that has not opened by then is given up and tried again. */
export const DEFAULT_CONNECT_TIMEOUT_MS = 30_000;
/** An adapter that is told to end gets this long for its pending `connect` and for `dispose`, each. */
export const RELEASE_TIMEOUT_MS = 5000;

export interface ConnectionOptions {
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly log: Logger;
  readonly clock: Clock;
  readonly reconnect: ReconnectOptions;
  readonly connectTimeoutMs: number;
  accept(inbound: InboundMessage, listener?: DeliveryListener): Promise<Accepted>;
  onState(state: ConnectionState): void;
}

/** Tells whether an error ends a channel for good: the configuration is wrong, or its network says that no retry helps. */
export function isFatal(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== undefined && ERRORS[code].class === 'configuration') return true;
  return typeof error === 'object' && error !== null && 'retryable' in error && error.retryable === false;
}

/** Counts a loss: how many came in a row now, and the milliseconds before the next attempt; none after the first. */
export function nextAttempt(
  failures: number,
  healthyMs: number,
  options: ReconnectOptions,
  random: number,
): { readonly failures: number; readonly delayMs: number } {
  const inARow = (healthyMs >= options.resetAfterMs ? 0 : failures) + 1;
  return { failures: inARow, delayMs: inARow === 1 ? 0 : backoffDelayMs(inARow - 1, options, random) };
}

/** Waits for a promise at most `ms` milliseconds; false when it was not settled by then. Never rejects. */
export async function settledWithin(promise: Promise<unknown>, ms: number, clock: Clock): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  using _timer = clock.after(ms, () => late.resolve(false));
  return await Promise.race([
    promise.then(
      () => true,
      () => true,
    ),
    late.promise,
  ]);
}

/** One live session with the network. */
interface Session {
  readonly abort: AbortController;
  /** Settles when `connect` does; never rejects. */
  connecting: Promise<void>;
  open: boolean;
}

/** Runs one channel from `start()` to `close()`; a restart is a new object. */
export class Connection {
  readonly channel: Channel;
  readonly #options: ConnectionOptions;
  readonly #decided: PromiseWithResolvers<void> = Promise.withResolvers();
  #state: ConnectionState = { status: 'idle' };
  /** The live session; undefined between two of them. */
  #session: Session | undefined;
  #intake = true;
  #failures = 0;
  #retry: Disposable | undefined;
  /** Settles when everything the last session held is released. */
  #released: Promise<void> = Promise.resolve();

  constructor(channel: Channel, options: ConnectionOptions) {
    this.channel = channel;
    this.#options = options;
    this.#decided.promise.catch(() => undefined); // start() may be the only one to ask, and need not wait for it
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /**
   * Connects. Resolves once the first attempt is decided: open, or failed in a way that is retried from now on. Rejects when
   * it failed for good.
   */
  start(): Promise<void> {
    this.#attempt();
    return this.#decided.promise;
  }

  /** Stops taking in, and gives up reconnecting; what is in flight may still be sent. */
  drain(deadline: number): void {
    this.#intake = false;
    this.#retry?.[Symbol.dispose]();
    this.#apply({ type: 'drain', deadline });
    this.#decided.resolve();
    try {
      this.channel.shutdown();
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the channel failed to stop taking in');
    }
  }

  /** Ends the session and waits for its release. At most once; later calls wait for the same. */
  async close(reason: ConnectionCloseReason): Promise<void> {
    this.#intake = false;
    this.#retry?.[Symbol.dispose]();
    this.#release();
    await this.#released;
    this.#apply({ type: 'close', reason });
    this.#decided.resolve();
  }

  /** Sends a reply. Rejects with `ORRERY_CHANNEL_CLOSED`, the message untouched, when no session is live. */
  send(out: OutboundMessage, options: SendOptions): Promise<SendReceipt> {
    return this.#session?.open === true
      ? this.channel.send(out, options)
      : Promise.reject(closedError(this.#options.name));
  }

  /** As `send`, but without a promise where the channel needs none; false where it does, and nothing was done. */
  sendNow(out: OutboundMessage): boolean {
    if (this.#session?.open !== true || !this.channel.sendNow) return false;
    this.channel.sendNow(out);
    return true;
  }

  sendError(out: OutboundError, options: SendOptions): Promise<void> {
    return this.#session?.open === true
      ? this.channel.sendError(out, options)
      : Promise.reject(closedError(this.#options.name));
  }

  startTyping(target: OutboundTarget): Disposable | undefined {
    return this.#session?.open === true ? this.channel.startTyping?.(target) : undefined;
  }

  #attempt(): void {
    if (!this.#apply({ type: 'connect' })) return;
    const session: Session = { abort: new AbortController(), connecting: Promise.resolve(), open: false };
    this.#session = session;
    // A step later, so that `connecting` is in place even when the adapter throws or ends before its first await.
    session.connecting = Promise.resolve().then(() => this.#connect(session));
  }

  async #connect(session: Session): Promise<void> {
    if (this.#session !== session) return;
    const { name, metadata, log, clock, connectTimeoutMs } = this.#options;
    using _deadline = clock.after(connectTimeoutMs, () => {
      const message = `The channel "${name}" did not open within ${String(connectTimeoutMs)} ms`;
      this.#lost(session, new OrreryError('ORRERY_CHANNEL_FAILED', message, { details: { channel: name } }));
    });
    try {
      await this.channel.connect({
        signal: session.abort.signal,
        log,
        name,
        metadata,
        accept: (inbound, listener) => this.#accept(session, inbound, listener),
        closed: (cause) => (cause === undefined ? this.#ended(session) : this.#lost(session, cause)),
      });
    } catch (error) {
      this.#lost(session, error ?? new OrreryError('ORRERY_CHANNEL_FAILED', 'The channel rejected without a reason'));
      return;
    }
    // `closed` or the deadline came before the adapter said that it was open: the session is over, and stays so.
    if (this.#session !== session) return;
    session.open = true;
    this.#apply({ type: 'opened', at: clock.now() });
    this.#decided.resolve();
  }

  // Race: the socket of session 1 is lost, session 2 opens, and only then the network library of session 1 delivers a last
  // message or its `close`. Taken for an event of session 2, it would hand a message in through a dead socket or close
  // the healthy one. Every event therefore carries its session, and one that is not live any more is refused here.
  #accept(session: Session, inbound: InboundMessage, listener?: DeliveryListener): Promise<Accepted> {
    const { name } = this.#options;
    if (this.#session !== session) return Promise.reject(closedError(name));
    if (!this.#intake) {
      const message = `The channel "${name}" is stopping and takes in nothing new`;
      return Promise.reject(new OrreryError('ORRERY_DRAINING', message, { details: { channel: name } }));
    }
    return this.#options.accept(inbound, listener);
  }

  /** The input ended by itself: closed for the outside, while replies to what came in can still be sent until `close()`. */
  #ended(session: Session): void {
    if (this.#session !== session) return;
    this.#intake = false;
    // While draining, the end of the input is what was asked for: the owner closes when the turns are done.
    if (this.#state.status !== 'draining') this.#apply({ type: 'close', reason: 'ended' });
    this.#decided.resolve();
  }

  #lost(session: Session, error: unknown): void {
    if (this.#session !== session || this.#state.status === 'closed') return;
    const { clock, log, name } = this.#options;
    const cause = asOrreryError(error, 'ORRERY_CHANNEL_FAILED');
    const healthyMs = this.#state.status === 'open' ? clock.now() - this.#state.since : 0;
    this.#release();
    if (this.#state.status === 'draining') return;
    if (isFatal(error)) {
      log.error({ err: cause }, 'the channel failed and is not connected again');
      this.#intake = false;
      this.#apply({ type: 'close', reason: 'failed', cause: toWire(cause) });
      this.#decided.reject(cause);
      return;
    }
    const next = nextAttempt(this.#failures, healthyMs, this.#options.reconnect, clock.random());
    this.#failures = next.failures;
    log.warn({ err: cause, channel: name, delayMs: next.delayMs }, 'the connection was lost and is tried again');
    this.#apply({ type: 'lost', retryAt: clock.now() + next.delayMs, cause: toWire(cause) });
    this.#decided.resolve();
    // An adapter serves one connection after another, never two at once: the next attempt waits for the release too.
    this.#retry = clock.after(next.delayMs, () => void this.#released.then(() => this.#attempt()));
  }

  /** Ends the live session, if there is one; `#released` tells when nothing of it is left. */
  #release(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    session.abort.abort(closedError(this.#options.name));
    this.#released = this.#dispose(session);
  }

  async #dispose(session: Session): Promise<void> {
    const { clock, log } = this.#options;
    // `connect` may be under way, or even be our caller: it gets a while to notice the signal, then it is on its own.
    if (!session.open && !(await settledWithin(session.connecting, RELEASE_TIMEOUT_MS, clock))) {
      log.warn('the channel ignores its signal while it connects');
    }
    const disposed = this.#disposeChannel();
    if (!(await settledWithin(disposed, RELEASE_TIMEOUT_MS, clock))) log.warn('the channel does not end its release');
  }

  async #disposeChannel(): Promise<void> {
    try {
      await this.channel.dispose?.();
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the channel failed to release its connection');
    }
  }

  #apply(event: ConnectionEvent): boolean {
    const next = transitionConnection(this.#state, event);
    if (next === undefined) return false;
    this.#state = next;
    this.#options.onState(next);
    return true;
  }
}

function closedError(name: string): OrreryError {
  return new OrreryError('ORRERY_CHANNEL_CLOSED', `The channel "${name}" is not connected`, {
    details: { channel: name },
  });
}
