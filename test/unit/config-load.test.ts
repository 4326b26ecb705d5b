import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig, locateDataDir } from '../../src/main/config/index.ts';
import * as defaults from '../../src/main/config/defaults.ts';
import { readConfig } from '../../src/main/config/load.ts';
import { knownKeys } from '../../src/main/config/schema.ts';
import { OrreryError } from '../../src/protocol/index.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

let directory: TemporaryDirectory;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => directory[Symbol.dispose]());

const config = (agent: string): string => JSON.stringify({ agents: { [agent]: { use: 'builtin:echo' } } });

async function failure(promise: Promise<unknown>): Promise<OrreryError> {
  const error: unknown = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (error instanceof OrreryError) return error;
  throw new Error('Expected an OrreryError');
}

describe('configuration file', () => {
  it('discovery - takes the nearest file upward from the working directory', async () => {
    directory.write('orrery.config.json', config('far'));
    const file = directory.write(
      'a/orrery.config.json5',
      `// a comment\n{ agents: { near: { use: 'builtin:echo' } } }`,
    );
    const deep = join(directory.write('a/b/c/x', ''), '..');
    const found = await loadConfig({ cwd: deep, env: {} });
    expect(found.file).toBe(file);
    expect(found.defaultAgent).toBe('near');
    expect(found.dataDir).toBe(join(directory.path, 'a', '.orrery'));
  });

  it('discovery - prefers TypeScript and warns of what lies beside it', async () => {
    directory.write(
      'orrery.config.ts',
      `const x: string = 'typed'; export default { agents: { [x]: { use: 'builtin:echo' } } };`,
    );
    const other = directory.write('orrery.config.json', config('plain'));
    const found = await loadConfig({ cwd: directory.path, env: {} });
    expect(found.defaultAgent).toBe('typed');
    expect(found.warnings).toEqual([expect.stringContaining(other)]);
  });

  it('built-in configuration - is used when no file is found', async () => {
    const found = await loadConfig({ cwd: directory.path, env: {} });
    expect(found).not.toHaveProperty('file');
    expect(found).toMatchObject({ defaultAgent: 'eliza', dataDir: join(directory.path, '.orrery') });
  });

  it('named file - wins over ORRERY_CONFIG, which wins over discovery', async () => {
    directory.write('orrery.config.json', config('found'));
    directory.write('variable.json', config('variable'));
    directory.write('option.json', config('option'));
    const env = { ORRERY_CONFIG: 'variable.json' };
    expect((await loadConfig({ cwd: directory.path, env })).defaultAgent).toBe('variable');
    expect((await loadConfig({ cwd: directory.path, env, file: 'option.json' })).defaultAgent).toBe('option');
  });

  it('named file - is an error that says who named it when there is none', async () => {
    const option = await failure(loadConfig({ cwd: directory.path, env: {}, file: 'nope.ts' }));
    expect(option.code).toBe('ORRERY_CONFIG_NOT_FOUND');
    expect(option.message).toMatch(/^-c names .*nope\.ts/);
    const variable = await failure(loadConfig({ cwd: directory.path, env: { ORRERY_CONFIG: 'nope.ts' } }));
    expect(variable.message).toMatch(/^ORRERY_CONFIG names /);
  });

  it('JSON - tells the place of a fault and never the text around it, which may be a secret', async () => {
    const json = directory.write('a.json', '{\n  "token": "hunter2"\n  "x": 1 }');
    const json5 = directory.write('b.json5', `{\n  token: 'hunter2'\n  x: 1 }`);
    for (const file of [json, json5]) {
      const error = await failure(readConfig(file));
      expect(error.code).toBe('ORRERY_CONFIG_UNREADABLE');
      expect(error.message).toMatch(/\(line 3, column \d+\)$/);
      expect(error.cause).toBeUndefined();
      expect(error.message).not.toContain('hunter2');
    }
  });

  it('module - is an error when it does not load, has no default export, or is no known kind of file', async () => {
    const throwing = await failure(readConfig(directory.write('a.ts', `throw new Error('on purpose');`)));
    expect(throwing).toMatchObject({
      code: 'ORRERY_CONFIG_UNREADABLE',
      message: expect.stringContaining('on purpose'),
    });
    const named = await failure(readConfig(directory.write('b.ts', 'export const x: number = 1;')));
    expect(named.message).toContain('expected a default export');
    const yaml = await failure(readConfig(directory.write('c.yaml', 'a: 1')));
    expect(yaml.message).toContain('expected a file that ends in .ts');
  });

  it('data directory - comes from option, variable, file and default, in this order', async () => {
    const { path } = directory;
    expect(await locateDataDir({ cwd: path, env: {} })).toBe(join(path, '.orrery'));
    directory.write('orrery.config.json', '{ "dataDir": "${WHERE:-data}" }');
    expect(await locateDataDir({ cwd: path, env: {} })).toBe(join(path, 'data'));
    expect(await locateDataDir({ cwd: path, env: { WHERE: '/var/lib/bots' } })).toBe('/var/lib/bots');
    const env = { ORRERY_DATA_DIR: 'from-env' };
    expect(await locateDataDir({ cwd: path, env })).toBe(join(path, 'from-env'));
    const overrides = [{ key: 'dataDir', value: 'from-option', source: '--data-dir' }] as const;
    expect(await locateDataDir({ cwd: path, env, overrides })).toBe(join(path, 'from-option'));
  });

  it('data directory - is found when the rest of the configuration is wrong', async () => {
    directory.write('orrery.config.json', '{ "dataDir": "here", "agnets": 5, "defaultAgent": "${MISSING}" }');
    expect(await locateDataDir({ cwd: directory.path, env: {} })).toBe(join(directory.path, 'here'));
  });

  it('unreadable file - is an error that names it', async () => {
    const file = directory.write('orrery.config.json', '{}');
    chmodSync(file, 0);
    if (process.getuid?.() === 0) return; // root reads everything
    expect((await failure(loadConfig({ cwd: directory.path, env: {} }))).message).toContain(file);
  });

  it('variables - of the environment reach a loaded configuration', async () => {
    const env = {
      ORRERY_PORT: '0',
      ORRERY_TOKEN: 't',
      ORRERY_ADMIN_TOKEN: 'a',
      ORRERY_LOG_LEVEL: 'warn',
      ORRERY_HOST: '',
    };
    const found = await loadConfig({ cwd: directory.path, env });
    expect(found.channels['web']).toMatchObject({ host: '127.0.0.1', port: 0, token: 't', adminToken: 'a' });
    expect(found.log.level).toBe('warn');
  });
});

