/**
 * Owns a slot's agents on the worker's side of the contract: starts and stops them, takes turns in, hands outcomes back.
 *
 * Outcomes go out in whichever call is there: the `dispatch` that brought the turns, when they are done within a few
 * microtasks, else the `collect` that main keeps waiting. So a fast turn costs one round trip and a slow one blocks
 * no other's reply.
 */
import type { Logger } from 'pino';
import { KeyTable } from '../lib/key-table.ts';
import {
  type AgentHostContract,
  type AgentSpec,
  type AgentStartResult,
  type CancelCause,
  type DeliveryId,
  type JoinedMessage,
  OrreryError,
  type Reply,
  type RuntimeId,
  SLOT_WORD,
  type StoredMessage,
  type TurnKey,
  type TurnOutcome,
  type TurnRequest,
  type OutcomePlace,
  type WireOutcomes,
  type WireTurns,
  packOutcome,
  toWire,
  unpackTurns,
} from '../protocol/index.ts';
import type { AgentDefinition } from './agent.ts';
import { AgentRuntime } from './agent-runtime.ts';
import { type DeltaSender, DeltaStream } from './deltas.ts';
import type { ThreadSessions } from './thread-sessions.ts';
import type { ThreadTokens } from './tokens.ts';
import { type AgentTurn, cancelError } from './turn.ts';
import type { Words } from './words.ts';

export interface AgentHostParts {
  readonly sessions: ThreadSessions;
  readonly deltas: DeltaSender;
  readonly log: Logger;
  readonly tokens: ThreadTokens;
  readonly load: (source: AgentSpec['source']) => Promise<AgentDefinition>;
  readonly words: Words;
  readonly turnTimeoutMs: number;
}

const NOTHING_OFFERED: readonly JoinedMessage[] = [];

/** How many microtasks a `dispatch` waits for its turns. An agent that only yields takes some twenty. */
const RECEIPT_TICKS = 64;

/** Milliseconds that turns may be begun in one turn of the loop before the rest waits for the next. */
const MAX_RUN_MS = 20;

/** A turn that was received and not begun, with what was offered to it meanwhile. */
interface HeldTurn {
  readonly request: TurnRequest;
  offered: readonly JoinedMessage[];
}

/** How many turns of one `dispatch` have not settled. */
interface ReceiptWindow {
  open: number;
}

export class AgentHost implements AgentHostContract {
  readonly #parts: AgentHostParts;
  /** In order of start: stopping goes the other way. */
  readonly #runtimes = new Map<RuntimeId, AgentRuntime>();
  /** The running turns. */
  readonly #turns = new KeyTable<AgentTurn>();
  #outcomes: OutcomePlace[] = [];
  /** Turns that were received and not begun, so that the loop turns in between. */
  readonly #held: HeldTurn[] = [];
  #releasing = false;
  #marked = false;
  #turnedAt = 0;
  /** How often the loop was seen to have turned. */
  #loop = 0;
  /** Turns begun, as the slot's word has it. */
  #begun = 0;
  #collector: ((outcomes: WireOutcomes) => void) | undefined;
  #handing = false;
  #windows = 0;
  #stopped: Promise<void> | undefined;
  #isOver = false;
  readonly #ended = Promise.withResolvers<void>();

  constructor(parts: AgentHostParts) {
    this.#parts = parts;
  }

