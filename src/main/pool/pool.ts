/**
 * Owns piscina: one pool for the shared slots and one pool of a single thread for each dedicated one, since piscina's
 * limits and environment are pool-wide. It gives slots; it does not know agents.
 *
 * Each thread runs one resident task, exactly as many as there are threads. So a pool never queues, its thread count never
 * changes, and aborting a task's signal kills exactly one slot.
 */
import { Piscina } from 'piscina';
import type { Logger } from 'pino';
import { OrreryError, type ResidentTask, type SessionsTask, type WorkerLog } from '../../protocol/index.ts';
import { scrubbedEnv } from './env.ts';
import { Slot, type SlotEvents } from './slot.ts';

export interface PoolOptions {
  /** Shared threads. */
  readonly threads: number;
  readonly maxHeapMb?: number;
  readonly heartbeatMs: number;
  readonly turnTimeoutMs: number;
  /** Default: in memory. */
  readonly sessions?: SessionsTask;
  /** Default: none; agents cannot count then. */
  readonly images?: () => ResidentTask['images'];
  readonly workerLog: WorkerLog;
  readonly events: SlotEvents;
  readonly log: Logger;
  readonly env: NodeJS.ProcessEnv;
}

export interface DedicatedOptions {
  readonly label: string;
  readonly maxHeapMb?: number;
  /** The variables that the agent lists: they are also in the thread's `process.env`. */
  readonly env: Readonly<Record<string, string>>;
}

/** The worker's entry beside this file's own form: TypeScript in a checkout, JavaScript in a package. */
const ENTRY = new URL(`../../worker/entry${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

export class Pool {
  readonly #options: PoolOptions;
  readonly #pools: Piscina[] = [];
  readonly #slots: Slot[] = [];
  readonly #shared: Slot[] = [];
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    if (options.threads === 0) return;
    const piscina = this.#piscina(options.threads, options.maxHeapMb, scrubbedEnv(options.env));
    for (let i = 0; i < options.threads; i++) this.#shared.push(this.#slot(piscina, `shared-${i}`, false));
  }

  get slots(): readonly Slot[] {
    return this.#slots;
  }

  get shared(): readonly Slot[] {
    return this.#shared;
  }

  /** Adds a slot with a thread, a heap limit and an environment of its own. */
  dedicated(options: DedicatedOptions): Slot {
    const piscina = this.#piscina(1, options.maxHeapMb, scrubbedEnv(this.#options.env, options.env));
    return this.#slot(piscina, options.label, true);
  }

  /** Ends every thread that is left. Slots are stopped before: a pool that is closed under residents kills them. */
  async close(): Promise<void> {
    this.#closed = true;
    const cause = new OrreryError('ORRERY_CLOSED', 'The pool was closed');
    for (const slot of this.#slots) slot.kill(cause);
    await Promise.all(this.#slots.map((slot) => slot.ended));
    await Promise.all(this.#pools.map((pool) => pool.destroy()));
  }

  #slot(piscina: Piscina, label: string, dedicated: boolean): Slot {
    const slot = new Slot({
      label,
      number: this.#slots.length,
      dedicated,
      // Piscina reopens itself when a closed pool is given a task: nothing may reach it then.
      piscina: () => {
        if (this.#closed) throw new OrreryError('ORRERY_CLOSED', 'The pool was closed');
        return piscina;
      },
      heartbeatMs: this.#options.heartbeatMs,
      turnTimeoutMs: this.#options.turnTimeoutMs,
      sessions: this.#options.sessions ?? { store: 'memory' },
      images: this.#options.images ?? (() => ({})),
      log: this.#options.workerLog,
      events: this.#options.events,
    });
    this.#slots.push(slot);
    return slot;
  }

  #piscina(threads: number, maxHeapMb: number | undefined, env: Record<string, string>): Piscina {
    const piscina = new Piscina({
      filename: ENTRY.href,
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: 1,
      maxQueue: threads,
      // With atomics an idle worker blocks in Atomics.wait, and its ports, timers and sockets starve.
      atomics: 'disabled',
      idleTimeout: Infinity,
      recordTiming: false,
      env,
      ...(maxHeapMb === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } }),
    });
    // An idle worker's crash is an `error` event, and one without a listener ends the process.
    piscina.on('error', (error: unknown) => this.#options.log.error({ err: error }, 'a pool thread failed while idle'));
    this.#pools.push(piscina);
    return piscina;
  }
}
