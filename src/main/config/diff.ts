/** Owns what differs between two configurations, and what of that a running host can take over. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { ChannelConfig, ResolvedAgent, ResolvedConfig } from './types.ts';

/** Names, each in the order of its configuration. */
export interface NameChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

export interface ConfigDiff {
  readonly agents: NameChanges;
  readonly channels: NameChanges;
  readonly routing: boolean;
  readonly defaultAgent: boolean;
  /** Paths of keys, such as `workers.threads`, that only a new process takes over. */
  readonly needsRestart: readonly string[];
}

/** What a running host takes over. Everything else needs a new process. */
const LIVE: ReadonlySet<string> = new Set(['agents', 'channels', 'routing', 'defaultAgent']);
/** What says nothing of how the host runs: where the configuration was found, and what was odd about it. */
const ASIDE: ReadonlySet<string> = new Set(['file', 'dir', 'warnings', 'log.fd']);

export function diffConfig(before: ResolvedConfig, after: ResolvedConfig): ConfigDiff {
  return {
    agents: diffNames(before.agents, after.agents),
    channels: diffNames(before.channels, after.channels),
    routing: !isDeepStrictEqual(before.routing, after.routing),
    defaultAgent: before.defaultAgent !== after.defaultAgent,
    needsRestart: differingPaths(before, after, []),
  };
}

/** Tells whether nothing of the difference can be taken over. */
export function changesNothing({ agents, channels, routing, defaultAgent }: ConfigDiff): boolean {
  const changes = [agents, channels].flatMap(({ added, changed, removed }) => [added, changed, removed]);
  return changes.every((names) => names.length === 0) && !routing && !defaultAgent;
}

/** Tells whether a channel has to connect anew: the agent of its messages and their queue modes are the host's own. */
export function needsConnection(before: ChannelConfig, after: ChannelConfig): boolean {
  const { agent: _a, queue: _q, ...connection } = before;
  const { agent: _b, queue: _r, ...next } = after;
  return !isDeepStrictEqual(connection, next);
}

/** A configuration that is in force: the new one, but for what only a new process takes over. */
export function takenOver(
  before: ResolvedConfig,
  after: ResolvedConfig,
  parts: {
    readonly agents: Readonly<Record<string, ResolvedAgent>>;
    readonly channels: Readonly<Record<string, ChannelConfig>>;
  },
): ResolvedConfig {
  const { routing, defaultAgent, file, dir, warnings } = after;
  return {
    ...before,
    ...parts,
    routing,
    defaultAgent,
    dir,
    ...(file === undefined ? {} : { file }),
    ...(warnings === undefined ? {} : { warnings }),
  };
}

function diffNames(before: Readonly<Record<string, unknown>>, after: Readonly<Record<string, unknown>>): NameChanges {
  const names = Object.keys(after);
  return {
    added: names.filter((name) => !Object.hasOwn(before, name)),
    changed: names.filter((name) => Object.hasOwn(before, name) && !isDeepStrictEqual(before[name], after[name])),
    removed: Object.keys(before).filter((name) => !Object.hasOwn(after, name)),
  };
}

function differingPaths(before: unknown, after: unknown, path: readonly string[]): readonly string[] {
  const name = path.join('.');
  if (ASIDE.has(name) || LIVE.has(name) || isDeepStrictEqual(before, after)) return [];
  if (!isObject(before) || !isObject(after)) return [name];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) => differingPaths(before[key], after[key], [...path, key]));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
