/**
 * Owns one run of an agent for one delivery: it drives `respond`, gathers what is yielded, and turns whatever the agent does into a reply or a typed
 * error.
 */
import { type ErrorCode, OrreryError, type Reply, codeOf, toWire } from '../protocol/index.ts';
import type { AgentDefinition } from './agent.ts';
import type { AgentTurn } from './turn.ts';

/** Characters of one reply; an agent that yields without end is stopped there (`ORRERY_AGENT_BAD_REPLY`). */
export const MAX_REPLY_CHARS: number = 8 * 1024 * 1024;

/**
 * Runs the agent to its end and returns its reply. Rejects with a typed error for everything that can go wrong in it, and
 * when the turn is aborted: at once then, whether the agent heeds its signal or not.
 */
export function runTurn(agent: AgentDefinition, turn: AgentTurn): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const end = (content: string): void =>
      resolve({ message: { role: 'assistant', content }, usage: turn.usage, steps: turn.steps });
    // An abort explains itself better than whatever the agent made of its signal.
    const failed = (error: unknown): void => reject(turn.aborted ?? agentError(error, turn.name));
    turn.onAbort(() => failed(turn.aborted));
    if (turn.aborted) return failed(turn.aborted);
    try {
      const answer: unknown = agent.respond(turn);
      if (isAsyncIterable(answer)) gather(answer[Symbol.asyncIterator](), turn, end, failed);
      else if (isPromiseLike(answer)) answer.then((text) => checked(text, 'returned', turn)).then(end, failed);
      else throw notAnAnswer(answer, turn.name);
    } catch (error) {
      failed(error);
    }
  });
}

/**
 * Joins what an agent yields. By callbacks: it is the inner loop of every turn, and a promise for each step that also waits
 * for the abort would cost more than the step.
 */
function gather(
  iterator: AsyncIterator<unknown>,
  turn: AgentTurn,
  end: (content: string) => void,
  failed: (error: unknown) => void,
): void {
  let content = '';
  const stop = (cause: unknown): void => {
    // Not awaited: a generator that ignores its signal would hold the session for ever. Its `finally` still runs.
    void Promise.resolve(iterator.return?.()).catch(() => undefined);
    failed(cause);
  };
  const next = (): void => {
    Promise.resolve(iterator.next()).then(step, stop);
  };
  const step = (result: IteratorResult<unknown>): void => {
    if (turn.aborted) return;
    if (result.done) return end(content);
    try {
      content += checked(result.value, 'yielded', turn);
      if (content.length > MAX_REPLY_CHARS) throw tooLong(turn.name);
      next();
    } catch (error) {
      stop(error);
    }
  };
  turn.onAbort(() => stop(turn.aborted));
  next();
}

function tooLong(agent: string): OrreryError {
  return new OrreryError(
    'ORRERY_AGENT_BAD_REPLY',
    `Agent ${agent} yielded more than ${MAX_REPLY_CHARS} characters in one reply`,
  );
}

function notAnAnswer(answer: unknown, agent: string): OrreryError {
  return new OrreryError(
    'ORRERY_AGENT_BAD_REPLY',
    `Expected respond() of ${agent} to be an async generator or to return a promise of a string, got ${kindOf(answer)}`,
  );
}

function checked(value: unknown, verb: string, turn: AgentTurn): string {
  if (typeof value !== 'string') {
    throw new OrreryError('ORRERY_AGENT_BAD_REPLY', `Expected a string, agent ${turn.name} ${verb} ${kindOf(value)}`);
  }
  if (value !== '') turn.deltas?.push(value);
  return value;
}

/** What only the host says of a turn: such a turn is run again uncounted, and an agent that throws one of these would be run for ever. */
const HOSTS_OWN: ReadonlySet<ErrorCode> = new Set(['ORRERY_SLOT_NOT_READY', 'ORRERY_SUPERSEDED']);

/** An agent's own error, with the agent named. A registered code is kept, with its `retryAfterMs`, be it a plain error's or a model's. */
function agentError(error: unknown, agent: string): OrreryError {
  const known = codeOf(error);
  const code = known === undefined || HOSTS_OWN.has(known) ? 'ORRERY_AGENT_FAILED' : known;
  if (error instanceof OrreryError && code === known) return error;
  const what = error instanceof Error ? `${error.name}: ${error.message}` : `it threw ${kindOf(error)}`;
  const { retryAfterMs = -1 } = code === known ? toWire(error) : {};
  return new OrreryError(code, `Agent ${agent} failed: ${what}`, {
    cause: error,
    details: { agent },
    ...(retryAfterMs < 0 ? {} : { retryAfterMs }),
  });
}

function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : typeof value === 'undefined' ? 'nothing' : `a ${typeof value}`;
}
