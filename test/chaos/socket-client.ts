/** Owns a client of the gateway's WebSocket: one connection, several messages under way on it, in the order they were sent. */
import { WebSocket } from 'ws';
import { ANSWER_MS, type Client, type Result } from './client.ts';
import type { HostLink } from './host-link.ts';
import { namespaceOf } from './ledger.ts';
import { type PlannedMessage, type PlannedSession, textOf } from './plan.ts';

interface Frame {
  readonly type: string;
  readonly id?: string;
  readonly message?: string;
  readonly text?: string;
  readonly namespace?: string;
  readonly error?: { readonly code: string; readonly id?: string };
}

interface Asked {
  readonly resolve: (result: Result) => void;
  text: string;
}

export interface SocketListener {
  /** An answer came for a message that had one on this connection. */
  repeated(id: string): void;
  /** The pieces of an answer were not the answer. */
  garbled(id: string, pieces: string, answer: string): void;
}

export class SocketClient implements Client {
  readonly #link: HostLink;
  readonly #listener: SocketListener;
  readonly #asked = new Map<string, Asked>();
  readonly #answered = new Set<string>();
  #socket: WebSocket | undefined;
  #opening: Promise<number> | undefined;
  #connections = 0;
  #closed = false;

  constructor(link: HostLink, listener: SocketListener) {
    this.#link = link;
    this.#listener = listener;
  }

  open(): Promise<number> {
    if (this.#socket?.readyState === WebSocket.OPEN) return Promise.resolve(this.#connections);
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  ask(session: PlannedSession, message: PlannedMessage): Promise<Result> {
    const { id } = message;
    const { promise, resolve } = Promise.withResolvers<Result>();
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return Promise.resolve({ kind: 'lost', why: 'it closed before' });
    const timer = setTimeout(() => socket.terminate(), ANSWER_MS);
    const settle = (result: Result): void => {
      clearTimeout(timer);
      this.#asked.delete(id);
      resolve(result);
    };
    this.#asked.set(id, { resolve: settle, text: '' });
    this.#answered.delete(id);
    const { agent } = session;
    socket.send(JSON.stringify({ type: 'chat', id, message: textOf(message), namespace: namespaceOf(session), agent }));
    return promise;
  }

  drop(share: number, random: () => number): number {
    const count = this.#asked.size;
    if (count === 0 || random() >= share) return 0;
    this.#socket?.terminate();
    return count;
  }

  close(): void {
    this.#closed = true;
    this.#socket?.terminate();
  }

  async #connect(): Promise<number> {
    while (!this.#closed) {
      const url = await this.#link.url;
      const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
      if (!(await opened(socket))) continue;
      this.#socket = socket;
      this.#connections += 1;
      this.#answered.clear();
      socket.on('message', (data: Buffer) => this.#hear(JSON.parse(data.toString('utf8')) as Frame));
      socket.once('close', () => this.#lost(socket));
      // It may have closed between the two.
      if (socket.readyState === WebSocket.OPEN) return this.#connections;
    }
    throw new Error('The client was closed');
  }

  #lost(socket: WebSocket): void {
    if (socket !== this.#socket) return;
    this.#socket = undefined;
    for (const { resolve } of this.#asked.values()) resolve({ kind: 'lost', why: 'the socket closed' });
  }

  #hear(frame: Frame): void {
    const { type, id = '', error } = frame;
    const asked = this.#asked.get(id);
    switch (type) {
      case 'text_delta':
        if (asked) asked.text += frame.text ?? '';
        return;
      case 'reset':
        if (asked) asked.text = '';
        return;
      case 'response': {
        const text = frame.message ?? '';
        if (this.#answered.has(id)) this.#listener.repeated(id);
        else if (asked && asked.text !== text) this.#listener.garbled(id, asked.text, text);
        this.#answered.add(id);
        asked?.resolve({ kind: 'answered', text, namespace: frame.namespace });
        return;
      }
      case 'error':
        asked?.resolve({ kind: error?.id === undefined ? 'refused' : 'failed', code: error?.code ?? 'no code' });
    }
  }
}

/** Resolves to whether it opened. */
function opened(socket: WebSocket): Promise<boolean> {
  return new Promise((resolve) => {
    socket.on('error', () => undefined); // its close follows
    socket.once('open', () => resolve(true));
    socket.once('close', () => resolve(false));
  });
}
