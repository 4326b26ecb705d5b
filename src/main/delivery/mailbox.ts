/**
 * Owns the order of one session: a bounded FIFO of which one delivery at a time is active (guarantee G1), with those that were
 * joined to its turn. It does not decide who joins.
 */

const NOBODY: readonly never[] = [];

export class Mailbox<T> {
  readonly key: string;
  readonly #queue: T[] = [];
  /** The delivery whose turn is under way or being retried: it holds the session. */
  active: T | undefined;
  /** Those that the active one's turn answers as well, in order, from when its request is sent until its end. */
  joined: readonly T[] = NOBODY;
  /** How many at the head of those that wait were offered to the running turn. */
  offered = 0;
  /** Messages whose journal append is under way: they have a place already. */
  reserved = 0;
  /** Holds nothing, and may be dropped. */
  idle = false;
  /** The replica that the session belongs to {@link among} those: chosen once, not for each message. */
  replica: string | undefined;
  among: readonly string[] | undefined;
  /** The last send of this session: replies leave in the order of their turns. */
  sending: Promise<void> | undefined;

  constructor(key: string) {
    this.key = key;
  }

  /** Everything that has a place here, the active one included. */
  get size(): number {
    return this.#queue.length + this.joined.length + this.reserved + (this.active ? 1 : 0);
  }

  /** What waits, in order. */
  get waiting(): readonly T[] {
    return this.#queue;
  }

  get empty(): boolean {
    return this.size === 0 && !this.sending;
  }

  /**
   * Makes a delivery the active one when nothing is before it; false when it has to wait. Past the queue: one that runs empty gives
   * its store up, and would be given a new one for each message.
   */
  begin(delivery: T): boolean {
    if (this.active || this.#queue.length > 0) return false;
    this.active = delivery;
    return true;
  }

  push(delivery: T): void {
    this.#queue.push(delivery);
  }

  /** Makes the next waiting delivery the active one. */
  next(): T | undefined {
    this.active = this.#queue.shift();
    return this.active;
  }

  /** Joins so many of those that wait first to the active one's turn, and returns them. */
  join(count: number): readonly T[] {
    this.joined = this.#queue.splice(0, count);
    return this.joined;
  }

  /** Ends the turn: returns those that were joined to it, which stand nowhere then, and forgets what was offered. */
  part(): readonly T[] {
    const { joined } = this;
    this.joined = NOBODY;
    this.offered = 0;
    return joined;
  }

  /** Puts deliveries back before all that wait. */
  putBack(deliveries: readonly T[]): void {
    this.#queue.unshift(...deliveries);
  }

  /** Tells whether a delivery waits and was offered to the running turn. */
  isOffered(delivery: T): boolean {
    const at = this.#queue.indexOf(delivery);
    return at >= 0 && at < this.offered;
  }

  /** Takes a waiting delivery out; false when it does not wait here. */
  remove(delivery: T): boolean {
    const at = this.#queue.indexOf(delivery);
    if (at < 0) return false;
    this.#queue.splice(at, 1);
    if (at < this.offered) this.offered -= 1;
    return true;
  }
}

/** Mailboxes that are kept though they hold nothing. */
const MIN_IDLE = 1_024;

/**
 * The mailboxes, by session. One that holds nothing stays for its session's next message until there are more of those than
 * of others; then all of them go at once, with their Map (a Map that entries leave all the time ages badly: see KeyTable).
 */
export class Mailboxes<T> {
  /** By agent and namespace: to find one for a message, no key is built. */
  #byAgent = new Map<string, Map<string, Mailbox<T>>>();
  #all = 0;
  #idle = 0;

  /** Mailboxes that hold something. */
  get size(): number {
    return this.#all - this.#idle;
  }

  /** Whether one of an agent's mailboxes has a message, or keeps a place for one. */
  isBusy(agent: string): boolean {
    for (const { size } of this.#byAgent.get(agent)?.values() ?? []) if (size > 0) return true;
    return false;
  }

  open(agent: string, namespace: string): Mailbox<T> {
    const mailbox = this.#byAgent.get(agent)?.get(namespace);
    if (!mailbox) return this.#add(agent, namespace, new Mailbox<T>(sessionKey(agent, namespace)));
    if (mailbox.idle) {
      mailbox.idle = false;
      this.#idle -= 1;
    }
    return mailbox;
  }

  /** Lets a mailbox go that holds nothing. */
  release(mailbox: Mailbox<T>): void {
    if (mailbox.idle || !mailbox.empty) return;
    mailbox.idle = true;
    this.#idle += 1;
    if (this.#idle > MIN_IDLE && this.#idle > this.size) this.#sweep();
  }

  #add(agent: string, namespace: string, mailbox: Mailbox<T>): Mailbox<T> {
    const ofAgent = this.#byAgent.get(agent);
    if (ofAgent) ofAgent.set(namespace, mailbox);
    else this.#byAgent.set(agent, new Map([[namespace, mailbox]]));
    this.#all += 1;
    return mailbox;
  }

  #sweep(): void {
    const before = this.#byAgent;
    this.#byAgent = new Map();
    this.#all = 0;
    this.#idle = 0;
    for (const [agent, ofAgent] of before) {
      for (const [namespace, mailbox] of ofAgent) if (!mailbox.idle) this.#add(agent, namespace, mailbox);
    }
  }
}

export function sessionKey(agent: string, namespace: string): string {
  return `${agent}\n${namespace}`;
}
