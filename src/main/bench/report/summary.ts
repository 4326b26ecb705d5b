/** Owns the figures of a report: the agents one by one, against each other, and what the plots draw. They cover every result of the run. */
import { basename } from 'node:path';
import type { AgentFigures, RunFigures } from './figures.ts';
import { type PairComparison, type PairSide, comparePair } from './pairs.ts';
import { type Interval, holm, meanInterval, quantile, wilsonInterval } from './statistics/index.ts';
import { type Throughput, throughputOf } from './throughput.ts';

export interface Estimate {
  readonly value: number;
  /** 95 %; null with too few cases. */
  readonly interval: Interval | null;
}

export interface LatencySummary {
  /** Milliseconds, quantiles of type 7. */
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
  /** The distribution: milliseconds at 0 %, 1 %, ... 100 % of the results. */
  readonly percentiles: readonly number[];
}

export interface AgentSummary {
  readonly agent: string;
  /** What the agent is: a model's id, a module's file name, a built-in one; null when the manifest does not tell. */
  readonly source: string | null;
  readonly planned: number | null;
  readonly results: number;
  readonly errors: number;
  readonly errorCodes: Readonly<Record<string, number>>;
  /** Results with a score. */
  readonly scored: number;
  /** The mean over the results with a score, as the command prints it; bootstrap over cases. Null without one. */
  readonly score: Estimate | null;
  /** The same with 0 for each error: what `--fail-under` looks at, and the order of the leaderboard. Null without scores. */
  readonly gradedScore: number | null;
  readonly passed: number;
  readonly judged: number;
  /** Passed of judged; an error is a failure. Wilson's interval, or with repeats the bootstrap's over cases. Null when nothing in the run was scored. */
  readonly passRate: Estimate | null;
  /** Mean of each scorer. */
  readonly scorers: Readonly<Record<string, number>>;
  /** US dollars in all; null without a price. */
  readonly cost: number | null;
  readonly costPerResult: Estimate | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly isExact: boolean;
  readonly tokensPerResult: Estimate | null;
  /** Of the results without an error; null when there are none. */
  readonly latency: LatencySummary | null;
  /** To the first text; null where none was streamed. */
  readonly firstToken: { readonly p50: number; readonly p95: number } | null;
}

export interface PairSummary extends PairComparison {
  readonly first: string;
  readonly second: string;
}

export interface TagSummary {
  readonly tag: string;
  readonly cases: number;
  /** In the order of the agents; null where an agent has no score of them. */
  readonly agents: readonly ((Estimate & { readonly results: number }) | null)[];
}

export interface ReportSummary {
  /** Cases with a result. */
  readonly cases: number;
  readonly results: number;
  readonly agents: readonly AgentSummary[];
  readonly pairs: readonly PairSummary[];
  /** `best`: there were too many agents for all pairs, and each is compared with the best one. */
  readonly pairing: 'all' | 'best';
  readonly tags: readonly TagSummary[];
  /** Tags beyond those that are counted. */
  readonly tagsLeftOut: number;
  readonly throughput: Throughput | null;
}

/** Agents up to which all pairs are compared. */
const MAX_ALL_PAIRS = 10;

/** Summarizes a run. The computing is a bootstrap for each agent, pair and tag: seconds for 10,000 cases, so never on a main thread. */
export function summarize(figures: RunFigures): ReportSummary {
  const { manifest } = figures.run;
  const cases = figures.cases.size;
  const agents = figures.agents.map((one) => summarizeAgent(one, figures));
  const pairing = agents.length <= MAX_ALL_PAIRS ? 'all' : 'best';
  return {
    cases,
    results: agents.reduce((sum, { results }) => sum + results, 0),
    agents,
    pairs: manifest.agents.length > 1 && figures.isScored ? comparePairs(figures, agents, pairing) : [],
    pairing,
    tags: figures.isScored ? summarizeTags(figures) : [],
    tagsLeftOut: figures.tagsLeftOut.size,
    throughput: throughputOf(figures.agents),
  };
}

function summarizeAgent(figures: AgentFigures, { run, cases, isScored }: RunFigures): AgentSummary {
  const { agent, results, errors, latencies, firstTokens, scorers } = figures;
  const { manifest } = run;
  const size = cases.size;
  const scored = total(figures.scored);
  const passed = total(figures.passes);
  const judged = total(figures.judged);
  const times = latencies.take().sort();
  const firsts = firstTokens.take().sort();
  return {
    agent,
    source: sourceOf(manifest.config, agent),
    planned: manifest.suite.cases === null ? null : manifest.suite.cases * manifest.repeats,
    results,
    errors,
    errorCodes: Object.fromEntries([...figures.errorCodes].toSorted(([, a], [, b]) => b - a)),
    scored,
    score: estimate(figures.scoreSums.take(size), figures.scored.take(size)),
    gradedScore: scored === 0 ? null : total(figures.scoreSums) / (scored + errors),
    passed,
    judged,
    passRate: !isScored || judged === 0 ? null : passRateOf(figures, size, manifest.repeats),
    scorers: Object.fromEntries([...scorers].map(([name, { sum, count }]) => [name, sum / count])),
    cost: total(figures.costed) === 0 ? null : total(figures.costs),
    costPerResult: estimate(figures.costs.take(size), figures.costed.take(size)),
    inputTokens: figures.inputTokens,
    outputTokens: figures.outputTokens,
    isExact: figures.isExact,
    tokensPerResult: estimate(figures.tokenSums.take(size), figures.counted.take(size)),
    latency: times.length === 0 ? null : latencyOf(times),
    firstToken: firsts.length === 0 ? null : { p50: quantile(firsts, 0.5), p95: quantile(firsts, 0.95) },
  };
}

