/** Owns how many results came when: the plot of a run over its time, without the pauses between its starts. */
import type { AgentFigures } from './figures.ts';

export interface Throughput {
  /** Milliseconds of one bin. */
  readonly binMs: number;
  /** Milliseconds that something was under way. */
  readonly totalMs: number;
  /** Times in which nothing was under way, which are left out. */
  readonly pauses: number;
  /** Results that ended in each bin, for each agent in its order. */
  readonly counts: readonly (readonly number[])[];
}

const MOST_BINS = 60;
/** Nothing under way for longer is a pause: the run was interrupted, and gone on with later. */
const PAUSE_MS = 10_000;
const NICE_MS: readonly number[] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000];

/** Null when no result tells its time. */
export function throughputOf(agents: readonly AgentFigures[]): Throughput | null {
  const stretches = busyStretches(agents);
  const totalMs = stretches.reduce((sum, { begin, end }) => sum + end - begin, 0);
  if (stretches.length === 0) return null;
  const binMs = binOf(totalMs);
  const bins = Math.max(1, Math.ceil(totalMs / binMs));
  const counts = agents.map(({ ends }) => {
    const found = Array.from({ length: bins }, () => 0);
    for (const end of ends.take().sort()) {
      const bin = Math.min(bins - 1, Math.floor(runTime(stretches, end) / binMs));
      found[bin] = (found[bin] ?? 0) + 1;
    }
    return found;
  });
  return { binMs, totalMs, pauses: stretches.length - 1, counts };
}

function binOf(totalMs: number): number {
  const least = totalMs / MOST_BINS;
  const found = NICE_MS.find((ms) => ms >= least);
  return found ?? Math.ceil(least / 60_000) * 60_000;
}

interface Stretch {
  readonly begin: number;
  end: number;
  /** Milliseconds under way before it. */
  before: number;
}

function busyStretches(agents: readonly AgentFigures[]): readonly Stretch[] {
  const begins = agents.map(({ begins }) => begins.take());
  const ends = agents.map(({ ends }) => ends.take());
  // Sorted apart: between a begin and the latest end before it something was under way exactly if more began than ended.
  const allBegins = concat(begins).sort();
  const allEnds = concat(ends).sort();
  const stretches: Stretch[] = [];
  let underWay = 0;
  let done = 0;
  for (const begin of allBegins) {
    let lastEnd = -Infinity;
    while (done < allEnds.length && (allEnds[done] ?? 0) < begin) {
      lastEnd = allEnds[done] ?? 0;
      done += 1;
      underWay -= 1;
    }
    const current = stretches.at(-1);
    if (!current) stretches.push({ begin, end: begin, before: 0 });
    else if (underWay === 0 && begin - lastEnd > PAUSE_MS) {
      current.end = lastEnd;
      stretches.push({ begin, end: begin, before: current.before + current.end - current.begin });
    }
    underWay += 1;
  }
  const last = stretches.at(-1);
  if (last) last.end = allEnds.at(-1) ?? last.begin;
  return stretches;
}

/** Milliseconds under way up to a moment. */
function runTime(stretches: readonly Stretch[], at: number): number {
  let low = 0;
  let high = stretches.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((stretches[middle]?.begin ?? 0) <= at) low = middle;
    else high = middle - 1;
  }
  const stretch = stretches[low];
  return stretch ? stretch.before + Math.max(0, at - stretch.begin) : 0;
}

function concat(lists: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all;
}
