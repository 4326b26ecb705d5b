/**
 * Owns the regular look at every slot: its heartbeat, its loop utilization, its overdue calls, and the threads that do not
 * end after a kill.
 */
import type { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import { OrreryError } from '../../protocol/index.ts';
import type { Slot } from '../pool/index.ts';
import { HeartbeatJudge } from '../supervision/index.ts';

export interface MonitorOptions {
  readonly slots: readonly Slot[];
  readonly heartbeatMs: number;
  readonly lookMs: number;
  readonly killAfterMs: number;
  readonly log: Logger;
  /** Hears that so many killed threads live on that the process should be replaced. */
  readonly onTooManyZombies: (zombies: number) => void;
}

/** A killed thread that has not ended by then is a zombie: native code holds it. */
export const ZOMBIE_AFTER_MS = 5_000;
export const MAX_ZOMBIES = 3;
/** A thread that is only coming up has its modules to load before its first beat. */
const MIN_STARTUP_MS = 30_000;

interface Watched {
  readonly generation: number;
  readonly judge: HeartbeatJudge;
}

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #watched = new WeakMap<Slot, Watched>();
  readonly #pending = new Set<NodeJS.Timeout>();
  readonly #zombies = new Set<Worker>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  get zombies(): number {
    return this.#zombies.size;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(performance.now()), this.#options.lookMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const timer of this.#pending) clearTimeout(timer);
    this.#pending.clear();
  }

  #look(now: number): void {
    for (const slot of this.#options.slots) {
      if (slot.state.status === 'exited') continue;
      slot.remote.sweep(now);
      slot.measure();
      this.#judge(slot, now);
    }
  }

  #judge(slot: Slot, now: number): void {
    const { judge } = this.#watch(slot, now);
    const judgement = judge.look(slot.pulse.beat, now);
    if (judgement === 'skipped') return;
    const silenceMs = judge.silenceMs(now);
    if (judgement === 'kill') {
      if (slot.state.status !== 'starting' || silenceMs >= MIN_STARTUP_MS) this.#kill(slot, silenceMs);
      return;
    }
    slot.judged(judgement === 'silent', Date.now());
  }

  #kill(slot: Slot, silenceMs: number): void {
    const seconds = (silenceMs / 1000).toFixed(1);
    const error = new OrreryError(
      'ORRERY_WORKER_UNRESPONSIVE',
      `Slot ${slot.label} did not come back to its loop for ${seconds} s and was killed`,
      {
        details: { slot: slot.label },
      },
    );
    const worker = slot.thread;
    slot.kill(error);
    if (worker) this.#awaitEnd(worker, slot.label);
  }

  #awaitEnd(worker: Worker, slot: string): void {
    const timer = setTimeout(() => {
      this.#pending.delete(timer);
      // An ended worker's id is -1.
      if (worker.threadId < 0) return;
      this.#zombies.add(worker);
      worker.once('exit', () => this.#zombies.delete(worker));
      this.#options.log.error({ slot, zombies: this.#zombies.size }, 'a killed thread lives on: native code holds it');
      if (this.#zombies.size >= MAX_ZOMBIES) this.#options.onTooManyZombies(this.#zombies.size);
    }, ZOMBIE_AFTER_MS);
    this.#pending.add(timer);
  }

  #watch(slot: Slot, now: number): Watched {
    const known = this.#watched.get(slot);
    if (known?.generation === slot.generation) return known;
    const { lookMs, killAfterMs, heartbeatMs } = this.#options;
    const silentAfterMs = Math.min(killAfterMs, Math.max(lookMs, heartbeatMs * 4) * 1.5);
    const watched = {
      generation: slot.generation,
      judge: new HeartbeatJudge({ lookMs, silentAfterMs, killAfterMs }, now),
    };
    this.#watched.set(slot, watched);
    return watched;
  }
}

/** Tells of a state that only a new process mends. */
export function tooManyZombies(log: Logger, onFatal?: (error: OrreryError) => void): (zombies: number) => void {
  return (zombies) => {
    const message = `${zombies} killed threads live on: only a new process gets rid of them`;
    log.fatal({ zombies }, message);
    onFatal?.(new OrreryError('ORRERY_INTERNAL', message));
  };
}
