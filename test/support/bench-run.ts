/** Owns directories of runs that were never run: results of made-up agents, to hold reports and comparisons to. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchResult, RunManifest } from '../../src/main/index.ts';
import { randomOf } from '../../src/main/bench/selection.ts';

export type ResultDraft = Partial<Omit<BenchResult, 'caseId' | 'agent'>> & {
  readonly caseId: string;
  readonly agent: string;
};

/** A whole result around what a test is about. */
export function resultOf(draft: ResultDraft): BenchResult {
  return {
    repeat: 0,
    input: `input of ${draft.caseId}`,
    output: 'output',
    scores: {},
    score: null,
    tokens: { input: 10, output: 5, exact: true },
    cost: null,
    latencyMs: { queue: 1, firstToken: null, total: 100 },
    startedAt: '2026-01-02T03:04:05.000Z',
    ...draft,
  };
}

/** A result that one scorer gave a score. */
export function scored(caseId: string, agent: string, score: number, draft: Partial<ResultDraft> = {}): BenchResult {
  return resultOf({ caseId, agent, score, scores: { exact: { score, passed: score === 1 } }, ...draft });
}

export function failed(caseId: string, agent: string, draft: Partial<ResultDraft> = {}): BenchResult {
  return resultOf({
    caseId,
    agent,
    output: '',
    error: { code: 'ORRERY_DEADLINE', message: 'The turn took too long' },
    ...draft,
  });
}

/** A manifest that fits the results. */
export function manifestOf(results: readonly BenchResult[], part: Partial<RunManifest> = {}): RunManifest {
  const agents = part.agents ?? [...new Set(results.map(({ agent }) => agent))];
  const repeats = part.repeats ?? results.reduce((most, { repeat }) => Math.max(most, repeat), 0) + 1;
  const cases = new Set(results.map(({ caseId }) => caseId)).size;
  const errors = results.filter(({ error }) => error).length;
  return {
    version: 1,
    id: '20260102-030405-abcd',
    suite: { name: 'suite', path: '/somewhere/suite.jsonl', sha256: 'a'.repeat(64), cases },
    agents,
    scorers: ['exact'],
    repeats,
    seed: 0,
    options: {
      concurrency: 16,
      concurrencyPerAgent: 16,
      rpm: null,
      tpm: null,
      limit: null,
      tags: [],
      sample: null,
      turnTimeoutMs: 120_000,
      maxCost: null,
    },
    config: {
      agents: Object.fromEntries(agents.map((agent) => [agent, { source: { kind: 'builtin', name: agent } }])),
    },
    environment: { node: 'v24.0.0', orrery: '0.1.0', os: 'linux 6.1', cpus: 8, memoryMb: 16_384 },
    git: { revision: '0123456789abcdef0123456789abcdef01234567', dirty: false },
    prices: {},
    startedAt: '2026-01-02T03:04:05.000Z',
    endedAt: '2026-01-02T03:06:05.000Z',
    status: 'done',
    totals: { done: results.length, errors, skipped: 0 },
    ...part,
  };
}

/** Writes a run's directory. `tail` stands after the last line, as what a kill tore would. */
export function writeRun(
  dir: string,
  results: readonly BenchResult[],
  part: Partial<RunManifest> = {},
  tail: string = '',
): string {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'run.json'), JSON.stringify(manifestOf(results, part)));
  writeFileSync(join(dir, 'results.jsonl'), results.map((result) => `${JSON.stringify(result)}\n`).join('') + tail);
  return dir;
}

export interface MadeAgent {
  readonly agent: string;
  /** Odds of a right answer, and of an error. */
  readonly right: number;
  readonly fails?: number;
  /** Typical milliseconds. */
  readonly ms: number;
  /** US dollars a result. */
  readonly price?: number;
}

/** Results of agents that are right as often as they are made to be; hard cases are hard for all. */
export function madeResults(
  agents: readonly MadeAgent[],
  cases: number,
  o: { readonly repeats?: number; readonly tags?: readonly string[]; readonly outputChars?: number } = {},
): BenchResult[] {
  const random = randomOf(42);
  const { repeats = 1, tags = [], outputChars = 0 } = o;
  const start = Date.parse('2026-01-02T03:04:05.000Z');
  const busyUntil = new Map(agents.map(({ agent }) => [agent, Array.from({ length: 8 }, () => start)]));
  return Array.from({ length: cases }, (_, i) => i).flatMap((i) => {
    const hardness = random();
    return agents.flatMap(({ agent, right, fails = 0, ms, price }) =>
      Array.from({ length: repeats }, (_, repeat) => {
        const isRight = random() * 0.5 + hardness * 0.5 < right;
        const total = ms * Math.exp((random() + random() + random() - 1.5) * 1.2);
        const lanes = busyUntil.get(agent) ?? [start];
        const lane = lanes.indexOf(Math.min(...lanes));
        const begin = lanes[lane] ?? start;
        lanes[lane] = begin + total;
        const draft = {
          repeat,
          input: `What is ${i} plus ${i + 1}? Answer with the number alone.`,
          expected: String(2 * i + 1),
          output: isRight
            ? `The answer is ${2 * i + 1}.`
            : `The answer is ${2 * i + 2}.${' so it is'.repeat(outputChars / 9)}`,
          ...(tags.length === 0 ? {} : { tags: [tags[i % tags.length] ?? ''] }),
          tokens: { input: 20 + (i % 7), output: Math.round(10 + random() * 30), exact: true },
          cost: price === undefined ? null : price * (0.7 + random() * 0.6),
          latencyMs: { queue: 1, firstToken: total / 4, total },
          startedAt: new Date(begin).toISOString(),
        };
        const id = `case-${i + 1}`;
        return random() < fails
          ? failed(id, agent, { ...draft, output: '' })
          : scored(id, agent, isRight ? 1 : 0, draft);
      }),
    );
  });
}
