/** Owns the comparison of runs of one suite: a first run against each later one, case by case. */
import { OrreryError } from '../../../protocol/errors.ts';
import { invalid, shown } from '../errors.ts';
import type { RunManifest } from '../manifest.ts';
import type { BenchResult } from '../results.ts';
import { type PairComparison, type PairSide, comparePair } from './pairs.ts';
import { type StoredRun, openRun, readRun } from './reading.ts';
import { withHolm } from './summary.ts';
import { passedOf } from './verdict.ts';

export interface CompareOptions {
  /** Compares although the suites or the scorers differ. */
  readonly force?: boolean;
  /** Cases that are listed of each kind. Default 20. */
  readonly list?: number;
}

/** A case that came out differently. */
export interface ChangedCase {
  readonly caseId: string;
  readonly repeat: number;
}

/** One side of a comparison, over the results that both have. */
export interface ComparedSide {
  readonly run: string;
  readonly agent: string;
  /** The mean over what was judged, an error being 0; null when nothing has a score. */
  readonly score: number | null;
  readonly errors: number;
  readonly passed: number;
  readonly judged: number;
}

export interface RunComparison extends PairComparison {
  readonly before: ComparedSide;
  readonly after: ComparedSide;
  /** Results (case and repeat) in both runs, and in one alone. */
  readonly inBoth: number;
  readonly onlyBefore: number;
  readonly onlyAfter: number;
  /** Results that passed before and no longer do; the first of them are listed. */
  readonly regressed: number;
  readonly regressions: readonly ChangedCase[];
  /** Results that did not pass before and do now. */
  readonly fixed: number;
  readonly fixes: readonly ChangedCase[];
}

export interface CompareReport {
  readonly suite: { readonly name: string; readonly sha256: string };
  readonly runs: readonly {
    readonly id: string;
    readonly dir: string;
    readonly startedAt: string;
    readonly status: string;
  }[];
  /** What makes the runs differ beside their agents, in sentences. */
  readonly warnings: readonly string[];
  /** Each later run against the first, agent by agent. Holm's adjustment is over all of them. */
  readonly comparisons: readonly RunComparison[];
}

const DEFAULT_LIST = 20;

/** Compares where it is called: it reads every result of every run. */
export async function compareDirs(dirs: readonly string[], options: CompareOptions): Promise<CompareReport> {
  if (dirs.length < 2) throw invalid(`Expected at least two directories of runs, got ${dirs.length}`);
  const runs = await Promise.all(dirs.map(openRun));
  const [first] = runs;
  if (!first) throw invalid('Expected at least two directories of runs');
  const warnings = runs.slice(1).flatMap(({ manifest }) => differences(first.manifest, manifest, options));
  const base = await Outcomes.read(first);
  const comparisons: RunComparison[] = [];
  for (const run of runs.slice(1)) {
    const other = await Outcomes.read(run);
    for (const [before, after] of partners(first.manifest, run.manifest)) {
      comparisons.push(compareAgents(base.of(before), other.of(after), options.list ?? DEFAULT_LIST));
    }
  }
  const { name, sha256 } = first.manifest.suite;
  return {
    suite: { name, sha256 },
    runs: runs.map(({ dir, manifest: { id, startedAt, status } }) => ({ id, dir, startedAt, status })),
    warnings,
    comparisons: withHolm(comparisons),
  };
}

/** Throws `ORRERY_BENCH_CHANGED` for runs that measured something else, unless forced; what else differs is a warning. */
function differences(first: RunManifest, other: RunManifest, { force = false }: CompareOptions): readonly string[] {
  const refused: string[] = [];
  if (first.suite.sha256 !== other.suite.sha256) {
    refused.push(`The suite of ${other.id} is another one than that of ${first.id} (its SHA-256 differs).`);
  }
  if (first.scorers.join('\n') !== other.scorers.join('\n')) {
    const [was, is] = [first.scorers, other.scorers].map((scorers) => shown(scorers.join(', ')));
    refused.push(`The scorers of ${first.id} are ${was}, those of ${other.id} ${is}.`);
  }
  if (refused.length > 0 && !force) {
    throw new OrreryError('ORRERY_BENCH_CHANGED', refused.join(' '), {
      hint: 'Compare all the same with --force: cases are matched by their ids.',
    });
  }
  const unfinished = [first, other]
    .filter(({ status }) => status !== 'done')
    .map(({ id, status }) => `The run ${id} is not complete (${status}).`);
  return [...refused, ...unfinished];
}

