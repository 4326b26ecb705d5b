/**
 * Owns the answer to "whose code was that?" when a thread or process dies of an uncaught error or an exit: the asynchronous
 * context of an agent carries its number, and the dying one writes it into its slot's words, the one thing it can still do.
 */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { SLOT_WORD } from '../protocol/index.ts';
import type { Words } from './words.ts';

const current = new AsyncLocalStorage<number>();

/** Runs what it is given, and everything that this starts, as the code of one agent. */
export type RunAs = <T>(work: () => T) => T;

/**
 * Returns the runner of the agent with this number: made once, because a new context for each turn costs a new Map. The resource
 * itself, and not a snapshot, which is such a one behind two functions that copy their arguments.
 */
export function runnerOf(agent: number): RunAs {
  const resource = current.run(agent, () => new AsyncResource('OrreryAgent'));
  return (work) => resource.runInAsyncScope(work);
}

/** The words of the present generation: a thread that was stopped as asked runs the next one too. */
let present: Words | undefined;

/** Writes the guilty agent's number into the slot's words when the thread throws or exits. */
export function installBlame(words: Words): void {
  const installed = present !== undefined;
  present = words;
  if (installed) return;
  const blame = (): void => {
    const agent = current.getStore();
    if (agent !== undefined) present?.store(SLOT_WORD.blamed, agent);
  };
  process.on('uncaughtExceptionMonitor', blame);
  const exit = process.exit.bind(process);
  process.exit = (code?: number | string | null): never => {
    blame();
    return exit(code);
  };
}
