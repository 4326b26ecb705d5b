/** Holds the documents to what is there: links, files, commands, options, routes, metrics and codes that they name. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { FastifyInstance } from 'fastify';
import { describe, expect, test } from 'vitest';
import type { Status } from '../../src/main/api.ts';
import { createProgram } from '../../src/main/cli/main.ts';
import { Account } from '../../src/main/delivery/account.ts';
import { Metrics } from '../../src/main/ops/metrics.ts';
import { ERRORS } from '../../src/protocol/index.ts';
import { startGateway } from '../support/gateway.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PAGES = ['*.md', 'docs/**/*.md', 'examples/**/*.md'].flatMap((glob) => globSync(glob, { cwd: ROOT })).toSorted();
const texts = new Map(PAGES.map((page) => [page, read(page)]));

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** Without blocks of code: a comment in one is no heading. */
function prose(text: string): string {
  return text.replace(/^```[\s\S]*?^```$/gm, '');
}

/** Everything that a pattern finds in a page, written `page: what`, where it is not as it should be. */
function wrong(pattern: RegExp, isRight: (found: string, page: string) => boolean, of = prose): readonly string[] {
  return [...texts].flatMap(([page, text]) =>
    Array.from(of(text).matchAll(pattern), ([, found = '']) => found)
      .flatMap(alternatives)
      .filter((found) => !isRight(found, page))
      .map((found) => `${page}: ${found}`),
  );
}

/** `a/{b,c}.ts` is `a/b.ts` and `a/c.ts`. */
function alternatives(path: string): readonly string[] {
  const [, before = '', list, after = ''] = /^([^{]*)\{([^}]*)\}(.*)$/.exec(path) ?? [];
  return list === undefined ? [path] : list.split(',').flatMap((one) => alternatives(before + one + after));
}

