/** Owns what is known of one replica of an agent, and how it is told and changed. It starts and stops nothing. */
import { type AgentEvent, type AgentState, type RuntimeId, transitionAgent } from '../../protocol/index.ts';
import type { ResolvedAgent } from '../config/types.ts';
import type { Pool, Slot } from '../pool/index.ts';
import type { RestartTracker } from '../supervision/index.ts';

/** One replica of an agent. */
export interface Replica {
  readonly agent: ResolvedAgent;
  readonly runtime: RuntimeId;
  readonly number: number;
  readonly slot: Slot;
  readonly tracker: RestartTracker;
  state: AgentState;
  timer: NodeJS.Timeout | undefined;
  /** Settles with the outcome of the start that is under way. */
  starting: PromiseWithResolvers<void> | undefined;
  /** The restart by hand that is under way: a second one shares it. */
  restarting: Promise<void> | undefined;
}

/** Applies events in turn; false when the last one did not apply. */
export function applyTo(replica: Replica, ...events: readonly AgentEvent[]): boolean {
  let applied = false;
  for (const event of events) {
    const next = transitionAgent(replica.state, event);
    applied = next !== undefined;
    if (next) replica.state = next;
  }
  return applied;
}

export function isRunning(state: AgentState): boolean {
  return state.status === 'idle' || state.status === 'busy';
}

/** States in which a replica is meant to run on its slot. */
export function isLive(state: AgentState): boolean {
  return isRunning(state) || state.status === 'starting';
}

/**
 * Who an end that nobody asked for is charged to: the one that is known, else those whose turns had begun or who were being
 * started, else everybody on the slot. An agent whose turns only waited there is a victim.
 */
export function guiltyOf(
  replicas: readonly Replica[],
  blamed: Replica | undefined,
  suspected: ReadonlySet<RuntimeId | undefined>,
): readonly Replica[] {
  if (blamed) return [blamed];
  const living = replicas.filter((r) => isLive(r.state));
  const suspects = living.filter((r) => r.state.status === 'starting' || suspected.has(r.runtime));
  return suspects.length > 0 ? suspects : living;
}

/** Makes the slot of an agent that shares none. */
export function ownSlot(pool: Pool, agent: ResolvedAgent, runtime: RuntimeId): Slot {
  const { maxHeapMb } = agent.limits;
  const options = { label: runtime, env: agent.env, ...(maxHeapMb === undefined ? {} : { maxHeapMb }) };
  return agent.isolation === 'process' ? pool.process(options) : pool.dedicated(options);
}

export function describe(source: ResolvedAgent['source']): string {
  if (source.kind === 'builtin') return `builtin:${source.name}`;
  return source.kind === 'module' ? source.path : source.spec.model;
}
