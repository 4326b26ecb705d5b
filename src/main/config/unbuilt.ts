/** Owns which parts of the configuration's surface are not built yet: naming one is an error in a sentence, never ignored. */
import { isPlainObject } from './environment.ts';
import type { Issue } from './issues.ts';

const NETWORKS: ReadonlySet<string> = new Set(['slack', 'telegram']);
const AGENT_KEYS: readonly string[] = ['tools', 'mcp', 'policy', 'approval'];

/**
 * Finds what is not built and takes it out of `value`, which it changes, so that nothing else is said of it. A network
 * channel is taken out whole: its keys belong to a shape that does not exist yet.
 */
export function takeUnbuilt(value: unknown): Issue[] {
  if (!isPlainObject(value)) return [];
  return [...agents(value['agents']), ...channels(value['channels'])];
}

function agents(value: unknown): Issue[] {
  if (!isPlainObject(value)) return [];
  return Object.entries(value).flatMap(([name, agent]): Issue[] => {
    if (!isPlainObject(agent)) return [];
    return AGENT_KEYS.filter((key) => Object.hasOwn(agent, key)).map((key): Issue => {
      delete agent[key];
      return { path: ['agents', name, key], also: `\`${key}\` is not built yet: leave it out` };
    });
  });
}

function channels(value: unknown): Issue[] {
  if (!isPlainObject(value)) return [];
  return Object.entries(value).flatMap(([name, channel]): Issue[] => {
    if (!isPlainObject(channel)) return [];
    const type = channel['type'];
    if (typeof type !== 'string' || !NETWORKS.has(type)) return [];
    delete value[name];
    return [
      {
        path: ['channels', name, 'type'],
        expected: '"gateway" or "discord" or "irc"',
        found: JSON.stringify(type),
        also: `the ${type} channel is not built yet`,
      },
    ];
  });
}
