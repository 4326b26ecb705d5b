/** Owns `orrery reload`. */
import type { Command } from 'commander';
import type { NameChanges, ReloadReport } from '../api.ts';
import { type ConfigOptions, type JsonOption, addConfigOptions, addJsonOption, runningSupervisor } from './options.ts';
import { Exit, printJson, printLine } from './output.ts';

export function registerReload(program: Command): void {
  const command = program
    .command('reload')
    .description('have the running supervisor read its configuration again; what did not change is not touched');
  addJsonOption(addConfigOptions(command)).action(async (options: ConfigOptions & JsonOption) => {
    const report = await (await runningSupervisor(options)).reload();
    if (options.json === true) printJson(report);
    else for (const line of reportLines(report)) printLine(line);
    if (report.failed.length > 0) throw new Exit(1);
  });
}

/** Writes a report for people. */
export function reportLines(report: ReloadReport): readonly string[] {
  const { file, agents, channels, routing, defaultAgent, needsRestart, failed, warnings } = report;
  const done = [
    ...changeLines('agent', agents, failed),
    ...changeLines('channel', channels, failed),
    ...(routing ? ['routing replaced'] : []),
    ...(defaultAgent === undefined ? [] : [`default agent is ${defaultAgent} now`]),
  ];
  return [
    `${file ?? 'The configuration'} was read again${done.length === 0 ? '; nothing that can be taken over has changed' : ':'}`,
    ...done.map((line) => `  ${line}`),
    ...failed.map(({ kind, name, error }) => `  ${kind} ${name} FAILED, what was before stays: ${error.message}`),
    ...needsRestart.map((key) => `  ${key} needs a restart of the process; the running value stays`),
    ...warnings.map((warning) => `  warning: ${warning}`),
  ];
}

function changeLines(
  kind: ReloadReport['failed'][number]['kind'],
  changes: NameChanges,
  failed: ReloadReport['failed'],
): readonly string[] {
  const lines = Object.entries(changes) as readonly (readonly [string, readonly string[]])[];
  return lines.flatMap(([what, names]) =>
    names
      .filter((name) => !failed.some((failure) => failure.kind === kind && failure.name === name))
      .map((name) => `${kind} ${name} ${what}`),
  );
}
