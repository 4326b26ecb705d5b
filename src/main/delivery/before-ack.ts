/**
 * Owns what the sender of a message must not hear before its acceptance, when its turn began before that: replies, errors, text and the typing indicator wait here.
 *
 *   written -> the turn begins -> text, reply, ... wait -> acked   -> all of it, in order
 *                                                       -> refused -> nothing: the sender was told that the journal failed. What it asked for is kept
 *                                                                     under its id, as that of any sender who is gone
 */
import type { DeliveryListener, OutboundTarget } from '../../protocol/index.ts';
import type { Origin } from './origin.ts';

export class BeforeAck {
  /** Stands before the message's own. */
  readonly origin: Origin;
  readonly listener: DeliveryListener | undefined;
  readonly #decided = Promise.withResolvers<void>();
  #state: 'waiting' | 'acked' | 'refused' = 'waiting';
  #listener: DeliveryListener | undefined;
  #text = '';

  constructor(origin: Origin, listener: DeliveryListener | undefined) {
    this.#listener = listener;
    this.origin = {
      book: origin.book,
      reply: (out, key) => this.#send(() => origin.reply(out, key)),
      error: (out, key) => this.#send(() => origin.error(out, key)),
      left: (out) => void this.#send(() => origin.left?.(out)),
      typing: (target) => this.#typing(origin, target),
      ...(origin.queue && { queue: (namespace) => origin.queue?.(namespace) ?? 'followup' }),
      ...(origin.reachable && { reachable: () => origin.reachable?.() }),
    };
    this.listener = listener && { delta: (text) => this.#delta(text), reset: () => this.#reset() };
  }

  /** The sender knows that its message is accepted. */
  acked(): void {
    this.#state = 'acked';
    this.#delta(this.#text);
    this.#decided.resolve();
  }

  refused(): void {
    this.#state = 'refused';
    this.#listener = undefined;
    this.#decided.resolve();
  }

  #send(send: () => void | Promise<void>): void | Promise<void> {
    if (this.#state === 'acked') return send();
    return this.#decided.promise.then(() => (this.#state === 'acked' ? send() : undefined));
  }

  #delta(text: string): void {
    if (this.#state === 'waiting') this.#text += text;
    else if (text !== '') this.#listener?.delta?.(text);
  }

  /** Of an attempt whose text nobody has heard yet there is nothing to take back. */
  #reset(): void {
    this.#text = '';
    if (this.#state === 'acked') this.#listener?.reset?.();
  }

  #typing(origin: Origin, target: OutboundTarget): Disposable {
    let started: Disposable | undefined;
    let isOver = false;
    const start = (): void => {
      if (!isOver && this.#state === 'acked') started = origin.typing?.(target);
    };
    if (this.#state === 'waiting') void this.#decided.promise.then(start);
    else start();
    return {
      [Symbol.dispose]: () => {
        isOver = true;
        started?.[Symbol.dispose]();
      },
    };
  }
}
