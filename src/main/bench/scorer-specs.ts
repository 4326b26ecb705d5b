/** Owns how scorers are named, by `--scorer` and by a suite's module, and what each name becomes. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { didYouMean } from '../../lib/did-you-mean.ts';
import { messageOf } from '../../protocol/index.ts';
import { PLAIN_SCORERS, type ScorerSpec } from '../../protocol/scorers.ts';
import { invalid, shown } from './errors.ts';

/** How long a case's code may run, in milliseconds. */
export const DEFAULT_CODE_TIMEOUT_MS = 10_000;
const KINDS: readonly string[] = [...PLAIN_SCORERS, 'regex', 'json-schema', 'numeric', 'code', 'judge'];
/** Kinds that mean something without an argument. */
const BARE: ReadonlySet<string> = new Set(['regex', 'json-schema', 'numeric', 'code']);

/**
 * Reads the scorers of a run: those that are named, else all of the suite's module, else the one that fits the suite's form. A name is
 * one of the module's, or `KIND` or `KIND:ARGUMENT`. Throws `ORRERY_BENCH_INVALID`.
 */
export function readScorers(
  named: readonly string[],
  o: { readonly module: unknown; readonly fallback: string; readonly dir: string },
): readonly ScorerSpec[] {
  const own = ownScorers(o.module);
  const chosen = named.length > 0 ? named : own.size > 0 ? [...own.keys()] : [o.fallback];
  const names = new Set<string>();
  return chosen.map((text): ScorerSpec => {
    const value = own.get(text);
    // Of two of one kind, such as two patterns, the second is known by all that was said of it.
    const [kind = text] = text.split(':', 1);
    const name = value !== undefined || names.has(kind) ? text : kind;
    if (names.has(name)) throw invalid(`Expected each --scorer once, got ${shown(text)} twice`);
    names.add(name);
    if (typeof value === 'function') return { kind: 'custom', name, key: text };
    if (value === undefined) return parse(text, name, [...own.keys()], o.dir);
    if (typeof value === 'string') return parse(value, name, [], o.dir);
    throw invalid(`Expected \`scorers.${text}\` of the suite to be a function or a scorer's name, got ${shown(value)}`);
  });
}

function ownScorers(scorers: unknown): ReadonlyMap<string, unknown> {
  if (scorers === undefined) return new Map();
  if (typeof scorers !== 'object' || scorers === null || Array.isArray(scorers)) {
    throw invalid(
      `Expected \`scorers\` of the suite to be an object with a scorer under each name, got ${shown(scorers)}`,
    );
  }
  return new Map(Object.entries(scorers));
}

function parse(text: string, name: string, own: readonly string[], dir: string): ScorerSpec {
  const at = text.indexOf(':');
  const kind = at < 0 ? text : text.slice(0, at);
  const argument = at < 0 ? undefined : text.slice(at + 1);
  const known = [...KINDS, ...own];
  if (!KINDS.includes(kind)) {
    const near = didYouMean(kind, known);
    const also = near === undefined ? `The scorers are: ${known.join(', ')}` : `Did you mean "${near}"?`;
    throw invalid(`Expected --scorer to name a scorer, got ${shown(text)}`, { hint: also });
  }
  if (argument === undefined && kind === 'judge') {
    throw invalid('Expected --scorer judge:AGENT, with the agent that grades, got "judge"');
  }
  if (argument !== undefined && !BARE.has(kind) && kind !== 'judge') {
    throw invalid(`Expected --scorer ${kind} without an argument, got ${shown(text)}`);
  }
  switch (kind) {
    case 'judge':
      return { kind, name, agent: argument ?? '' };
    case 'regex':
      if (argument !== undefined) checkPattern(argument);
      return { kind, name, ...(argument === undefined ? {} : { pattern: argument }) };
    case 'json-schema':
      return { kind, name, ...(argument === undefined ? {} : { schema: readSchema(resolve(dir, argument)) }) };
    case 'numeric':
      return { kind, name, ...(argument === undefined ? {} : { tolerance: numberOf(argument, text) }) };
    case 'code':
      return { kind, name, timeoutMs: argument === undefined ? DEFAULT_CODE_TIMEOUT_MS : numberOf(argument, text) };
    default:
      return { kind: kind as 'exact' | 'includes' | 'f1' | 'choice', name };
  }
}

function numberOf(argument: string, text: string): number {
  const value = Number(argument);
  if (argument.trim() !== '' && Number.isFinite(value) && value >= 0) return value;
  throw invalid(`Expected a number of at least 0 after the colon of --scorer, got ${shown(text)}`);
}

function checkPattern(pattern: string): void {
  try {
    RegExp(/^\/(.+)\/[dimsuvy]*$/s.exec(pattern)?.[1] ?? pattern);
  } catch (error) {
    throw invalid(`Expected a regular expression after --scorer regex:, got ${shown(pattern)}`, { cause: error });
  }
}

function readSchema(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw invalid(`Expected a JSON schema in ${file}: ${messageOf(error)}`, { cause: error });
  }
}
