/** Owns what must hold between keys of the configuration. It reads the raw value warily: shapes may be wrong at the same time. */
import { statSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUILTINS, isBuiltinName } from '../../protocol/builtins.ts';
import { OrreryError } from '../../protocol/index.ts';
import { limitsOf } from '../../protocol/models.ts';
import { checkChannel, isLoopback } from './channel-checks.ts';
import { DEFAULT_KILL_AFTER_MS, DEFAULT_SHUTDOWN_MS } from './defaults.ts';
import { isPlainObject } from './environment.ts';
import { type Issue, type Shower, didYouMean } from './issues.ts';

/** Names of agents and channels: they stand in runtime ids, namespaces and URLs, so `#`, `:` and `/` are not for them. */
export const NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const NAME_WORDS = 'a name of letters, digits, ".", "_" and "-" that begins with a letter or a digit';

/** `orrery` names the default agent over HTTP. */
const RESERVED_AGENT = 'orrery';
/** The channel of `orrery chat`. */
export const TERMINAL_CHANNEL = 'terminal';

/** Prefixes of `model`. */
export const PROVIDERS: readonly string[] = ['openai', 'openai-compatible', 'anthropic'];
const MODEL_KEYS: readonly string[] = [
  'baseUrl',
  'apiKey',
  'system',
  'temperature',
  'maxOutputTokens',
  'context',
  'maxSteps',
  'fallback',
];
const MODULE_EXTENSIONS: readonly string[] = ['.ts', '.mts', '.js', '.mjs'];
const BUILTIN = 'builtin:';

export interface CheckContext {
  /** The directory that module paths start from. */
  readonly dir: string;
  readonly shower: Shower;
}

/** Finds everything that does not hold between keys. */
export function checkRelations(value: unknown, context: CheckContext): Issue[] {
  if (!isPlainObject(value)) return [];
  const agents = isPlainObject(value['agents']) ? value['agents'] : {};
  const names = new Set(Object.keys(agents));
  const issues: Issue[] = [];
  if (isPlainObject(value['agents']) && names.size === 0) {
    issues.push({ path: ['agents'], expected: 'at least one agent', found: 'an empty object' });
  }
  for (const [name, agent] of Object.entries(agents)) {
    issues.push(...checkName(['agents', name], name));
    if (name.toLowerCase() === RESERVED_AGENT) {
      issues.push({ path: ['agents', name], expected: 'another name', also: '"orrery" means the default agent' });
    }
    if (isPlainObject(agent)) issues.push(...checkAgent(name, agent, context));
  }
  issues.push(...checkCase(names));

  const defaultAgent = value['defaultAgent'];
  if (typeof defaultAgent === 'string') issues.push(...checkReference(['defaultAgent'], defaultAgent, names, context));
  else if (defaultAgent === undefined && names.size > 1) {
    issues.push({
      path: ['defaultAgent'],
      expected: `one of the agents (${[...names].join(', ')})`,
      found: 'nothing',
    });
  }

  const channels = isPlainObject(value['channels']) ? value['channels'] : {};
  for (const [name, channel] of Object.entries(channels)) {
    issues.push(...checkName(['channels', name], name));
    if (name === TERMINAL_CHANNEL) {
      issues.push({
        path: ['channels', name],
        expected: 'another name',
        also: '"terminal" is the channel of `orrery chat`',
      });
    }
    issues.push(...checkChannel(name, channel, context.shower));
    const agent = isPlainObject(channel) ? channel['agent'] : undefined;
    if (typeof agent === 'string') issues.push(...checkReference(['channels', name, 'agent'], agent, names, context));
  }

  const routing = Array.isArray(value['routing']) ? value['routing'] : [];
  for (const [i, rule] of routing.entries()) {
    const agent: unknown = isPlainObject(rule) ? rule['agent'] : undefined;
    if (typeof agent === 'string') issues.push(...checkReference(['routing', i, 'agent'], agent, names, context));
  }
  return [...issues, ...checkFiles(value), ...checkOrder(value)];
}

/** Finds gateways that would be open to everybody; kept apart because it has a code of its own. */
export function checkOpenBinds(value: unknown): Issue[] {
  const channels = isPlainObject(value) && isPlainObject(value['channels']) ? value['channels'] : {};
  return Object.entries(channels).flatMap(([name, channel]): Issue[] => {
    if (!isPlainObject(channel) || channel['type'] !== 'gateway' || typeof channel['host'] !== 'string') return [];
    if (isLoopback(channel['host']) || channel['token'] !== undefined) return [];
    return [
      {
        path: ['channels', name, 'token'],
        expected: `a token, because ${channel['host']} can be reached from other machines`,
        found: 'nothing',
      },
    ];
  });
}

export function openBind(issues: readonly Issue[]): OrreryError {
  const text = issues.map((i) => `${i.path.slice(0, 2).join('.')}: expected ${i.expected ?? ''}`).join('; ');
  return new OrreryError('ORRERY_OPEN_BIND', `The gateway is not bound: ${text}`);
}

