/** Holds the house in order: who may import whom, how long a file may be, and that the written registry is the real one. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ERRORS, type ErrorCode } from '../../src/protocol/index.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const SRC = join(ROOT, 'src');
const MAX_LINES = 400;
/** Folders of main that know nothing of each other: the composition root wires them. */
const APART = ['routing', 'channels', 'delivery', 'pool', 'supervision'];

interface Import {
  /** As written, or the path of the file under `src`. */
  readonly to: string;
  readonly ours: boolean;
  /** True for `import type` and `export type`: nothing of it is left at run time. */
  readonly typesOnly: boolean;
}

/**
 * Reads the imports of a source text. `import { type A } from` counts as one of values: under `verbatimModuleSyntax` the
 * import itself stays.
 */
function importsOf(file: string, text: string): readonly Import[] {
  const code = text.replace(/^\s*\/\*[\s\S]*?\*\//gm, '').replace(/^\s*\/\/.*$/gm, '');
  const found = [
    ...code.matchAll(/^\s*(?:import|export)\s+(type\s)?[^'"`;()=]*?\bfrom\s*['"]([^'"]+)['"]/gm),
    ...code.matchAll(/^\s*import\s*()['"]([^'"]+)['"]/gm),
    ...code.matchAll(/\bimport\(\s*()['"]([^'"]+)['"]/g),
    ...code.matchAll(/\btypeof\s+import\(\s*()['"]([^'"]+)['"]/g),
  ];
  return found.map(([, type, specifier = '']) => {
    const ours = specifier.startsWith('.');
    return {
      to: ours ? relative(SRC, resolve(dirname(join(SRC, file)), specifier)) : specifier,
      ours,
      typesOnly: type !== undefined && type !== '',
    };
  });
}

function filesUnder(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.[cm]?[jt]s$/.test(entry.name))
    .map((entry) => relative(SRC, join(entry.parentPath, entry.name)))
    .toSorted();
}

const files = filesUnder(SRC);
const texts = new Map(files.map((file) => [file, readFileSync(join(SRC, file), 'utf8')]));
const graph = new Map(files.map((file) => [file, importsOf(file, texts.get(file) ?? '')]));

/** Every import of ours that a rule forbids, written `from -> to`. */
function forbidden(from: (file: string) => boolean, rule: (file: string, found: Import) => boolean): readonly string[] {
  return files
    .filter(from)
    .flatMap((file) => (graph.get(file) ?? []).filter((i) => rule(file, i)).map((i) => `${file} -> ${i.to}`));
}

function inside(...folders: readonly string[]): (file: string) => boolean {
  return (file) => folders.some((folder) => file.startsWith(`${folder}/`));
}

function names(found: Import, ...packages: readonly string[]): boolean {
  return !found.ours && packages.some((name) => found.to === name || found.to.startsWith(`${name}/`));
}

/** All files and packages that importing `entry` brings along at run time. */
function closure(entry: string): ReadonlySet<string> {
  const seen = new Set<string>();
  const open = [entry];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    open.push(...(graph.get(file) ?? []).filter((i) => !i.typesOnly).map((i) => i.to));
  }
  return seen;
}

/** Files that import each other in a circle, types included; each circle once. */
function cycles(edges: ReadonlyMap<string, readonly Import[]>): readonly string[] {
  const found = new Set<string>();
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start !== -1) {
      found.add([...path.slice(start), file].join(' -> '));
      return;
    }
    if (done.has(file)) return;
    for (const next of edges.get(file) ?? []) if (next.ours) visit(next.to, [...path, file]);
    done.add(file);
  };
  for (const file of edges.keys()) visit(file, []);
  return [...found];
}

