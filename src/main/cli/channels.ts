/** Owns `orrery channels list|restart`. */
import type { Command } from 'commander';
import type { ChannelStatus } from '../api.ts';
import { type ConfigOptions, type JsonOption, addConfigOptions, addJsonOption, runningSupervisor } from './options.ts';
import { printJson, printLine, printTable } from './output.ts';

export const CHANNEL_HEADS: readonly string[] = ['CHANNEL', 'TYPE', 'STATE', 'DETAILS'];

/** Writes a channel as a row under {@link CHANNEL_HEADS}. */
export function channelRow(channel: ChannelStatus): string[] {
  const facts = Object.entries({ ...channel.metadata, ...channel.health }).map(([key, value]) => `${key}=${value}`);
  return [channel.name, channel.type, channel.state.status, [...facts, ...cause(channel)].join(' ')];
}

/** Why it is not open, and what its user is to do. */
function cause({ state }: ChannelStatus): readonly string[] {
  if (!('cause' in state) || state.cause === undefined) return [];
  const { message, hint } = state.cause;
  return [hint === undefined ? message : `${message} - ${hint}`];
}

export function registerChannels(program: Command): void {
  const channels = program.command('channels').description('list or restart the channels of the running supervisor');
  addJsonOption(addConfigOptions(channels.command('list').description('list the channels'))).action(
    async (options: ConfigOptions & JsonOption) => {
      const status = await (await runningSupervisor(options)).status();
      if (options.json === true) printJson(status.channels);
      else printTable(CHANNEL_HEADS, status.channels.map(channelRow));
    },
  );
  const restart = channels
    .command('restart')
    .argument('<name>')
    .description("replace a channel's connection; accepted messages are kept");
  addJsonOption(addConfigOptions(restart)).action(async (name: string, options: ConfigOptions & JsonOption) => {
    const channel = await (await runningSupervisor(options)).restartChannel(name);
    if (options.json === true) printJson(channel);
    else printLine(`${channel.name} was restarted: ${channel.state.status}`);
  });
}