function checkName(path: readonly string[], name: string): Issue[] {
  return NAME.test(name) ? [] : [{ path, expected: NAME_WORDS, found: JSON.stringify(name) }];
}

/** Routing compares names without case: two that differ only in it could not both be reached. */
function checkCase(names: ReadonlySet<string>): Issue[] {
  const seen = new Map<string, string>();
  return [...names].flatMap((name): Issue[] => {
    const earlier = seen.get(name.toLowerCase());
    if (earlier === undefined) {
      seen.set(name.toLowerCase(), name);
      return [];
    }
    return [{ path: ['agents', name], expected: `a name that differs from "${earlier}" in more than case` }];
  });
}

function checkReference(
  path: readonly (string | number)[],
  name: string,
  names: ReadonlySet<string>,
  { shower }: CheckContext,
): Issue[] {
  if (names.has(name)) return [];
  const near = didYouMean(name, names);
  return [
    {
      path,
      expected: `one of the agents (${[...names].join(', ')})`,
      found: shower.show(path, name),
      ...(near === undefined ? {} : { also: `did you mean "${near}"?` }),
    },
  ];
}

function checkAgent(name: string, agent: Record<string, unknown>, context: CheckContext): Issue[] {
  const { use, model } = agent;
  const path = ['agents', name];
  const issues: Issue[] = [];
  if (use === undefined && model === undefined) {
    issues.push({ path, expected: 'either `use` or `model`', found: 'neither' });
  } else if (use !== undefined && model !== undefined) {
    issues.push({ path, expected: 'either `use` or `model`', found: 'both' });
  }
  if (typeof use === 'string') issues.push(...checkUse([...path, 'use'], use, context));
  if (typeof model === 'string') issues.push(...checkModel(path, model, agent, context), ...checkContext(path, agent));
  else if (use !== undefined) {
    for (const key of MODEL_KEYS.filter((k) => agent[k] !== undefined)) {
      issues.push({ path: [...path, key], also: `\`${key}\` goes with \`model\`, not with \`use\`` });
    }
  }
  if (agent['limits'] !== undefined && agent['isolation'] !== 'dedicated' && agent['isolation'] !== 'process') {
    issues.push({
      path: [...path, 'limits'],
      also: "`limits` needs `isolation: 'dedicated'` or `'process'`: shared threads have `workers.maxHeapMb`",
    });
  }
  return issues;
}

function checkUse(path: readonly string[], use: string, { dir, shower }: CheckContext): Issue[] {
  if (use.startsWith(BUILTIN)) {
    const name = use.slice(BUILTIN.length);
    if (isBuiltinName(name)) return [];
    const known = Object.keys(BUILTINS);
    const near = didYouMean(name, known);
    return [
      {
        path,
        expected: known.map((k) => `"${BUILTIN}${k}"`).join(' or '),
        found: shower.show(path, use),
        ...(near === undefined ? {} : { also: `did you mean "${BUILTIN}${near}"?` }),
      },
    ];
  }
  if (use === '') return [];
  const file = modulePath(dir, use);
  const found = shower.show(path, use);
  if (file === undefined || !MODULE_EXTENSIONS.includes(extname(file))) {
    return [{ path, expected: `"builtin:NAME" or the path of a ${MODULE_EXTENSIONS.join(', ')} module`, found }];
  }
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat?.isFile() === true) return [];
  // The absolute path would show a value that came from the environment.
  const where = found.startsWith('"') ? `; ${file} ${stat === undefined ? 'does not exist' : 'is not a file'}` : '';
  return [{ path, expected: "the path of an agent module's file", found: `${found}${where}` }];
}

/** Resolves the path of a module; undefined for a URL that is not a file's. */
export function modulePath(dir: string, use: string): string | undefined {
  if (!/^[a-z][a-z0-9+.-]+:/i.test(use)) return resolve(dir, use);
  try {
    return fileURLToPath(use);
  } catch {
    return undefined;
  }
}

function checkModel(
  path: readonly string[],
  model: string,
  agent: Record<string, unknown>,
  context: CheckContext,
): Issue[] {
  const provider = providerOf(model);
  const issues = checkModelName([...path, 'model'], model, context);
  if (issues.length === 0 && provider === COMPATIBLE && agent['baseUrl'] === undefined) {
    issues.push({
      path: [...path, 'baseUrl'],
      expected: "the URL of the server, such as 'http://127.0.0.1:11434/v1'",
      found: 'nothing',
    });
  }
  const fallback: readonly unknown[] = Array.isArray(agent['fallback']) ? agent['fallback'] : [];
  for (const [i, other] of fallback.entries()) {
    if (typeof other !== 'string' || other === '') continue;
    const at = [...path, 'fallback', i];
    issues.push(...checkModelName(at, other, context));
    // Base URL and key are the first model's: another provider's server is not known.
    if (providerOf(other) === COMPATIBLE && provider !== COMPATIBLE) {
      issues.push({ path: at, also: `an "${COMPATIBLE}" model stands in for another one of its server only` });
    }
  }
  return issues;
}

