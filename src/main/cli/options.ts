/** Owns the options that several commands share, and what they become. */
import type { Command } from 'commander';
import { OrreryError } from '../../protocol/errors.ts';
import type { LoadOptions, Override } from '../config/index.ts';
import type { Control } from '../ops/control-client.ts';

export interface ConfigOptions {
  readonly config?: string;
  readonly dataDir?: string;
  readonly port?: string;
  readonly host?: string;
}

export interface JsonOption {
  readonly json?: boolean;
}

/** Adds `-c FILE` and `--data-dir DIR`. */
export function addConfigOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'the configuration file (default: found upward from here)')
    .option('--data-dir <dir>', 'the data directory (default: `dataDir` of the configuration)');
}

export function addJsonOption(command: Command): Command {
  return command.option('--json', 'print JSON');
}

/** Turns options into what the configuration's loader takes. */
export function loadOptions(options: ConfigOptions): LoadOptions {
  const overrides: Override[] = [];
  if (options.port !== undefined) overrides.push({ key: 'port', value: options.port, source: '--port' });
  if (options.host !== undefined) overrides.push({ key: 'host', value: options.host, source: '--host' });
  if (options.dataDir !== undefined) overrides.push({ key: 'dataDir', value: options.dataDir, source: '--data-dir' });
  return { overrides, ...(options.config === undefined ? {} : { file: options.config }) };
}

/** Finds the running supervisor. Throws `ORRERY_NOT_RUNNING`. */
export async function runningSupervisor(options: ConfigOptions): Promise<Control> {
  const [{ locateDataDir }, { findControl }] = await Promise.all([
    import('../config/index.ts'),
    import('../ops/control-client.ts'),
  ]);
  return findControl(await locateDataDir(loadOptions(options)));
}

/** Reads what stands behind an option. Throws `ORRERY_BENCH_INVALID`. */
export function benchNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new OrreryError('ORRERY_BENCH_INVALID', `Expected a number after ${option}, got ${JSON.stringify(text)}`);
}

/** An option as it is written, by its name among the values. */
export function writtenOption(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Gathers an option that may be given several times. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
