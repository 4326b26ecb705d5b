/**
 * Owns one run of an agent for one delivery: it drives `respond`, gathers what is yielded, enforces the deadline and turns
 * whatever the agent does into an outcome. It does not know sessions: its caller loads and commits.
 */
import type { Logger } from 'pino';
import type { Encoding } from '../protocol/encodings.ts';
import {
  type CancelCause,
  type ChatMessage,
  type DeliveryId,
  type ErrorCode,
  type JoinedMessage,
  NO_USAGE,
  Namespace,
  OrreryError,
  type Reply,
  type StoredMessage,
  type TurnKey,
  type TurnRequest,
  type Usage,
  type UserMessage,
  codeOf,
  toWire,
} from '../protocol/index.ts';
import type { ModelMessage } from 'ai';
import type { AgentContext, AgentDefinition, AgentTokens } from './agent.ts';
import type { DeltaStream } from './deltas.ts';
import { joinMessages } from './join-messages.ts';
import type { LoopTurn } from './runtime/loop-turn.ts';
import { chatMessageOf, modelMessageOf, storedMessageOf } from './sessions/convert.ts';
import type {
  NewMessage,
  ReadOptions,
  SearchOptions,
  Session,
  SessionKey,
  StoredModelMessage,
} from './sessions/store.ts';

/** Characters of one reply; an agent that yields without end is stopped there (`ORRERY_AGENT_BAD_REPLY`). */
export const MAX_REPLY_CHARS: number = 8 * 1024 * 1024;

const NOTHING_SAID: readonly UserMessage[] = [];
/** Messages in `history`, the newest ones: a session goes on for years, and every turn would copy all of it. */
export const MAX_HISTORY_MESSAGES = 1_000;

const NO_METADATA: Readonly<Record<string, string>> = Object.freeze({});

/** Whose turn it is. */
export interface TurnOwner extends AgentContext {
  search(key: SessionKey, query: string, options?: SearchOptions): readonly StoredModelMessage[];
}

/** What an agent sees of its turn. Costly fields are made when they are read: an echo reads none of them. */
export class AgentTurn implements LoopTurn {
  readonly #owner: TurnOwner;
  readonly request: TurnRequest;
  /** Undefined for a request that brings its whole history. */
  readonly sessionKey: SessionKey | undefined;
  /** The session as it was when the turn was made. */
  readonly session: Session | undefined;
  readonly deltas: DeltaStream | undefined;
  #history: readonly ChatMessage[] | undefined;
  #namespace: Namespace | undefined;
  #log: Logger | undefined;
  #controller: AbortController | undefined;
  #aborted: OrreryError | undefined;
  #onAbort: (() => void) | undefined;
  readonly #began = performance.now();
  #steered: JoinedMessage[] = [];
  #taken: readonly UserMessage[] = NOTHING_SAID;
  #transcript: readonly NewMessage[] | undefined;
  #message: UserMessage | undefined;
  /** Its place among the turns that its slot's generation began: by it a dying thread says which turn did it. */
  place = 0;
  /** How often the loop had turned when it began. */
  loop = 0;
  /** Further deliveries that this turn answers: those that were joined to it, then those that were steered into it and taken. */
  readonly joined: DeliveryId[];
  /** What the transcript's tokens were counted with. */
  encoding: Encoding | undefined;
  usage: Usage = NO_USAGE;
  steps = 0;

  constructor(
    owner: TurnOwner,
    request: TurnRequest,
    sessionKey?: SessionKey,
    session?: Session,
    deltas?: DeltaStream,
  ) {
    this.#owner = owner;
    this.request = request;
    this.joined = request.joined?.map(({ id }) => id) ?? [];
    this.sessionKey = sessionKey;
    this.session = session;
    this.deltas = deltas;
  }

