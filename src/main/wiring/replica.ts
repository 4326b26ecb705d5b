/** Owns what is known of one replica of an agent, and how it is told and changed. It starts and stops nothing, and charges nobody. */
import {
  type AgentEvent,
  type AgentState,
  OrreryError,
  type RuntimeId,
  transitionAgent,
} from '../../protocol/index.ts';
import type { AgentStatus } from '../api.ts';
import type { ResolvedAgent, ResolvedConfig } from '../config/types.ts';
import { type Pool, type Slot, leastLoaded } from '../pool/index.ts';
import type { RestartPolicy, RestartTracker } from '../supervision/index.ts';

/** One replica of an agent. */
export interface Replica {
  /** As it runs now; a swap brings the next form. */
  agent: ResolvedAgent;
  readonly runtime: RuntimeId;
  /** Whom the session store takes for the owner of its commits: the runtime itself, or a name that a swap gave it. */
  owner: string;
  readonly number: number;
  /** Where it lives; it moves when its slot is divided, and when it is swapped. */
  slot: Slot;
  tracker: RestartTracker;
  state: AgentState;
  timer: NodeJS.Timeout | undefined;
  /** Settles with the outcome of the start that is under way. */
  starting: PromiseWithResolvers<void> | undefined;
  /** Its stop on a slot that lives on: it can be started there again only after that. */
  leaving: Promise<void> | undefined;
  /** What it was before a swap, by its owner, while that finishes its turns. */
  readonly retiring: Map<string, Retiring>;
  /** Turns that ended their slot one after another, none in between that left it alive. */
  poisons: number;
  /** Turns that had left it alive when that was counted last. */
  survivedThen: number;
}

/** An earlier form of a replica that gets no new turns. */
export interface Retiring {
  readonly slot: Slot;
  /** Resolves when nothing of it is left. */
  readonly done: Promise<void>;
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

/** States of a replica that does not come back by itself. */
export function isGone({ status }: AgentState): boolean {
  return status === 'escalated' || status === 'stopped';
}

/** Makes the slot of an agent that shares none. */
export function ownSlot(pool: Pool, agent: ResolvedAgent, runtime: RuntimeId): Slot {
  const { maxHeapMb } = agent.limits;
  const options = {
    label: freeLabel(pool, runtime),
    env: agent.env,
    ...(maxHeapMb === undefined ? {} : { maxHeapMb }),
  };
  return agent.isolation === 'process' ? pool.process(options) : pool.dedicated(options);
}

/** The name, or the first numbered one like it that no slot has. */
export function freeLabel({ slots }: Pool, name: string): string {
  const taken = new Set(slots.map(({ label }) => label));
  for (let n = 0; ; n++) {
    const label = n === 0 ? name : `${name}+${n}`;
    if (!taken.has(label)) return label;
  }
}

/** The shared slot that a new agent is placed on. Throws `ORRERY_CONFIG_INVALID` when there is none. */
export function leastLoadedSlot({ shared }: Pool): Slot {
  const loads = shared.map((slot) => ({
    agents: slot.runtimes.size,
    running: slot.pulse.running,
    utilization: slot.utilization,
  }));
  const slot = shared[leastLoaded(loads)];
  if (!slot) throw new OrreryError('ORRERY_CONFIG_INVALID', 'A shared agent needs `workers.threads` of at least 1');
  return slot;
}

export function policyOf(config: ResolvedConfig, restart: ResolvedAgent['restart']): RestartPolicy {
  const { maxRestarts, periodMs, resetAfterMs, backoffMinMs, backoffMaxMs, jitter } = config.restarts;
  const backoff = { minMs: backoffMinMs, maxMs: backoffMaxMs, jitter };
  return { restart, maxRestarts, periodMs, resetAfterMs, backoff };
}

/** `running` gives the turns under way of a runtime. */
export function statusOfAgent(
  name: string,
  replicas: readonly Replica[],
  running: (runtime: RuntimeId) => number,
): AgentStatus {
  const [first] = replicas;
  return {
    name,
    source: first ? describe(first.agent.source) : '',
    isolation: first?.agent.isolation ?? 'shared',
    replicas: replicas.map((r) => ({ runtime: r.runtime, slot: r.slot.label, state: stateOf(r, running(r.runtime)) })),
    restarts: replicas.reduce((sum, r) => sum + r.tracker.total, 0),
  };
}

/** `busy` and `idle` follow from the turns under way: they are derived when asked for, not kept at every turn. */
function stateOf(replica: Replica, running: number): AgentState {
  return transitionAgent(replica.state, { type: 'turns', running }) ?? replica.state;
}

function describe(source: ResolvedAgent['source']): string {
  if (source.kind === 'builtin') return `builtin:${source.name}`;
  return source.kind === 'module' ? source.path : source.spec.model;
}
