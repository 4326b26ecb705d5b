/** Owns the command line as a whole: which verbs there are, and what becomes of an error. Each verb has a file of its own. */
import { Command, CommanderError } from 'commander';
import { registerAgents } from './agents.ts';
import { registerBench } from './bench.ts';
import { registerChannels } from './channels.ts';
import { registerChat } from './chat.ts';
import { registerConfig } from './config.ts';
import { registerDeadLetters } from './dead-letters.ts';
import { registerDrain } from './drain.ts';
import { registerInit } from './init.ts';
import { exitCodeOf, printError } from './output.ts';
import { registerReload } from './reload.ts';
import { registerServe } from './serve.ts';
import { registerStatus } from './status.ts';
import { registerTokens } from './tokens.ts';
import { VERSION } from '../ops/version.ts';

/** Runs a command line (without Node and the script) and sets the process's exit code. Never rejects. */
export async function main(args: readonly string[]): Promise<void> {
  const program = createProgram();
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      // Its message is already written. Help and version are no errors; everything else of commander's is wrong usage.
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    printError(error, args.includes('--json'));
    process.exitCode = exitCodeOf(error);
  }
}

export function createProgram(): Command {
  const program = new Command('orrery')
    .description('Hosts many LLM agents in one process and keeps them answering.')
    .version(VERSION, '-V, --version')
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: false });
  for (const register of [
    registerServe,
    registerInit,
    registerChat,
    registerStatus,
    registerChannels,
    registerAgents,
    registerDeadLetters,
    registerReload,
    registerDrain,
    registerTokens,
    registerBench,
    registerConfig,
  ]) {
    register(program);
  }
  return program;
}
