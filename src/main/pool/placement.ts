/** Owns where things go: which slot a new agent gets, and which replica a session belongs to. Pure functions. */

export interface Load {
  /** Agents placed on the slot. */
  readonly agents: number;
  /** Turns under way on it. */
  readonly running: number;
  /** Event-loop utilization, 0 to 1. */
  readonly utilization: number;
}

/** A slot that computes without a pause takes no new agents while another one is free. */
export const MAX_UTILIZATION = 0.98;

/** Returns the index of the least loaded slot: not saturated, then fewest agents, then fewest turns; -1 for none. */
export function leastLoaded(loads: readonly Load[]): number {
  let best = -1;
  for (let i = 0; i < loads.length; i++) {
    const load = loads[i];
    const leader = loads[best];
    if (load && (!leader || compare(load, leader) < 0)) best = i;
  }
  return best;
}

function compare(a: Load, b: Load): number {
  const saturated = Number(a.utilization > MAX_UTILIZATION) - Number(b.utilization > MAX_UTILIZATION);
  return saturated || a.agents - b.agents || a.running - b.running;
}

/**
 * Returns the replica that a session belongs to: the one with the highest score of (session, replica). When a replica
 * comes or goes, only its own sessions move. (Rendezvous hashing: Thaler and Ravishankar, IEEE/ACM ToN 6(1), 1998.)
 */
export function rendezvous(session: string, replicas: readonly string[]): string | undefined {
  if (replicas.length <= 1) return replicas[0];
  let best: string | undefined;
  let top = -1;
  for (const replica of replicas) {
    const score = hash(session, hash(replica, 0x811c9dc5));
    if (score > top || (score === top && best !== undefined && replica < best)) {
      top = score;
      best = replica;
    }
  }
  return best;
}

/** FNV-1a over UTF-16 units with the finalizer of MurmurHash3, without which near-equal keys score alike. */
function hash(text: string, seed: number): number {
  let h = seed;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