function passRateOf({ passes, judged }: AgentFigures, size: number, repeats: number): Estimate {
  const [passed, trials] = [total(passes), total(judged)];
  // Repeats of a case are no independent trials, which Wilson's interval takes them for.
  if (repeats > 1) return estimate(passes.take(size), judged.take(size)) ?? { value: passed / trials, interval: null };
  return { value: passed / trials, interval: wilsonInterval(passed, trials) ?? null };
}

function estimate(sums: Float64Array, counts: Float64Array): Estimate | null {
  const count = counts.reduce((sum, one) => sum + one, 0);
  if (count === 0) return null;
  const value = sums.reduce((sum, one) => sum + one, 0) / count;
  return { value, interval: meanInterval(sums, counts) ?? null };
}

function latencyOf(sorted: Float64Array): LatencySummary {
  const percentiles = Array.from({ length: 101 }, (_, i) => round(quantile(sorted, i / 100)));
  return {
    p50: quantile(sorted, 0.5),
    p95: quantile(sorted, 0.95),
    max: sorted.at(-1) ?? 0,
    percentiles,
  };
}

function comparePairs(
  { agents, cases }: RunFigures,
  summaries: readonly AgentSummary[],
  pairing: 'all' | 'best',
): readonly PairSummary[] {
  const sides = agents.map(sideOf(cases.size));
  const best = bestOf(summaries);
  const places = agents.flatMap((_, i) =>
    pairing === 'all'
      ? agents.slice(i + 1).map((_, j) => [i, i + 1 + j] as const)
      : i === best
        ? []
        : [[i, best] as const],
  );
  const pairs = places.flatMap(([i, j]) => {
    const [first, second] = [sides[i], sides[j]];
    if (!first || !second) return [];
    const names = { first: agents[i]?.agent ?? '', second: agents[j]?.agent ?? '' };
    return [{ ...names, ...comparePair(first, second, cases.size) }];
  });
  return withHolm(pairs);
}

/** Adjusts the tests of comparisons that stand together. */
export function withHolm<T extends PairComparison>(pairs: readonly T[]): readonly T[] {
  const tested = pairs.filter(({ test }) => test !== null);
  const adjusted = holm(tested.map(({ test }) => test?.pValue ?? 1));
  return pairs.map((pair) => ({ ...pair, adjusted: adjusted[tested.indexOf(pair)] ?? null }));
}

function bestOf(summaries: readonly AgentSummary[]): number {
  let best = 0;
  for (const [i, { gradedScore }] of summaries.entries()) {
    if ((gradedScore ?? -1) > (summaries[best]?.gradedScore ?? -1)) best = i;
  }
  return best;
}

/** An agent's side of a comparison over so many cases. */
export function sideOf(size: number): (figures: AgentFigures) => PairSide {
  return ({ scoreSums, passes, judged, scorers }) => ({
    scoreSums: scoreSums.take(size),
    passes: passes.take(size),
    judged: judged.take(size),
    isScored: scorers.size > 0,
  });
}

function summarizeTags({ tags, agents }: RunFigures): readonly TagSummary[] {
  return [...tags]
    .map(([tag, places]) => ({
      tag,
      cases: places.length,
      agents: agents.map(({ scoreSums, scored }) => {
        const sums = Float64Array.from(places, (at) => scoreSums.get(at));
        const counts = Float64Array.from(places, (at) => scored.get(at));
        const found = estimate(sums, counts);
        return found && { ...found, results: counts.reduce((sum, one) => sum + one, 0) };
      }),
    }))
    .toSorted((a, b) => b.cases - a.cases || (a.tag < b.tag ? -1 : 1));
}

function total(values: { take(): Float64Array }): number {
  return values.take().reduce((sum, one) => sum + one, 0);
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}

/** What the manifest tells of an agent, in a few words. */
export function sourceOf(config: unknown, agent: string): string | null {
  const { agents } = (config ?? {}) as { agents?: Record<string, { source?: Record<string, unknown> }> };
  const source = agents?.[agent]?.source;
  if (source?.['kind'] === 'builtin') return `builtin:${String(source['name'])}`;
  // Its name alone: a report is passed on, and the path is this machine's.
  if (source?.['kind'] === 'module') return basename(String(source['path']));
  if (source?.['kind'] !== 'model') return null;
  const { model } = (source['spec'] ?? {}) as { model?: unknown };
  return typeof model === 'string' ? model : null;
}
