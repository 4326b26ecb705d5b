/** Owns `--fail-under`: whether scores are high enough for a build to pass. */
import { invalid, shown } from '../errors.ts';

export interface GatedScore {
  readonly agent: string;
  /** The mean over the results that were judged, an error being 0; null when nothing has a score. */
  readonly gradedScore: number | null;
  readonly errors: number;
}

/**
 * Tells of each agent whose score lies under the threshold, a sentence each. An error counts as 0: an agent that fails on half of its cases does not
 * pass with what it answered. An agent without a score lies under every threshold.
 */
export function scoresUnder(agents: readonly GatedScore[], threshold: number): readonly string[] {
  return agents.flatMap(({ agent, gradedScore, errors }) => {
    if (gradedScore === null) return [`${agent} has no score, and at least ${threshold} is asked for`];
    if (gradedScore >= threshold) return [];
    const because = errors === 0 ? '' : ` (${errors} ${errors === 1 ? 'error counts' : 'errors count'} as 0)`;
    return [`${agent} has a score of ${floored(gradedScore)}${because}, and at least ${threshold} is asked for`];
  });
}

/** Reads the threshold. Throws `ORRERY_BENCH_INVALID`. */
export function readThreshold(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && value <= 1) return value;
  throw invalid(`Expected a score from 0 to 1 after --fail-under, got ${shown(text)}`);
}

/** Never rounded up to the threshold that it misses. */
function floored(score: number): string {
  return (Math.floor(score * 10_000 + 1e-9) / 10_000).toFixed(4);
}
