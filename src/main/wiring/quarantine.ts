/**
 * Owns the slot on which suspects are tried: there is one at a time, it comes up when it is asked for, with the limits and the
 * environment of the agent that is tried, and its thread ends when it had nothing to do for a while. Who is tried, and what a trial
 * shows, is delivery's.
 *
 * The agent runs there as `NAME#quarantine`, a runtime with an epoch of its own: it commits to the same sessions, and fences out
 * nothing but an earlier start of itself. Its replica goes on meanwhile with all sessions that are not held.
 */
import type { Logger } from 'pino';
import { type AgentStartResult, OrreryError, type RuntimeId, asOrreryError, fromWire } from '../../protocol/index.ts';
import type { ResolvedAgent } from '../config/types.ts';
import type { Trial, TrialPlace, TrialRequest } from '../delivery/index.ts';
import type { Pool, Slot, SlotEnd } from '../pool/index.ts';
import { specOf } from './spec.ts';
import { turnHostOf } from './turn-host.ts';

/** How long the thread is kept without a suspect, in milliseconds: those that one poisoned sender brings come close together. */
export const QUARANTINE_IDLE_MS = 30_000;
/** What an agent gets to stop in when the thread ends, in milliseconds. */
const STOP_MS = 2_000;

/** Of whom a trial is. */
export interface Tried {
  readonly agent: ResolvedAgent;
  readonly number: number;
}

export interface QuarantineSlotsOptions {
  readonly pool: Pool;
  /** Of the shared slots; a dedicated agent has its own. */
  readonly maxHeapMb: number | undefined;
  readonly log: Logger;
  readonly find: (runtime: RuntimeId) => Tried | undefined;
  /** Default {@link QUARANTINE_IDLE_MS}. */
  readonly idleMs?: number;
  /** Hears of a slot that was taken away. */
  readonly gone?: (slot: Slot) => void;
}

export class QuarantineSlots {
  readonly #options: QuarantineSlotsOptions;
  /** By their labels: one for all shared agents, and one for each agent with limits and an environment of its own. */
  readonly #slots = new Map<string, Slot>();
  #present: Slot | undefined;
  /** Runtimes that were started in the present generation. */
  readonly #started = new Set<RuntimeId>();
  #coming: PromiseWithResolvers<void> | undefined;
  #ending: Promise<void> | undefined;
  #idle: NodeJS.Timeout | undefined;
  #isStale = false;
  #closed = false;

  constructor(options: QuarantineSlotsOptions) {
    this.#options = options;
  }

  /** Brings the slot up with the agent. Rejects with what the agent's start threw, or with the slot's end; once closed, with `ORRERY_DRAINING` whatever it was. */
  async open(request: TrialRequest): Promise<Trial> {
    try {
      return await this.#open(request);
    } catch (error) {
      throw this.#closed ? draining() : error;
    }
  }

  async #open({ runtime, place }: TrialRequest): Promise<Trial> {
    clearTimeout(this.#idle);
    const tried = this.#options.find(runtime);
    if (!tried) throw new OrreryError('ORRERY_INTERNAL', `There is no runtime ${runtime}`);
    await this.#ending;
    if (this.#isStale) await this.#renew();
    const slot = this.#slotOf(tried.agent, place);
    // Threads that nobody needs are not kept: another agent's slot ends first.
    if (this.#present && this.#present !== slot) await this.#end();
    this.#present = slot;
    if (slot.state.status !== 'ready' && slot.state.status !== 'unresponsive') await this.#up(slot);
    const trial = { host: turnHostOf(slot), runtime: `${tried.agent.name}#quarantine` };
    if (!this.#started.has(trial.runtime)) await this.#start(slot, tried, trial.runtime);
    this.#options.log.debug({ agent: runtime, slot: slot.label, place }, 'a turn is tried alone');
    return trial;
  }

  /** An agent has another form now: the next trial is not to be run in a thread that knows an earlier one. */
  outdated(): void {
    this.#isStale = true;
  }

  /** Ends the thread later, unless it is asked for before. */
  rest(): void {
    clearTimeout(this.#idle);
    if (!this.#present || this.#closed) return;
    this.#idle = setTimeout(() => {
      this.#ending = this.#end();
    }, this.#options.idleMs ?? QUARANTINE_IDLE_MS);
  }

  ready(): void {
    this.#coming?.resolve();
  }

  exited(end: SlotEnd): void {
    this.#started.clear();
    this.#coming?.reject(end.error);
  }

  /** Nothing is tried any more; the slots are stopped with all others. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#idle);
  }

  /** Never in a thread what has a process of its own: it may end more than a thread. */
  #slotOf({ name, isolation, limits, env }: ResolvedAgent, asked: TrialPlace): Slot {
    const place = isolation === 'process' ? 'process' : asked;
    const isShared = isolation === 'shared';
    const label = ['quarantine', ...(isShared ? [] : [name]), ...(place === 'process' ? [place] : [])].join('-');
    const known = this.#slots.get(label);
    if (known) return known;
    // The same as where it died: more would show nothing, and less might kill an innocent.
    const maxHeapMb = isShared ? this.#options.maxHeapMb : limits.maxHeapMb;
    const own = isShared ? {} : env;
    const slot = this.#options.pool.quarantine(
      { label, env: own, ...(maxHeapMb === undefined ? {} : { maxHeapMb }) },
      place,
    );
    this.#slots.set(label, slot);
    return slot;
  }

  async #up(slot: Slot): Promise<void> {
    if (this.#closed) throw draining();
    // One that is on its way out is waited for: only an exited slot can begin a generation.
    if (slot.state.status === 'draining') await slot.ended;
    this.#coming = Promise.withResolvers();
    if (slot.state.status === 'exited') slot.start();
    try {
      await this.#coming.promise;
    } finally {
      this.#coming = undefined;
    }
  }

  async #start(slot: Slot, { agent, number }: Tried, runtime: RuntimeId): Promise<void> {
    let result: AgentStartResult | undefined;
    try {
      [result] = await slot.remote.host.startAgents([specOf(agent, runtime, number)]);
    } catch (error) {
      // A start that hangs may still end: only a new generation can begin it anew.
      slot.kill(asOrreryError(error, 'ORRERY_AGENT_START'));
      throw error;
    }
    if (result?.ok === false) throw fromWire(result.error);
    this.#started.add(runtime);
  }

  async #renew(): Promise<void> {
    this.#isStale = false;
    await this.#end();
    for (const slot of this.#slots.values()) {
      this.#options.gone?.(slot);
      await this.#options.pool.remove(slot);
    }
    this.#slots.clear();
  }

  async #end(): Promise<void> {
    const slot = this.#present;
    this.#present = undefined;
    if (!slot) return;
    await slot.stop(STOP_MS);
    await this.#options.pool.rest(slot);
  }
}

function draining(): OrreryError {
  return new OrreryError('ORRERY_DRAINING', 'The supervisor stops');
}
