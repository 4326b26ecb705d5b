/** Owns how a command reaches the supervisor that runs in a data directory. It starts none. */
import { type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import { type DeliveredReply, OrreryError, codeOf, fromWire, messageOf } from '../../protocol/index.ts';
import type { AgentStatus, ChannelStatus, DeadLetter, DrainReport, ReloadReport, Status } from '../api.ts';
import type { ChatLine, ChatRequest, DrainRequest, ErrorBody } from './control-protocol.ts';
import { readRecord } from './lock.ts';

/** The supervisor behind a control socket; every call rejects with the error that the supervisor raised. */
export interface Control {
  readonly pid: number;
  status(): Promise<Status>;
  restartAgent(name: string): Promise<AgentStatus>;
  restartChannel(name: string): Promise<ChannelStatus>;
  /** Reads the configuration again, as the supervisor was told to find it. */
  reload(): Promise<ReloadReport>;
  /** Resolves with the report when everything was drained; the supervisor's process ends after it. */
  drain(o?: DrainRequest): Promise<DrainReport>;
  deadLetters(): Promise<readonly DeadLetter[]>;
  deadLetter(id: string): Promise<DeadLetter>;
  replayDeadLetter(id: string): Promise<DeadLetter>;
  dropDeadLetter(id: string): Promise<void>;
  /** Sends a message and resolves with the reply. Aborting the signal cancels the turn. */
  chat(
    message: ChatRequest,
    o?: { readonly signal?: AbortSignal; readonly onDelta?: (text: string) => void },
  ): Promise<DeliveredReply>;
}

/** Finds the supervisor of a data directory. Throws `ORRERY_NOT_RUNNING`; a socket that is gone shows at the first call. */
export function findControl(dataDir: string): Control {
  const record = readRecord(dataDir);
  if (record === undefined) throw notRunning(`No supervisor runs in ${dataDir}`);
  if (record.socket === undefined) {
    throw notRunning(`The supervisor with pid ${record.pid} in ${dataDir} is not ready for commands yet`, {
      hint: 'Try again in a moment.',
    });
  }
  return createControl(record.socket, record.pid);
}

/** Talks to a known socket. */
export function createControl(socket: string, pid: number): Control {
  async function call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<T> {
    const response = await send(socket, method, path, body);
    const chunks: Buffer[] = [];
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    if (response.statusCode === 200) return value as T;
    throw fromWire((value as ErrorBody).error);
  }

  /** A connection that breaks after it was made means that the supervisor ended. */
  async function guarded<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (codeOf(error) !== undefined) throw error;
      throw new OrreryError('ORRERY_INTERRUPTED', `The supervisor ended before it answered: ${messageOf(error)}`, {
        cause: error,
        hint: 'Its log says why.',
      });
    }
  }

  return {
    pid,
    status: () => guarded(call('GET', '/status')),
    restartAgent: (name) => guarded(call('POST', `/agents/${encodeURIComponent(name)}/restart`)),
    restartChannel: (name) => guarded(call('POST', `/channels/${encodeURIComponent(name)}/restart`)),
    reload: () => guarded(call('POST', '/reload')),
    drain: (o = {}) => guarded(call('POST', '/drain', o)),
    deadLetters: () => guarded(call('GET', '/dead-letters')),
    deadLetter: (id) => guarded(call('GET', `/dead-letters/${encodeURIComponent(id)}`)),
    replayDeadLetter: (id) => guarded(call('POST', `/dead-letters/${encodeURIComponent(id)}/replay`)),
    dropDeadLetter: async (id) => {
      await guarded(call('DELETE', `/dead-letters/${encodeURIComponent(id)}`));
    },
    chat: (message, o = {}) => guarded(chat(socket, message, o)),
  };
}

async function chat(
  socket: string,
  message: ChatRequest,
  { signal, onDelta }: NonNullable<Parameters<Control['chat']>[1]>,
): Promise<DeliveredReply> {
  const response = await send(socket, 'POST', '/chat', message);
  const cancel = (): void => {
    // The answer to the message itself tells what became of it, also when this request does not arrive.
    void send(socket, 'POST', `/chat/${encodeURIComponent(message.id)}/cancel`).then(
      (answer) => answer.resume(),
      () => undefined,
    );
  };
  if (signal?.aborted === true) cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    for await (const text of createInterface({ input: response })) {
      const line = JSON.parse(text) as ChatLine;
      if ('reply' in line) return line.reply;
      if ('error' in line) throw fromWire(line.error);
      onDelta?.(line.delta);
    }
    throw new Error('the connection closed');
  } finally {
    signal?.removeEventListener('abort', cancel);
    response.destroy();
  }
}

function send(socketPath: string, method: string, path: string, body?: object): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const outgoing = request({ socketPath, method, path, headers, agent: false }, resolve);
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      const gone = error.code === 'ECONNREFUSED' || error.code === 'ENOENT';
      const denied = error.code === 'EACCES' || error.code === 'EPERM';
      if (gone) reject(notRunning(`Nothing listens on ${socketPath}`, { cause: error }));
      else if (denied)
        reject(notRunning(`${socketPath} is another user's`, { cause: error, hint: 'Run as that user.' }));
      else reject(error);
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function notRunning(message: string, o: { readonly cause?: unknown; readonly hint?: string } = {}): OrreryError {
  return new OrreryError('ORRERY_NOT_RUNNING', message, o);
}
