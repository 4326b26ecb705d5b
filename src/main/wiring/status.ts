/** Owns how the parts' states become the public status. */
import type { AgentStatus, ChannelStatus, Status, SupervisorState } from '../api.ts';
import type { ResolvedConfig } from '../config/types.ts';
import type { Account } from '../delivery/index.ts';
import { VERSION } from '../ops/version.ts';
import type { Slot } from '../pool/index.ts';

export interface StatusParts {
  readonly config: ResolvedConfig;
  readonly state: SupervisorState;
  readonly startedAt: number;
  readonly slots: readonly Slot[];
  readonly agents: readonly AgentStatus[];
  readonly channels: readonly ChannelStatus[];
  readonly account: Account;
  readonly zombies: number;
  readonly loopDelayMs: Status['loopDelayMs'];
}

export function statusOf(parts: StatusParts): Status {
  const { config, state, startedAt, slots, agents, channels, account, zombies, loopDelayMs } = parts;
  return {
    version: VERSION,
    pid: process.pid,
    state,
    startedAt,
    journal: config.delivery.journal,
    defaultAgent: config.defaultAgent,
    agents,
    slots: slots.map((slot) => ({
      slot: slot.label,
      state: slot.state,
      agents: slot.runtimes.size,
      running: slot.pulse.running,
      restarts: slot.restarts,
      utilization: slot.utilization,
    })),
    channels,
    messages: account.snapshot(),
    zombies,
    loopDelayMs,
  };
}
