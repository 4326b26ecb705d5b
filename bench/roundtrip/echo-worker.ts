/** The peers' worker: piscina calls it as a function, comlink and raw messages through the port that it is given. */
import { type MessagePort, isMainThread, workerData } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';

export interface Message {
  readonly id: string;
  readonly role: 'user';
  readonly content: string;
}

/** Answers a message with its own text. */
export default function echo(message: Message): { role: string; content: string } {
  return { role: 'assistant', content: message.content };
}

const setup = isMainThread ? undefined : (workerData as { kind?: 'comlink' | 'raw'; port: MessagePort } | undefined);
if (setup?.kind === 'comlink') {
  Comlink.expose({ echo, echoAll: (messages: readonly Message[]) => messages.map(echo) }, nodeEndpoint(setup.port));
}
if (setup?.kind === 'raw') {
  const { port } = setup;
  port.on('message', ({ n, message }: { n: number; message: Message }) =>
    port.postMessage({ n, reply: echo(message) }),
  );
}