  /** Resolves when the host was stopped as asked. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  async startAgents(specs: readonly AgentSpec[]): Promise<readonly AgentStartResult[]> {
    const results: AgentStartResult[] = [];
    let epochs: ReadonlyMap<RuntimeId, number>;
    try {
      epochs = this.#parts.sessions.own(specs.map(ownerOf));
    } catch (error) {
      return specs.map(({ runtime }) => ({ runtime, ok: false, error: toWire(error) }));
    }
    for (const spec of specs) results.push(await this.#start(spec, epochs.get(ownerOf(spec)) ?? 0));
    return results;
  }

  async stopAgents(runtimes: readonly RuntimeId[], timeoutMs: number): Promise<void> {
    const wanted = new Set(runtimes);
    await this.#stopAll(
      [...this.#runtimes.values()].filter((r) => wanted.has(r.runtime)),
      timeoutMs,
    );
  }

  async dispatch(wire: WireTurns): Promise<WireOutcomes> {
    const turns = unpackTurns(wire, this.#parts.turnTimeoutMs);
    const window: ReceiptWindow = { open: turns.length };
    this.#windows += 1;
    for (const turn of turns) {
      if (this.#held.length === 0 && this.#mayRun()) this.#begin(turn, window);
      else {
        this.#held.push({ request: turn, offered: [] });
        window.open -= 1;
      }
    }
    if (this.#held.length > 0) this.#releaseLater();
    this.#tellRunning();
    // Turns that need no I/O settle within a few microtasks; waiting for the loop to turn would cost the others more.
    for (let tick = 0; tick < RECEIPT_TICKS && window.open > 0; tick++) await Promise.resolve();
    this.#windows -= 1;
    return this.#take();
  }

  collect(): Promise<WireOutcomes> {
    // Turns still end while the host stops: only after the stop is there nothing more to come.
    if (this.#isOver) setImmediate(this.#ended.resolve);
    if (this.#outcomes.length > 0 || this.#isOver) return Promise.resolve(this.#take());
    return new Promise((resolve) => {
      this.#collector = resolve;
    });
  }

  /** Aborts the turns whose deadline has passed; `now` is `performance.now()`. Called at each heartbeat. */
  expire(now: number): void {
    for (const turn of this.#turns.values()) turn.expire(now);
  }

  cancel(turns: readonly TurnKey[], cause: CancelCause): Promise<void> {
    const wanted = new Set(turns);
    for (const turn of this.#turns.values()) if (wanted.has(turn.key)) turn.abort(cancelError(cause));
    for (const held of this.#held.splice(0)) {
      const { turn } = held.request;
      if (!wanted.has(turn)) {
        this.#held.push(held);
        continue;
      }
      // Main numbers turns as it sends them: one that is dropped here must not shift the count of those behind it.
      this.#countBegun();
      this.#settle({ turn, error: toWire(cancelError(cause)), streamed: false }, { open: Infinity });
    }
    return Promise.resolve();
  }

  steer(turn: TurnKey, messages: readonly JoinedMessage[]): Promise<void> {
    const { store } = this.#parts.sessions;
    // One that was answered before, as a restart may bring it, finds its stored reply in a turn of its own.
    const settled = messages.findIndex(({ id }) => store.commitOf(id));
    const fresh = settled < 0 ? messages : messages.slice(0, settled);
    const held = this.#held.find(({ request }) => request.turn === turn);
    if (held) held.offered = [...held.offered, ...fresh];
    else this.#running(turn)?.steer(fresh);
    return Promise.resolve();
  }

  unsteer(turn: TurnKey, deliveries: readonly DeliveryId[]): Promise<readonly DeliveryId[]> {
    const held = this.#held.find(({ request }) => request.turn === turn);
    if (!held) return Promise.resolve(this.#running(turn)?.unsteer(deliveries) ?? []);
    const back = held.offered.filter(({ id }) => deliveries.includes(id));
    held.offered = held.offered.filter(({ id }) => !deliveries.includes(id));
    return Promise.resolve(back.map(({ id }) => id));
  }

  async history(agent: string, session: string, maxMessages?: number): Promise<readonly StoredMessage[]> {
    return this.#parts.sessions.history(agent, session, maxMessages);
  }

  async clearSession(agent: string, session: string): Promise<boolean> {
    return this.#parts.sessions.clear(agent, session);
  }

  async commitsOf(deliveries: readonly DeliveryId[]): Promise<readonly (readonly [DeliveryId, Reply])[]> {
    return this.#parts.sessions.commitsOf(deliveries);
  }

  async listSessions(agent: string, prefix?: string): Promise<readonly string[]> {
    return this.#parts.sessions.list(agent, prefix);
  }

  stop(timeoutMs: number): Promise<void> {
    this.#stopped ??= this.#stop(timeoutMs);
    return this.#stopped;
  }

  async #stop(timeoutMs: number): Promise<void> {
    await this.#stopAll([...this.#runtimes.values()], timeoutMs);
    // Turns that were aborted at the deadline settle within this tick.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    this.#isOver = true;
    this.#handOver();
    this.#collector?.([]);
    this.#parts.sessions.close();
    // The last outcomes may have come while main's next `collect` was on its way: the thread ends once that took them.
    // And the answer to this call must leave before the resident task, and with it the thread's work, ends.
    if (this.#outcomes.length === 0) setImmediate(this.#ended.resolve);
  }

  async #start(spec: AgentSpec, epoch: number): Promise<AgentStartResult> {
    const { load, sessions, log, tokens } = this.#parts;
    try {
      if (this.#runtimes.has(spec.runtime)) {
        throw new OrreryError('ORRERY_PROTOCOL', `Agent ${spec.runtime} is already started in this slot`);
      }
      const runtime = new AgentRuntime(spec, epoch, await load(spec.source), sessions.store, log, tokens);
      await runtime.start();
      this.#runtimes.set(spec.runtime, runtime);
      return { runtime: spec.runtime, ok: true };
    } catch (error) {
      return { runtime: spec.runtime, ok: false, error: toWire(error) };
    }
  }

  /** Strictly one after another, the last started first: an agent may lean on those that were there before it. */
  async #stopAll(runtimes: readonly AgentRuntime[], timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (const runtime of runtimes.toReversed()) {
      await runtime.stop(Math.max(0, deadline - Date.now()), cancelError('shutdown'));
      this.#runtimes.delete(runtime.runtime);
    }
  }

