/** Owns where the configuration is found and how its file is read. What it must hold is checked in `resolve.ts`. */
import { readFile } from 'node:fs/promises';
import { statSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import JSON5 from 'json5';
import { resolveOwnPackage } from '../../lib/own-package.ts';
import { OrreryError, messageOf } from '../../protocol/index.ts';
import { importApart } from './apart.ts';
import { DEFAULT_DATA_DIR } from './defaults.ts';
import { type Environment, isPlainObject, substitute } from './environment.ts';
import { type Override, overridesFromEnvironment } from './overrides.ts';
import { BUILT_IN_CONFIG, resolveConfig } from './resolve.ts';
import type { ResolvedConfig } from './types.ts';

/** Looked for in each directory, in this order. */
export const CONFIG_FILES: readonly string[] = [
  'orrery.config.ts',
  'orrery.config.js',
  'orrery.config.json',
  'orrery.config.json5',
];
const EXTENSIONS: readonly string[] = ['.ts', '.mts', '.js', '.mjs', '.json', '.json5'];

export interface LoadOptions {
  /** Default: the process's working directory. */
  readonly cwd?: string;
  /** `-c FILE`; wins over `ORRERY_CONFIG`. */
  readonly file?: string;
  /** Default: the process's environment. */
  readonly env?: Environment;
  /** What the command line says; wins over `ORRERY_*`. */
  readonly overrides?: readonly Override[];
  /** Changes the configuration as it was written, before it is checked: a benchmark has defaults of its own. */
  readonly adapt?: (input: unknown) => unknown;
  /** The file was read before in this process: a module is evaluated anew, with all that it imports. Default false. */
  readonly again?: boolean;
}

/**
 * Finds, reads and checks the configuration; where there is no file, the built-in one is used. Throws
 * `ORRERY_CONFIG_NOT_FOUND` (a file that was named), `ORRERY_CONFIG_UNREADABLE`, and what {@link resolveConfig} throws.
 */
export async function loadConfig(options: LoadOptions = {}): Promise<ResolvedConfig> {
  const { cwd, env, overrides } = settle(options);
  const found = findConfig(cwd, env, options.file);
  const { adapt = (input: unknown) => input } = options;
  if (found === undefined) return resolveConfig(adapt(BUILT_IN_CONFIG), { dir: cwd, env, overrides });
  return resolveConfig(adapt(await readConfig(found.file, options.again)), {
    dir: dirname(found.file),
    file: found.file,
    env,
    overrides,
    warnings: found.warnings,
  });
}

/**
 * Finds the data directory and nothing else, so that a running supervisor can be reached while its configuration is being
 * edited and does not pass the checks.
 */
export async function locateDataDir(options: LoadOptions = {}): Promise<string> {
  const { cwd, env, overrides } = settle(options);
  const override = overrides.findLast(({ key }) => key === 'dataDir');
  if (override !== undefined) return resolve(cwd, override.value);
  const found = findConfig(cwd, env, options.file);
  if (found === undefined) return resolve(cwd, DEFAULT_DATA_DIR);
  const config = await readConfig(found.file);
  const dataDir = isPlainObject(config) ? substitute(config['dataDir'], env).value : undefined;
  return resolve(dirname(found.file), typeof dataDir === 'string' && dataDir !== '' ? dataDir : DEFAULT_DATA_DIR);
}

interface Found {
  readonly file: string;
  readonly warnings: readonly string[];
}

/** Finds the file: the one named, else the first in this directory or one above it; undefined where there is none. */
function findConfig(cwd: string, env: Environment, named?: string): Found | undefined {
  const variable = env['ORRERY_CONFIG'];
  const wanted = named ?? (variable === '' ? undefined : variable);
  if (wanted !== undefined) {
    const file = resolve(cwd, wanted);
    if (isFile(file)) return { file, warnings: [] };
    const by = named === undefined ? 'ORRERY_CONFIG' : '-c';
    throw new OrreryError('ORRERY_CONFIG_NOT_FOUND', `${by} names ${file}, and there is no such file`);
  }
  for (let dir = resolve(cwd); ; dir = dirname(dir)) {
    const [file, ...others] = CONFIG_FILES.map((name) => join(dir, name)).filter(isFile);
    if (file !== undefined) {
      const warnings = others.length === 0 ? [] : [`${file} is used; beside it, not used: ${others.join(', ')}`];
      return { file, warnings };
    }
    if (dirname(dir) === dir) return undefined;
  }
}

/** Reads a configuration file to the value that it holds. Throws `ORRERY_CONFIG_UNREADABLE`. */
export async function readConfig(file: string, again = false): Promise<unknown> {
  const extension = extname(file);
  if (extension === '.json' || extension === '.json5') return parse(file, await readText(file), extension);
  if (!EXTENSIONS.includes(extension)) {
    throw unreadable(file, `expected a file that ends in ${EXTENSIONS.join(', ')}`);
  }
  return importConfig(file, again);
}

async function importConfig(file: string, again: boolean): Promise<unknown> {
  let value: unknown;
  try {
    value = await (again ? importApart(file) : importHere(file));
  } catch (error) {
    throw unreadable(file, messageOf(error).split('\n', 1)[0] ?? '', error);
  }
  if (value !== undefined) return value;
  throw unreadable(file, 'expected a default export: `export default defineConfig({ ... })`');
}

async function importHere(file: string): Promise<unknown> {
  resolveOwnPackage();
  const exports: unknown = await import(pathToFileURL(file).href);
  return typeof exports === 'object' && exports !== null ? Reflect.get(exports, 'default') : undefined;
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw unreadable(file, messageOf(error), error);
  }
}

/** The parsers' own messages quote the text around the fault, which may be a secret: only the place is told. */
function parse(file: string, text: string, extension: string): unknown {
  try {
    const plain = text.replace(/^\u{FEFF}/u, '');
    return extension === '.json' ? JSON.parse(plain) : JSON5.parse(plain);
  } catch (error) {
    const message = messageOf(error);
    const [, line, column] = /line (\d+) column (\d+)/.exec(message) ?? /at (\d+):(\d+)/.exec(message) ?? [];
    const name = extension.slice(1).toUpperCase();
    throw unreadable(file, `not ${name}${line === undefined ? '' : ` (line ${line}, column ${column})`}`);
  }
}

function unreadable(file: string, reason: string, cause?: unknown): OrreryError {
  return new OrreryError(
    'ORRERY_CONFIG_UNREADABLE',
    `${file}: ${reason}`,
    cause === undefined ? { hint: 'Correct the file and start again.' } : { cause },
  );
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function settle(options: LoadOptions): { cwd: string; env: Environment; overrides: readonly Override[] } {
  const cwd = options.cwd ?? process.cwd();
  const env = options.env ?? process.env;
  const said = (options.overrides ?? []).map(({ key, source, value }) => {
    return { key, source, value: key === 'dataDir' ? resolve(cwd, value) : value };
  });
  return { cwd, env, overrides: [...overridesFromEnvironment(env, cwd), ...said] };
}
