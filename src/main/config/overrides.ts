/** Owns what the command line and `ORRERY_*` variables change of a configuration. */
import { resolve } from 'node:path';
import { type Environment, isPlainObject } from './environment.ts';
import type { Issue } from './issues.ts';
import { LOG_LEVELS } from './schema.ts';

export type OverrideKey = 'host' | 'port' | 'token' | 'adminToken' | 'dataDir' | 'logLevel';

export interface Override {
  readonly key: OverrideKey;
  readonly value: string;
  /** The option or variable as its user wrote it: `--port` or `ORRERY_PORT`. */
  readonly source: string;
}

const VARIABLES: Readonly<Record<string, OverrideKey>> = {
  ORRERY_DATA_DIR: 'dataDir',
  ORRERY_HOST: 'host',
  ORRERY_PORT: 'port',
  ORRERY_TOKEN: 'token',
  ORRERY_ADMIN_TOKEN: 'adminToken',
  ORRERY_LOG_LEVEL: 'logLevel',
};

/** Reads the overrides of the environment; empty variables count as absent. Paths start from `cwd`. */
export function overridesFromEnvironment(env: Environment, cwd: string): Override[] {
  return Object.entries(VARIABLES).flatMap(([source, key]): Override[] => {
    const value = env[source];
    if (value === undefined || value === '') return [];
    return [{ key, value: key === 'dataDir' ? resolve(cwd, value) : value, source }];
  });
}

export interface AppliedOverrides {
  readonly issues: readonly Issue[];
  readonly warnings: readonly string[];
}

/**
 * Writes overrides into a configuration, which it changes; a later one wins. Host and port go to the first gateway. Tokens
 * go to every gateway that names none of its own: the environment can close a gateway, never change its lock.
 */
export function applyOverrides(config: unknown, overrides: readonly Override[]): AppliedOverrides {
  const issues: Issue[] = [];
  const warnings: string[] = [];
  if (!isPlainObject(config)) return { issues, warnings };
  const channels = isPlainObject(config['channels']) ? Object.values(config['channels']) : [];
  const gateways = channels.filter(isPlainObject).filter((channel) => channel['type'] === 'gateway');
  const [first] = gateways;

  for (const { key, value, source } of overrides) {
    switch (key) {
      case 'dataDir':
        config['dataDir'] = value;
        break;
      case 'logLevel':
        if (!LOG_LEVELS.includes(value)) {
          issues.push({ path: [source], expected: LOG_LEVELS.join(', '), found: JSON.stringify(value) });
        } else if (config['log'] === undefined) config['log'] = { level: value };
        else if (isPlainObject(config['log'])) config['log']['level'] = value;
        break;
      case 'token':
      case 'adminToken':
        for (const gateway of gateways) gateway[key] ??= value;
        break;
      case 'port':
        if (!/^\d{1,5}$/.test(value) || Number(value) > 65_535) {
          issues.push({ path: [source], expected: 'a port number from 0 to 65535', found: JSON.stringify(value) });
          break;
        }
        if (first === undefined) noGateway(source);
        else first['port'] = Number(value);
        break;
      case 'host':
        if (first === undefined) noGateway(source);
        else first['host'] = value;
        break;
    }
  }
  return { issues, warnings };

  /** An option was meant for this run; a variable may be set for others. */
  function noGateway(source: string): void {
    const text = 'no gateway is configured that it could apply to';
    if (source.startsWith('-')) issues.push({ path: [source], also: text });
    else warnings.push(`${source}: ${text}`);
  }
}
