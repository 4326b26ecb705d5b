/** Owns who hears what the slots tell. */
import type { Logger } from 'pino';
import type { DeliveryEngine } from '../delivery/index.ts';
import type { SlotEvents } from '../pool/index.ts';
import type { HostedAgents } from './agents.ts';

/** Those who hear are made after the pool: they are asked for when there is something to hear. */
export function slotEventsOf(agents: () => HostedAgents, engine: () => DeliveryEngine, log: Logger): SlotEvents {
  return {
    ready: (slot) => agents().slotReady(slot),
    exited: (slot, end) => agents().slotExited(slot, end),
    outcomes: (slot, outcomes) => engine().outcomesOf(slot.number, outcomes),
    delta: (slot, turn, text) => engine().delta(slot.number, turn, text),
    changed: (slot) => log.debug({ slot: slot.label, state: slot.state.status, generation: slot.generation }, 'slot'),
  };
}
