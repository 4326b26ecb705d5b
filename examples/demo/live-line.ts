/** Owns what the page is told several times a second: the main thread's delay, the accounts, every slot with its agents. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Status, Supervisor } from '../../src/main/index.ts';

export interface Line {
  readonly state: string;
  /** The longest that the main thread's event loop was late since the line before, in milliseconds. */
  readonly loopDelayMs: number;
  readonly answered: number;
  readonly restarts: number;
  readonly dead: number;
  readonly zombies: number;
  readonly slots: readonly {
    readonly slot: string;
    readonly status: string;
    readonly generation: number;
    readonly restarts: number;
    readonly agents: readonly { readonly name: string; readonly status: string }[];
  }[];
}

export const LINE_MS = 200;
const RESOLUTION_MS = 5;

export class LiveLine {
  readonly #supervisor: Supervisor;
  readonly #followers = new Set<(line: Line) => void>();
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;

  constructor(supervisor: Supervisor) {
    this.#supervisor = supervisor;
    this.#delay.enable();
    this.#timer = setInterval(() => this.#tell(), LINE_MS);
  }

  /** Calls `follower` with every line until the function that it returns is called. */
  follow(follower: (line: Line) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#delay.disable();
    this.#followers.clear();
  }

  #tell(): void {
    const loopDelayMs = Math.max(0, this.#delay.max / 1e6 - RESOLUTION_MS);
    this.#delay.reset();
    const line = lineOf(this.#supervisor.status(), loopDelayMs);
    for (const follower of this.#followers) follower(line);
  }
}

function lineOf({ state, messages, slots, agents, zombies }: Status, loopDelayMs: number): Line {
  const residents = agents.flatMap(({ name, replicas }) =>
    replicas.map(({ slot, state }) => ({ slot, name, status: state.status })),
  );
  return {
    state,
    loopDelayMs: Math.round(loopDelayMs * 10) / 10,
    answered: messages.answered,
    restarts: slots.reduce((sum, { restarts }) => sum + restarts, 0),
    dead: messages.dead,
    zombies,
    slots: slots.map(({ slot, state: { status, generation }, restarts }) => ({
      slot,
      status,
      generation,
      restarts,
      agents: residents.filter((agent) => agent.slot === slot).map(({ name, status }) => ({ name, status })),
    })),
  };
}
