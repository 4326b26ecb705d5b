/** Is the entry of the scorer threads of a benchmark: it judges a batch of replies, one case after another. */
import { resolveOwnPackage } from '../../lib/own-package.ts';
import { giveWayToMain } from '../../lib/priority.ts';
import { OrreryError, type WireError, messageOf, toWire } from '../../protocol/errors.ts';
import type { Score, ScoreBatch, ScoreJob, ScoreOutcome, ScoredCase, ScorerSpec } from '../../protocol/scorers.ts';
import { code } from './code.ts';
import { readVerdict } from './judge.ts';
import { numeric } from './numeric.ts';
import { choice, exact, f1, includes, regex } from './text.ts';

type CustomScorer = (scored: ScoredCase) => unknown;

const customs = new Map<string, CustomScorer>();
// A suite's module may import `orrery-host`, wherever it lies.
resolveOwnPackage();
giveWayToMain();

/** Judges a batch; a scorer that throws costs its own score alone. */
export default async function scoreBatch({ specs, module, jobs }: ScoreBatch): Promise<ScoreOutcome[]> {
  const outcomes: ScoreOutcome[] = [];
  for (const job of jobs) outcomes.push(await scoreOne(specs, module, job));
  return outcomes;
}

async function scoreOne(
  specs: readonly ScorerSpec[],
  module: string | undefined,
  job: ScoreJob,
): Promise<ScoreOutcome> {
  const scores: Record<string, Score> = {};
  let failed: WireError | undefined;
  for (const spec of specs) {
    try {
      const given = apply(spec, module, job);
      const score = given instanceof Promise ? await given : given;
      if (score) scores[spec.name] = score;
    } catch (error) {
      failed ??= toWire(
        new OrreryError('ORRERY_SCORER_FAILED', `The scorer ${spec.name} failed: ${messageOf(error)}`, {
          cause: error,
        }),
      );
    }
  }
  return failed === undefined ? { scores } : { scores, error: failed };
}

/** Undefined where the case says nothing that the scorer could compare with. */
function apply(
  spec: ScorerSpec,
  module: string | undefined,
  job: ScoreJob,
): Score | undefined | Promise<Score | undefined> {
  const { kind } = spec;
  const isOpen = job.expected === undefined;
  switch (kind) {
    case 'exact':
      return isOpen ? undefined : exact(job);
    case 'includes':
      return isOpen ? undefined : includes(job);
    case 'f1':
      return isOpen ? undefined : f1(job);
    case 'choice':
      return isOpen ? undefined : choice(job);
    case 'numeric':
      return isOpen ? undefined : numeric(job, spec.tolerance);
    case 'regex':
      return isOpen && spec.pattern === undefined ? undefined : regex(job, spec.pattern);
    case 'json-schema':
      return isOpen && spec.schema === undefined ? undefined : bySchema(job, spec.schema);
    case 'code':
      return code(job, spec.timeoutMs);
    case 'judge':
      return readVerdict(job.verdicts?.[spec.name] ?? '');
    case 'custom':
      return custom(job, module ?? '', spec.key);
  }
}

/** Its library is loaded only where it is needed. */
async function bySchema(job: ScoreJob, schema: unknown): Promise<Score> {
  const { jsonSchema } = await import('./json-schema.ts');
  return jsonSchema(job, schema);
}

async function custom(scored: ScoredCase, module: string, key: string): Promise<Score> {
  let scorer = customs.get(key);
  if (scorer === undefined) {
    scorer = find(await import(module), key);
    customs.set(key, scorer);
  }
  return checked(await scorer(scored));
}

function find(exports: unknown, key: string): CustomScorer {
  const { scorers } = exports as { scorers?: Record<string, unknown> };
  const found = scorers?.[key];
  if (typeof found === 'function') return found as CustomScorer;
  throw new Error(`The suite's module has no function \`scorers.${key}\``);
}

/** A custom scorer may give a number, a verdict, or a score with a detail. */
function checked(value: unknown): Score {
  if (typeof value === 'boolean') return { score: value ? 1 : 0, passed: value };
  const given = typeof value === 'number' ? { score: value } : value;
  const { score, passed, detail } = (given ?? {}) as Record<string, unknown>;
  if (typeof score !== 'number' || !(score >= 0 && score <= 1)) {
    throw new Error(`Expected a number from 0 to 1, true, false or \`{ score }\`, got ${JSON.stringify(value)}`);
  }
  return {
    score,
    ...(typeof passed === 'boolean' ? { passed } : {}),
    ...(typeof detail === 'string' ? { detail } : {}),
  };
}
