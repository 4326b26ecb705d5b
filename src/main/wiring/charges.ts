/** Owns the decision whom an end of a slot is charged to: those who are known to have done it, and nobody else. Pure. */
import type { RuntimeId } from '../../protocol/index.ts';
import type { Findings } from '../delivery/index.ts';
import { type Replica, isLive } from './replica.ts';

export interface SlotFall {
  /** All who live on the slot, whether they run or not. */
  readonly replicas: readonly Replica[];
  /** Whose code threw or exited, where the dying thread could tell. */
  readonly blamed: Replica | undefined;
  readonly findings: Findings;
  /** An earlier end of this slot was not explained either. */
  readonly again: boolean;
}

export interface Charges {
  readonly guilty: readonly Replica[];
  /** Those of whom one may have done it; they are to be divided, so that the next end tells more. */
  readonly divide: readonly Replica[];
}

/**
 * Whoever is known pays. While suspects are tried nobody does, unless one replica is alone on the slot. With no turn to suspect it may
 * have been any who was being started, else any who ran: the first such end may be chance, from the second on they are taken apart.
 */
export function chargesOf({ replicas, blamed, findings, again }: SlotFall): Charges {
  if (blamed) return { guilty: [blamed], divide: [] };
  const told = replicas.filter((replica) => isRuntime(replica, findings.guilty));
  if (told.length > 0) return { guilty: told, divide: [] };
  const living = replicas.filter(({ state }) => isLive(state));
  const starting = living.filter(({ state }) => state.status === 'starting');
  const candidates = starting.length > 0 && findings.suspects === 0 ? starting : living;
  if (candidates.length === 1) return { guilty: candidates, divide: [] };
  return { guilty: [], divide: again ? candidates : [] };
}

function isRuntime({ runtime }: Replica, guilty: RuntimeId | undefined): boolean {
  return runtime === guilty;
}
