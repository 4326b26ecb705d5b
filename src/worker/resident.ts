/** Owns an agent host from its start to its end, the same in a thread and in a process: heartbeat, calls, words. */
import type { Logger } from 'pino';
import { expose } from 'comlink';
import { exposeEndpoint } from '../lib/comlink.ts';
import type { Line } from '../lib/line.ts';
import { giveWayToMain } from '../lib/priority.ts';
import { type HostTask, SLOT_WORD } from '../protocol/index.ts';
import { AgentHost } from './agent-host.ts';
import { installBlame } from './blame.ts';
import { DeltaSender } from './deltas.ts';
import { loadAgent } from './load.ts';
import { ThreadSessions } from './thread-sessions.ts';
import type { ThreadTokens } from './tokens.ts';
import type { Words } from './words.ts';

export interface ResidentParts {
  readonly calls: Line;
  readonly deltas: Line;
  readonly words: Words;
  readonly tokens: ThreadTokens;
  readonly log: Logger;
  /** Called with every heartbeat. */
  readonly onBeat?: () => void;
}

/** Serves calls until the host was stopped as asked. It listens before it returns. */
export async function serveHost(task: HostTask, parts: ResidentParts): Promise<void> {
  const { calls, deltas, words, tokens, log, onBeat } = parts;
  installBlame(words);
  giveWayToMain();
  const host = new AgentHost({
    sessions: new ThreadSessions(task.sessions, log),
    deltas: new DeltaSender(deltas),
    log,
    tokens,
    load: loadAgent,
    words,
    turnTimeoutMs: task.turnTimeoutMs,
  });
  // A counter, not a time: main compares it with what it saw last, and no clock is shared.
  const heartbeat = setInterval(() => {
    words.add(SLOT_WORD.beat, 1);
    onBeat?.();
    host.expire(performance.now());
  }, task.heartbeatMs);
  words.add(SLOT_WORD.beat, 1);
  expose(host, exposeEndpoint(calls));
  try {
    await host.ended;
  } finally {
    clearInterval(heartbeat);
    calls.close();
    deltas.close();
  }
}
