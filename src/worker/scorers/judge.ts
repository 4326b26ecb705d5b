/** Owns how the verdict of a judging agent is read. */
import type { Score } from '../../protocol/scorers.ts';

/** Reads `SCORE: x` (0 to 1; also `x/y` and `x%`), the last one of the verdict. Throws when there is none. */
export function readVerdict(verdict: string): Score {
  const found = [...verdict.matchAll(/\bscore\b\W{0,5}(\d+(?:\.\d+)?|\.\d+)\s*(?:(%)|\/\s*(\d+(?:\.\d+)?))?/gi)].at(-1);
  if (found === undefined) throw new Error(`The judge gave no score: ${JSON.stringify(verdict.slice(0, 200))}`);
  const [, value, percent, of] = found;
  const score = Number(value) / (percent === undefined ? Number(of ?? 1) : 100);
  if (!(score >= 0 && score <= 1)) throw new Error(`Expected the judge's score to be from 0 to 1, got ${found[0]}`);
  return { score, passed: score >= 0.5, detail: verdict.slice(0, 500) };
}
