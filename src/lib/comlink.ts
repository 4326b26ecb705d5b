/**
 * Owns what both sides of a comlink channel set up alike: errors that keep `code`, `hint` and `cause`, which comlink's own
 * handler drops, the endpoint of a line, and the form in which calls and answers cross it.
 */
import type { Transferable } from 'node:worker_threads';
import { type Endpoint, transferHandlers } from 'comlink';
import { type WireError, reviveError, toWire } from '../protocol/index.ts';
import type { Line } from './line.ts';

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

/** A value as comlink writes it: `RAW`, or the name of the handler that reads it. */
interface WireValue {
  readonly type: string;
  readonly value?: unknown;
}

/** A call, as comlink's calling side writes it. */
export interface CallMessage {
  readonly id: string;
  readonly type: string;
  readonly path?: readonly string[];
  readonly argumentList?: readonly WireValue[];
}

/** An answer, as comlink's serving side writes it. */
interface AnswerMessage extends WireValue {
  readonly id: number;
}

/**
 * What crosses the port. A structured clone writes every key of every object again, and comlink has an object in an object for each
 * value and an id of 50 letters: a plain call and a plain answer go as one flat list, all else as comlink wrote it.
 */
type WireCall = readonly [key: number, method: string, ...values: unknown[]] | object;
export type WireAnswer = readonly [key: number, value: unknown] | AnswerMessage;

/** Packs a call under a key that names it on this channel in place of comlink's id. */
export function packCall(key: number, message: CallMessage): WireCall {
  const { type, path = [], argumentList = [] } = message;
  const [method] = path;
  if (type !== 'APPLY' || method === undefined || path.length > 1 || !argumentList.every(isRaw)) {
    return { ...message, id: key };
  }
  return [key, method, ...argumentList.map(({ value }) => value)];
}

/** The key of the call that an answer belongs to. */
export function keyOfAnswer(answer: WireAnswer): number {
  return isList(answer) ? answer[0] : answer.id;
}

/** Makes comlink's form of an answer again, under comlink's id. */
export function unpackAnswer(answer: WireAnswer, id: string): unknown {
  return isList(answer) ? { id, type: RAW, value: answer[1] } : { ...answer, id };
}

/** The serving side's endpoint. */
export function exposeEndpoint(line: Line): Endpoint {
  return {
    postMessage: (message: AnswerMessage, transfer?: readonly Transferable[]) =>
      line.postMessage(isRaw(message) ? [message.id, message.value] : message, transfer),
    addEventListener: (_type: string, listener: MessageListener) => {
      line.on('message', (data) => call(listener, unpackCall(data as WireCall)));
    },
    // Comlink calls it when its other side lets go of the object, which lives here as long as the line does.
    removeEventListener: () => undefined,
  };
}

/** Hands a message to a listener of either form. */
export function call(listener: MessageListener, data: unknown): void {
  const event = { data };
  if (typeof listener === 'function') listener(event);
  else listener.handleEvent(event);
}

const RAW = 'RAW';

function isRaw({ type }: WireValue): boolean {
  return type === RAW;
}

function isList(message: WireAnswer): message is readonly [key: number, value: unknown] {
  return Array.isArray(message);
}

function unpackCall(data: WireCall): unknown {
  if (!Array.isArray(data)) return data;
  const [id, method, ...values] = data as [number, string, ...unknown[]];
  return { id, type: 'APPLY', path: [method], argumentList: values.map((value) => ({ type: RAW, value })) };
}
