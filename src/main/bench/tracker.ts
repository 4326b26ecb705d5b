/** Owns the figures of a run while it goes on, agent by agent. It prints nothing. */
import type { BenchResult } from './results.ts';

/** How far one agent came. */
export interface AgentProgress {
  readonly agent: string;
  /** Results that the run wants of it. */
  readonly planned: number;
  /** Results that it has, those of earlier starts of the run included. */
  readonly done: number;
  readonly errors: number;
  /** Results that have a score. */
  readonly scored: number;
  /** The mean score so far; null while there is none. */
  readonly score: number | null;
  /** US dollars; null without a price. */
  readonly cost: number | null;
  /** Results a second since this start. */
  readonly perSecond: number;
  /** Milliseconds until it is done, at this pace; null while nothing is known. */
  readonly leftMs: number | null;
  /** Why nothing more is asked of it. */
  readonly failure: string | undefined;
}

class Figures {
  done = 0;
  /** Of this start. */
  fresh = 0;
  errors = 0;
  scored = 0;
  scores = 0;
  cost: number | null = null;
  failure: string | undefined;
}

export class Tracker {
  readonly #planned: number;
  readonly #agents: ReadonlyMap<string, Figures>;
  #startedAt: number | undefined;
  /** US dollars in all. */
  cost = 0;

  constructor(agents: readonly string[], planned: number) {
    this.#planned = planned;
    this.#agents = new Map(agents.map((agent) => [agent, new Figures()]));
  }

  start(now: number): void {
    this.#startedAt = now;
  }

  record({ agent, error, score, cost }: BenchResult): void {
    const figures = this.#agents.get(agent);
    if (!figures) return;
    figures.done += 1;
    if (this.#startedAt !== undefined) figures.fresh += 1;
    if (error) figures.errors += 1;
    if (score !== null) {
      figures.scored += 1;
      figures.scores += score;
    }
    if (cost !== null) {
      figures.cost = (figures.cost ?? 0) + cost;
      this.cost += cost;
    }
  }

  failed(agent: string, message: string): void {
    const figures = this.#agents.get(agent);
    if (figures) figures.failure = message;
  }

  read(now: number): readonly AgentProgress[] {
    const seconds = (now - (this.#startedAt ?? now)) / 1_000;
    return [...this.#agents].map(([agent, { done, fresh, errors, scored, scores, cost, failure }]) => {
      const perSecond = seconds > 0 ? fresh / seconds : 0;
      const leftMs = perSecond > 0 ? ((this.#planned - done) * 1_000) / perSecond : null;
      const score = scored === 0 ? null : scores / scored;
      return { agent, planned: this.#planned, done, errors, scored, score, cost, perSecond, leftMs, failure };
    });
  }

  totals(): { done: number; errors: number; skipped: number } {
    const all = [...this.#agents.values()];
    const done = all.reduce((sum, figures) => sum + figures.done, 0);
    const errors = all.reduce((sum, figures) => sum + figures.errors, 0);
    return { done, errors, skipped: this.#planned * all.length - done };
  }
}
