/**
 * Owns what becomes of deliveries that are in the journal and in no process: those that an earlier process left, at the start, and dead letters
 * that are put back. It decides who is run and who is told; the engine does it.
 *
 * Who is not to be run may have committed all the same: the journal hears of a commit some milliseconds after it, or not at all when the process ends first. The session store
 * is asked, and what stands there is sent.
 */
import type { Logger } from 'pino';
import {
  type DeadReason,
  type DeliveryId,
  type InboundMessage,
  OrreryError,
  type Reply,
} from '../../protocol/index.ts';
import type { DeadLetters } from '../api.ts';
import { TERMINAL_CHANNEL } from '../config/checks.ts';
import {
  type Account,
  type DeadLetter,
  type DeliveryEngine,
  type Intake,
  type Journal,
  MAX_LOOK_MS,
  MAX_TOGETHER,
  type Origin,
  type PendingDelivery,
  nobody,
  planRecovery,
} from '../delivery/index.ts';

export interface RecoveryOptions {
  readonly journal: Journal;
  readonly engine: DeliveryEngine;
  readonly intake: Intake;
  readonly account: Account;
  readonly agents: () => ReadonlySet<string>;
  /** The way back to where a message came from; undefined where no such channel is configured. */
  readonly originOf: (inbound: InboundMessage) => Origin | undefined;
  /** The host stops while it starts: what is not taken over yet is the next process's. */
  readonly isStopping: () => boolean;
  /** Milliseconds after which a message is not worth an answer any more. */
  readonly maxAgeMs: number;
  readonly log: Logger;
}

interface Counts {
  run: number;
  buried: number;
  crashed: number;
}

/** Why a recovered delivery is not run. */
type Burial = { readonly reason: DeadReason; readonly error: OrreryError };

