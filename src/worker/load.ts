/** Owns how an agent's source becomes a definition inside the worker. It runs nothing of the agent but its module's top level. */
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { AgentSpec } from '../protocol/contract.ts';
import { BUILTINS } from '../protocol/builtins.ts';
import { OrreryError, codeOf, messageOf } from '../protocol/errors.ts';
import type { AgentDefinition } from './agent.ts';
import { builtinAgent } from './builtin/builtins.ts';

/**
 * Loads the definition behind a source. Throws `ORRERY_AGENT_LOAD`, with the module's own error as the cause, and for a
 * model agent `ORRERY_CONFIG_INVALID`. Built-in agents share one definition among all their runtimes; runtimes of one
 * module share that module on their thread.
 */
export async function loadAgent(source: AgentSpec['source']): Promise<AgentDefinition> {
  switch (source.kind) {
    case 'builtin':
      return loadBuiltin(source.name);
    case 'module':
      return loadModule(source.url);
    case 'model': {
      const { modelAgent } = await import('./models/index.ts');
      return modelAgent(source.spec);
    }
  }
}

function loadBuiltin(name: string): AgentDefinition {
  const definition = builtinAgent(name);
  if (definition !== undefined) return definition;
  throw new OrreryError('ORRERY_AGENT_LOAD', `There is no built-in agent "${name}"`, {
    hint: `Built in are: ${Object.keys(BUILTINS).join(', ')}.`,
  });
}

async function loadModule(url: string): Promise<AgentDefinition> {
  const { path, version } = await inspect(url);
  let exports: unknown;
  try {
    exports = await import(versioned(url, version));
  } catch (error) {
    throw loadError(path, error);
  }
  return checked(path, exports);
}

/**
 * What this thread first saw of each module. A file that was edited since then is imported anew under a query, so that a
 * restart of the agent takes up the edit; an unchanged one keeps its plain URL, which is what stack traces show.
 */
const firstVersions = new Map<string, string>();

function versioned(url: string, version: string): string {
  const first = firstVersions.get(url);
  if (first === undefined) firstVersions.set(url, version);
  return first === undefined || first === version ? url : `${url}?version=${version}`;
}

async function inspect(url: string): Promise<{ readonly path: string; readonly version: string }> {
  const path = pathOf(url);
  const found = await stat(path).catch((error: unknown) => {
    const missing = codeOfNode(error) === 'ENOENT' || codeOfNode(error) === 'ENOTDIR';
    throw new OrreryError('ORRERY_AGENT_LOAD', `${path}: ${missing ? 'there is no such file' : messageOf(error)}`, {
      cause: error,
      hint: 'Paths of agent modules start from the directory of the configuration file.',
      details: { file: path },
    });
  });
  if (found.isFile()) return { path, version: `${found.mtimeMs}-${found.size}` };
  throw new OrreryError('ORRERY_AGENT_LOAD', `${path}: Expected a module's file, found a directory`, {
    hint: 'Name the file itself, such as ./agents/atlas.ts.',
    details: { file: path },
  });
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new OrreryError('ORRERY_AGENT_LOAD', `Expected a file URL, got ${JSON.stringify(url)}`, { cause: error });
  }
}

function checked(path: string, exports: unknown): AgentDefinition {
  const definition = read(exports, 'default');
  if (definition === undefined) {
    const named = typeof read(exports, 'respond') === 'function';
    throw shapeError(path, 'Expected a default export, found none', named ? EXPORT_HINT : SHAPE_HINT);
  }
  if (typeof definition !== 'object' || definition === null) {
    throw shapeError(path, `Expected the default export to be an object, got ${kindOf(definition)}`);
  }
  const respond = read(definition, 'respond');
  if (typeof respond !== 'function') {
    throw shapeError(path, `Expected \`respond\` to be a function, got ${kindOf(respond)}`);
  }
  for (const name of ['start', 'stop']) {
    const hook = read(definition, name);
    if (hook !== undefined && typeof hook !== 'function') {
      throw shapeError(path, `Expected \`${name}\` to be a function, got ${kindOf(hook)}`);
    }
  }
  return definition as AgentDefinition;
}

const SHAPE_HINT = "Export the agent: `export default { async *respond(turn) { yield 'text'; } }`.";
const EXPORT_HINT = 'The module exports `respond` by name; write `export default { respond }`.';

function shapeError(path: string, message: string, hint = SHAPE_HINT): OrreryError {
  return new OrreryError('ORRERY_AGENT_LOAD', `${path}: ${message}`, { hint, details: { file: path } });
}

/** Node's own codes and classes for why an import failed, each with what its author is to do. */
function loadError(path: string, error: unknown): OrreryError {
  if (codeOf(error) === 'ORRERY_AGENT_LOAD' && error instanceof OrreryError) return error;
  const { message, hint } = explain(path, error);
  return new OrreryError('ORRERY_AGENT_LOAD', `${path}: ${message}`, {
    cause: error,
    details: { file: path },
    ...(hint === undefined ? {} : { hint }),
  });
}

function explain(path: string, error: unknown): { readonly message: string; readonly hint?: string } {
  const message = messageOf(error);
  switch (codeOfNode(error) ?? '') {
    case 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING':
      return {
        message: 'Node does not run TypeScript under node_modules',
        hint: 'Build the agent to JavaScript and name that file, or keep its source outside node_modules.',
      };
    case 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX':
      return {
        message: `${message}${placeOf(path, error)}`,
        hint: 'Node strips types only: no enums, namespaces with values, parameter properties or decorators.',
      };
    case 'ERR_INVALID_TYPESCRIPT_SYNTAX':
      return { message: `syntax error: ${message}${placeOf(path, error)}`, hint: 'Correct the module.' };
    case 'ERR_MODULE_NOT_FOUND':
      return { message, hint: 'Install what the module imports, and write relative imports with their extension.' };
    case 'ERR_UNKNOWN_FILE_EXTENSION':
    case 'ERR_IMPORT_ATTRIBUTE_MISSING':
      return { message, hint: 'An agent is a .ts, .mts, .js or .mjs module.' };
    default:
      break;
  }
  if (error instanceof SyntaxError) {
    return { message: `syntax error: ${message}`, hint: `\`node --check ${path}\` shows the place.` };
  }
  return { message: `the module threw while it was loaded: ${message}` };
}

/** A TypeScript syntax error names its place in the first line of its stack. */
function placeOf(path: string, error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const [, file, line] = /^(.+):(\d+)\n/.exec(stack) ?? [];
  if (file === undefined || line === undefined) return '';
  return file === path ? ` (line ${line})` : ` (${file}:${line})`;
}

function codeOfNode(error: unknown): string | undefined {
  const code = read(error, 'code');
  return typeof code === 'string' ? code : undefined;
}

function read(source: unknown, key: string): unknown {
  return typeof source === 'object' && source !== null ? Reflect.get(source, key) : undefined;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : typeof value;
}
