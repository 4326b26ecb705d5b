/** Owns what the driver and the supervisor's process say to each other, and what that process says to its threads. */
import type { Accepted, InboundMessage } from '../../src/protocol/index.ts';
import type { MainPoint, ThreadEnd, ThreadPoint } from './plan.ts';

/** Channels inside of the host's process; a network with idempotency keys, and one without. */
export type InProcess = 'keyed' | 'keyless';
export const IN_PROCESS: readonly InProcess[] = ['keyed', 'keyless'];

/** Ends the process, or the thread that comes by. */
export type Ending = 'process' | ThreadEnd;

export interface Arming {
  readonly point: MainPoint | ThreadPoint | 'recovery';
  /** At which time that somebody comes by. */
  readonly nth: number;
  readonly ending: Ending;
  readonly delayMs: number;
}

export interface Asks {
  /** Ends a thread that has turns under way; answers how many, once another one is there in its place. */
  readonly endThread: [{ readonly end: ThreadEnd }, { readonly running: number }];
  readonly endJournalThread: [Record<string, never>, { readonly ended: boolean }];
  readonly arm: [Arming, true];
  readonly disarm: [Record<string, never>, true];
  /** Lets turns that are held begin their work. */
  readonly release: [Record<string, never>, true];
  /** Resolves when all slots are ready. */
  readonly ready: [Record<string, never>, true];
  readonly resources: [{ readonly collect: boolean }, Resources];
}

/** What the host's process holds, as it sees itself. */
export interface Resources {
  readonly workers: number;
  readonly handles: Readonly<Record<string, number>>;
  readonly heapBytes: number;
}

export type ToHost =
  | { readonly type: 'message'; readonly inbound: InboundMessage }
  | { readonly type: 'ask'; readonly n: number; readonly what: keyof Asks; readonly argument: object };

export type FromHost =
  | { readonly type: 'up'; readonly url: string }
  | { readonly type: 'answer'; readonly n: number; readonly value?: unknown; readonly error?: string }
  | { readonly type: 'hit'; readonly point: string; readonly ending: Ending }
  | { readonly type: 'accepted'; readonly channel: InProcess; readonly id: string; readonly accepted: Accepted }
  | { readonly type: 'refused'; readonly channel: InProcess; readonly id: string; readonly code: string }
  | {
      readonly type: 'reply';
      readonly channel: InProcess;
      readonly id: string;
      readonly key: string;
      readonly namespace: string;
      readonly text: string;
    }
  | {
      readonly type: 'error';
      readonly channel: InProcess;
      readonly id: string;
      readonly key: string;
      readonly code: string;
    };

/** The name of the broadcast channel between the host's main thread and the agents' threads. */
export const THREADS = 'orrery-chaos';

export type ToThreads =
  | { readonly type: 'end'; readonly thread: number; readonly end: ThreadEnd }
  | ({ readonly type: 'arm' } & Arming)
  | { readonly type: 'disarm' }
  | { readonly type: 'release' };

export type FromThreads =
  | { readonly type: 'here'; readonly thread: number; readonly runtime: string }
  | { readonly type: 'hit'; readonly thread: number; readonly point: ThreadPoint; readonly ending: Ending };

/** Where the host's process leaves what it held at its end, in the run's directory. */
export const LEFT_FILE = 'left.json';
/** Where a process that kills itself says so first. */
export const KILLS_FILE = 'kills.log';
