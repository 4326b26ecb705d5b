/**
 * Owns one run of an agent for one delivery: it drives `respond`, gathers what is yielded, enforces the deadline and turns
 * whatever the agent does into an outcome. It does not know sessions: its caller loads and commits.
 */
import type { Logger } from 'pino';
import {
  type CancelCause,
  type ChatMessage,
  NO_USAGE,
  Namespace,
  OrreryError,
  type Reply,
  type TurnRequest,
  type Usage,
  type UserMessage,
} from '../protocol/index.ts';
import type { AgentContext, AgentDefinition, AgentTokens, Turn } from './agent.ts';

/** Characters of one reply; an agent that yields without end is stopped there (`ORRERY_AGENT_BAD_REPLY`). */
export const MAX_REPLY_CHARS: number = 8 * 1024 * 1024;

const NO_METADATA: Readonly<Record<string, string>> = Object.freeze({});

/** What an agent sees of its turn. Costly fields are made when they are read: an echo reads none of them. */
export class AgentTurn implements Turn {
  readonly #ctx: AgentContext;
  readonly #request: TurnRequest;
  readonly #stored: () => readonly ChatMessage[];
  #history: readonly ChatMessage[] | undefined;
  #namespace: Namespace | undefined;
  #log: Logger | undefined;
  #controller: AbortController | undefined;
  #aborted: OrreryError | undefined;
  #onAbort: ((error: OrreryError) => void) | undefined;
  readonly #began = performance.now();
  usage: Usage = NO_USAGE;
  steps = 0;

  constructor(ctx: AgentContext, request: TurnRequest, stored: () => readonly ChatMessage[]) {
    this.#ctx = ctx;
    this.#request = request;
    this.#stored = stored;
  }

  get id(): string {
    return this.#request.id;
  }
  get attempt(): number {
    return this.#request.attempt;
  }
  get streamed(): boolean {
    return this.#request.stream;
  }
  get message(): UserMessage {
    return this.#request.message;
  }
  get metadata(): Readonly<Record<string, string>> {
    return this.#request.metadata ?? NO_METADATA;
  }
  get name(): string {
    return this.#ctx.name;
  }
  get runtime(): string {
    return this.#ctx.runtime;
  }
  get env(): Readonly<Record<string, string>> {
    return this.#ctx.env;
  }
  get tokens(): AgentTokens {
    return this.#ctx.tokens;
  }
  get namespace(): Namespace {
    this.#namespace ??= Namespace.parse(this.#request.session);
    return this.#namespace;
  }
  get history(): readonly ChatMessage[] {
    this.#history ??= Object.freeze([...this.#stored()]);
    return this.#history;
  }
  get log(): Logger {
    this.#log ??= this.#ctx.log.child({ session: this.#request.session, delivery: this.#request.id });
    return this.#log;
  }
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  report(usage: Usage, steps = 1): void {
    this.usage = {
      inputTokens: this.usage.inputTokens + count(usage.inputTokens),
      outputTokens: this.usage.outputTokens + count(usage.outputTokens),
    };
    this.steps += count(steps);
  }

  /** Ends the turn: the signal aborts, and the run below stops waiting for the agent at once, heeded or not. */
  abort(error: OrreryError): void {
    if (this.#aborted) return;
    this.#aborted = error;
    this.#controller?.abort(error);
    this.#onAbort?.(error);
  }

  /**
   * Aborts the turn when its deadline has passed. Asked at every heartbeat instead of by a timer for each turn, which would
   * cost more than a short turn itself: a deadline is late by at most one heartbeat.
   */
  expire(now: number): void {
    const { timeoutMs } = this.#request;
    if (now - this.#began < timeoutMs) return;
    const message = `Agent ${this.name} did not finish its turn within ${timeoutMs} ms`;
    this.abort(new OrreryError('ORRERY_TURN_DEADLINE', message));
  }

  get aborted(): OrreryError | undefined {
    return this.#aborted;
  }

  /** Settles as `promise` does, or rejects when the turn is aborted, whichever is first. */
  orAborted<T>(promise: PromiseLike<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#aborted) return reject(this.#aborted);
      this.#onAbort = reject;
      promise.then(resolve, reject);
    });
  }
}

/** Runs the agent to its end and returns its reply. Throws a typed error for everything that can go wrong in it. */
export async function runTurn(
  agent: AgentDefinition,
  turn: AgentTurn,
  onDelta: ((text: string) => void) | undefined,
): Promise<Reply> {
  try {
    const content = await gather(agent, turn, onDelta);
    return { message: { role: 'assistant', content }, usage: turn.usage, steps: turn.steps };
  } catch (error) {
    // An abort explains itself better than whatever the agent made of its signal.
    throw turn.aborted ?? agentError(error, turn.name);
  }
}

/** The error of an aborted turn, by its cause. */
export function cancelError(cause: CancelCause): OrreryError {
  return cause === 'cancelled'
    ? new OrreryError('ORRERY_CANCELLED', 'The turn was cancelled')
    : new OrreryError('ORRERY_INTERRUPTED', 'The host stopped before the turn ended');
}

async function gather(agent: AgentDefinition, turn: AgentTurn, onDelta?: (text: string) => void): Promise<string> {
  const answer: unknown = agent.respond(turn);
  if (isPromiseLike(answer)) return checked(await turn.orAborted(answer), 'returned', turn, onDelta);
  if (!isAsyncIterable(answer)) {
    throw new OrreryError(
      'ORRERY_AGENT_BAD_REPLY',
      `Expected respond() of ${turn.name} to be an async generator or to return a promise of a string, got ${kindOf(answer)}`,
    );
  }
  const iterator = answer[Symbol.asyncIterator]();
  let content = '';
  try {
    for (;;) {
      const step = await turn.orAborted(Promise.resolve(iterator.next()));
      if (step.done) return content;
      content += checked(step.value, 'yielded', turn, onDelta);
      if (content.length > MAX_REPLY_CHARS) {
        throw new OrreryError(
          'ORRERY_AGENT_BAD_REPLY',
          `Agent ${turn.name} yielded more than ${MAX_REPLY_CHARS} characters in one reply`,
        );
      }
    }
  } catch (error) {
    // Not awaited: a generator that ignores its signal would hold the session for ever. Its `finally` still runs.
    void Promise.resolve(iterator.return?.()).catch(() => undefined);
    throw error;
  }
}

function checked(value: unknown, verb: string, turn: AgentTurn, onDelta?: (text: string) => void): string {
  if (typeof value !== 'string') {
    throw new OrreryError('ORRERY_AGENT_BAD_REPLY', `Expected a string, agent ${turn.name} ${verb} ${kindOf(value)}`);
  }
  if (value !== '') onDelta?.(value);
  return value;
}

/** An agent's own error, with the agent named; an error that already has a code (a model's) keeps it. */
function agentError(error: unknown, agent: string): unknown {
  if (error instanceof OrreryError) return error;
  const what = error instanceof Error ? `${error.name}: ${error.message}` : `it threw ${kindOf(error)}`;
  return new OrreryError('ORRERY_AGENT_FAILED', `Agent ${agent} failed: ${what}`, { cause: error, details: { agent } });
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

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
