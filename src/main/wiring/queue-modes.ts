/** Owns which queue mode a channel's configuration gives to a session. */
import type { QueueMode } from '../../protocol/index.ts';
import type { QueueConfig } from '../config/types.ts';

/** Compiles a configuration into a lookup by namespace: an exact name wins over patterns, and a longer pattern over a shorter one. */
export function queueModes({ mode, sessions }: QueueConfig): (namespace: string) => QueueMode {
  const entries = Object.entries(sessions);
  const exact = new Map(entries.filter(([pattern]) => !pattern.endsWith('*')));
  const prefixes = entries
    .filter(([pattern]) => pattern.endsWith('*'))
    .map(([pattern, its]) => ({ prefix: pattern.slice(0, -1), mode: its }))
    .toSorted((a, b) => b.prefix.length - a.prefix.length);
  return (namespace) =>
    exact.get(namespace) ?? prefixes.find(({ prefix }) => namespace.startsWith(prefix))?.mode ?? mode;
}
