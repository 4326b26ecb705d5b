/** Owns who waits here for which answer. It knows nothing of HTTP, and keeps no answer that nobody waits for. */
import type { DeliveredReply, WireError } from '../../../protocol/index.ts';

export type Outcome =
  | { readonly status: 'answered'; readonly reply: DeliveredReply }
  | { readonly status: 'failed'; readonly error: WireError };

export interface Waiter {
  /** Never rejects. */
  readonly outcome: Promise<Outcome>;
  /** Takes the waiter back; nothing happens when it was settled already. */
  leave(): void;
}

/** Callers that wait, by their message's namespace and id; several may wait for the same one. */
export class Waiters {
  readonly #byKey = new Map<string, Set<(outcome: Outcome) => void>>();

  get size(): number {
    return this.#byKey.size;
  }

  wait(namespace: string, id: string): Waiter {
    const key = keyOf(namespace, id);
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const waiting = this.#byKey.get(key);
    if (waiting) waiting.add(resolve);
    else this.#byKey.set(key, new Set([resolve]));
    return { outcome: promise, leave: () => this.#leave(key, resolve) };
  }

  /** Tells the outcome to everybody who waits for it; false when nobody does any more. */
  settle(namespace: string, id: string, outcome: Outcome): boolean {
    const key = keyOf(namespace, id);
    const waiting = this.#byKey.get(key);
    if (!waiting) return false;
    this.#byKey.delete(key);
    for (const resolve of waiting) resolve(outcome);
    return true;
  }

  settleAll(outcome: Outcome): void {
    const all = [...this.#byKey.values()];
    this.#byKey.clear();
    for (const waiting of all) for (const resolve of waiting) resolve(outcome);
  }

  #leave(key: string, resolve: (outcome: Outcome) => void): void {
    const waiting = this.#byKey.get(key);
    if (waiting?.delete(resolve) && waiting.size === 0) this.#byKey.delete(key);
  }
}

/** A namespace holds no line break in its written form that an id could imitate: the id comes first and has none. */
function keyOf(namespace: string, id: string): string {
  return `${id}\n${namespace}`;
}
