/** Owns messages that the library's user hands in from inside the process: how they are answered, and how they are given up. */
import {
  type Accepted,
  type DeliveredReply,
  type InboundMessage,
  OrreryError,
  fromWire,
} from '../../protocol/index.ts';
import { type DeliveryEngine, type Intake, type Origin, OriginBook } from '../delivery/index.ts';

export interface InjectionOptions {
  readonly intake: Intake;
  readonly engine: DeliveryEngine;
  readonly route: (inbound: InboundMessage) => string;
}

export class Injection {
  readonly #options: InjectionOptions;
  readonly #book = new OriginBook();

  constructor(options: InjectionOptions) {
    this.#options = options;
  }

  /** As `Supervisor.inject`. */
  inject(
    message: InboundMessage,
    { signal, onDelta }: { signal?: AbortSignal; onDelta?: (text: string) => void },
  ): Promise<DeliveredReply> {
    const { intake, route } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<DeliveredReply>();
    const origin: Origin = {
      book: this.#book,
      reply: (out) => resolve(out.reply),
      error: (out) => reject(fromWire(out.error)),
      left: (out) => reject(fromWire(out.error)),
    };
    const taken = (accepted: Accepted): void => {
      if (accepted.status === 'duplicate') settleDuplicate(message.id, accepted, resolve, reject);
      else if (signal) this.#cancelOn(signal, accepted.id, promise);
    };
    try {
      signal?.throwIfAborted();
      const accepting = intake.take(message, route, origin, onDelta && { delta: onDelta });
      if (accepting instanceof Promise) accepting.then(taken, reject);
      else taken(accepting);
    } catch (error) {
      reject(error);
    }
    return promise;
  }

  /** Cancels a delivery when its caller gives up before it has its answer. */
  #cancelOn(signal: AbortSignal, id: string, answer: Promise<unknown>): void {
    const cancel = (): void => {
      this.#options.engine.cancel(id);
    };
    const off = (): void => signal.removeEventListener('abort', cancel);
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel, { once: true });
    answer.then(off, off);
  }
}

/** What a caller gets whose message was taken in before. */
function settleDuplicate(
  id: string,
  duplicate: Extract<Accepted, { status: 'duplicate' }>,
  resolve: (reply: DeliveredReply) => void,
  reject: (error: unknown) => void,
): void {
  if (duplicate.state === 'answered') resolve(duplicate.reply);
  else if (duplicate.state === 'dead') reject(fromWire(duplicate.error));
  else
    reject(new OrreryError('ORRERY_DUPLICATE_IN_FLIGHT', `The message ${JSON.stringify(id)} is still being answered`));
}
