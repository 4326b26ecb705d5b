/** Owns what main and the scorer threads of a benchmark agree on: which scorers there are, what they get and what they give. */
import type { WireError } from './errors.ts';

/** Scorers that need nothing but the case. */
export const PLAIN_SCORERS: readonly string[] = ['exact', 'includes', 'f1', 'choice'];

/** One scorer of a run; `name` is the key of its score in the results. */
export type ScorerSpec =
  | { readonly kind: 'exact' | 'includes' | 'f1' | 'choice'; readonly name: string }
  /** Without a pattern the case's `expected` is one. */
  | { readonly kind: 'regex'; readonly name: string; readonly pattern?: string }
  /** Without a schema the case's `expected` is one. */
  | { readonly kind: 'json-schema'; readonly name: string; readonly schema?: unknown }
  /** Absolute; absent: equal but for rounding. */
  | { readonly kind: 'numeric'; readonly name: string; readonly tolerance?: number }
  /** Runs the reply as Python, in a child process that ends at the deadline. That is no sandbox. */
  | { readonly kind: 'code'; readonly name: string; readonly timeoutMs: number }
  /** Another hosted agent grades; the thread reads its verdict. */
  | { readonly kind: 'judge'; readonly name: string; readonly agent: string }
  /** A function of the suite's module, under its name there. */
  | { readonly kind: 'custom'; readonly name: string; readonly key: string };

/** What a scorer sees of a case and its reply. */
export interface ScoredCase {
  readonly id: string;
  readonly input: string;
  readonly output: string;
  readonly expected?: unknown;
  readonly tags?: readonly string[];
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface ScoreJob extends ScoredCase {
  /** Replies of judges, by the scorer's name. */
  readonly verdicts?: Readonly<Record<string, string>>;
}

/** `score` is 0 to 1: partial credit is allowed. */
export interface Score {
  readonly score: number;
  readonly passed?: boolean;
  readonly detail?: string;
}

export interface ScoreBatch {
  readonly specs: readonly ScorerSpec[];
  /** The suite's module, for custom functions. */
  readonly module?: string;
  readonly jobs: readonly ScoreJob[];
}

/** `error`: the first scorer that could not judge; the others' scores are there. */
export interface ScoreOutcome {
  readonly scores: Readonly<Record<string, Score>>;
  readonly error?: WireError;
}
