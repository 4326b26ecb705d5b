/**
 * Owns what both sides of a comlink channel set up alike: errors that keep `code`, `hint` and `cause`, which comlink's own
 * handler drops, and the endpoint of a Node port.
 */
import type { MessagePort, Transferable } from 'node:worker_threads';
import { type Endpoint, transferHandlers } from 'comlink';
import { type WireError, reviveError, toWire } from '../protocol/index.ts';

/** Comlink is written for browsers: it listens with a function or an object, and reads nothing of an event but `data`. */
export type MessageListener =
  | ((event: { readonly data: unknown }) => void)
  | { handleEvent(event: { readonly data: unknown }): void };

/** The name under which comlink looks up the handler of thrown values. */
export const THROW_HANDLER = 'throw';

/** Replaces comlink's handler of thrown values; call it once in each thread, before any call. */
export function registerErrorTransfer(): void {
  const original = transferHandlers.get(THROW_HANDLER);
  if (!original) throw new Error('comlink has no handler for thrown values: its version changed');
  transferHandlers.set(THROW_HANDLER, {
    // Comlink marks thrown values with a symbol of its own, which only its handler can see.
    canHandle: (value): value is { value: unknown } => original.canHandle(value),
    serialize: (thrown: { value: unknown }) => [toWire(thrown.value), []],
    deserialize: (wire: WireError) => {
      throw reviveError(wire);
    },
  });
}

/** The serving side's endpoint. */
export function exposeEndpoint(port: MessagePort): Endpoint {
  return {
    postMessage: (message: unknown, transfer?: readonly Transferable[]) => port.postMessage(message, transfer),
    addEventListener: (_type: string, listener: MessageListener) => {
      port.on('message', (data: unknown) => call(listener, data));
    },
    removeEventListener: () => port.removeAllListeners('message'),
    start: () => port.start(),
  };
}

/** Hands a message to a listener of either form. */
export function call(listener: MessageListener, data: unknown): void {
  const event = { data };
  if (typeof listener === 'function') listener(event);
  else listener.handleEvent(event);
}
