/** Owns the order of one session: a bounded FIFO of which one delivery at a time is active (guarantee G1). */
import type { Delivery } from './delivery.ts';

export class Mailbox {
  readonly key: string;
  readonly #queue: Delivery[] = [];
  /** The delivery whose turn is under way or being retried: it holds the session. */
  active: Delivery | undefined;
  /** Messages whose journal append is under way: they have a place already. */
  reserved = 0;
  /** The last send of this session: replies leave in the order of their turns. */
  sending: Promise<void> | undefined;

  constructor(key: string) {
    this.key = key;
  }

  /** Everything that has a place here, the active one included. */
  get size(): number {
    return this.#queue.length + this.reserved + (this.active ? 1 : 0);
  }

  get empty(): boolean {
    return this.size === 0 && !this.sending;
  }

  push(delivery: Delivery): void {
    this.#queue.push(delivery);
  }

  /** Makes the next waiting delivery the active one. */
  next(): Delivery | undefined {
    this.active = this.#queue.shift();
    return this.active;
  }

  /** Takes a waiting delivery out; false when it does not wait here. */
  remove(delivery: Delivery): boolean {
    const at = this.#queue.indexOf(delivery);
    if (at < 0) return false;
    this.#queue.splice(at, 1);
    return true;
  }
}

/** The mailboxes that hold anything. */
export class Mailboxes {
  readonly #byKey = new Map<string, Mailbox>();

  get size(): number {
    return this.#byKey.size;
  }

  open(key: string): Mailbox {
    let mailbox = this.#byKey.get(key);
    if (!mailbox) {
      mailbox = new Mailbox(key);
      this.#byKey.set(key, mailbox);
    }
    return mailbox;
  }

  /** Forgets a mailbox that holds nothing. */
  release(mailbox: Mailbox): void {
    if (mailbox.empty) this.#byKey.delete(mailbox.key);
  }
}

export function sessionKey(agent: string, namespace: string): string {
  return `${agent}\n${namespace}`;
}
