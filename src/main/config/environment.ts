/** Owns the replacement of `${NAME}` and `${NAME:-default}` in a configuration. It reads only the environment it is given. */
import { type Issue, type KeyPath, pathText } from './issues.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Substituted {
  /** A copy of plain objects and lists; anything else is passed on as it is. */
  readonly value: unknown;
  /** The names of the variables in a value, by {@link pathText}: such values are never shown. */
  readonly names: ReadonlyMap<string, readonly string[]>;
  readonly issues: readonly Issue[];
}

/** `$${` stands for a literal `${`. */
const VARIABLE = /\$\$\{|\$\{([^}]*)\}?/g;
const REFERENCE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

/**
 * Replaces the variables in every string. A key whose whole value is one `${NAME:-...}` that came out empty is left out,
 * so that `token: '${ORRERY_TOKEN:-}'` means no token where there is none.
 */
export function substitute(input: unknown, env: Environment): Substituted {
  const names = new Map<string, readonly string[]>();
  const issues: Issue[] = [];

  function walk(value: unknown, path: KeyPath): unknown {
    if (typeof value === 'string') return replace(value, path);
    if (Array.isArray(value)) return value.map((item, i) => walk(item, [...path, i]));
    if (!isPlainObject(value)) return value;
    const copy: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) {
      const next = walk(item, [...path, key]);
      if (next === '' && typeof item === 'string' && isWholeWithDefault(item)) continue;
      // Plain assignment of `__proto__` would change the copy's prototype instead of being found as an unknown key.
      Object.defineProperty(copy, key, { value: next, enumerable: true, configurable: true, writable: true });
    }
    return copy;
  }

  function replace(text: string, path: KeyPath): string {
    const used: string[] = [];
    const result = text.replace(VARIABLE, (whole: string, body: string | undefined) => {
      if (body === undefined) return '${';
      const reference = whole.endsWith('}') ? REFERENCE.exec(body) : null;
      const name = reference?.[1];
      if (name === undefined) {
        issues.push({ path, expected: '${NAME} or ${NAME:-default}', also: 'write $${ for a literal ${' });
        return '';
      }
      used.push(name);
      const value = env[name];
      const fallback = reference?.[2];
      if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
      if (value === undefined) {
        issues.push({
          path,
          expected: `the environment variable ${name}`,
          found: 'none of that name',
          also: `set it, or write \${${name}:-default}`,
        });
      }
      return value ?? '';
    });
    if (used.length > 0) names.set(pathText(path), used);
    return result;
  }

  return { value: walk(input, []), names, issues };
}

/** Tells whether a value is an object literal, also one of another realm. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function isWholeWithDefault(text: string): boolean {
  return /^\$\{[A-Za-z_][A-Za-z0-9_]*:-[^}]*\}$/s.test(text);
}
