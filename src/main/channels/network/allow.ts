/** Owns the patterns that say who may talk to a network's bot. It knows nobody: who speaks and where is passed in. */
import type { NetworkMessage } from './message.ts';

/**
 * Reads `allow`: `*` is everyone; else `KIND:VALUE`, such as `user:42`, `room:7` or `guild:1`, where a `*` in the value stands for
 * anything. Case does not matter. Nobody is allowed by an empty list.
 *
 * A direct message is allowed by a pattern of its user only: whoever shares a room or a guild with the bot may talk there, not in private.
 */
export function compileAllow(patterns: readonly string[]): (message: NetworkMessage) => boolean {
  if (patterns.includes('*')) return () => true;
  const exact = new Set<string>();
  const globs: RegExp[] = [];
  for (const pattern of patterns) {
    const lower = pattern.toLowerCase();
    if (lower.includes('*')) globs.push(glob(lower));
    else exact.add(lower);
  }
  return (message) => namesOf(message).some((name) => exact.has(name) || globs.some((g) => g.test(name)));
}

/** Every name by which a pattern may mean a message, in lower case. */
function namesOf({ author, place }: NetworkMessage): readonly string[] {
  const names = [`user:${author.id}`, ...(author.aliases ?? [])];
  if (place.kind === 'room') {
    names.push(`room:${place.room}`);
    if (place.thread !== undefined) names.push(`room:${place.thread}`);
    if (place.guild !== undefined) names.push(`guild:${place.guild}`);
  }
  return names.map((name) => name.toLowerCase());
}

function glob(pattern: string): RegExp {
  const escaped = pattern.split('*').map((text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${escaped.join('.*')}$`, 's');
}
