/**
 * Owns the cases that a report shows one by one: which of them, when there are too many, and how much of their texts. They come from a second reading of the
 * results, so that no more texts are in memory than the page will hold.
 */
import { type BenchResult, cutText } from '../results.ts';
import type { RunFigures } from './figures.ts';
import { readRun } from './reading.ts';
import { passedOf } from './verdict.ts';

/** Cases on a page. */
export const MAX_CASES = 10_000;
/** Characters of each text, unless told otherwise. */
export const DEFAULT_OUTPUT_CHARS = 2_000;
/** Characters of all texts of a page; what comes after that is cut to `LEAST_CHARS`. */
const MAX_TEXT: number = 24 * 1024 * 1024;
const LEAST_CHARS = 200;
/** Repeats of a case that are shown with each agent. */
export const MAX_REPEATS = 5;
const MAX_DETAIL = 500;
const MAX_TAGS_SHOWN = 20;

/** A result as the page has it. */
export interface ResultRow {
  /** Index of the agent. */
  readonly agent: number;
  readonly repeat: number;
  readonly output: string;
  /** Characters that were cut off. */
  readonly cut?: number;
  readonly score: number | null;
  readonly passed: boolean | null;
  readonly error?: { readonly code: string; readonly message: string };
  readonly ms: number;
  readonly tokens: readonly [input: number, output: number];
  readonly cost: number | null;
  readonly scores: readonly (readonly [scorer: string, score: number, detail: string])[];
}

export interface CaseRow {
  readonly id: string;
  readonly input: string;
  /** Texts to compare with; JSON of what is no text. */
  readonly expected?: readonly string[];
  readonly tags?: readonly string[];
  readonly results: readonly ResultRow[];
}

export interface CaseRows {
  readonly rows: readonly CaseRow[];
  /** Of the run. */
  readonly total: number;
  /** Results of which some text was cut. */
  readonly cut: number;
  readonly outputChars: number;
  readonly repeatsLeftOut: number;
}

export interface RowOptions {
  readonly outputChars?: number;
  readonly maxCases?: number;
  readonly maxText?: number;
}

/** Reads the rows of a page, in the order of their ids. */
export async function readRows(figures: RunFigures, options: RowOptions = {}): Promise<CaseRows> {
  const { outputChars = DEFAULT_OUTPUT_CHARS, maxCases = MAX_CASES, maxText = MAX_TEXT } = options;
  const chosen = chooseCases(figures, maxCases);
  const agents = new Map(figures.agents.map(({ agent }, i) => [agent, i]));
  const found = new Map<number, CaseRow & { readonly results: ResultRow[] }>();
  let text = 0;
  let cut = 0;
  let repeatsLeftOut = 0;
  for await (const batch of readRun(figures.run)) {
    for (const result of batch) {
      const at = figures.cases.get(result.caseId) ?? -1;
      const agent = agents.get(result.agent);
      if (!chosen.has(at) || agent === undefined) continue;
      if (result.repeat >= MAX_REPEATS) {
        repeatsLeftOut += 1;
        continue;
      }
      const chars = text > maxText ? Math.min(LEAST_CHARS, outputChars) : outputChars;
      let row = found.get(at);
      if (!row) {
        found.set(at, (row = caseRow(result, chars)));
        text += row.input.length + (row.expected?.join('').length ?? 0);
      }
      const shown = resultRow(result, agent, chars);
      row.results.push(shown);
      text += shown.output.length;
      if (shown.cut !== undefined) cut += 1;
    }
  }
  const collator = new Intl.Collator('en', { numeric: true });
  const rows = [...found.values()].toSorted((a, b) => collator.compare(a.id, b.id));
  for (const { results } of rows) results.sort((a, b) => a.agent - b.agent || a.repeat - b.repeat);
  return { rows, total: figures.cases.size, cut, outputChars, repeatsLeftOut };
}

/**
 * Indices of the cases that are shown. When there are too many: first those with an error, then those on which agents differ, then those that failed, then the rest; within
 * each in the order in which they came.
 */
export function chooseCases(figures: RunFigures, most: number): ReadonlySet<number> {
  const { size } = figures.cases;
  if (size <= most) return new Set(figures.cases.values());
  const classes: number[][] = [[], [], [], []];
  for (let at = 0; at < size; at++) classes[interestOf(figures, at)]?.push(at);
  return new Set(classes.flat().slice(0, most));
}

/** 0 an error, 1 the agents differ, 2 not passed, 3 the rest. */
function interestOf({ agents }: RunFigures, at: number): number {
  let hasError = false;
  const rates = new Set<number>();
  const scores = new Set<number>();
  for (const { judged, passes, scored, scoreSums } of agents) {
    const isShort = judged.get(at) > scored.get(at);
    hasError ||= isShort;
    if (judged.get(at) > 0) rates.add(passes.get(at) / judged.get(at));
    if (scored.get(at) > 0) scores.add(scoreSums.get(at) / scored.get(at));
  }
  if (hasError) return 0;
  if (rates.size > 1 || scores.size > 1) return 1;
  return rates.size === 1 && !rates.has(1) ? 2 : 3;
}

function caseRow(result: BenchResult, chars: number): CaseRow & { readonly results: ResultRow[] } {
  const { caseId, input, expected, tags } = result;
  return {
    id: caseId,
    input: cutText(input, chars),
    ...(expected === undefined ? {} : { expected: expectedOf(expected).map((text) => cutText(text, chars)) }),
    ...(tags === undefined || tags.length === 0 ? {} : { tags: tags.slice(0, MAX_TAGS_SHOWN) }),
    results: [],
  };
}

/** A list of texts holds alternatives. */
function expectedOf(expected: unknown): readonly string[] {
  if (typeof expected === 'string') return [expected];
  if (Array.isArray(expected) && expected.every((one) => typeof one === 'string')) return expected;
  return [JSON.stringify(expected, undefined, 2)];
}

function resultRow(result: BenchResult, agent: number, chars: number): ResultRow {
  const { repeat, output, score, error, latencyMs, tokens, cost, scores } = result;
  const shown = cutText(output, chars);
  return {
    agent,
    repeat,
    output: shown,
    ...(shown.length < output.length ? { cut: output.length - shown.length } : {}),
    score,
    passed: passedOf(result) ?? null,
    ...(error === undefined ? {} : { error: { code: error.code, message: cutText(error.message, MAX_DETAIL) } }),
    ms: latencyMs.total,
    tokens: [tokens.providerInput ?? tokens.input, tokens.providerOutput ?? tokens.output],
    cost,
    scores: Object.entries(scores).map(([name, one]) => [name, one.score, cutText(one.detail ?? '', MAX_DETAIL)]),
  };
}
