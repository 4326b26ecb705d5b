/**
 * Owns one live agent in this thread: its start, its turns with their sessions, its stop. Order within a session is the
 * caller's: main never has two turns of one session under way.
 */
import type { Logger } from 'pino';
import {
  type AgentSpec,
  type ChatMessage,
  type DeliveryId,
  OrreryError,
  type Reply,
  type TurnRequest,
  asOrreryError,
} from '../protocol/index.ts';
import type { AgentContext, AgentDefinition, AgentTokens } from './agent.ts';
import { runAs } from './blame.ts';
import type { SessionKey, SessionStore } from './sessions/store.ts';
import type { ThreadTokens } from './tokens.ts';
import { AgentTurn, runTurn } from './turn.ts';

export class AgentRuntime implements AgentContext {
  readonly spec: AgentSpec;
  readonly #agent: AgentDefinition;
  readonly #store: SessionStore;
  readonly #parentLog: Logger;
  readonly #threadTokens: ThreadTokens;
  #tokens: AgentTokens | undefined;
  #log: Logger | undefined;
  readonly #running = new Map<DeliveryId, AgentTurn>();
  #idle: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  constructor(spec: AgentSpec, agent: AgentDefinition, store: SessionStore, log: Logger, tokens: ThreadTokens) {
    this.spec = spec;
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
    const model = source.kind === 'model' ? source.spec.model : undefined;
    this.#tokens ??= this.#threadTokens.of(model, this.#agent.tokenizer);
    return this.#tokens;
  }
  get running(): number {
    return this.#running.size;
  }

  async start(): Promise<void> {
    try {
      await runAs(this.spec.number, () => this.#agent.start?.(this));
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

  has(delivery: DeliveryId): boolean {
    return this.#running.has(delivery);
  }

  /** Runs a turn and commits it. A delivery that was committed before gets its stored reply; the agent is not asked again. */
  async run(request: TurnRequest, onDelta: ((text: string) => void) | undefined): Promise<Reply> {
    const committed = this.#store.commitOf(request.id);
    if (committed) return committed;
    const key = sessionOf(this.spec.agent, request);
    const session = key ? this.#store.load(key) : undefined;
    const before = request.context?.messages ?? [];
    const history = (): readonly ChatMessage[] => (session ? [...session.read(), ...before] : before);
    const turn = new AgentTurn(this, request, history);
    this.#running.set(request.id, turn);
    try {
      const reply = await runAs(this.spec.number, () => runTurn(this.#agent, turn, onDelta));
      return this.#store.commit({
        session: key,
        delivery: request.id,
        version: session?.version ?? 0,
        epoch: this.spec.epoch,
        messages: key ? turnMessages(before, request, reply) : [],
        reply,
      });
    } finally {
      this.#running.delete(request.id);
      if (this.#running.size === 0) this.#idle?.();
    }
  }

  /** Aborts a turn whose deadline has passed. */
  expire(delivery: DeliveryId, now: number): void {
    this.#running.get(delivery)?.expire(now);
  }

  /** Aborts one turn; false when it is not running here. */
  abort(delivery: DeliveryId, error: OrreryError): boolean {
    const turn = this.#running.get(delivery);
    turn?.abort(error);
    return turn !== undefined;
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
    const stopped = runAs(this.spec.number, async () => this.#agent.stop?.(this)).catch((cause: unknown) => {
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

function turnMessages(before: readonly ChatMessage[], request: TurnRequest, reply: Reply): readonly ChatMessage[] {
  return before.length === 0 ? [request.message, reply.message] : [...before, request.message, reply.message];
}
