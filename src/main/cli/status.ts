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
  printLine(`messages: ${accountText(messages)}`);
  printLine(
    `main thread: event-loop delay p50 ${loopDelayMs.p50.toFixed(1)} ms, p99 ${loopDelayMs.p99.toFixed(1)} ms, max ${loopDelayMs.max.toFixed(1)} ms; zombies: ${status.zombies}`,
  );
}

function journalText({ kind, status, error }: Status['journal']): string {
  return status === 'ok' ? kind : `${kind}, TAKES NO WRITES: ${error ?? 'unknown'}`;
}

/** Writes the account in the order of its two sums, so that a reader can check them. What an earlier process or a replay brought is shown where there is some. */
export function accountText(account: Status['messages']): string {
  const { received, rejected, inIntake, accepted, recovered, replayed, answered, dead, pending } = account;
  const intake = `${received} received, ${rejected} rejected${reasons(account.rejectedBy)}, ${inIntake} in intake, ${accepted} accepted`;
  const more = [
    ...(recovered > 0 ? [`${recovered} recovered`] : []),
    ...(replayed > 0 ? [`${replayed} replayed`] : []),
  ];
  const ends = [...more, `${answered} answered`, `${dead} dead${reasons(account.deadBy)}`, `${pending} pending`];
  return `${intake}; ${ends.join(', ')}`;
}

function reasons(by: Readonly<Record<string, number>>): string {
  const parts = Object.entries(by).filter(([, count]) => count > 0);
  return parts.length === 0 ? '' : ` (${parts.map(([reason, count]) => `${reason} ${count}`).join(', ')})`;
}
