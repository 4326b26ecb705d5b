/** Owns the calls by which replicas are started on a slot that is up. What follows of their outcome is told, not decided. */
import { type AgentStartResult, type OrreryError, codeOf, fromWire } from '../../protocol/index.ts';
import type { Slot } from '../pool/index.ts';
import type { Replica } from './replica.ts';
import { specOf } from './spec.ts';

export interface StartEvents {
  /** Nobody is interested any more. */
  isOver(): boolean;
  started(replica: Replica): void;
  failed(replica: Replica, error: OrreryError): void;
  /** It did not finish in time. */
  hangs(replica: Replica): void;
}

/** Modules run code of their own at load, and one that hangs must not hold up the others: each goes in its own call. */
export function startReplicas(slot: Slot, replicas: readonly Replica[], events: StartEvents): void {
  const modules = replicas.filter(({ agent }) => agent.source.kind === 'module');
  const others = replicas.filter(({ agent }) => agent.source.kind !== 'module');
  for (const replica of modules) void start(slot, [replica], events);
  if (others.length > 0) void start(slot, others, events);
}

async function start(slot: Slot, replicas: readonly Replica[], events: StartEvents): Promise<void> {
  const { generation } = slot;
  const isOver = (): boolean => slot.generation !== generation || events.isOver();
  const specs = replicas.map(({ agent, runtime, number, owner }) => specOf(agent, runtime, number, owner));
  let results: readonly AgentStartResult[];
  try {
    results = await slot.remote.host.startAgents(specs);
  } catch (error) {
    // When the slot died, its end has been told, and took care of these.
    if (codeOf(error) !== 'ORRERY_CALL_DEADLINE' || isOver()) return;
    for (const replica of replicas) if (replica.slot === slot) events.hangs(replica);
    return;
  }
  if (isOver()) return;
  for (const [i, replica] of replicas.entries()) {
    const result = results[i];
    if (replica.slot !== slot) {
      // It was swapped while it started here: this start came too late, and nobody has heard of it.
      if (result?.ok) void slot.remote.host.stopAgents([replica.runtime], 0).catch(() => undefined);
    } else if (result?.ok) events.started(replica);
    else if (result) events.failed(replica, fromWire(result.error));
  }
}
