/** Owns the shape of one line of `results.jsonl`. */
import type { Score } from '../../protocol/scorers.ts';

/** In the run's directory. */
export const RESULTS_FILE = 'results.jsonl';

export interface BenchResult {
  readonly caseId: string;
  readonly agent: string;
  /** From 0 on. */
  readonly repeat: number;
  /** The user's last message, at most 2,000 characters of it. */
  readonly input: string;
  readonly expected?: unknown;
  readonly tags?: readonly string[] | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  readonly output: string;
  readonly scores: Readonly<Record<string, Score>>;
  /** The mean of the scores; null where there are none. */
  readonly score: number | null;
  readonly tokens: {
    readonly input: number;
    readonly output: number;
    /** False: an estimate, because the model has no public tokenizer. */
    readonly exact: boolean;
    /** As the provider reported them; absent for agents that call no model. */
    readonly providerInput?: number | undefined;
    readonly providerOutput?: number | undefined;
  };
  /** US dollars; null without a price. */
  readonly cost: number | null;
  readonly latencyMs: {
    /** From the acceptance to the begin of the (first) turn. */
    readonly queue: number;
    /** To the first text of the last turn; null where none was streamed. */
    readonly firstToken: number | null;
    /** From the acceptance to the reply, of all turns together. */
    readonly total: number;
  };
  /** ISO 8601. */
  readonly startedAt: string;
  readonly error?: { readonly code: string; readonly message: string } | undefined;
}

export const MAX_INPUT_CHARS = 2_000;

/** Cuts a text without splitting a code point. */
export function cutText(text: string, chars: number): string {
  if (text.length <= chars) return text;
  const cut = text.slice(0, chars);
  return cut.isWellFormed() ? cut : cut.slice(0, -1);
}

/** The mean of the scores; null where there are none. */
export function meanOf(scores: Readonly<Record<string, Score>>): number | null {
  let sum = 0;
  let count = 0;
  for (const { score } of Object.values(scores)) {
    sum += score;
    count += 1;
  }
  return count === 0 ? null : sum / count;
}
