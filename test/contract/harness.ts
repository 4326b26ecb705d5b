/** Owns what the adapter contract needs of a network, and a connection's context that keeps what an adapter does with it. */
import { pino } from 'pino';
import type { Channel, ChannelContext, SendOptions } from '../../src/main/channels/channel.ts';
import {
  type Accepted,
  type InboundMessage,
  OrreryError,
  type OutboundError,
  type OutboundTarget,
  toWire,
} from '../../src/protocol/index.ts';
import { Inbox } from '../support/channels.ts';

/** What a user on the network got to see. */
export interface Heard {
  readonly text: string;
  /** True when it told of an error. */
  readonly error: boolean;
}

export interface ChannelHarness extends AsyncDisposable {
  /** The adapter, fresh and not connected. */
  readonly channel: Channel;
  /**
   * Lets a user say something. Resolves when the network considers it taken over (its acknowledgement, where it has one, else
   * when it was sent off); rejects when nobody took it. It must not wait for an answer.
   */
  say(text: string): Promise<void>;
  /** Resolves with what the user hears next. */
  hear(): Promise<Heard>;
  /** True when the network learns of `accept`'s outcome: then `say` is checked to wait for it. */
  readonly acknowledges?: boolean;
  /** Breaks the connection from the network's side; absent where a connection cannot break. */
  breakConnection?(): Promise<void>;
  /** Ends the input by itself; absent where an input has no end. */
  endInput?(): Promise<void>;
  /** Makes the network reachable again after `breakConnection`. */
  mendNetwork?(): Promise<void>;
  /** Lets a user say something while nobody is connected; only where the network keeps it. */
  sayUnheard?(text: string): Promise<void>;
  /** As `say`, but the network delivers the event twice; only where it names its events. */
  sayTwice?(text: string): Promise<void>;
  /** Units of one message at most: a longer reply comes in several. */
  readonly maxLength?: number;
  measure?(text: string): number;
  /** Resolves with what the next edited message of the adapter says. */
  hearEdit?(): Promise<string>;
  /** Resolves when the user is shown that an answer is being written. */
  seeTyping?(): Promise<void>;
  /** Makes the network answer the next message with a limit of so many milliseconds. */
  limitRate?(ms: number): void;
  /** Loses the network's acknowledgement of the next message, which is made. */
  loseAcknowledgement?(): void;
  /** Makes the next `connect` fail, in passing or for good. */
  failConnect?(kind: 'passing' | 'fatal'): Promise<void>;
}

/** A connection's context that keeps what the adapter does with it. */
export interface Recorder {
  readonly ctx: ChannelContext;
  readonly accepted: Inbox<InboundMessage>;
  readonly closed: Inbox<{ readonly cause: unknown }>;
  readonly abort: AbortController;
  /** Decides the outcome of the next messages; default: accepted at once. */
  outcome: (inbound: InboundMessage) => Promise<Accepted>;
}

export const NAME = 'contract';

export function record(): Recorder {
  const abort = new AbortController();
  const recorder: Recorder = {
    accepted: new Inbox(),
    closed: new Inbox(),
    abort,
    outcome: async (inbound) => ({ status: 'accepted', id: `d-${inbound.id}`, agent: 'echo' }),
    ctx: {
      signal: abort.signal,
      log: pino({ enabled: false }),
      name: NAME,
      metadata: {},
      accept(inbound) {
        recorder.accepted.push(inbound);
        return recorder.outcome(inbound);
      },
      closed: (cause) => recorder.closed.push({ cause }),
    },
  };
  return recorder;
}

export function options(key = 'key-1'): SendOptions {
  return { key, signal: new AbortController().signal };
}

export function errorTo(target: OutboundTarget): OutboundError {
  const error = new OrreryError('ORRERY_AGENT_FAILED', 'the agent stumbled');
  return { target, delivery: 'd-1', agent: 'echo', error: toWire(error) };
}
