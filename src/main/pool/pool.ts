/**
 * Owns the slots, and what carries them: one piscina pool for the shared ones and one of a single thread for each dedicated one,
 * since piscina's limits and environment are pool-wide, and a child process for each slot in a process of its own. It does not
 * know agents.
 *
 * Each thread runs one resident task, exactly as many as there are threads. So a pool never queues, its thread count never
 * changes, and aborting a task's signal kills exactly one slot.
 */
import { Piscina } from 'piscina';
import type { Logger } from 'pino';
import { OrreryError, type ResidentTask, type SessionsTask, type WorkerLog } from '../../protocol/index.ts';
import type { Carrier, Launch } from './carrier.ts';
import { type ChildBook, ChildCarrier } from './child.ts';
import { scrubbedEnv } from './env.ts';
import { Slot, type SlotEvents, type SlotIsolation } from './slot.ts';
import { ThreadCarrier } from './thread.ts';

/**
 * At its heap limit Node grants a thread a little more, and ends it. V8's own young generation is so large by now that what survives of it may
 * exceed even that at once, and then the whole process aborts: seen with lists of small objects, in a thread that was busy before.
 */
const YOUNG_HEAP_MB = 48;

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
  /** Knows which child processes live. Default: nobody. */
  readonly children?: ChildBook;
  readonly workerLog: WorkerLog;
  readonly events: SlotEvents;
  readonly log: Logger;
  readonly env: NodeJS.ProcessEnv;
}

/** Of a slot for one agent, on a thread or in a process of its own. */
export interface OwnSlotOptions {
  readonly label: string;
  readonly maxHeapMb?: number;
  /** The variables that the agent lists: they are also in `process.env` there. */
  readonly env: Readonly<Record<string, string>>;
}

