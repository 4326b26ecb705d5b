/** Owns the seam between a slot and what carries it, a pool thread or a child process: what a slot may ask of either. */
import type { Worker } from 'node:worker_threads';
import type { Line } from '../../lib/line.ts';
import type { HostTask, SLOT_WORD, SlotExit } from '../../protocol/index.ts';

export type SlotWord = (typeof SLOT_WORD)[keyof typeof SLOT_WORD];

/** One generation of a slot. It was launched, and ends once. */
export interface Carrier {
  /** Comlink's calls. */
  readonly calls: Line;
  /** Text of turns, and credits. */
  readonly deltas: Line;
  /** Never rejects. What a process had sent was handed over before; of a thread {@link Remote.drain} takes it in. */
  readonly ended: Promise<CarrierEnd>;
  /** Reads a word that the agent host keeps; it stays readable after the end. */
  word(word: SlotWord): number;
  /** Returns the loop utilization since the last call, 0 to 1. */
  measure(): number;
  /** Ends it whatever it does; native code in a thread is the one thing that outlives this. Idempotent. */
  kill(): void;
  /** The pool's thread, once it said who it is. */
  readonly thread: Worker | undefined;
  /** The child process's, while it lives. */
  readonly pid: number | undefined;
}

export interface CarrierEnd {
  /** What it looks like from outside; a slot that was killed knows that itself. */
  readonly exit: Exclude<SlotExit, 'killed'>;
  /** What it died of. */
  readonly cause?: unknown;
  /** The code of its own `process.exit`. */
  readonly exitCode?: number;
}

/** Begins a generation. Throws `ORRERY_CLOSED` once the pool is closed, and nothing else: what cannot be started ends. */
export type Launch = (task: HostTask) => Carrier;
