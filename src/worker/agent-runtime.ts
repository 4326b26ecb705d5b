/**
 * Owns one live agent in this thread: its start, its turns with their sessions, its stop. Order within a session is the
 * caller's: main never has two turns of one session under way.
 */
import type { Logger } from 'pino';
import { KeyTable } from '../lib/key-table.ts';
import { type AgentSpec, OrreryError, type Reply, type TurnRequest, asOrreryError } from '../protocol/index.ts';
import type { AgentDefinition, AgentTokens } from './agent.ts';
import { Authorship } from './blame.ts';
import type { DeltaStream } from './deltas.ts';
import { runTurn } from './run-turn.ts';
import type { Commit, SearchOptions, SessionKey, SessionStore, StoredModelMessage } from './sessions/store.ts';
import type { ThreadTokens } from './tokens.ts';
import { AgentTurn, type TurnOwner } from './turn.ts';

export class AgentRuntime implements TurnOwner {
  readonly spec: AgentSpec;
  readonly #agent: AgentDefinition;
  readonly #store: SessionStore;
  readonly #epoch: number;
  readonly #parentLog: Logger;
  readonly #threadTokens: ThreadTokens;
  #tokens: AgentTokens | undefined;
  #log: Logger | undefined;
  readonly #authorship: Authorship;
  readonly #running = new KeyTable<AgentTurn>();
  #idle: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  /** `epoch` is that of this start, as the store gave it. */
  constructor(
    spec: AgentSpec,
    epoch: number,
    agent: AgentDefinition,
    store: SessionStore,
    log: Logger,
    tokens: ThreadTokens,
  ) {
    this.spec = spec;
    this.#epoch = epoch;
    this.#authorship = new Authorship(spec.number);
    this.#agent = agent;
    this.#store = store;
    this.#parentLog = log;
    this.#threadTokens = tokens;
  }

  get name(): string {
    return this.spec.agent;
  }
  get runtime(): string {
    return this.spec.runtime;
  }
  get env(): Readonly<Record<string, string>> {
    return this.spec.env;
  }
  get log(): Logger {
    this.#log ??= this.#parentLog.child({ agent: this.spec.runtime });
    return this.#log;
  }
  get tokens(): AgentTokens {
    const { source } = this.spec;
    const model = source.kind === 'model' ? source.spec.model : this.#agent.model;
    this.#tokens ??= this.#threadTokens.of(model, this.#agent.tokenizer);
    return this.#tokens;
  }
  get running(): number {
    return this.#running.size;
  }
  /** It was told to stop: a turn that comes now is somebody else's. */
  get stopping(): boolean {
    return this.#stopped !== undefined;
  }

  async start(): Promise<void> {
    try {
      await this.#authorship.run(() => this.#agent.start?.(this));
    } catch (error) {
      throw new OrreryError(
        'ORRERY_AGENT_START',
        `Agent ${this.name} failed to start: ${asOrreryError(error, 'ORRERY_AGENT_START').message}`,
        {
          cause: error,
          details: { agent: this.name },
        },
      );
    }
  }

  search(key: SessionKey, query: string, options?: SearchOptions): readonly StoredModelMessage[] {
    return this.#store.search(key, query, options);
  }

  /**
   * Makes the turn of a request; {@link run} runs it. A joined delivery that has a commit was answered by an earlier turn: then none of
   * the joined is answered here, and main gives each its own turn, in which the stored reply is found.
   */
  open(asked: TurnRequest, deltas?: DeltaStream): AgentTurn {
    const settled = asked.joined?.some(({ id }) => this.#store.commitOf(id)) ?? false;
    const request = settled ? { ...asked, joined: [] } : asked;
    const key = sessionOf(this.spec.agent, request);
    const session = key && this.#store.load(key);
    return new AgentTurn(this, request, key, session, deltas);
  }

  /** Runs a turn and commits it. A delivery that was committed before gets its stored reply; the agent is not asked again. */
  async run(turn: AgentTurn): Promise<Reply> {
    const { request } = turn;
    const committed = this.#store.commitOf(request.id);
    if (committed) {
      turn.disown();
      return committed;
    }
    const key = this.#running.add(turn);
    try {
      const reply = await this.#authorship.runTurn(turn.place, turn.loop, () => runTurn(this.#agent, turn));
      const commit = this.#commitOf(turn, reply);
      // A wait for what is there already would cost each turn two more rounds of the microtask queue.
      const stored = this.#store.commitSoon ? await this.#store.commitSoon(commit) : this.#store.commit(commit);
      if (stored !== reply) turn.disown();
      return stored;
    } finally {
      this.#running.delete(key);
      if (this.#running.size === 0) this.#idle?.();
    }
  }

  #commitOf(turn: AgentTurn, reply: Reply): Commit {
    const { request, sessionKey, session, joined, encoding } = turn;
    const commit: Commit = {
      session: sessionKey,
      deliveries: joined.length === 0 ? [request.id] : [request.id, ...joined],
      version: session?.version ?? 0,
      epoch: this.#epoch,
      messages: sessionKey ? turn.transcript(reply) : [],
      reply,
    };
    return encoding === undefined ? commit : { ...commit, encoding };
  }

  /** Waits for running turns until `deadline` settles, aborts the others, then runs the agent's own `stop` until then; at most once. */
  stop(timeoutMs: number, error: OrreryError): Promise<void> {
    this.#stopped ??= this.#stop(timeoutMs, error);
    return this.#stopped;
  }

  async #stop(timeoutMs: number, error: OrreryError): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    if (this.#running.size > 0) {
      const idle = new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
      await within(idle, timeoutMs);
      for (const turn of this.#running.values()) turn.abort(error);
    }
    const stopped = this.#authorship
      .run(async () => this.#agent.stop?.(this))
      .catch((cause: unknown) => {
        this.log.error({ err: cause }, 'the stop of the agent threw');
      });
    // At least a moment: an agent whose turns took the whole deadline may still say goodbye.
    const ended = await within(stopped, Math.max(MIN_STOP_MS, deadline - Date.now()));
    if (!ended) this.log.warn({ timeoutMs }, 'the stop of the agent did not end in time');
  }
}

const MIN_STOP_MS = 100;

/** Resolves to whether `promise` settled within the time. */
async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, ms), false);
  });
  const result = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return result;
}

/** A request that brings its whole history keeps no session. */
function sessionOf(agent: string, request: TurnRequest): SessionKey | undefined {
  return request.context?.mode === 'replace' ? undefined : { agent, namespace: request.session };
}
