/** Owns what the slots are told of sessions, and the way to them from main: which slot is asked. It opens no store. */
import { join } from 'node:path';
import { writeGateWord } from '../../lib/write-gate.ts';
import {
  type DeliveryId,
  Namespace,
  OrreryError,
  type Reply,
  type SessionsTask,
  type StoredMessage,
  codeOf,
} from '../../protocol/index.ts';
import type { Sessions } from '../api.ts';
import type { ResolvedConfig } from '../config/types.ts';
import { sessionKey } from '../delivery/index.ts';
import { type Pool, type Slot, rendezvous } from '../pool/index.ts';
import type { HostedAgents } from './agents.ts';

/** Slots that one question is put to. */
const MAX_TRIES = 3;
const SLOT_ENDS: ReadonlySet<string> = new Set([
  'ORRERY_WORKER_EXITED',
  'ORRERY_WORKER_UNRESPONSIVE',
  'ORRERY_WORKER_OUT_OF_MEMORY',
]);

/** The file in `dataDir`. */
const SESSIONS_FILE = 'sessions.db';

export function sessionsTaskOf({ sessions, delivery, dataDir }: ResolvedConfig): SessionsTask {
  if (sessions.store === 'memory') return sessions;
  const { dedupeRetentionMs, replyRetentionMs, maxAgeMs, turnTimeoutMs } = delivery;
  // A turn that outlives the record of its own commit would run twice: also one that the host is down for.
  const commitRetentionMs = Math.max(dedupeRetentionMs, replyRetentionMs, maxAgeMs) + 2 * turnTimeoutMs;
  return { ...sessions, file: join(dataDir, SESSIONS_FILE), commitRetentionMs, gate: writeGateWord() };
}

export class HostedSessions implements Sessions {
  readonly #agents: HostedAgents;
  readonly #pool: Pool;
  /** One file for all: any slot can look. In memory a session is where its replica lives. */
  readonly #shared: boolean;

  constructor(agents: HostedAgents, pool: Pool, store: SessionsTask['store']) {
    this.#agents = agents;
    this.#pool = pool;
    this.#shared = store === 'sqlite';
  }

  async read(agent: string, namespace: string, o: { maxMessages?: number } = {}): Promise<readonly StoredMessage[]> {
    const key = this.#check(agent, namespace);
    const messages = await this.#ask(
      () => this.#slotOf(agent, key),
      (slot) => slot.remote.host.history(agent, key, o.maxMessages),
    );
    if (messages.length === 0) throw missing(agent, key);
    return messages;
  }

  async clear(agent: string, namespace: string): Promise<void> {
    const key = this.#check(agent, namespace);
    let tries = 0;
    const cleared = await this.#ask(
      () => this.#slotOf(agent, key),
      (slot) => {
        tries += 1;
        return slot.remote.host.clearSession(agent, key);
      },
    );
    // The thread that died may have cleared it before.
    if (!cleared && tries === 1) throw missing(agent, key);
  }

  async list(agent: string, prefix?: string): Promise<readonly string[]> {
    this.#known(agent);
    const below = prefix === undefined ? undefined : Namespace.parse(prefix).key;
    if (this.#shared) {
      return this.#ask(
        () => this.#freest(),
        (slot) => slot.remote.host.listSessions(agent, below),
      );
    }
    const slots = [...new Set(this.#agents.slotsOf(agent).values())].filter(isUp);
    const lists = await Promise.all(slots.map((slot) => slot.remote.host.listSessions(agent, below)));
    return lists.flat();
  }

  /**
   * Returns the stored replies of those deliveries that have committed. Rejects when no thread can look. Sessions in memory are gone with the thread whose word is missed: of them it finds
   * none.
   */
  async committed(deliveries: readonly DeliveryId[]): Promise<ReadonlyMap<DeliveryId, Reply>> {
    if (!this.#shared) return new Map();
    const commits = await this.#ask(
      () => this.#freest(),
      (slot) => slot.remote.host.commitsOf(deliveries),
    );
    return new Map(commits);
  }

  /** Asks another slot when one dies under the question; of sessions in memory there is only one to ask. */
  async #ask<T>(slotOf: () => Slot, question: (slot: Slot) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      const slot = slotOf();
      try {
        return await question(slot);
      } catch (error) {
        if (!this.#shared || tries === MAX_TRIES || !SLOT_ENDS.has(codeOf(error) ?? '')) throw error;
      }
    }
  }

  /** Returns the namespace in its written form. */
  #check(agent: string, namespace: string): string {
    this.#known(agent);
    return Namespace.parse(namespace).key;
  }

  #known(agent: string): void {
    if (this.#agents.names.has(agent)) return;
    throw new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent "${agent}"`);
  }

  #slotOf(agent: string, namespace: string): Slot {
    if (this.#shared) return this.#freest();
    const slots = this.#agents.slotsOf(agent);
    const slot = slots.get(rendezvous(sessionKey(agent, namespace), [...slots.keys()]) ?? '');
    if (slot && isUp(slot)) return slot;
    throw new OrreryError('ORRERY_SLOT_NOT_READY', `The thread that has the sessions of ${agent} is not up`);
  }

  /** Looking must not wait for an agent that computes, as far as there is another thread. */
  #freest(): Slot {
    const [slot] = this.#pool.slots
      .filter((slot) => isUp(slot) && !slot.quarantine)
      .toSorted((a, b) => a.pulse.running - b.pulse.running || a.utilization - b.utilization);
    if (slot) return slot;
    throw new OrreryError('ORRERY_SLOT_NOT_READY', 'No thread is up that could look at sessions');
  }
}

function isUp(slot: Slot): boolean {
  return slot.state.status === 'ready';
}

function missing(agent: string, namespace: string): OrreryError {
  return new OrreryError('ORRERY_NOT_FOUND', `Agent ${agent} has no session ${JSON.stringify(namespace)}`);
}