  get key(): TurnKey {
    return this.request.turn;
  }
  get id(): string {
    return this.request.id;
  }
  get attempt(): number {
    return this.request.attempt;
  }
  get streamed(): boolean {
    return this.request.stream;
  }
  get message(): UserMessage {
    if (!this.request.joined?.length) return this.request.message;
    this.#message ??= joinMessages(this.messages);
    return this.#message;
  }
  get messages(): readonly UserMessage[] {
    const { message, joined = [] } = this.request;
    return [message, ...joined.map((other) => other.message)];
  }
  get metadata(): Readonly<Record<string, string>> {
    return this.request.metadata ?? NO_METADATA;
  }
  get name(): string {
    return this.#owner.name;
  }
  get runtime(): string {
    return this.#owner.runtime;
  }
  get env(): Readonly<Record<string, string>> {
    return this.#owner.env;
  }
  get tokens(): AgentTokens {
    return this.#owner.tokens;
  }
  get namespace(): Namespace {
    this.#namespace ??= Namespace.parse(this.request.session);
    return this.#namespace;
  }
  get history(): readonly ChatMessage[] {
    this.#history ??= Object.freeze([
      ...this.readSession({ maxMessages: MAX_HISTORY_MESSAGES }).map(({ message }) => chatMessageOf(message)),
      ...(this.request.context?.messages ?? []),
    ]);
    return this.#history;
  }
  search(query: string, options?: SearchOptions): readonly StoredMessage[] {
    return this.sessionKey ? this.#owner.search(this.sessionKey, query, options).map(storedMessageOf) : [];
  }
  get hasSession(): boolean {
    return this.sessionKey !== undefined;
  }
  get remainingMs(): number {
    return Math.max(0, this.request.timeoutMs - (performance.now() - this.#began));
  }
  get log(): Logger {
    this.#log ??= this.#owner.log.child({ session: this.request.session, delivery: this.request.id });
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

  readSession(options?: ReadOptions): readonly StoredModelMessage[] {
    return this.session?.read(options) ?? [];
  }

  get context(): readonly ModelMessage[] {
    return (this.request.context?.messages ?? []).map(modelMessageOf);
  }

  record(messages: readonly NewMessage[], encoding?: Encoding): void {
    this.#transcript = messages;
    this.encoding = encoding;
  }

  /** What the turn adds to its session: what the loop recorded, else its messages, those that it took, and the reply. */
  transcript({ message }: Reply): readonly NewMessage[] {
    if (this.#transcript) return this.#transcript;
    const { message: asked, context } = this.request;
    // Most turns answer one message: four lists on the way to two lines would be most of what the commit leaves to the collector.
    if (!context && this.joined.length === 0) return [{ message: modelMessageOf(asked) }, { message }];
    const said = [...this.context, ...[...this.messages, ...this.#taken].map(modelMessageOf), message];
    return said.map((added) => ({ message: added }));
  }

  /** Offers messages that came while the turn runs; the loop takes them before its next step, or nobody does. */
  steer(messages: readonly JoinedMessage[]): void {
    this.#steered.push(...messages);
  }

  /** Takes back what was offered; returns those that were not taken, and now never will be. */
  unsteer(deliveries: readonly DeliveryId[]): readonly DeliveryId[] {
    const kept: JoinedMessage[] = [];
    const back: DeliveryId[] = [];
    for (const offered of this.#steered) {
      if (deliveries.includes(offered.id)) back.push(offered.id);
      else kept.push(offered);
    }
    this.#steered = kept;
    return back;
  }

  /** The delivery had been committed before: its reply is there, and answers none of those that came since. */
  disown(): void {
    this.joined.length = 0;
  }

  get steered(): readonly UserMessage[] {
    return this.#steered.length === 0 ? NOTHING_SAID : this.#steered.map(({ message }) => message);
  }

  takeSteered(wanted: readonly UserMessage[] = this.steered): readonly UserMessage[] {
    if (wanted.length === 0 || this.#steered.length === 0) return NOTHING_SAID;
    // What was taken back since it was looked at is not here any more.
    const taken = this.#steered.filter(({ message }) => wanted.includes(message));
    this.#steered = this.#steered.filter(({ message }) => !wanted.includes(message));
    this.joined.push(...taken.map(({ id }) => id));
    const messages = taken.map(({ message }) => message);
    this.#taken = [...this.#taken, ...messages];
    return messages;
  }

  /** Ends the turn: the signal aborts, and the run below stops waiting for the agent at once, heeded or not. */
  abort(error: OrreryError): void {
    if (this.#aborted) return;
    this.#aborted = error;
    this.#controller?.abort(error);
    this.#onAbort?.();
  }

  /**
   * Aborts the turn when its deadline has passed. Asked at every heartbeat instead of by a timer for each turn, which would
   * cost more than a short turn itself: a deadline is late by at most one heartbeat.
   */
  expire(now: number): void {
    const { timeoutMs } = this.request;
    if (now - this.#began < timeoutMs) return;
    const message = `Agent ${this.name} did not finish its turn within ${timeoutMs} ms`;
    this.abort(new OrreryError('ORRERY_TURN_DEADLINE', message));
  }

  get aborted(): OrreryError | undefined {
    return this.#aborted;
  }

  /** Calls `listener` when the turn is aborted. */
  onAbort(listener: () => void): void {
    this.#onAbort = listener;
  }
}

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

/** The error of an aborted turn, by its cause. */
export function cancelError(cause: CancelCause): OrreryError {
  switch (cause) {
    case 'cancelled':
      return new OrreryError('ORRERY_CANCELLED', 'The turn was cancelled');
    case 'superseded':
      return new OrreryError('ORRERY_SUPERSEDED', 'A newer message interrupted the turn');
    case 'shutdown':
      return new OrreryError('ORRERY_INTERRUPTED', 'The host stopped before the turn ended');
  }
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

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
