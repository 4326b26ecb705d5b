/** Owns `orrery config check`. */
import { relative } from 'node:path';
import type { Command } from 'commander';
import { type ConfigOptions, type JsonOption, addConfigOptions, addJsonOption, loadOptions } from './options.ts';
import { printJson, printLine } from './output.ts';

export function registerConfig(program: Command): void {
  const config = program.command('config').description('look at the configuration');
  const check = config.command('check').description('validate the configuration; nothing is started');
  addJsonOption(addConfigOptions(check)).action(async (options: ConfigOptions & JsonOption) => {
    const { loadConfig } = await import('../config/index.ts');
    const { file, agents, channels, defaultAgent, dataDir, warnings = [] } = await loadConfig(loadOptions(options));
    const names = Object.keys(agents);
    if (options.json === true) {
      printJson({
        ok: true,
        file: file ?? null,
        dataDir,
        agents: names,
        defaultAgent,
        channels: Object.keys(channels),
        warnings,
      });
      return;
    }
    for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
    const what =
      file === undefined ? 'No configuration file was found; the built-in one' : relative(process.cwd(), file);
    printLine(
      `${what} is fine: agents ${names.join(', ')} (default: ${defaultAgent}); channels ${list(Object.keys(channels))}.`,
    );
  });
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(', ');
}
