/** Owns `orrery drain`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { type ConfigOptions, type JsonOption, addConfigOptions, addJsonOption, loadOptions } from './options.ts';
import { Exit, duration, printJson, printLine } from './output.ts';

/** After its report the supervisor closes what is left; the command waits so that another can be started after it. */
const END_WAIT_MS = 10_000;
const END_LOOK_MS = 25;

export function registerDrain(program: Command): void {
  const command = program
    .command('drain')
    .description('finish what was accepted, stop the agents and end the running supervisor')
    .option('--timeout-ms <n>', 'the deadline in milliseconds (default: `shutdown.timeoutMs`)', milliseconds);
  addJsonOption(addConfigOptions(command)).action(
    async (options: ConfigOptions & JsonOption & { readonly timeoutMs?: number }) => {
      const [{ locateDataDir }, { findControl }, { readRecord }] = await Promise.all([
        import('../config/index.ts'),
        import('../ops/control-client.ts'),
        import('../ops/lock.ts'),
      ]);
      const dataDir = await locateDataDir(loadOptions(options));
      const control = findControl(dataDir);
      const { timeoutMs } = options;
      const report = await control.drain(timeoutMs === undefined ? {} : { timeoutMs });
      const deadline = Date.now() + END_WAIT_MS;
      while (readRecord(dataDir)?.pid === control.pid && Date.now() < deadline) await sleep(END_LOOK_MS);
      if (options.json === true) printJson(report);
      else {
        const what = report.clean ? 'drained' : `cut off with ${report.unfinished} unfinished`;
        printLine(`The supervisor was ${what} after ${duration(report.durationMs)}.`);
      }
      if (!report.clean) throw new Exit(1);
    },
  );
}

function milliseconds(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('Expected milliseconds, 0 or more.');
  return value;
}
