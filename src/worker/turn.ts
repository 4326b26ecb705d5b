/**
 * Owns a turn: what its agent sees of it, what is said into it while it runs, what it adds to its session, and its deadline. How the agent is run
 * is `run-turn.ts`'s; its caller loads the session and commits.
 */
import type { Logger } from 'pino';
import type { Encoding } from '../protocol/encodings.ts';
import {
  type CancelCause,
  type ChatMessage,
  type DeliveryId,
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
} from '../protocol/index.ts';
import type { ModelMessage } from 'ai';
import type { AgentContext, AgentTokens } from './agent.ts';
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

/** Messages in `history`, the newest ones: a session goes on for years, and every turn would copy all of it. */
export const MAX_HISTORY_MESSAGES = 1_000;

const NOTHING_SAID: readonly UserMessage[] = [];
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

  /** Ends the turn: the signal aborts, and the run stops waiting for the agent at once, heeded or not. */
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

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
