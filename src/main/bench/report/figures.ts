/**
 * Owns what is kept of a run's results while they are read once, as a stream: sums by case and agent, times, tags. Some hundred bytes for each case and
 * agent, and no text but the cases' ids; outputs are for those who read the file a second time.
 */
import type { BenchResult } from '../results.ts';
import { Floats } from './floats.ts';
import { type StoredRun, readRun } from './reading.ts';
import { passedOf } from './verdict.ts';

/** Tags that are counted; a suite with more has them for something else than groups. */
export const MAX_TAGS = 200;
/** Kinds of errors that are told apart, for each agent. */
const MAX_CODES = 50;

/** One agent's results, by the index of their case. */
export class AgentFigures {
  readonly agent: string;
  results = 0;
  errors = 0;
  readonly errorCodes: Map<string, number> = new Map();
  readonly scoreSums: Floats = new Floats();
  /** Results with a score. */
  readonly scored: Floats = new Floats();
  readonly passes: Floats = new Floats();
  /** Results that passed or did not, those with an error included. */
  readonly judged: Floats = new Floats();
  readonly costs: Floats = new Floats();
  readonly costed: Floats = new Floats();
  readonly tokenSums: Floats = new Floats();
  readonly counted: Floats = new Floats();
  inputTokens = 0;
  outputTokens = 0;
  isExact = true;
  /** Milliseconds of what was answered. */
  readonly latencies: Floats = new Floats();
  readonly firstTokens: Floats = new Floats();
  /** Of all results; Unix time in milliseconds. */
  readonly begins: Floats = new Floats();
  readonly ends: Floats = new Floats();
  readonly scorers: Map<string, { sum: number; count: number }> = new Map();

  constructor(agent: string) {
    this.agent = agent;
  }

  add(at: number, result: BenchResult): void {
    const { score, cost, tokens, latencyMs, error, scores } = result;
    this.results += 1;
    if (error) this.#addError(error.code);
    if (score !== null) {
      this.scoreSums.add(at, score);
      this.scored.add(at, 1);
      for (const [name, one] of Object.entries(scores)) this.#addScore(name, one.score);
    }
    const passed = passedOf(result);
    if (passed !== undefined) this.judged.add(at, 1);
    if (passed === true) this.passes.add(at, 1);
    if (cost !== null) {
      this.costs.add(at, cost);
      this.costed.add(at, 1);
    }
    const input = tokens.providerInput ?? tokens.input;
    const output = tokens.providerOutput ?? tokens.output;
    this.inputTokens += input;
    this.outputTokens += output;
    this.isExact &&= tokens.exact || tokens.providerInput !== undefined;
    this.tokenSums.add(at, input + output);
    this.counted.add(at, 1);
    if (!error) this.latencies.push(latencyMs.total);
    if (!error && latencyMs.firstToken !== null) this.firstTokens.push(latencyMs.firstToken);
    const begin = Date.parse(result.startedAt);
    if (Number.isNaN(begin)) return;
    this.begins.push(begin);
    this.ends.push(begin + latencyMs.total);
  }

  #addError(code: string): void {
    this.errors += 1;
    const known = this.errorCodes.has(code) || this.errorCodes.size < MAX_CODES;
    const key = known ? code : 'others';
    this.errorCodes.set(key, (this.errorCodes.get(key) ?? 0) + 1);
  }

  #addScore(name: string, score: number): void {
    let mean = this.scorers.get(name);
    if (!mean) this.scorers.set(name, (mean = { sum: 0, count: 0 }));
    mean.sum += score;
    mean.count += 1;
  }
}

export class RunFigures {
  readonly run: StoredRun;
  readonly agents: readonly AgentFigures[];
  /** Ids of the cases that have a result, in the order in which their first one came. */
  readonly cases: Map<string, number> = new Map();
  /** Indices of the cases with a tag. */
  readonly tags: Map<string, number[]> = new Map();
  /** Tags of which there were too many. */
  readonly tagsLeftOut: Set<string> = new Set();
  readonly #byName: ReadonlyMap<string, AgentFigures>;

  private constructor(run: StoredRun) {
    this.run = run;
    this.agents = run.manifest.agents.map((agent) => new AgentFigures(agent));
    this.#byName = new Map(this.agents.map((figures) => [figures.agent, figures]));
  }

  /** Reads all of a run's results. Rejects as `readRun` does. */
  static async read(run: StoredRun): Promise<RunFigures> {
    const figures = new RunFigures(run);
    for await (const batch of readRun(run)) for (const result of batch) figures.#add(result);
    return figures;
  }

  /** True when a scorer gave at least one score: only then is there something to compare. */
  get isScored(): boolean {
    return this.agents.some(({ scorers }) => scorers.size > 0);
  }

  #add(result: BenchResult): void {
    const { caseId, agent, tags } = result;
    let at = this.cases.get(caseId);
    if (at === undefined) {
      at = this.cases.size;
      this.cases.set(caseId, at);
      for (const tag of new Set(tags)) this.#addTag(tag, at);
    }
    this.#byName.get(agent)?.add(at, result);
  }

  #addTag(tag: string, at: number): void {
    const list = this.tags.get(tag);
    if (list) list.push(at);
    else if (this.tags.size < MAX_TAGS) this.tags.set(tag, [at]);
    else if (this.tagsLeftOut.size < MAX_TAGS) this.tagsLeftOut.add(tag);
  }
}
