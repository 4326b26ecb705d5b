/** Owns messages that the library's user hands in from inside the process: how they are answered, and how they are given up. */
import {
  type Accepted,
  type DeliveredReply,
  type InboundMessage,
  OrreryError,
  type OutboundError,
  type OutboundMessage,
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
    const caller = new Caller(this.#book, resolve, reject);
    try {
      signal?.throwIfAborted();
      const accepting = intake.take(message, route, caller, onDelta && { delta: onDelta });
      if (accepting instanceof Promise) {
        accepting.then((accepted) => this.#taken(message.id, accepted, caller, promise, signal), reject);
      } else this.#taken(message.id, accepting, caller, promise, signal);
    } catch (error) {
      reject(error);
    }
    return promise;
  }

  #taken(
    id: string,
    accepted: Accepted,
    caller: Caller,
    answer: Promise<DeliveredReply>,
    signal: AbortSignal | undefined,
  ): void {
    if (accepted.status === 'duplicate') settleDuplicate(id, accepted, caller.resolve, caller.reject);
    else if (signal) this.#cancelOn(signal, accepted.id, answer);
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

/** Where one message's answer goes. A class: an object of three functions would be made anew for every message. */
class Caller implements Origin {
  readonly book: OriginBook;
  readonly resolve: (reply: DeliveredReply) => void;
  readonly reject: (error: unknown) => void;

  constructor(book: OriginBook, resolve: (reply: DeliveredReply) => void, reject: (error: unknown) => void) {
    this.book = book;
    this.resolve = resolve;
    this.reject = reject;
  }

  reply({ reply }: OutboundMessage): void {
    this.resolve(reply);
  }

  error({ error }: OutboundError): void {
    this.reject(fromWire(error));
  }

  left({ error }: OutboundError): void {
    this.reject(fromWire(error));
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
