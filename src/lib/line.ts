/** Owns what a message travels on, in the few words that both kinds have: a port between threads, a stream between processes. */
import type { Transferable } from 'node:worker_threads';

/** Both ways, in order, and none is heard twice. What comes before there is a listener waits for it. A `MessagePort` is one. */
export interface Line {
  /** Throws where the message cannot be cloned. Nothing can be transferred between processes: a port in it is such a case. */
  postMessage(message: unknown, transfer?: readonly Transferable[]): void;
  on(event: 'message', listener: (message: unknown) => void): unknown;
  close(): void;
  /** Says that this line alone need not keep its thread alive. */
  unref(): void;
}
