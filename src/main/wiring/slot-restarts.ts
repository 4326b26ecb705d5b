/** Owns when a slot that ended is started again: at once the first time, then with backoff, and for its agents' sake only. */
import type { Slot } from '../pool/index.ts';
import { type RestartPolicy, RestartTracker } from '../supervision/index.ts';
import type { Replica } from './replica.ts';

export interface SlotRestartsOptions {
  /** A slot is never given up: its agents are. */
  readonly policy: RestartPolicy;
  readonly random: () => number;
  readonly replicasOf: (slot: Slot) => readonly Replica[];
  /** It was taken away, or nobody is to live there any more. */
  readonly isGone: (slot: Slot) => boolean;
}

export class SlotRestarts {
  readonly #options: SlotRestartsOptions;
  readonly #trackers = new WeakMap<Slot, RestartTracker>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #closed = false;

  constructor(options: SlotRestartsOptions) {
    this.#options = options;
  }

  /** Starts a slot again that has ended; `intended`: it was stopped, and nothing speaks for waiting. */
  restart(slot: Slot, intended: boolean): void {
    const { random, replicasOf } = this.#options;
    // A dedicated slot lives for its agent: while that one waits or is given up, there is nothing to run.
    if (slot.dedicated && !replicasOf(slot).some(({ state }) => state.status === 'starting')) return;
    const decision = intended ? undefined : this.#trackerOf(slot).ended('abnormal', performance.now(), random());
    const delayMs = decision?.type === 'restart' ? decision.delayMs : 0;
    if (delayMs === 0 || slot.dedicated) return this.start(slot);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.start(slot);
    }, delayMs);
    this.#timers.add(timer);
  }

  start(slot: Slot): void {
    if (this.#closed || slot.state.status !== 'exited' || this.#options.isGone(slot)) return;
    slot.restarts += 1;
    slot.start();
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #trackerOf(slot: Slot): RestartTracker {
    let tracker = this.#trackers.get(slot);
    if (!tracker) {
      tracker = new RestartTracker({ ...this.#options.policy, maxRestarts: Infinity });
      this.#trackers.set(slot, tracker);
    }
    return tracker;
  }
}