const COMPATIBLE = 'openai-compatible';

function providerOf(model: string): string {
  return /^([^:]*):/.exec(model)?.[1] ?? '';
}

function checkModelName(path: readonly (string | number)[], model: string, { shower }: CheckContext): Issue[] {
  const [, provider = '', id = ''] = /^([^:]*):(.*)$/s.exec(model) ?? [];
  if (PROVIDERS.includes(provider) && id !== '') return [];
  const near = didYouMean(provider, PROVIDERS);
  return [
    {
      path,
      expected: PROVIDERS.map((p) => `"${p}:ID"`).join(' or '),
      found: shower.show(path, model),
      ...(near === undefined || near === provider ? {} : { also: `did you mean "${near}:${id}"?` }),
    },
  ];
}

function checkContext(path: readonly string[], agent: Record<string, unknown>): Issue[] {
  const context = isPlainObject(agent['context']) ? agent['context'] : {};
  const { maxTokens, reservedForOutput = agent['maxOutputTokens'] } = context;
  if (typeof reservedForOutput !== 'number') return [];
  const isOwn = context['reservedForOutput'] !== undefined;
  const at = isOwn ? [...path, 'context', 'reservedForOutput'] : [...path, 'maxOutputTokens'];
  const found = String(reservedForOutput);
  if (maxTokens !== undefined) {
    if (typeof maxTokens !== 'number' || reservedForOutput < maxTokens) return [];
    return [{ path: at, expected: `less than \`context.maxTokens\` (${maxTokens})`, found }];
  }
  const others: readonly unknown[] = Array.isArray(agent['fallback']) ? agent['fallback'] : [];
  // One context holds for all of them: every turn of the smallest would fail.
  const smallest = [agent['model'], ...others]
    .flatMap((name) => (typeof name === 'string' ? [{ name, tokens: limitsOf(name).contextTokens }] : []))
    .toSorted((a, b) => a.tokens - b.tokens)[0];
  if (smallest === undefined || reservedForOutput < smallest.tokens) return [];
  return [
    {
      path: at,
      expected: `less than the window of its smallest model (${smallest.tokens} tokens)`,
      found,
      also: 'say by `context.maxTokens` where the window is larger',
    },
  ];
}

/** Keys that mean something to a file only, by their section and by the key that says whether there is one. */
const FILE_KEYS: readonly (readonly [section: string, kind: string, keys: readonly string[]])[] = [
  ['sessions', 'store', ['synchronous', 'cacheBytes', 'maxAgeMs']],
  ['delivery', 'journal', ['maxJournalBytes']],
];

function checkFiles(value: Record<string, unknown>): Issue[] {
  return FILE_KEYS.flatMap(([name, kind, keys]) => {
    const section = value[name];
    if (!isPlainObject(section) || section[kind] !== 'memory') return [];
    return keys
      .filter((key) => section[key] !== undefined)
      .map((key) => ({ path: [name, key], also: `\`${key}\` goes with \`${kind}: 'sqlite'\`, not with \`'memory'\`` }));
  });
}

/**
 * Pairs of durations of which the first may not be longer than the second. `otherwise` is the second's default, which holds where it is not given;
 * of pairs without one, the default gives way to what is given.
 */
const ORDERED: readonly {
  readonly section: string;
  readonly lesser: string;
  readonly greater: string;
  readonly otherwise?: number;
}[] = [
  { section: 'workers', lesser: 'heartbeatMs', greater: 'killAfterMs', otherwise: DEFAULT_KILL_AFTER_MS },
  { section: 'workers', lesser: 'heartbeatLookMs', greater: 'killAfterMs', otherwise: DEFAULT_KILL_AFTER_MS },
  { section: 'restarts', lesser: 'backoffMinMs', greater: 'backoffMaxMs' },
  { section: 'delivery', lesser: 'retryMinMs', greater: 'retryMaxMs' },
  { section: 'shutdown', lesser: 'drainMs', greater: 'timeoutMs', otherwise: DEFAULT_SHUTDOWN_MS },
  { section: 'shutdown', lesser: 'hostMs', greater: 'timeoutMs', otherwise: DEFAULT_SHUTDOWN_MS },
];

function checkOrder(value: Record<string, unknown>): Issue[] {
  return ORDERED.flatMap(({ section, lesser, greater, otherwise }): Issue[] => {
    const keys = value[section];
    if (!isPlainObject(keys)) return [];
    const low = keys[lesser];
    const high = keys[greater] ?? otherwise;
    if (typeof low !== 'number' || typeof high !== 'number' || low <= high) return [];
    const by = keys[greater] === undefined ? ', its default' : '';
    return [{ path: [section, lesser], expected: `at most \`${greater}\` (${high}${by})`, found: String(low) }];
  });
}