/** Returns why a delivery that an earlier process left is not run; undefined when it is. What was committed is always sent. */
export function burialOf(
  { agent, state, acceptedAt, crashes }: Pick<PendingDelivery, 'agent' | 'state' | 'acceptedAt' | 'crashes'>,
  o: { readonly agents: ReadonlySet<string>; readonly maxAgeMs: number; readonly now: number },
): Burial | undefined {
  if (state.status === 'committed') return undefined;
  const ageMs = o.now - acceptedAt;
  if (ageMs > o.maxAgeMs) {
    const message = `The message was ${Math.round(ageMs / 1_000)} s old when the host came back, its bound is ${o.maxAgeMs / 1_000} s`;
    return { reason: 'expired', error: new OrreryError('ORRERY_EXPIRED', message) };
  }
  if (planRecovery({ crashes, dispatched: state.status === 'dispatched' }) === 'poison') {
    const message = `The host's process ended ${crashes} times while the message was with agent ${agent}`;
    return { reason: 'poison', error: new OrreryError('ORRERY_WORKER_EXITED', message, { details: { agent } }) };
  }
  if (o.agents.has(agent)) return undefined;
  return {
    reason: 'agent-stopped',
    error: new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent "${agent}" any more`),
  };
}

export class Recovery implements DeadLetters {
  readonly #options: RecoveryOptions;
  /** Deliveries of each channel that is not configured. */
  readonly #unreachable = new Map<string, number>();

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /**
   * Takes over, in order of acceptance, all that an earlier process left. To be called before anything new is taken in. A stop meanwhile leaves the rest as it
   * is in the journal.
   */
  async recover(): Promise<void> {
    const { journal, log, isStopping } = this.#options;
    const counts = { run: 0, buried: 0, crashed: 0 };
    let page: PendingDelivery[] = [];
    // Once for all that an earlier process left.
    const until = performance.now() + MAX_LOOK_MS;
    for await (const pending of journal.recover()) {
      if (isStopping()) break;
      page.push(pending);
      if (page.length < MAX_TOGETHER) continue;
      await this.#takeOver(page, counts, until);
      page = [];
    }
    await this.#takeOver(page, counts, until);
    if (counts.run + counts.buried > 0) log.info(counts, 'deliveries of an earlier process were taken over');
    for (const [channel, deliveries] of this.#unreachable) {
      log.warn(
        { channel, deliveries },
        'no such channel is configured: what is answered is kept under its id, and sent to nobody',
      );
    }
  }

  async #takeOver(page: readonly PendingDelivery[], counts: Counts, until: number): Promise<void> {
    const { account, engine, agents, maxAgeMs, isStopping } = this.#options;
    const bounds = { agents: agents(), maxAgeMs, now: Date.now() };
    const burials = new Map(page.map((pending) => [pending.id, burialOf(pending, bounds)]));
    const doomed = page.filter(({ id }) => burials.get(id));
    const replies = await this.#repliesOf(doomed, until);
    // The threads that could look are gone, or about to go: nobody is given up for that.
    if (isStopping()) return;
    for (const pending of page) {
      account.recovered += 1;
      const origin = this.#originOf(pending.inbound);
      const reply = replies.get(pending.id);
      const burial = reply ? undefined : burials.get(pending.id);
      if (burial) engine.bury(pending, origin, burial.reason, burial.error);
      else engine.adopt(reply ? this.#found(pending, reply) : pending, origin);
      if (burial) counts.buried += 1;
      else counts.run += 1;
      if (pending.crashes > 0) counts.crashed += 1;
    }
  }

  #originOf(inbound: InboundMessage): Origin {
    const origin = this.#options.originOf(inbound);
    if (origin) return origin;
    // Whoever talks on a terminal is gone with the process.
    if (inbound.channel === TERMINAL_CHANNEL) return nobody();
    this.#unreachable.set(inbound.channel, (this.#unreachable.get(inbound.channel) ?? 0) + 1);
    return nobody();
  }

  /** The record of a commit that is long over goes with the next sweep, and the reply may have to wait for its channel. */
  #found(pending: PendingDelivery, reply: Reply): PendingDelivery {
    const state = { status: 'committed', reply } as const;
    this.#options.journal.mark(pending.id, state, pending.attempts);
    return { ...pending, state };
  }

  /** Asked before they are given up; where nobody can look for long, they are. */
  async #repliesOf(doomed: readonly PendingDelivery[], until: number): Promise<ReadonlyMap<DeliveryId, Reply>> {
    const { engine, isStopping: isOver } = this.#options;
    const replies = new Map<DeliveryId, Reply>();
    await Promise.all(
      doomed.map(async ({ id }) => {
        const reply = await engine.recall?.find(id, { isOver, until });
        if (reply) replies.set(id, reply);
      }),
    );
    return replies;
  }

  list(o?: { limit?: number; after?: DeliveryId }): Promise<readonly DeadLetter[]> {
    return this.#options.journal.deadLetters.list(o);
  }

  async get(id: DeliveryId): Promise<DeadLetter> {
    return known(id, await this.#options.journal.deadLetters.get(id));
  }

  async drop(id: DeliveryId): Promise<void> {
    if (!(await this.#options.journal.deadLetters.drop(id))) known(id, undefined);
  }

  async replay(id: DeliveryId): Promise<DeadLetter> {
    const { journal, engine, intake, account, agents, originOf, log } = this.#options;
    const letter = await this.get(id);
    const { agent, inbound } = letter;
    if (!agents().has(agent)) throw new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent "${agent}" any more`);
    intake.checkRoom(agent, inbound.namespace);
    // Two who replay one letter: the journal gives it to the first.
    const pending = known(id, await journal.deadLetters.replay(id));
    account.replayed += 1;
    log.info(
      { delivery: id, agent, session: inbound.namespace, replays: pending.replays },
      'a dead letter is run again',
    );
    engine.adopt(pending, originOf(inbound) ?? nobody());
    return letter;
  }
}

function known<T>(id: DeliveryId, value: T | undefined): T {
  if (value !== undefined) return value;
  throw new OrreryError('ORRERY_NOT_FOUND', `There is no dead letter ${JSON.stringify(id)}`);
}