/** Agents of one name; where none is in both and each run has one alone, those two. */
function partners(first: RunManifest, other: RunManifest): readonly (readonly [string, string])[] {
  const common = first.agents.filter((agent) => other.agents.includes(agent));
  if (common.length > 0) return common.map((agent) => [agent, agent]);
  const [[before], [after]] = [first.agents, other.agents];
  if (first.agents.length === 1 && other.agents.length === 1 && before !== undefined && after !== undefined) {
    return [[before, after]];
  }
  throw invalid(
    `Expected an agent that is in both runs; ${first.id} has ${first.agents.join(', ')}, ${other.id} has ${other.agents.join(', ')}`,
  );
}

/** One agent's results in a run, by case and repeat. */
interface AgentOutcomes {
  readonly run: string;
  readonly agent: string;
  readonly results: ReadonlyMap<string, Outcome>;
}

interface Outcome extends ChangedCase {
  readonly score: number | null;
  readonly passed: boolean | undefined;
  readonly isError: boolean;
}

class Outcomes {
  readonly #run: string;
  readonly #agents = new Map<string, Map<string, Outcome>>();

  private constructor(run: string) {
    this.#run = run;
  }

  static async read(run: StoredRun): Promise<Outcomes> {
    const outcomes = new Outcomes(run.manifest.id);
    for await (const batch of readRun(run)) for (const result of batch) outcomes.#add(result);
    return outcomes;
  }

  of(agent: string): AgentOutcomes {
    return { run: this.#run, agent, results: this.#agents.get(agent) ?? new Map<string, Outcome>() };
  }

  #add(result: BenchResult): void {
    const { agent, caseId, repeat, score, error } = result;
    let results = this.#agents.get(agent);
    if (!results) this.#agents.set(agent, (results = new Map<string, Outcome>()));
    const outcome = { caseId, repeat, score, passed: passedOf(result), isError: error !== undefined };
    results.set(`${repeat} ${caseId}`, outcome);
  }
}

function compareAgents(before: AgentOutcomes, after: AgentOutcomes, list: number): RunComparison {
  const pairs = [...before.results].flatMap(([key, was]) => {
    const is = after.results.get(key);
    return is ? [[was, is] as const] : [];
  });
  const cases = new Map<string, number>();
  for (const [{ caseId }] of pairs) if (!cases.has(caseId)) cases.set(caseId, cases.size);
  const sides = [0, 1].map((side) =>
    sideOf(
      pairs.map((pair) => pair[side] ?? pair[0]),
      cases,
    ),
  );
  const [first, second] = sides;
  if (!first || !second) throw invalid('Expected two sides to compare');
  const regressions = pairs.filter(([was, is]) => was.passed === true && is.passed === false).map(([was]) => was);
  const fixes = pairs.filter(([was, is]) => was.passed === false && is.passed === true).map(([was]) => was);
  return {
    ...comparePair(first, second, cases.size),
    before: { run: before.run, agent: before.agent, ...totals(pairs.map(([was]) => was)) },
    after: { run: after.run, agent: after.agent, ...totals(pairs.map(([, is]) => is)) },
    inBoth: pairs.length,
    onlyBefore: before.results.size - pairs.length,
    onlyAfter: after.results.size - pairs.length,
    regressed: regressions.length,
    regressions: listed(regressions, list),
    fixed: fixes.length,
    fixes: listed(fixes, list),
  };
}

function sideOf(outcomes: readonly Outcome[], cases: ReadonlyMap<string, number>): PairSide {
  const scoreSums = new Float64Array(cases.size);
  const passes = new Float64Array(cases.size);
  const judged = new Float64Array(cases.size);
  const add = (column: Float64Array, at: number, value: number): void => {
    column[at] = (column[at] ?? 0) + value;
  };
  for (const { caseId, score, passed } of outcomes) {
    const at = cases.get(caseId) ?? 0;
    add(scoreSums, at, score ?? 0);
    if (passed !== undefined) add(judged, at, 1);
    if (passed === true) add(passes, at, 1);
  }
  return { scoreSums, passes, judged, isScored: outcomes.some(({ score }) => score !== null) };
}

function totals(outcomes: readonly Outcome[]): Omit<ComparedSide, 'run' | 'agent'> {
  const scores = outcomes.flatMap(({ score }) => (score === null ? [] : [score]));
  const judged = outcomes.filter(({ passed }) => passed !== undefined).length;
  return {
    score: scores.length === 0 ? null : scores.reduce((sum, score) => sum + score, 0) / judged,
    errors: outcomes.filter(({ isError }) => isError).length,
    passed: outcomes.filter(({ passed }) => passed === true).length,
    judged,
  };
}

function listed(outcomes: readonly Outcome[], list: number): readonly ChangedCase[] {
  const collator = new Intl.Collator('en', { numeric: true });
  return outcomes
    .toSorted((a, b) => collator.compare(a.caseId, b.caseId) || a.repeat - b.repeat)
    .slice(0, list)
    .map(({ caseId, repeat }) => ({ caseId, repeat }));
}
