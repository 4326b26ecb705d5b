/**
 * Owns a network inside of the host's process, on the driver's side: messages go through the pipe, and answers come whenever the
 * host sends them, asked for or not. With keys it knows an answer that it had; without, somebody reads it twice.
 */
import type { Client, Result } from './client.ts';
import type { HostLink } from './host-link.ts';
import { type Ledger, namespaceOf } from './ledger.ts';
import { type PlannedMessage, type PlannedSession, textOf } from './plan.ts';
import type { FromHost, InProcess } from './protocol.ts';

/** A message that the host has under way is asked for again after this long, in milliseconds: its answer may be long here. */
const AGAIN_MS = 300;

export class Network implements Client {
  readonly #name: InProcess;
  readonly #link: HostLink;
  readonly #ledger: Ledger;
  readonly #asked = new Map<string, (result: Result) => void>();
  readonly #keys = new Map<string, string>();

  constructor(name: InProcess, link: HostLink, ledger: Ledger) {
    this.#name = name;
    this.#link = link;
    this.#ledger = ledger;
  }

  async open(): Promise<number> {
    await this.#link.url;
    return this.#link.generation;
  }

  ask(session: PlannedSession, message: PlannedMessage): Promise<Result> {
    const { id } = message;
    const { promise, resolve } = Promise.withResolvers<Result>();
    this.#asked.set(id, (result) => {
      this.#asked.delete(id);
      resolve(result);
    });
    const inbound = {
      id,
      channel: this.#name,
      namespace: `${this.#name}:${namespaceOf(session)}`,
      message: { role: 'user', content: textOf(message) },
      metadata: {},
      receivedAt: Date.now(),
      agent: session.agent,
    } as const;
    if (!this.#link.send({ type: 'message', inbound })) this.#settle(id, { kind: 'lost', why: 'there is no host' });
    return promise;
  }

  drop(): number {
    return 0;
  }

  close(): void {
    this.hostEnded();
  }

  hostEnded(): void {
    for (const settle of this.#asked.values()) settle({ kind: 'lost', why: 'the host ended' });
  }

  hear(message: Extract<FromHost, { readonly channel: InProcess }>): void {
    const { id } = message;
    switch (message.type) {
      case 'accepted': {
        const { accepted } = message;
        if (accepted.status === 'accepted') return this.#ledger.note(id, `accepted as ${accepted.id}`);
        if (accepted.state === 'answered') {
          return this.#settle(id, { kind: 'answered', text: accepted.reply.message.content });
        }
        if (accepted.state === 'dead') {
          return this.#settle(id, { kind: 'failed', code: accepted.error.code ?? accepted.error.message });
        }
        this.#ledger.note(id, 'known, and under way');
        setTimeout(() => this.#settle(id, { kind: 'failed', code: 'ORRERY_DUPLICATE_IN_FLIGHT' }), AGAIN_MS);
        return;
      }
      case 'refused':
        return this.#settle(id, { kind: 'refused', code: message.code });
      case 'reply':
        return this.#reply(id, message.key, message.text, message.namespace);
      case 'error':
        return this.#settle(id, { kind: 'failed', code: message.code });
    }
  }

  #reply(id: string, key: string, text: string, namespace: string): void {
    const known = this.#keys.get(id);
    const own = namespace.slice(this.#name.length + 1);
    if (known !== undefined) this.#ledger.repeated(id, this.#name === 'keyed' && known === key);
    this.#keys.set(id, key);
    // Nobody need have asked: the network has it now.
    this.#ledger.answered(id, text, own);
    this.#settle(id, { kind: 'answered', text, namespace: own });
  }

  #settle(id: string, result: Result): void {
    this.#asked.get(id)?.(result);
  }
}
