/** Owns what counts as passed. */
import type { BenchResult } from '../results.ts';

/**
 * Tells whether a result passed: all its scorers say so, and one that says nothing means a score of 1. With an error it did not. Undefined
 * where nothing judged it.
 */
export function passedOf({ error, scores }: Pick<BenchResult, 'error' | 'scores'>): boolean | undefined {
  if (error) return false;
  const all = Object.values(scores);
  if (all.length === 0) return undefined;
  return all.every(({ score, passed }) => passed ?? score >= 1);
}