describe('what is checked', () => {
  const folders = ['protocol', 'lib', 'worker', 'main', ...APART.map((folder) => `main/${folder}`)];
  test.each(folders)('architecture - files were seen in src/%s', (folder) => {
    expect(files.filter(inside(folder)).length).toBeGreaterThan(0);
  });

  test('architecture - every folder under src has files that were seen', () => {
    const all = readdirSync(SRC, { recursive: true, withFileTypes: true }).filter((entry) => entry.isDirectory());
    const empty = all
      .map((entry) => relative(SRC, join(entry.parentPath, entry.name)))
      .filter((folder) => readdirSync(join(SRC, folder)).some((name) => /\.[cm]?ts$/.test(name)))
      .filter((folder) => !files.some(inside(folder)));
    expect(all.length).toBeGreaterThan(APART.length);
    expect(empty).toEqual([]);
  });

  test('architecture - every import of ours leads to a file', () => {
    expect(
      forbidden(
        () => true,
        (_, i) => i.ours && !texts.has(i.to),
      ),
    ).toEqual([]);
    expect([...graph.values()].flat().length).toBeGreaterThan(files.length);
  });

  test('architecture - imports are read in every form', () => {
    const text = `
      /** import { no } from './comment.ts'; */
      // import './line.ts';
      import './effect.ts';
      import type { A } from './types.ts';
      import { type B } from './inline.ts';
      import C, {
        D,
      } from '../b/long.ts';
      export * from './all.ts';
      export type { E } from './again.ts';
      import * as path from 'node:path';
      const f = await import('./dynamic.ts');
      const text = 'import nothing';
      export const g = 'from';`;
    expect(importsOf('a/x.ts', text).toSorted((a, b) => (a.to < b.to ? -1 : 1))).toEqual([
      { to: 'a/again.ts', ours: true, typesOnly: true },
      { to: 'a/all.ts', ours: true, typesOnly: false },
      { to: 'a/dynamic.ts', ours: true, typesOnly: false },
      { to: 'a/effect.ts', ours: true, typesOnly: false },
      { to: 'a/inline.ts', ours: true, typesOnly: false },
      { to: 'a/types.ts', ours: true, typesOnly: true },
      { to: 'b/long.ts', ours: true, typesOnly: false },
      { to: 'node:path', ours: false, typesOnly: false },
    ]);
  });

  test('architecture - a circle is found', () => {
    const edge = (to: string): Import => ({ to, ours: true, typesOnly: true });
    const circle = new Map([
      ['a', [edge('b')]],
      ['b', [edge('c')]],
      ['c', [edge('b')]],
    ]);
    expect(cycles(circle)).toEqual(['b -> c -> b']);
  });
});

describe('import rules', () => {
  test('architecture - protocol imports nothing of ours', () => {
    expect(forbidden(inside('protocol'), (_, i) => i.ours && !inside('protocol')(i.to))).toEqual([]);
  });

  test('architecture - lib imports protocol alone', () => {
    expect(forbidden(inside('lib'), (_, i) => i.ours && !inside('lib', 'protocol')(i.to))).toEqual([]);
  });

  test('architecture - worker imports protocol and lib alone', () => {
    expect(forbidden(inside('worker'), (_, i) => i.ours && !inside('worker', 'lib', 'protocol')(i.to))).toEqual([]);
  });

  test('architecture - main takes types only from worker', () => {
    const allowed = inside('main', 'lib', 'protocol');
    expect(
      forbidden(inside('main'), (_, i) => i.ours && !allowed(i.to) && !(inside('worker')(i.to) && i.typesOnly)),
    ).toEqual([]);
  });

  test.each(APART)('architecture - main/%s imports none of its neighbours', (folder) => {
    const neighbours = APART.filter((other) => other !== folder).map((other) => `main/${other}`);
    expect(forbidden(inside(`main/${folder}`), (_, i) => i.ours && inside(...neighbours)(i.to))).toEqual([]);
  });

  test('architecture - piscina is imported in main/pool, main/tokens and main/bench alone', () => {
    expect(
      forbidden(
        (file) => !inside('main/pool', 'main/tokens', 'main/bench')(file),
        (_, i) => names(i, 'piscina'),
      ),
    ).toEqual([]);
    expect(forbidden(inside('main/pool'), (_, i) => names(i, 'piscina'))).not.toEqual([]);
  });

  test('architecture - only the commands and the library know main/bench', () => {
    const others = (file: string): boolean =>
      inside('main')(file) && !inside('main/bench', 'main/cli')(file) && file !== 'main/index.ts';
    expect(forbidden(others, (_, i) => i.ours && inside('main/bench')(i.to))).toEqual([]);
    expect(forbidden(inside('main/cli'), (_, i) => i.ours && inside('main/bench')(i.to))).not.toEqual([]);
  });

  test('architecture - comlink is imported in main by pool/remote alone', () => {
    const others = (file: string): boolean => inside('main')(file) && !file.startsWith('main/pool/remote');
    expect(forbidden(others, (_, i) => names(i, 'comlink'))).toEqual([]);
  });

  test('architecture - no file imports itself over others', () => {
    expect(cycles(graph)).toEqual([]);
  });

  test('architecture - what an agent module imports brings nothing of main along', () => {
    const along = closure('worker/agent.ts');
    expect([...along].filter(inside('main'))).toEqual([]);
    expect(along.size).toBeGreaterThan(1);
  });

  test('architecture - the token pool comes alone', () => {
    const along = [...closure('main/tokens/index.ts')];
    const ours = along.filter((to) => files.includes(to));
    expect(ours.length).toBeGreaterThan(0);
    expect(ours.filter((file) => !inside('main/tokens', 'lib', 'protocol')(file))).toEqual([]);
    expect(along.filter((to) => !files.includes(to) && !to.startsWith('node:') && to !== 'piscina')).toEqual([]);
  });
});

