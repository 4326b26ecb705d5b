/** Owns how a benchmark's progress is shown: a bar for each agent on a terminal, now and then a plain line elsewhere. */
import type { Writable } from 'node:stream';
import type { AgentProgress, BenchProgress } from '../bench/index.ts';
import { duration } from './output.ts';

const BAR_CELLS = 24;
/** How often plain lines are written, in milliseconds. */
const LINE_EVERY_MS = 10_000;

export interface ProgressView {
  show(progress: BenchProgress): void;
  /** Leaves the last state on a terminal. */
  end(): void;
}

export function progressView(out: Writable & { readonly isTTY?: boolean; readonly columns?: number }): ProgressView {
  return out.isTTY === true ? bars(out) : lines(out);
}

function bars(out: Writable & { readonly columns?: number }): ProgressView {
  let drawn = 0;
  return {
    show({ agents }) {
      const width = Math.max(...agents.map(({ agent }) => agent.length));
      const columns = out.columns ?? 80;
      const text = agents.map((agent) => `\x1b[K${barLine(agent, width).slice(0, columns - 1)}\n`).join('');
      out.write(`${drawn > 0 ? `\x1b[${drawn}A` : ''}${text}`);
      drawn = agents.length;
    },
    end: () => undefined,
  };
}

function lines(out: Writable): ProgressView {
  let last = performance.now();
  return {
    show({ agents }) {
      if (performance.now() - last < LINE_EVERY_MS) return;
      last = performance.now();
      for (const agent of agents) out.write(`${plainLine(agent)}\n`);
    },
    end: () => undefined,
  };
}

/** One agent on a terminal. */
export function barLine(progress: AgentProgress, width: number): string {
  const { agent, planned, done } = progress;
  const part = planned === 0 ? 1 : Math.min(1, done / planned);
  const cells = Math.round(part * BAR_CELLS);
  const bar = '#'.repeat(cells) + '.'.repeat(BAR_CELLS - cells);
  return `${agent.padEnd(width)} [${bar}] ${String(Math.floor(part * 100)).padStart(3)}%  ${factsOf(progress)}`;
}

/** One agent where lines are kept: `atlas 120/1000, 11.9/s, 2 errors, score 0.873, 1 min 14 s left`. */
export function plainLine(progress: AgentProgress): string {
  return `${progress.agent} ${factsOf(progress)}`;
}

function factsOf({ planned, done, errors, score, cost, perSecond, leftMs, failure }: AgentProgress): string {
  const facts = [`${done}/${planned}`];
  if (perSecond > 0) facts.push(`${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)}/s`);
  facts.push(`${errors} ${errors === 1 ? 'error' : 'errors'}`);
  if (score !== null) facts.push(`score ${score.toFixed(3)}`);
  if (cost !== null) facts.push(`$${cost.toFixed(cost < 1 ? 4 : 2)}`);
  if (failure !== undefined) facts.push(`given up: ${failure}`);
  else if (leftMs !== null && done < planned) facts.push(`${duration(leftMs)} left`);
  return facts.join(', ');
}
