/** Owns `orrery dead-letters list|show`. */
import type { Command } from 'commander';
import { type ConfigOptions, type JsonOption, addConfigOptions, addJsonOption, runningSupervisor } from './options.ts';
import { printJson, printLine, printTable } from './output.ts';

export function registerDeadLetters(program: Command): void {
  const letters = program.command('dead-letters').description('look at messages that could not be answered');
  addJsonOption(
    addConfigOptions(letters.command('list').description('list the dead letters, without their text')),
  ).action(async (options: ConfigOptions & JsonOption) => {
    const all = await (await runningSupervisor(options)).deadLetters();
    if (options.json === true) {
      printJson(all);
      return;
    }
    printTable(
      ['ID', 'AGENT', 'REASON', 'ATTEMPTS', 'DIED', 'ERROR'],
      all.map(({ id, agent, reason, attempts, diedAt, error }) => [
        id,
        agent,
        reason,
        String(attempts),
        new Date(diedAt).toISOString(),
        error?.code ?? '',
      ]),
    );
  });
  const show = letters.command('show').argument('<id>').description('show a dead letter with its message');
  addJsonOption(addConfigOptions(show)).action(async (id: string, options: ConfigOptions & JsonOption) => {
    const letter = await (await runningSupervisor(options)).deadLetter(id);
    if (options.json === true) {
      printJson(letter);
      return;
    }
    const { inbound, error } = letter;
    printLine(`id:        ${letter.id}`);
    printLine(`agent:     ${letter.agent}`);
    printLine(`reason:    ${letter.reason} after ${letter.attempts} ${letter.attempts === 1 ? 'attempt' : 'attempts'}`);
    printLine(`died:      ${new Date(letter.diedAt).toISOString()}`);
    printLine(`channel:   ${inbound.channel}`);
    printLine(`namespace: ${inbound.namespace}`);
    if (error !== undefined)
      printLine(`error:     ${error.message}${error.code === undefined ? '' : ` (${error.code})`}`);
    printLine('');
    printLine(inbound.message.content);
  });
}
