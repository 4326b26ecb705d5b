/** Owns a request's way into the host and its answer's way back; every route and the WebSocket go through it. */
import {
  type Accepted,
  type DeliveredReply,
  type DeliveryId,
  type DeliveryListener,
  OrreryError,
  toWire,
} from '../../../protocol/index.ts';
import type { ChannelContext } from '../channel.ts';
import type { Ask } from './ask.ts';
import { AcceptedError, afterAcceptance } from './errors.ts';
import type { Waiters } from './waiters.ts';

export class Intake {
  readonly #ctx: ChannelContext;
  readonly #waiters: Waiters;
  /** The agent of all messages of this channel, unless the caller names one. */
  readonly #agent: string | undefined;
  #stopped = false;

  constructor(ctx: ChannelContext, waiters: Waiters, agent: string | undefined) {
    this.#ctx = ctx;
    this.#waiters = waiters;
    this.#agent = agent;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Takes in nothing more; who waits already is still answered. */
  stop(): void {
    this.#stopped = true;
  }

  /** Throws `ORRERY_DRAINING` once stopped: what a route asks before it does any work. */
  check(): void {
    if (this.#stopped) throw new OrreryError('ORRERY_DRAINING', 'The gateway takes in nothing new');
  }

  /**
   * Hands a message in and resolves with its answer. Rejects with an {@link AcceptedError} when it was accepted and failed,
   * and with another {@link OrreryError} when it was refused. `onAccepted` hears of the acceptance before any delta.
   */
  async ask(ask: Ask, listener?: DeliveryListener, onAccepted?: (accepted: Accepted) => void): Promise<DeliveredReply> {
    this.check();
    const { id, namespace } = ask;
    // An answer may come before `accept` resolves, so the waiter stands first.
    const waiter = this.#waiters.wait(namespace, id);
    let accepted: Accepted;
    try {
      accepted = await this.#ctx.accept(this.#inbound(ask), listener);
    } catch (error) {
      waiter.leave();
      throw refused(id, error);
    }
    onAccepted?.(accepted);
    if (accepted.status === 'duplicate') {
      waiter.leave();
      return answerOf(id, accepted);
    }
    const outcome = await waiter.outcome;
    if (outcome.status === 'failed') throw afterAcceptance(id, outcome.error);
    return outcome.reply;
  }

  #inbound(ask: Ask): Parameters<ChannelContext['accept']>[0] {
    const agent = ask.agent ?? this.#agent;
    return {
      id: ask.id,
      channel: this.#ctx.name,
      namespace: ask.namespace,
      message: ask.message,
      metadata: ask.metadata,
      receivedAt: Date.now(),
      ...(ask.context === undefined ? {} : { context: ask.context }),
      ...(agent === undefined ? {} : { agent }),
      ...(ask.queue === undefined ? {} : { queue: ask.queue }),
    };
  }
}

/** Tells the delivery whose turn answered a message that was joined to it; nothing where its own turn did. */
export function byOf({ by }: DeliveredReply): { readonly by?: DeliveryId } {
  return by === undefined ? {} : { by };
}

function answerOf(id: string, duplicate: Extract<Accepted, { status: 'duplicate' }>): DeliveredReply {
  switch (duplicate.state) {
    case 'answered':
      return duplicate.reply;
    case 'dead':
      throw afterAcceptance(id, duplicate.error);
    case 'pending':
      throw new AcceptedError(
        id,
        new OrreryError('ORRERY_DUPLICATE_IN_FLIGHT', `The message ${JSON.stringify(id)} is still being answered`),
      );
  }
}

/** A conflict is about a message that was accepted earlier: its id goes out with the error. */
function refused(id: string, error: unknown): unknown {
  const wire = toWire(error);
  return wire.code === 'ORRERY_ID_CONFLICT' ? afterAcceptance(id, wire) : error;
}