describe('files', () => {
  test(`architecture - no file is longer than ${String(MAX_LINES)} lines`, () => {
    const long = [...texts].map(([file, text]) => [file, text.trimEnd().split('\n').length] as const);
    expect(long.filter(([, lines]) => lines > MAX_LINES)).toEqual([]);
  });

  test('architecture - an index.ts only re-exports', () => {
    const indexes = files.filter((file) => file.endsWith('/index.ts'));
    const rest = indexes.map((file) => [
      file,
      (texts.get(file) ?? '')
        .replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
        .replaceAll(/export\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s*from\s*'[^']+';/g, '')
        .trim(),
    ]);
    expect(indexes.length).toBeGreaterThan(0);
    expect(rest.filter(([, left]) => left !== '').map(([file]) => file)).toEqual([]);
  });

  const locks = ['package-lock.json', 'bench/package-lock.json', 'bench/promptfoo/package-lock.json'];
  test.each(locks.filter((lock) => existsSync(join(ROOT, lock))))('architecture - %s names no host', (lock) => {
    const text = readFileSync(join(ROOT, lock), 'utf8');
    expect(text).toContain('"lockfileVersion"');
    expect(text.split('\n').filter((line) => /https?:\/\//.test(line))).toEqual([]);
  });
});

describe('docs/errors.md', () => {
  const page = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `(ORRERY_\w+)` \| (\d+) \| (yes|no) \| ([^|]+) \| ([^|]+) \|$/gm)];
  const sections = page.split(/^## /m).slice(1);

  test('errors - the page has one row for each code of the registry, and no other', () => {
    const written = rows.map(([, code]) => code);
    expect(new Set(written)).toEqual(new Set(Object.keys(ERRORS)));
    expect(written).toHaveLength(Object.keys(ERRORS).length);
  });

  test('errors - status and retry are those of the registry', () => {
    const written = Object.fromEntries(rows.map(([, code, http, retry]) => [code, `${http} ${retry}`]));
    const real = Object.entries(ERRORS).map(([code, e]) => [code, `${String(e.http)} ${e.retryable ? 'yes' : 'no'}`]);
    expect(written).toEqual(Object.fromEntries(real));
  });

  test('errors - each code stands in the section of its class', () => {
    const byClass = sections.flatMap((section) => {
      const title = section.slice(0, section.indexOf('\n')).trim().toLowerCase();
      return [...section.matchAll(/^\| `(ORRERY_\w+)`/gm)].map(([, code]) => [code, title] as const);
    });
    const real = (Object.keys(ERRORS) as ErrorCode[]).map((code) => [code, ERRORS[code].class]);
    expect(Object.fromEntries(byClass)).toEqual(Object.fromEntries(real));
  });

  test('errors - each row says what the code means and what to do', () => {
    expect(rows.filter(([, , , , meaning = '', advice = '']) => meaning.trim() === '' || advice.trim() === '')).toEqual(
      [],
    );
  });
});
