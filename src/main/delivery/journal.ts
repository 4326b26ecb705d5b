/**
 * Owns the interface of the journal, the log of deliveries, and what it stores. A journal knows no agents and no
 * channels: it says what was accepted, and what became of it.
 */
import type { Accepted, DeliveryId, DeliveryState, InboundMessage } from '../../protocol/index.ts';

/** Names a message by where it came from: channel, account, namespace and the platform's own id. */
export type DedupeKey = string;

export function dedupeKey(inbound: InboundMessage): DedupeKey {
  const { channel, account = '', namespace, id } = inbound;
  // With the lengths: no two messages have one key, whatever characters their names hold.
  return `${channel.length}.${account.length}.${namespace.length}.${channel}${account}${namespace}${id}`;
}

/** A message with the agent that routing gave it. */
export interface Admission {
  readonly inbound: InboundMessage;
  readonly agent: string;
}

export interface StoredDelivery {
  readonly id: DeliveryId;
  readonly agent: string;
  readonly namespace: string;
  readonly state: DeliveryState;
  readonly attempts: number;
}

/** A delivery that an earlier process accepted and did not finish. */
export interface PendingDelivery extends StoredDelivery {
  readonly inbound: InboundMessage;
}

export interface Journal {
  readonly kind: 'memory';
  /**
   * Stores messages and gives each its delivery id; resolves when they are as durable as this journal makes them. A
   * message that is there already is answered as `duplicate`; one with the same key and another body rejects nothing but
   * itself: its place holds an error with code `ORRERY_ID_CONFLICT`.
   */
  append(batch: readonly Admission[]): Promise<readonly (Accepted | Error)[]>;
  /** The same for one message and at once: only a journal that waits for no disk has it, and then intake takes no detour. */
  appendNow?(admission: Admission): Accepted | Error;
  /** Records a later state. Never awaited on the hot path: only acceptance waits. */
  mark(id: DeliveryId, state: DeliveryState, attempts: number): void;
  /** Yields what an earlier process left, in order of acceptance. */
  recover(): AsyncIterable<PendingDelivery>;
  find(key: DedupeKey): Promise<StoredDelivery | undefined>;
  close(): Promise<void>;
}
