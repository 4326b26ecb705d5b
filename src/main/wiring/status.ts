/** Owns how the parts' states become the public status, and whether the host is ready. */
import type { OrreryError } from '../../protocol/index.ts';
import type { AgentStatus, ChannelStatus, Readiness, SlotStatus, Status, SupervisorState } from '../api.ts';
import type { ResolvedConfig } from '../config/types.ts';
import type { Account, Journal, QuarantineSnapshot } from '../delivery/index.ts';
import { VERSION } from '../ops/version.ts';
import type { Slot } from '../pool/index.ts';
import { journalStatusOf } from './journal.ts';

export interface StatusParts {
  readonly config: ResolvedConfig;
  readonly state: SupervisorState;
  readonly startedAt: number;
  readonly slots: readonly Slot[];
  readonly agents: readonly AgentStatus[];
  readonly channels: readonly ChannelStatus[];
  readonly account: Account;
  readonly journal: Journal;
  readonly quarantine: QuarantineSnapshot;
  readonly zombies: number;
  readonly loopDelayMs: Status['loopDelayMs'];
}

export function statusOf(parts: StatusParts): Status {
  const { config, state, startedAt, slots, agents, channels, account, journal, quarantine, zombies, loopDelayMs } =
    parts;
  return {
    version: VERSION,
    pid: process.pid,
    state,
    startedAt,
    journal: journalStatusOf(journal),
    defaultAgent: config.defaultAgent,
    agents,
    // One for quarantine is there only while it runs.
    slots: slots.filter(isThere).map(slotStatus),
    channels,
    messages: account.snapshot(),
    quarantine,
    zombies,
    loopDelayMs,
  };
}

export interface ReadinessParts {
  readonly state: SupervisorState;
  readonly journal: Journal;
  /** Why a new message would be turned away. */
  readonly refusal: OrreryError | undefined;
  readonly slots: readonly Slot[];
}

export function readinessOf({ state, journal, refusal, slots }: ReadinessParts): Readiness {
  const reasons: string[] = [];
  if (state !== 'running') reasons.push(state);
  if (journal.health.status === 'failed') reasons.push(journal.health.error.message);
  if (refusal) reasons.push(`saturated: ${refusal.message}`);
  if (!slots.some((slot) => slot.state.status === 'ready' && !slot.quarantine)) reasons.push('no slot is ready');
  return { ready: reasons.length === 0, reasons };
}

function slotStatus(slot: Slot): SlotStatus {
  const { pid } = slot;
  return {
    slot: slot.label,
    isolation: slot.isolation,
    ...(pid === undefined ? {} : { pid }),
    state: slot.state,
    agents: slot.runtimes.size,
    running: slot.pulse.running,
    restarts: slot.restarts,
    utilization: slot.utilization,
  };
}

function isThere({ quarantine, state }: Slot): boolean {
  return !quarantine || state.status !== 'exited';
}
