/** Owns what the journals' tests share: states, admissions, and the thread of a journal, to end it. */
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import type { Admission } from '../../src/main/delivery/journal.ts';
import { SqliteJournal, type SqliteJournalOptions } from '../../src/main/delivery/sqlite-journal/sqlite-journal.ts';
import {
  type Accepted,
  type DeliveryId,
  type DeliveryState,
  type InboundMessage,
  NO_USAGE,
  type Reply,
} from '../../src/protocol/index.ts';
import { inbound } from './channels.ts';

export const RETENTION_MS = 1_000;

export function replyOf(content: string): Reply {
  return { message: { role: 'assistant', content }, usage: NO_USAGE, steps: 0 };
}

export function dispatched(attempt = 1): DeliveryState {
  return { status: 'dispatched', slot: 0, generation: 1, attempt };
}

export function committed(content = 'yes'): DeliveryState {
  return { status: 'committed', reply: replyOf(content) };
}

export function answered(content = 'yes'): DeliveryState {
  return { status: 'answered', reply: replyOf(content) };
}

export function dead(message = 'it broke'): DeliveryState {
  const error = { name: 'OrreryError', code: 'ORRERY_AGENT_FAILED', message };
  return { status: 'dead', reason: 'agent-error', error };
}

export function admission(over: Partial<InboundMessage> = {}, agent = 'echo'): Admission {
  return { inbound: inbound(over), agent };
}

/** The id of an answer that is an acceptance of something new. */
export function idOf(answer: Accepted | Error | undefined): DeliveryId {
  if (answer === undefined || answer instanceof Error || answer.status !== 'accepted') {
    throw new Error(`Expected an acceptance, got ${JSON.stringify(answer)}`);
  }
  return answer.id;
}

export async function all<T>(values: AsyncIterable<T>): Promise<readonly T[]> {
  const list: T[] = [];
  for await (const value of values) list.push(value);
  return list;
}

export function journalFile(dir: string): string {
  return join(dir, 'data', 'journal.db');
}

let opened = 0;

export function openJournal(dir: string, o: Partial<SqliteJournalOptions> = {}): Promise<SqliteJournal> {
  opened += 1;
  return SqliteJournal.open({
    file: journalFile(dir),
    dedupeRetentionMs: RETENTION_MS,
    replyRetentionMs: RETENTION_MS / 2,
    idPrefix: `p${String(opened)}`,
    maxDeadLetters: 1_000,
    ...o,
  });
}

/** The threads that begin while it is used; the last one is the journal's. */
export class Threads implements Disposable {
  readonly started: Worker[] = [];
  readonly #listener = (worker: Worker): void => {
    this.started.push(worker);
  };

  constructor() {
    process.on('worker', this.#listener);
  }

  /** Ends the newest thread wherever it is; resolves when it has ended. */
  async kill(): Promise<void> {
    await this.started.at(-1)?.terminate();
  }

  [Symbol.dispose](): void {
    process.off('worker', this.#listener);
  }
}
