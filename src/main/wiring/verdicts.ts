/**
 * Owns what a turn that ended its slot means for its agent, and what is known of slots that end with nobody found guilty. It joins
 * delivery's quarantine and the slots for it; how a replica is started, stopped and given up is `agents.ts`'s.
 *
 *   poison, then an answer   -> nothing but a count, as after any other failure
 *   poison after poison (2)  -> quarantined: its turns run singly, and harm nobody; an answer brings it back to its slot
 *   beyond `maxRestarts`     -> escalated: its mailbox answers at once
 */
import type { Logger } from 'pino';
import { type OrreryError, type RuntimeId, toWire } from '../../protocol/index.ts';
import type { ResolvedConfig } from '../config/types.ts';
import type { DeliveryEngine, QuarantineHost, Trial, TrialRequest } from '../delivery/index.ts';
import type { Pool, Slot, SlotEnd } from '../pool/index.ts';
import { QuarantineSlots } from './quarantine.ts';
import { type Replica, applyTo, isLive } from './replica.ts';

export interface VerdictsOptions {
  readonly config: ResolvedConfig;
  readonly pool: Pool;
  readonly engine: DeliveryEngine;
  readonly log: Logger;
  readonly random: () => number;
  readonly find: (runtime: RuntimeId) => Replica | undefined;
  /** Gives an agent up; `why` by default: it failed too often. */
  readonly escalate: (replica: Replica, cause: OrreryError, why?: string) => void;
  readonly stopped: (replica: Replica, cause: OrreryError) => void;
  readonly again: (replica: Replica) => void;
}

/** `restart`: as after any failure. */
export type Sentence = 'restart' | 'quarantine' | 'escalate';

/** Turns that end their slot, one after another, until their agent runs in quarantine only. */
const POISONS_TO_QUARANTINE = 2;

/** How long an end that nobody was found for speaks against the slot's agents, in milliseconds. */
const UNEXPLAINED_MS = 600_000;

export function sentenceOf(poisons: number, maxRestarts: number): Sentence {
  if (poisons > maxRestarts) return 'escalate';
  return poisons >= POISONS_TO_QUARANTINE ? 'quarantine' : 'restart';
}

export class Verdicts implements QuarantineHost {
  readonly #options: VerdictsOptions;
  readonly #slots: QuarantineSlots;
  /** Slots whose last end nobody was found for, with when that was. */
  readonly #unexplained = new WeakMap<Slot, number>();
  #closed = false;

  constructor(options: VerdictsOptions) {
    this.#options = options;
    const { pool, log, find, config } = options;
    this.#slots = new QuarantineSlots({
      pool,
      log,
      find,
      maxHeapMb: config.workers.maxHeapMb,
      gone: ({ number }) => options.engine.slotGone(number),
    });
  }

  /** Why an agent that ends its slot whatever it is told is given up. */
  get reason(): string {
    return `ended its thread with more than ${this.#options.config.restarts.maxRestarts} messages in a row`;
  }

  open(request: TrialRequest): Promise<Trial> {
    return this.#slots.open(request);
  }

  rest(): void {
    this.#slots.rest();
  }

  outdated(): void {
    this.#slots.outdated();
  }

  ready(): void {
    this.#slots.ready();
  }

  exited(end: SlotEnd): void {
    this.#slots.exited(end);
  }

  /** Nothing follows of anything any more: the host stops. */
  close(): void {
    this.#closed = true;
    this.#slots.close();
  }

  /** Where it lives it harmed nobody this time, and goes on, unless it has done it too often. */
  guilty(runtime: RuntimeId, error: OrreryError, poison: boolean): void {
    const { find, random, log, escalate, stopped } = this.#options;
    const replica = find(runtime);
    if (!replica || this.#closed) return;
    const { status } = replica.state;
    if (status === 'escalated' || status === 'stopped') return;
    const sentence = poison ? this.sentence(replica) : 'restart';
    const decision = replica.tracker.ended('abnormal', performance.now(), random());
    log.warn({ agent: runtime, poison, code: error.code }, 'a turn ended its slot when it was alone there');
    const isKept = sentence === 'restart' || (sentence === 'quarantine' && status === 'quarantined');
    if (isKept && decision.type === 'restart') return;
    this.#retire(replica);
    applyTo(replica, { type: 'failed', error: toWire(error) });
    if (decision.type === 'escalate') escalate(replica, error);
    else if (sentence === 'escalate') escalate(replica, error, this.reason);
    else if (decision.type === 'stop') stopped(replica, error);
    else this.isolate(replica, error);
  }

  /** An agent that runs in quarantine only has answered there: it is given its slot again. */
  innocent(runtime: RuntimeId): void {
    const { find, engine, log, again } = this.#options;
    const replica = find(runtime);
    if (!replica) return;
    replica.poisons = 0;
    if (replica.state.status !== 'quarantined' || this.#closed) return;
    log.info({ agent: runtime }, 'the agent answered in quarantine and is started in its slot again');
    engine.roster.waiting(runtime);
    engine.quarantine.release(runtime);
    again(replica);
  }

  unexplained(number: number): void {
    const slot = this.#options.pool.slots.find((other) => other.number === number);
    if (!slot) return;
    this.#options.log.warn({ slot: slot.label }, 'none of the turns that a slot ended with ends it alone');
    this.explained(slot, false);
  }

  /** Whether an end of the slot was not explained lately. */
  isUnexplained(slot: Slot): boolean {
    return performance.now() - (this.#unexplained.get(slot) ?? -Infinity) < UNEXPLAINED_MS;
  }

  /** Notes whether somebody was found for a slot's end, or is about to be. */
  explained(slot: Slot, is: boolean): void {
    if (is) this.#unexplained.delete(slot);
    else this.#unexplained.set(slot, performance.now());
  }

  /** Counts a turn that ended its slot and is given up for that. */
  sentence(replica: Replica): Sentence {
    const { engine, config } = this.#options;
    const survived = engine.roster.survived(replica.runtime);
    if (survived !== replica.survivedThen) replica.poisons = 0;
    replica.survivedThen = survived;
    replica.poisons += 1;
    return sentenceOf(replica.poisons, config.restarts.maxRestarts);
  }

  /** It failed, and is not started again for now: its messages are run in quarantine until one is answered there. */
  isolate(replica: Replica, error: OrreryError): void {
    applyTo(replica, { type: 'quarantine' });
    this.#options.log.error(
      { agent: replica.runtime, code: error.code },
      'the agent ends its slot again and again and is quarantined',
    );
    this.#options.engine.roster.apart(replica.runtime);
  }

  /** Stops a replica on a slot that lives on; its running turns may end. */
  #retire(replica: Replica): void {
    const { slot, runtime, state } = replica;
    clearTimeout(replica.timer);
    if (!isLive(state) || (slot.state.status !== 'ready' && slot.state.status !== 'unresponsive')) return;
    const { drainMs } = this.#options.config.shutdown;
    const left = (): void => {
      replica.leaving = undefined;
    };
    const stop = slot.dedicated ? slot.stop(drainMs) : slot.remote.host.stopAgents([runtime], drainMs);
    replica.leaving = Promise.resolve<unknown>(stop).then(left, left);
  }
}
