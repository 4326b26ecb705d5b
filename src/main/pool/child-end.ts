/** Owns what the end of a child process means. Pure functions. */
import { type WireError, reviveError } from '../../protocol/index.ts';
import type { CarrierEnd } from './carrier.ts';

export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Whether it said before that it was stopped as asked. */
  readonly stopped: boolean;
  /** The uncaught error that it said it dies of. */
  readonly error: WireError | undefined;
  /** The end of what it wrote to standard error. */
  readonly output: string;
}

/** How V8 and Node abort, as a signal and as a shell's code for it. */
const ABORTS: ReadonlySet<string | number | null> = new Set(['SIGABRT', 'SIGTRAP', 'SIGILL', 134, 133, 132]);
/** V8 says it in either way, in the line of its fatal error: of the heap, and of its own memory. */
const OUT_OF_MEMORY = /heap out of memory|Fatal (?:JavaScript|process) out of memory/;

export function childEnd({ code, signal, stopped, error, output }: ChildExit): CarrierEnd {
  if (stopped && code === 0) return { exit: 'clean' };
  if (error) return { exit: 'crashed', cause: reviveError(error) };
  const aborted = ABORTS.has(signal) || ABORTS.has(code);
  const fatal = aborted ? fatalLine(output) : undefined;
  const how = signal === null ? `its process exited with code: ${code ?? 'unknown'}` : `${signal} ended its process`;
  const cause = new Error(fatal === undefined ? how : `${how} (${fatal})`);
  if (aborted && OUT_OF_MEMORY.test(output)) return { exit: 'oom', cause };
  return code === null ? { exit: 'crashed', cause } : { exit: 'crashed', cause, exitCode: code };
}

/** The line in which V8 or Node says why it gave up. */
function fatalLine(output: string): string | undefined {
  return /^.*(?:FATAL ERROR: |Fatal error|Fatal JavaScript|Fatal process|Assertion failed|Check failed).*$/m
    .exec(output)?.[0]
    .trim()
    .slice(0, MAX_FATAL);
}

const MAX_FATAL = 300;
