/** Owns `orrery status`. */
import type { Command } from 'commander';
import type { Status } from '../api.ts';
import { type ConfigOptions, type JsonOption, addConfigOptions, addJsonOption, runningSupervisor } from './options.ts';
import { duration, printJson, printLine, printTable } from './output.ts';
import { agentRow, AGENT_HEADS } from './agents.ts';
import { CHANNEL_HEADS, channelRow } from './channels.ts';

export function registerStatus(program: Command): void {
  const command = program.command('status').description('tell what runs: channels, agents, slots, queues, counters');
  addJsonOption(addConfigOptions(command)).action(async (options: ConfigOptions & JsonOption) => {
    const status = await (await runningSupervisor(options)).status();
    if (options.json === true) printJson(status);
    else printStatus(status, Date.now());
  });
}

/** Writes a status for people. */
export function printStatus(status: Status, now: number): void {
  const { messages, loopDelayMs } = status;
  printLine(
    `Orrery ${status.version} is ${status.state} (pid ${status.pid}, for ${duration(now - status.startedAt)}, journal: ${journalText(status.journal)})`,
  );
  printLine('');
  printTable(
    AGENT_HEADS,
    status.agents.map((agent) => agentRow(agent, status.defaultAgent)),
  );
  printLine('');
  printTable(CHANNEL_HEADS, status.channels.map(channelRow));
  printLine('');
  printTable(
    ['SLOT', 'CARRIED BY', 'STATE', 'AGENTS', 'RUNNING', 'RESTARTS', 'BUSY'],
    status.slots.map((slot) => [
      slot.slot,
      slot.isolation === 'process' ? `process ${slot.pid ?? '-'}` : 'thread',
      slot.state.status,
      String(slot.agents),
      String(slot.running),
      String(slot.restarts),
      `${Math.round(slot.utilization * 100)} %`,
    ]),
  );
  printLine('');
  printLine(
    `messages: ${messages.received} received, ${messages.accepted} accepted, ${messages.answered} answered, ${messages.pending} pending, ${messages.dead} dead${reasons(messages.deadBy)}, ${messages.rejected} rejected${reasons(messages.rejectedBy)}`,
  );
  printLine(
    `main thread: event-loop delay p50 ${loopDelayMs.p50.toFixed(1)} ms, p99 ${loopDelayMs.p99.toFixed(1)} ms, max ${loopDelayMs.max.toFixed(1)} ms; zombies: ${status.zombies}`,
  );
}

function journalText({ kind, status, error }: Status['journal']): string {
  return status === 'ok' ? kind : `${kind}, TAKES NO WRITES: ${error ?? 'unknown'}`;
}

function reasons(by: Readonly<Record<string, number>>): string {
  const parts = Object.entries(by).filter(([, count]) => count > 0);
  return parts.length === 0 ? '' : ` (${parts.map(([reason, count]) => `${reason} ${count}`).join(', ')})`;
}
