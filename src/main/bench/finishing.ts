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
  input: number;
  output: number;
  exact: boolean;
}

/** Scores, counts and appends a batch; resolves with its results once the ledger has them. */
export async function finishBatch(
  { scoring, tokens, ledger, agents, prices }: FinishingOptions,
  batch: readonly Finished[],
): Promise<readonly BenchResult[]> {
  const answered = batch.filter(({ outcome }) => !outcome.error);
  const [scored, counts] = await Promise.all([scoring.score(answered.map(jobOf)), countBatch(tokens, agents, batch)]);
  const outcomes = new Map(answered.map((finished, i) => [finished, scored[i]]));
  const results = batch.map((finished, i) => {
    const counted = counts[i] ?? { input: 0, output: 0, exact: false };
    return resultOf(finished, outcomes.get(finished), counted, prices.get(finished.work.agent));
  });
  await ledger.append(results);
  return results;
}

function jobOf({ work, outcome, verdicts }: Finished): ScoreJob {
  const { id, expected, tags, metadata } = work.one;
  return {
    id,
    input: inputOf(work.one),
    output: outcome.output,
    ...(expected === undefined ? {} : { expected }),
    ...(tags === undefined ? {} : { tags }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(Object.keys(verdicts).length === 0 ? {} : { verdicts }),
  };
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
  const scores = scored?.scores ?? {};
  const failure = judgeError ?? scored?.error;
  const error =
    outcome.error ??
    (failure === undefined ? undefined : { code: failure.code ?? 'ORRERY_INTERNAL', message: failure.message });
  const tokens = {
    ...counted,
    ...(usage === undefined ? {} : { providerInput: usage.input, providerOutput: usage.output }),
  };
  return {
    caseId,
    agent,
    repeat,
    input: cutText(inputOf(one), MAX_INPUT_CHARS),
    ...(expected === undefined ? {} : { expected }),
    ...(tags === undefined ? {} : { tags }),
    ...(metadata === undefined ? {} : { metadata }),
    output,
    scores,
    // The mean of some of the scorers would be another measure than the other cases'.
    score: error === undefined ? meanOf(scores) : null,
    tokens,
    cost: costOf(tokens, price),
    latencyMs,
    startedAt: new Date(startedAt).toISOString(),
    ...(error === undefined ? {} : { error }),
  };
}

/** One call for each model: what is counted together is counted on the pool's threads in one step. */
async function countBatch(
  tokens: TokenPool,
  agents: Readonly<Record<string, ResolvedAgent>>,
  batch: readonly Finished[],
): Promise<readonly Counted[]> {
  const counts = batch.map((): Counted => ({ input: 0, output: 0, exact: true }));
  const texts = new Map<string, { text: string; owner: number; side: 'input' | 'output' }[]>();
  for (const [owner, { work, outcome }] of batch.entries()) {
    const agent = agents[work.agent];
    const model = (agent && modelOf(agent)) ?? '';
    let list = texts.get(model);
    if (!list) texts.set(model, (list = []));
    for (const { content } of work.one.context) list.push({ text: content, owner, side: 'input' });
    for (const text of work.one.turns) list.push({ text, owner, side: 'input' });
    for (const text of outcome.outputs) list.push({ text, owner, side: 'output' });
  }
  for (const [model, list] of texts) {
    const found = await tokens.count(
      list.map(({ text }) => text),
      model === '' ? {} : { model },
    );
    for (const [i, { owner, side }] of list.entries()) {
      const counted = counts[owner];
      if (!counted) continue;
      counted[side] += found.counts[i] ?? 0;
      counted.exact &&= found.exact;
    }
  }
  return counts;
}
