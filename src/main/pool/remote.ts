/**
 * Owns the calling side of a slot's comlink channel, and makes it fail fast: comlink's promises never settle when the other
 * side dies, nor do later calls. The endpoint remembers the ids that are under way and answers each with a thrown error
 * when the channel closes or the call's deadline passes.
 */
import { MessagePort, type Transferable, receiveMessageOnPort } from 'node:worker_threads';
import { type Endpoint, type Remote as ComlinkRemote, wrap } from 'comlink';
import {
  type CallMessage,
  type MessageListener,
  THROW_HANDLER,
  type WireAnswer,
  call,
  keyOfAnswer,
  packCall,
  registerErrorTransfer,
  unpackAnswer,
} from '../../lib/comlink.ts';
import { KeyTable } from '../../lib/key-table.ts';
import type { Line } from '../../lib/line.ts';
import {
  type AgentHostContract,
  CALL_TIMEOUT_MS,
  OrreryError,
  type WireError,
  messageOf,
  toWire,
} from '../../protocol/index.ts';

registerErrorTransfer();

/** A call under way. */
interface Under {
  /** Names it on the port. */
  key: number;
  /** Comlink's own name of it. */
  readonly id: string;
  readonly method: string;
  /** On the clock of {@link Remote.sweep}, in milliseconds. */
  readonly deadline: number;
}

/** One slot's agent host, as main calls it. */
export class Remote {
  /** Kept for the remote's life: comlink releases a channel whose root proxy was collected, and drops pending replies. */
  readonly host: ComlinkRemote<AgentHostContract>;
  /** The calls of the hot path: comlink makes a new proxy, with a finalizer, each time that a method is read off `host`. */
  readonly dispatch: ComlinkRemote<AgentHostContract>['dispatch'];
  readonly collect: ComlinkRemote<AgentHostContract>['collect'];
  readonly #line: Line;
  readonly #under = new KeyTable<Under>();
  #listener: MessageListener | undefined;
  #closed: WireError | undefined;

  constructor(line: Line) {
    this.#line = line;
    line.on('message', (data) => this.#receive(data as WireAnswer));
    this.host = wrap<AgentHostContract>(this.#endpoint());
    this.dispatch = this.host.dispatch;
    this.collect = this.host.collect;
  }

  /** How many calls are under way. */
  get pending(): number {
    return this.#under.size;
  }

  /** Rejects every call whose deadline has passed with `ORRERY_CALL_DEADLINE`. `now` is `performance.now()`. */
  sweep(now: number): void {
    for (const { key, id, method, deadline } of this.#under.values()) {
      if (deadline > now) continue;
      this.#under.delete(key);
      const error = new OrreryError('ORRERY_CALL_DEADLINE', `The slot did not answer ${method}() in time`);
      this.#throw(id, toWire(error));
    }
  }

  /** Takes in the answers that were posted before the thread ended and not read yet: `close` would drop them. */
  drain(): void {
    const port = this.#line;
    // The end of a stream is told after all that it brought.
    if (!(port instanceof MessagePort)) return;
    for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port)) {
      this.#receive(next.message as WireAnswer);
    }
  }

  /** Rejects all calls under way, and every later one, with `error`. Idempotent: the first error counts. */
  close(error: OrreryError): void {
    if (this.#closed) return;
    this.#closed = toWire(error);
    const all = [...this.#under.values()];
    for (const { key } of all) this.#under.delete(key);
    for (const { id } of all) this.#throw(id, this.#closed);
    this.#line.close();
  }

  #receive(answer: WireAnswer): void {
    // An answer that comes after its deadline finds no entry, and comlink no listener: it is dropped.
    const under = this.#under.delete(keyOfAnswer(answer));
    if (under) this.#answer(unpackAnswer(answer, under.id));
  }

  #endpoint(): Endpoint {
    return {
      postMessage: (message: CallMessage, transfer?: readonly Transferable[]) => this.#post(message, transfer),
      addEventListener: (_type: string, listener: MessageListener) => {
        this.#listener = listener;
      },
      removeEventListener: () => {
        this.#listener = undefined;
      },
    };
  }

  #post(message: CallMessage, transfer?: readonly Transferable[]): void {
    const { id } = message;
    const closed = this.#closed;
    if (closed) {
      // Comlink registers the id before it posts, but in the same call: the answer has to come after.
      queueMicrotask(() => this.#throw(id, closed));
      return;
    }
    const method = message.path?.[0] ?? 'host';
    const timeoutMs = Object.hasOwn(CALL_TIMEOUT_MS, method)
      ? CALL_TIMEOUT_MS[method as keyof AgentHostContract]
      : Infinity;
    const deadline = timeoutMs === Infinity ? Infinity : performance.now() + timeoutMs;
    const under: Under = { key: -1, id, method, deadline };
    under.key = this.#under.add(under);
    try {
      this.#line.postMessage(packCall(under.key, message), transfer);
    } catch (error) {
      this.#under.delete(under.key);
      const text = `An argument of ${method}() cannot cross to the slot: ${messageOf(error)}`;
      queueMicrotask(() => this.#throw(id, toWire(new OrreryError('ORRERY_UNCLONEABLE', text, { cause: error }))));
    }
  }

  #throw(id: string, value: WireError): void {
    this.#answer({ id, type: 'HANDLER', name: THROW_HANDLER, value });
  }

  #answer(data: unknown): void {
    if (this.#listener) call(this.#listener, data);
  }
}