describe('docs/configuration.md', () => {
  const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

  it('example - loads', async () => {
    const example = /```ts\n(export default[\s\S]*?)```/.exec(page)?.[1] ?? '';
    directory.write('agents/atlas.ts', 'export default {};');
    directory.write('orrery.config.ts', example.replace('defineConfig(', '(x => x)('));
    const found = await loadConfig({ cwd: directory.path, env: { HOME: '/x' } });
    expect(Object.keys(found.agents)).toEqual(['eliza', 'atlas', 'helper']);
  });

  it('page - has a row for every key that is known, and none beside them', () => {
    const rows = new Set([...page.matchAll(/^\| `([^`]+)` \|/gm)].map(([, key]) => key));
    const known = Object.entries(knownKeys()).flatMap(([path, keys]) =>
      keys.map((key) => [...(path === '' ? [] : path.split('/')), key].join('.').replaceAll('.*', '.NAME')),
    );
    const leaves = known.map((key) => key.replace(/^routing\.NAME/, 'routing[]'));
    const sections = new Set([
      'agents',
      'channels',
      'workers',
      'restarts',
      'delivery',
      'shutdown',
      'log',
      'agents.NAME.limits',
      'agents.NAME.context',
      'channels.NAME.queue',
      'channels.NAME.sasl',
      'channels.NAME.flood',
      'routing[].match',
      'sessions',
      'bench',
      'bench.prices',
    ]);
    expect(leaves.filter((key) => !rows.has(key) && !sections.has(key))).toEqual([]);
    const environment = /^(?:ORRERY_|-)/;
    expect([...rows].filter((key) => key !== undefined && !leaves.includes(key) && !environment.test(key))).toEqual([]);
  });

  it('page - names every default that is a number', () => {
    const numbers = Object.entries(defaults).filter(
      ([name, value]) => typeof value === 'number' && !/THREADS|SHARE/.test(name),
    );
    const missing = numbers.filter(
      ([, value]) => !page.includes(Number(value).toLocaleString('en-US')) && !page.includes(`| ${value} |`),
    );
    expect(numbers.length).toBeGreaterThan(20);
    expect(missing).toEqual([]);
  });
});
