/** Owns what a tool can learn of the call that it serves, beyond its input: by the options object that it was given. */
import { OrreryError } from '../../protocol/errors.ts';
import type { Turn } from '../definition.ts';

/** One call of a tool. */
export interface ToolRun {
  /**
   * Names the call: delivery, step and place among the step's calls. The same at every attempt of the turn, so a key for
   * effects that must not happen twice. A model may ask for something else the next time: keep the input with it.
   */
  readonly key: string;
  readonly turn: Turn;
  /** Aborts with the turn. */
  readonly signal: AbortSignal;
}

const runs = new WeakMap<object, ToolRun>();

/** Ties a call to the options that its tool gets. */
export function tieRun(options: object, run: ToolRun): void {
  runs.set(options, run);
}

/**
 * Returns the call behind the options of a tool's `execute`, the object itself and no copy. Throws `ORRERY_AGENT_FAILED` where
 * the tool was not called by a model agent.
 */
export function toolRun(options: object): ToolRun {
  const run = runs.get(options);
  if (run) return run;
  throw new OrreryError('ORRERY_AGENT_FAILED', 'Expected the options that a model agent gave to a tool', {
    hint: 'Pass the second argument of `execute` on as it is.',
  });
}