/** The worker's entry beside this file's own form: TypeScript in a checkout, JavaScript in a package. */
const ENTRY = new URL(`../../worker/entry${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

export class Pool {
  readonly #options: PoolOptions;
  readonly #pools = new Set<Piscina>();
  readonly #slots: Slot[] = [];
  readonly #shared: Slot[] = [];
  /** The pools of one thread, by their slots. */
  readonly #alones = new Map<Slot, Piscina>();
  /** Gives the threads of a quarantine slot back. */
  readonly #resting = new Map<Slot, () => Promise<void>>();
  #numbers = 0;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    if (options.threads === 0) return;
    const piscina = this.#piscina(options.threads, options.maxHeapMb, scrubbedEnv(options.env));
    for (let i = 0; i < options.threads; i++)
      this.#shared.push(
        this.#slot(
          `shared-${i}`,
          'shared',
          this.#onThread(() => piscina),
        ),
      );
  }

  get slots(): readonly Slot[] {
    return this.#slots;
  }

  get shared(): readonly Slot[] {
    return this.#shared;
  }

  /** Adds a slot with a thread, a heap limit and an environment of its own. */
  dedicated({ label, maxHeapMb, env }: OwnSlotOptions): Slot {
    return this.#alone(label, 'dedicated', this.#piscina(1, maxHeapMb, scrubbedEnv(this.#options.env, env)));
  }

  /** Adds a shared slot to those that were there from the start. Its thread is new: no module of an agent was loaded there. */
  further(label: string): Slot {
    const { maxHeapMb, env } = this.#options;
    return this.#alone(label, 'shared', this.#piscina(1, maxHeapMb, scrubbedEnv(env)));
  }

  /** Whether a slot can be taken away: any but the shared ones that were there from the start, and those for quarantine. */
  isRemovable(slot: Slot): boolean {
    return !slot.quarantine && !this.#shared.includes(slot);
  }

  /** Takes away a slot that has ended for good, with the thread that it had to itself. */
  async remove(slot: Slot): Promise<void> {
    const at = this.#slots.indexOf(slot);
    if (at < 0 || slot.state.status !== 'exited') return;
    this.#slots.splice(at, 1);
    const piscina = this.#alones.get(slot);
    const rest = this.#resting.get(slot);
    this.#alones.delete(slot);
    this.#resting.delete(slot);
    if (piscina) this.#pools.delete(piscina);
    await Promise.all([piscina?.destroy(), rest?.()]);
  }

  /**
   * Adds a slot for trials: on a thread, which it has only from its start until {@link rest}, or in a process. Its heap limit and
   * environment are those of the agents that it is for.
   */
  quarantine(options: OwnSlotOptions, place: 'thread' | 'process'): Slot {
    if (place === 'process') return this.#slot(options.label, 'process', this.#inProcess(options), true);
    let piscina: Piscina | undefined;
    const env = scrubbedEnv(this.#options.env, options.env);
    const launch = this.#onThread(() => (piscina ??= this.#piscina(1, options.maxHeapMb, env)));
    const slot = this.#slot(options.label, 'shared', launch, true);
    this.#resting.set(slot, async () => {
      const used = piscina;
      piscina = undefined;
      if (!used) return;
      this.#pools.delete(used);
      await used.destroy();
    });
    return slot;
  }

  /** Ends the thread of a quarantine slot that was stopped. */
  async rest(slot: Slot): Promise<void> {
    await this.#resting.get(slot)?.();
  }

  /** Adds a slot with a process of its own, which nothing that happens in it can reach out of. */
  process(options: OwnSlotOptions): Slot {
    return this.#slot(options.label, 'process', this.#inProcess(options));
  }

  /** Ends every thread and process that is left. Slots are stopped before: a pool that is closed under residents kills them. */
  async close(): Promise<void> {
    this.#closed = true;
    const cause = new OrreryError('ORRERY_CLOSED', 'The pool was closed');
    for (const slot of this.#slots) slot.kill(cause);
    await Promise.all(this.#slots.map((slot) => slot.ended));
    await Promise.all([...this.#pools].map((pool) => pool.destroy()));
  }

  #alone(label: string, isolation: SlotIsolation, piscina: Piscina): Slot {
    const slot = this.#slot(
      label,
      isolation,
      this.#onThread(() => piscina),
    );
    this.#alones.set(slot, piscina);
    return slot;
  }

  #onThread(piscina: () => Piscina): Launch {
    return (task) => new ThreadCarrier(piscina(), task, this.#options.images?.() ?? {});
  }

  #inProcess({ label, maxHeapMb, env }: OwnSlotOptions): Launch {
    const { log, children = NO_BOOK } = this.#options;
    return (task) => {
      try {
        return new ChildCarrier(task, {
          label,
          ...(maxHeapMb === undefined ? {} : { maxHeapMb }),
          env: scrubbedEnv(this.#options.env, env),
          output: (text, pid) => log.warn({ slot: label, generation: task.generation, pid }, text),
          book: children,
        });
      } catch (cause) {
        return stillborn(cause);
      }
    };
  }

  #slot(label: string, isolation: SlotIsolation, launch: Launch, quarantine = false): Slot {
    const slot = new Slot({
      label,
      number: this.#numbers++,
      isolation,
      quarantine,
      // Piscina reopens itself when a closed pool is given a task: nothing may reach it then.
      launch: (task) => {
        if (this.#closed) throw new OrreryError('ORRERY_CLOSED', 'The pool was closed');
        return launch(task);
      },
      heartbeatMs: this.#options.heartbeatMs,
      turnTimeoutMs: this.#options.turnTimeoutMs,
      sessions: this.#options.sessions ?? { store: 'memory' },
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
      ...(maxHeapMb === undefined
        ? {}
        : { resourceLimits: { maxOldGenerationSizeMb: maxHeapMb, maxYoungGenerationSizeMb: YOUNG_HEAP_MB } }),
    });
    // An idle worker's crash is an `error` event, and one without a listener ends the process.
    piscina.on('error', (error: unknown) => this.#options.log.error({ err: error }, 'a pool thread failed while idle'));
    this.#pools.add(piscina);
    return piscina;
  }
}

const NO_BOOK: ChildBook = { began: () => undefined, ended: () => undefined };

/** A generation that could not begin, for want of memory or descriptors: its end is told as any other, and it is tried again. */
function stillborn(cause: unknown): Carrier {
  const line = { postMessage: () => undefined, on: () => undefined, close: () => undefined, unref: () => undefined };
  return {
    calls: line,
    deltas: line,
    ended: Promise.resolve({ exit: 'crashed', cause }),
    word: () => 0,
    measure: () => 0,
    kill: () => undefined,
    thread: undefined,
    pid: undefined,
  };
}