/** The anchors of a page's headings, as GitHub makes them. */
function anchors(page: string): ReadonlySet<string> {
  const headings = Array.from(prose(read(page)).matchAll(/^#+ (.+)$/gm), ([, heading = '']) => heading);
  const slug = (heading: string): string =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
  return new Set(headings.map(slug));
}

/** The first cells of the rows of a page, code marks taken off, and what follows each. */
function rows(page: string): readonly (readonly [first: string, rest: string])[] {
  return Array.from((texts.get(page) ?? '').matchAll(/^\| (`[^|]+) \|(.*)\|$/gm), ([, first = '', rest = '']) => [
    first,
    rest.trim(),
  ]);
}

function coded(cell: string): readonly string[] {
  return Array.from(cell.matchAll(/`([^`]+)`/g), ([, code = '']) => code);
}

describe('pages', () => {
  test('docs - links lead to a file, and to a heading of it', () => {
    const links = /\]\((?!https?:)([^)]+)\)/g;
    const leads = (link: string, page: string): boolean => {
      const [path = '', anchor] = link.split('#');
      const file = path === '' ? page : join(dirname(page), path);
      return existsSync(join(ROOT, file)) && (anchor === undefined || anchors(file).has(anchor));
    };
    expect(wrong(links, leads)).toEqual([]);
    expect(wrong(links, () => false).length).toBeGreaterThan(50);
  });

  test('docs - files that are named are there', () => {
    const files = /(?<![\w./-])((?:src|test|docs|examples|bench|scripts)\/[\w./{},-]*[\w}/])/g;
    const isThere = (path: string): boolean =>
      existsSync(join(ROOT, path)) || existsSync(join(ROOT, `${path}.ts`)) || path.startsWith('bench/out');
    expect(wrong(files, isThere, String)).toEqual([]);
    expect(wrong(files, () => false, String).length).toBeGreaterThan(200);
  });

  test('docs - every page of docs is listed in the README', () => {
    const readme = read('README.md');
    const pages = PAGES.filter((page) => /^docs\/[^/]+$/.test(page));
    expect(pages.length).toBeGreaterThan(8);
    expect(pages.filter((page) => !readme.includes(`](${page})`))).toEqual([]);
  });

  test('docs - npm scripts that are named are there', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    expect(wrong(/\bnpm run (?:-s )?([\w:]+)/g, (name) => name in scripts, String)).toEqual([]);
  });

  test('docs - codes of errors that are named are those of the registry', () => {
    const variables = new Set(
      coded(rows('docs/configuration.md').join(' ')).filter((name) => name.startsWith('ORRERY_')),
    );
    const isKnown = (name: string): boolean => name in ERRORS || variables.has(name);
    expect(wrong(/\b(ORRERY_[A-Z_]*[A-Z])\b/g, isKnown, String)).toEqual([]);
  });
});

/** The commands that do something, by what is typed, with their long options. */
function commands(command: Command, before = 'orrery'): ReadonlyMap<string, readonly string[]> {
  const options = command.options.map(({ long }) => long ?? '');
  const below = command.commands.flatMap((child) => [...commands(child, `${before} ${child.name()}`)]);
  // A parent that takes arguments of its own, as `bench` does, is a command beside its children.
  const isOne = command.commands.length === 0 || command.registeredArguments.length > 0;
  return new Map([...(isOne ? [[before, options] as const] : []), ...below]);
}

describe('docs/commands.md', () => {
  const all = commands(createProgram());
  const isBench = (name: string): boolean => name.startsWith('orrery bench');

  test('commands - each has a row, and no other', () => {
    const written = rows('docs/commands.md')
      .flatMap(([cell]) => coded(cell).slice(0, 1))
      .filter((name) => name.startsWith('orrery '))
      .map((name) => name.replace(/ [[A-Z].*$/, ''));
    const real = [...all.keys()].filter((name) => !name.startsWith('orrery bench '));
    expect(written.toSorted()).toEqual(real.toSorted());
  });

  test('options - each has a row, and no other', () => {
    const written = rows('docs/commands.md').flatMap(([cell]) => cell.match(/--[\w-]+/g) ?? []);
    const real = [...all].flatMap(([name, options]) => (isBench(name) ? [] : options));
    expect(new Set(written)).toEqual(new Set(real));
  });

  test('options - those of the benchmarks are on their page', () => {
    const page = read('docs/benchmarks.md');
    const real = new Set([...all].flatMap(([name, options]) => (isBench(name) ? options : [])));
    expect(real.size).toBeGreaterThan(40);
    // What is so without saying it needs no row; `-c FILE` has one.
    const others = new Set(['--report', '--config']);
    expect([...real].filter((option) => !others.has(option) && !page.includes(option))).toEqual([]);
  });
});

describe('docs/http.md', () => {
  test('routes - each has a row with who may use it, and no other', async () => {
    const real = new Map<string, string>();
    const onServer = (message: unknown): void => {
      const { fastify } = message as { fastify: FastifyInstance };
      fastify.addHook('onRoute', ({ method, url, config }) => {
        for (const one of [method].flat()) real.set(`${one} ${url}`, String(config?.access));
      });
    };
    subscribe('fastify.initialization', onServer);
    await using _gateway = await startGateway();
    unsubscribe('fastify.initialization', onServer);
    const routes = [...real].filter(([route]) => !route.startsWith('HEAD ') && !route.includes('/page/'));
    const written = rows('docs/http.md').map(([cell, rest]) => [coded(cell)[0], rest.split(' ')[0]] as const);
    expect(Object.fromEntries(written.filter(([route = '']) => /^[A-Z]+ \//.test(route)))).toEqual(
      Object.fromEntries(routes),
    );
  });
});

const STATUS: Status = {
  version: '1.2.3',
  pid: 1,
  state: 'running',
  startedAt: 0,
  journal: { kind: 'memory', status: 'ok', appends: 0, marks: 0 },
  defaultAgent: 'a',
  agents: [
    {
      name: 'a',
      source: 'builtin:echo',
      isolation: 'shared',
      replicas: [{ runtime: 'a', slot: 's', state: { status: 'idle' } }],
      restarts: 0,
    },
  ],
  slots: [
    {
      slot: 's',
      isolation: 'shared',
      state: { status: 'ready', generation: 1, since: 0 },
      agents: 1,
      running: 0,
      restarts: 0,
      utilization: 0,
    },
  ],
  channels: [{ name: 'c', type: 'gateway', connected: false, state: { status: 'idle' }, metadata: {} }],
  messages: {
    ...new Account().snapshot(),
    rejectedBy: { duplicate: 1 },
    deadBy: { poison: 1 },
  },
  quarantine: { waiting: 0, runs: 0, innocent: 0, poison: 0 },
  zombies: 0,
  loopDelayMs: { p50: 0, p99: 0, max: 0 },
};

/** Every metric as `name{labels} kind`. */
async function metrics(): Promise<ReadonlySet<string>> {
  const totals = { accepted: 0, replayed: 0, answered: 0, dead: 0, pending: 0, letters: 0 };
  const text = await new Metrics(() => STATUS, {
    totals: () => Promise.resolve(totals),
  }).text();
  const kinds = new Map(
    Array.from(text.matchAll(/^# TYPE (\w+) (\w+)$/gm), ([, name = '', kind = '']) => [name, kind]),
  );
  const samples = text.matchAll(/^(\w+)(?:\{([^}]*)\})? /gm);
  return new Set(
    Array.from(samples, ([, name = '', labels = '']) => {
      const names = Array.from(labels.matchAll(/(\w+)="/g), ([, label]) => label).join(',');
      return `${name}${names === '' ? '' : `{${names}}`} ${kinds.get(name) ?? '?'}`;
    }),
  );
}

describe('docs/operations.md', () => {
  test('metrics - each has a row with its labels and kind, and no other', async () => {
    const page = texts.get('docs/operations.md') ?? '';
    const section = page.slice(page.indexOf('## Metrics'), page.indexOf('## What to do when'));
    const table = Array.from(section.matchAll(/^\| (`[^|]+) \| (\w+) \|/gm), ([, cell = '', kind = '']) =>
      coded(cell).map((metric) => `${metric} ${kind}`),
    );
    expect(new Set(table.flat())).toEqual(await metrics());
  });

  test('metrics - those that pages name are there', async () => {
    const known = new Set([...(await metrics())].map((metric) => metric.replace(/[{ ].*$/, '')));
    expect(wrong(/\b(orrery_[a-z_]*[a-z])\b(?!\*)/g, (name) => known.has(name) || name === 'orrery_journal')).toEqual(
      [],
    );
  });
});
