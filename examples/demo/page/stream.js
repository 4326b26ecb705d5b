/** Owns a steady stream of small messages to one agent and the times of their round trips. */

/** Messages go out at this pace whether or not the ones before were answered: waiting must show, not slow the clock. */
const PACE_MS = 200;
/** The gateway allows 32 under way on a connection; the chat needs some of them. */
const MAX_WAITING = 14;
export const WINDOW_MS = 60_000;
/** A page that is still loading measures itself. */
const WARM_UP_MS = 1_000;

export class Stream {
  /** `{ at, ms }` in order of sending; `ms` is undefined while the answer is awaited. */
  points = [];
  failed = 0;
  #connection;
  #agent;
  #namespace = `pulse:${crypto.randomUUID()}`;
  #waiting = 0;
  #words = ['I feel fine', 'are you there', 'tell me more', 'my mother calls', 'I dream of planets'];
  #count = 0;

  constructor(connection, agent) {
    this.#connection = connection;
    this.#agent = agent;
    const begin = () => setInterval(() => void this.#send(), PACE_MS);
    setTimeout(begin, WARM_UP_MS);
  }

  /** The newest round trip, or how long the oldest message has been waiting when that is longer. */
  nowMs(now) {
    const waiting = this.points.find(({ ms }) => ms === undefined);
    const last = this.points.findLast(({ ms }) => ms !== undefined)?.ms;
    return waiting === undefined ? last : Math.max(now - waiting.at, last ?? 0);
  }

  worstMs(now) {
    return this.points.reduce((worst, { at, ms }) => Math.max(worst, ms ?? now - at), 0);
  }

  async #send() {
    const at = performance.now();
    while (this.points.length > 0 && this.points[0].at < at - WINDOW_MS) this.points.shift();
    if (!this.#connection.isOpen || this.#waiting >= MAX_WAITING) return;
    const point = { at, ms: undefined };
    this.points.push(point);
    this.#waiting += 1;
    this.#count += 1;
    try {
      const message = this.#words[this.#count % this.#words.length];
      await this.#connection.ask({ agent: this.#agent, message, namespace: this.#namespace });
      point.ms = performance.now() - at;
    } catch {
      this.failed += 1;
      this.points.splice(this.points.indexOf(point), 1);
    } finally {
      this.#waiting -= 1;
    }
  }
}
