/** Owns how cases that were answered become results: judged and counted on other threads, then written down. */
import type { ScoreJob, ScoreOutcome } from '../../protocol/scorers.ts';
import type { ResolvedAgent, TokenPrice } from '../config/index.ts';
import type { TokenPool } from '../tokens/index.ts';
import { inputOf } from './cases.ts';
import type { ResultsLedger } from './ledger.ts';
import type { Finished } from './pipeline.ts';
import { costOf, modelOf } from './prices.ts';
import { type BenchResult, MAX_INPUT_CHARS, cutText, meanOf } from './results.ts';
import type { Scoring } from './scoring.ts';

export interface FinishingOptions {
  readonly scoring: Scoring;
  readonly tokens: TokenPool;
  readonly ledger: ResultsLedger;
  readonly agents: Readonly<Record<string, ResolvedAgent>>;
  readonly prices: ReadonlyMap<string, TokenPrice>;
}

interface Counted {
  readonly input: number;
  readonly output: number;
  readonly exact: boolean;
}

const NO_SCORES: ScoreOutcome['scores'] = {};

/** Scores, counts and appends a batch; resolves with its results once the ledger has them. */
export async function finishBatch(
  { scoring, tokens, ledger, agents, prices }: FinishingOptions,
  batch: readonly Finished[],
): Promise<readonly BenchResult[]> {
  const jobs: ScoreJob[] = [];
  for (const finished of batch) if (!finished.outcome.error) jobs.push(new Job(finished));
  const [scored, counts] = await Promise.all([scoring.score(jobs), countBatch(tokens, agents, batch)]);
  // What failed has no outcome of the scorers.
  let next = 0;
  const results = batch.map((finished, i) => {
    const outcome = finished.outcome.error ? undefined : scored[next++];
    const counted = counts[i] ?? { input: 0, output: 0, exact: false };
    return resultOf(finished, outcome, counted, prices.get(finished.work.agent));
  });
  await ledger.append(results);
  return results;
}

/** A class for the reason that `asking.ts` tells. Keys that a case does not have are not there: each one would be written and read again on its way. */
class Job implements ScoreJob {
  readonly id: string;
  readonly input: string;
  readonly output: string;
  declare expected?: unknown;
  declare tags?: readonly string[];
  declare metadata?: Readonly<Record<string, unknown>>;
  declare verdicts?: Readonly<Record<string, string>>;

  constructor({ work: { one }, outcome, verdicts }: Finished) {
    const { expected, tags, metadata } = one;
    this.id = one.id;
    this.input = inputOf(one);
    this.output = outcome.output;
    if (expected !== undefined) this.expected = expected;
    if (tags !== undefined) this.tags = tags;
    if (metadata !== undefined) this.metadata = metadata;
    if (verdicts !== undefined) this.verdicts = verdicts;
  }
}

function resultOf(
  { work, outcome, judgeError }: Finished,
  scored: ScoreOutcome | undefined,
  counted: Counted,
  price: TokenPrice | undefined,
): BenchResult {
  const { one, agent, repeat } = work;
  const { id: caseId, expected, tags, metadata } = one;
  const { output, usage, latencyMs, startedAt } = outcome;
  const scores = scored?.scores ?? NO_SCORES;
  const failure = judgeError ?? scored?.error;
  const error =
    outcome.error ??
    (failure === undefined ? undefined : { code: failure.code ?? 'ORRERY_INTERNAL', message: failure.message });
  const { input, output: written, exact } = counted;
  const tokens = { input, output: written, exact, providerInput: usage?.input, providerOutput: usage?.output };
  return {
    caseId,
    agent,
    repeat,
    input: cutText(inputOf(one), MAX_INPUT_CHARS),
    expected,
    tags,
    metadata,
    output,
    scores,
    // The mean of some of the scorers would be another measure than the other cases'.
    score: error === undefined ? meanOf(scores) : null,
    tokens,
    cost: costOf(tokens, price),
    latencyMs,
    startedAt: isoOf(startedAt),
    error,
  };
}

let lastMs = Number.NaN;
let lastIso = '';

/** ISO 8601. Many cases start in one millisecond, and the text of a time costs as much as all else of a result. */
function isoOf(ms: number): string {
  if (ms !== lastMs) {
    lastMs = ms;
    lastIso = new Date(ms).toISOString();
  }
  return lastIso;
}

/** What is counted with one tokenizer: texts, and whose they are, in one order. */
interface Countable {
  readonly texts: string[];
  readonly owners: number[];
}

/** One call for each model: what is counted together is counted on the pool's threads in one step. */
async function countBatch(
  tokens: TokenPool,
  agents: Readonly<Record<string, ResolvedAgent>>,
  batch: readonly Finished[],
): Promise<readonly Counted[]> {
  const models = new Map<string, Countable>();
  for (let owner = 0; owner < batch.length; owner++) {
    const { work, outcome } = batch[owner]!;
    const agent = agents[work.agent];
    const model = (agent && modelOf(agent)) ?? '';
    let countable = models.get(model);
    if (!countable) models.set(model, (countable = { texts: [], owners: [] }));
    const { texts, owners } = countable;
    owners.push(owner);
    for (const { content } of work.one.context) texts.push(content);
    for (const text of work.one.turns) texts.push(text);
    for (const text of outcome.outputs) texts.push(text);
  }
  const counts: Counted[] = [];
  for (const [model, { texts, owners }] of models) {
    const { counts: found, exact } = await tokens.count(texts, model === '' ? {} : { model });
    let at = 0;
    const take = (places: number): number => {
      let sum = 0;
      for (const end = at + places; at < end; at++) sum += found[at] ?? 0;
      return sum;
    };
    for (const owner of owners) {
      const { one } = batch[owner]!.work;
      const input = take(one.context.length + one.turns.length);
      counts[owner] = { input, output: take(batch[owner]!.outcome.outputs.length), exact };
    }
  }
  return counts;
}
