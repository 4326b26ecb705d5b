/** Owns the judgement whether a run may be gone on with: results of two different measurements never stand in one file unasked. */
import { isDeepStrictEqual } from 'node:util';
import { OrreryError } from '../../protocol/index.ts';
import { shown } from './errors.ts';
import type { RunManifest } from './manifest.ts';

/** Throws `ORRERY_BENCH_CHANGED`, which lists all that is not what it was. */
export function checkResumable(before: RunManifest, now: RunManifest): void {
  const changed: string[] = [];
  const compare = (what: string, was: unknown, is: unknown): void => {
    if (!isDeepStrictEqual(was, is)) changed.push(`${what}: it was ${shown(was)}, and is ${shown(is)}`);
  };
  compare('the suite (sha256)', before.suite.sha256, now.suite.sha256);
  compare('agents', before.agents, now.agents);
  compare('scorers', before.scorers, now.scorers);
  compare('repeats', before.repeats, now.repeats);
  compare('seed', before.seed, now.seed);
  for (const key of ['tags', 'sample', 'limit'] as const) compare(key, before.options[key], now.options[key]);
  if (changed.length === 0) return;
  throw new OrreryError(
    'ORRERY_BENCH_CHANGED',
    `The run cannot be resumed as it was begun\n${changed.map((line) => `  ${line}`).join('\n')}`,
  );
}
