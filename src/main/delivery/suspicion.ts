/**
 * Owns the decisions about who ended a slot, or the process: what the end of a trial shows, and how a delivery that an earlier
 * process left is to be run. Pure; running the trials is the quarantine's.
 */

/** Where a suspect is run: a thread protects the other threads, a process also from what ends a whole process. */
export type TrialPlace = 'thread' | 'process';

/** Why a delivery is run apart; all suspects of one end share it. */
export interface Suspicion {
  /** What it may have ended; `agent`: nothing, but its agent runs nowhere else now. */
  readonly of: 'slot' | 'process' | 'agent';
  /** The slot that ended. */
  readonly slot?: number;
  readonly place: TrialPlace;
  /** It is known to have thrown or exited: each further end is an attempt, and may have been chance until the last of them. */
  readonly known: boolean;
}

/** How the slot of a trial ended. */
export interface TrialEnd {
  /** The turn had begun. */
  readonly begun: boolean;
  /** It was the first turn of this thread: nothing that an earlier one left behind can have done it. */
  readonly first: boolean;
  /** Whether the dying thread named this turn; undefined when it named none. */
  readonly named: boolean | undefined;
  /** A blocked loop or a full heap. */
  readonly telling: boolean;
  readonly hasAttempts: boolean;
}

/** `poison`: it did it, and is given up. `retry`: it did it, and is tried again, counted. `again`: that showed nothing. */
export type Verdict = 'poison' | 'retry' | 'again';

/** Judges a turn that was alone on its slot when that ended. */
export function judge({ begun, first, named, telling, hasAttempts }: TrialEnd): Verdict {
  if (!begun || named === false) return 'again';
  if (named === undefined && !first) return 'again';
  return !telling && hasAttempts ? 'retry' : 'poison';
}

/** What a journal knows of a delivery that an earlier process left. */
export interface LeftDelivery {
  /** Unclean ends of the process that it was unfinished at. */
  readonly crashes: number;
  /** Whether a slot is known to have had it at the last one. A slot may have been given it in the last moment, which the journal then missed. */
  readonly dispatched: boolean;
}

export interface CrashLimits {
  /** Ends of the process from which on a suspect is run singly in a thread. Default 1. */
  readonly toThread: number;
  /** Ends from which on it is run in a process of its own. Default 2. */
  readonly toProcess: number;
  /** Ends at which it is given up. Default 3. */
  readonly toPoison: number;
}

export const DEFAULT_CRASH_LIMITS: CrashLimits = { toThread: 1, toProcess: 2, toPoison: 3 };

export type RecoveryPlan = 'normal' | 'quarantine-thread' | 'quarantine-process' | 'poison';

/**
 * Decides how a delivery that an earlier process left is run. One that only waited at the end is no suspect of it, as far as the journal knows:
 * after repeated ends it is run where it harms nobody, and never given up for them.
 */
export function planRecovery(
  { crashes, dispatched }: LeftDelivery,
  limits: CrashLimits = DEFAULT_CRASH_LIMITS,
): RecoveryPlan {
  if (dispatched && crashes >= limits.toPoison) return 'poison';
  if (crashes >= limits.toProcess) return 'quarantine-process';
  return dispatched && crashes >= limits.toThread ? 'quarantine-thread' : 'normal';
}
