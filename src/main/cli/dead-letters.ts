/** Owns `orrery dead-letters list|show|replay|drop`. */
import type { Command } from 'commander';
import { type ConfigOptions, type JsonOption, addConfigOptions, addJsonOption, runningSupervisor } from './options.ts';
import { printJson, printLine, printTable } from './output.ts';

export function registerDeadLetters(program: Command): void {
  const letters = program.command('dead-letters').description('messages that could not be answered');
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
  const replay = letters
    .command('replay')
    .argument('<id>')
    .description('run a dead letter again; its reply goes to where the message came from');
  addJsonOption(addConfigOptions(replay)).action(async (id: string, options: ConfigOptions & JsonOption) => {
    const letter = await (await runningSupervisor(options)).replayDeadLetter(id);
    if (options.json === true) printJson({ id: letter.id, agent: letter.agent, status: 'accepted' });
    else printLine(`${letter.id} is run again by ${letter.agent}.`);
  });
  const drop = letters.command('drop').argument('<id>').description('forget a dead letter');
  addJsonOption(addConfigOptions(drop)).action(async (id: string, options: ConfigOptions & JsonOption) => {
    await (await runningSupervisor(options)).dropDeadLetter(id);
    if (options.json === true) printJson({ id, dropped: true });
    else printLine(`${id} is forgotten.`);
  });
}
