/** Owns what is said of a wrong configuration: a list of issues and its one error. It finds no issue itself. */
import { OrreryError } from '../../protocol/index.ts';

export { didYouMean } from '../../lib/did-you-mean.ts';

export type KeyPath = readonly (string | number)[];

/** One thing that is wrong. `expected` and `found` are noun phrases; `also` is a sentence such as a suggestion. */
export interface Issue {
  readonly path: KeyPath;
  readonly expected?: string;
  readonly found?: string;
  readonly also?: string;
}

/** Keys whose values are never shown, wherever they stand. */
const SECRET_KEYS: ReadonlySet<string> = new Set(['token', 'adminToken', 'apiKey', 'botToken', 'appToken', 'password']);

/** Tells how a value may be shown: secrets and what came from the environment never are. */
export class Shower {
  readonly #fromEnvironment: ReadonlyMap<string, readonly string[]>;

  /** `fromEnvironment`: the names of the variables in a value, by {@link pathText}. */
  constructor(fromEnvironment: ReadonlyMap<string, readonly string[]>) {
    this.#fromEnvironment = fromEnvironment;
  }

  /** Describes a value in a few words. */
  show(path: KeyPath, value: unknown): string {
    if (value === undefined) return 'nothing';
    const names = this.#fromEnvironment.get(pathText(path));
    if (names !== undefined) return `the value of ${names.map((n) => `\${${n}}`).join(' and ')}`;
    if (path.some((key) => SECRET_KEYS.has(String(key)))) return `a ${typeof value} (not shown)`;
    if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
    if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value);
    if (Array.isArray(value)) return 'a list';
    return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
  }
}

/** Writes a path as it is written in code: `agents.atlas.env[0]`. */
export function pathText(path: KeyPath): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else if (/^(?:--)?[A-Za-z_$][\w$-]*$/.test(key)) text += text === '' ? key : `.${key}`;
    else text += `[${JSON.stringify(key)}]`;
  }
  return text;
}

/** Reads the value at a path; undefined where there is none. */
export function valueAt(root: unknown, path: KeyPath): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}

/** Writes an issue as one line: path, what was expected, what was found. */
export function issueText(issue: Issue): string {
  const where = issue.path.length === 0 ? 'the configuration' : pathText(issue.path);
  const parts: string[] = [];
  if (issue.expected !== undefined) parts.push(`expected ${issue.expected}`);
  if (issue.found !== undefined) parts.push(`got ${issue.found}`);
  const sentence = parts.join(', ');
  return `${where}: ${[sentence, issue.also ?? ''].filter((s) => s !== '').join('; ')}`;
}

/** Makes the one error that lists every issue, in the order of the file's keys as they were found. */
export function invalidConfig(issues: readonly Issue[], file?: string): OrreryError {
  const lines = [...new Set(issues.map(issueText))];
  const head = `${file ?? 'The configuration'} has ${lines.length === 1 ? 'an error' : `${lines.length} errors`}:`;
  return new OrreryError('ORRERY_CONFIG_INVALID', [head, ...lines.map((l) => `  ${l}`)].join('\n'), {
    details: { issues: lines.length, ...(file === undefined ? {} : { file }) },
  });
}