  /**
   * Tells whether the loop has turned lately. A port hands over message after message without letting it turn, and turns that
   * compute run one after another within one: heartbeat, timers and sockets of this thread would starve together.
   */
  #mayRun(): boolean {
    const now = performance.now();
    if (!this.#marked) {
      this.#marked = true;
      this.#loop += 1;
      this.#turnedAt = now;
      setImmediate(() => {
        this.#marked = false;
      });
    }
    return now - this.#turnedAt < MAX_RUN_MS;
  }

  /** Begins held turns, in order, once timers and sockets had their turn. */
  #releaseLater(): void {
    if (this.#releasing) return;
    this.#releasing = true;
    setImmediate(() => {
      this.#releasing = false;
      const window: ReceiptWindow = { open: Infinity };
      while (this.#held.length > 0 && this.#mayRun()) {
        const held = this.#held.shift();
        if (held) this.#begin(held.request, window, held.offered);
      }
      this.#tellRunning();
      if (this.#held.length > 0) this.#releaseLater();
    });
  }

  #running(key: TurnKey): AgentTurn | undefined {
    for (const turn of this.#turns.values()) if (turn.key === key) return turn;
    return undefined;
  }

  #begin(request: TurnRequest, window: ReceiptWindow, offered: readonly JoinedMessage[] = NOTHING_OFFERED): void {
    const place = this.#countBegun();
    const runtime = this.#runtimes.get(request.runtime);
    if (!runtime || runtime.stopping || this.#stopped) {
      const error = new OrreryError('ORRERY_SLOT_NOT_READY', `Agent ${request.runtime} is not running in this slot`);
      this.#settle({ turn: request.turn, error: toWire(error), streamed: false }, window);
      return;
    }
    const deltas = request.stream ? new DeltaStream(request.turn, this.#parts.deltas) : undefined;
    let turn: AgentTurn;
    try {
      turn = runtime.open(request, deltas);
      turn.place = place;
      turn.loop = this.#loop;
    } catch (error) {
      // The session could not be read; the other turns of the batch are not to blame.
      this.#settle({ turn: request.turn, error: toWire(error), streamed: false }, window);
      return;
    }
    if (offered.length > 0) turn.steer(offered);
    const key = this.#turns.add(turn);
    runtime.run(turn).then(
      (reply) => {
        this.#turns.delete(key);
        deltas?.drop();
        const { joined: answers } = turn;
        this.#settle(
          answers.length === 0 ? { turn: request.turn, reply } : { turn: request.turn, reply, answers },
          window,
        );
      },
      (error: unknown) => {
        this.#turns.delete(key);
        deltas?.drop();
        this.#settle({ turn: request.turn, error: toWire(error), streamed: deltas?.used ?? false }, window);
      },
    );
  }

  #countBegun(): number {
    this.#begun += 1;
    this.#parts.words.store(SLOT_WORD.begun, this.#begun);
    return this.#begun;
  }

  #settle(outcome: TurnOutcome, window: ReceiptWindow): void {
    packOutcome(outcome, this.#outcomes);
    window.open -= 1;
    this.#schedule();
  }

  /** Hands outcomes to the waiting `collect`, unless a `dispatch` is about to return and takes them along. */
  #schedule(): void {
    if (this.#handing || this.#windows > 0 || !this.#collector) return;
    this.#handing = true;
    queueMicrotask(() => {
      this.#handing = false;
      this.#handOver();
    });
  }

  #handOver(): void {
    const collector = this.#collector;
    if (!collector || this.#outcomes.length === 0) return;
    this.#collector = undefined;
    collector(this.#take());
  }

  #tellRunning(): void {
    this.#parts.words.store(SLOT_WORD.running, this.#turns.size);
  }

  #take(): WireOutcomes {
    const outcomes = this.#outcomes;
    this.#outcomes = [];
    this.#tellRunning();
    return outcomes;
  }
}

function ownerOf({ owner, runtime }: AgentSpec): RuntimeId {
  return owner ?? runtime;
}
