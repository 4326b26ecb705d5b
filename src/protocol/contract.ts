/**
 * Owns what crosses between the main thread and a slot's agent host: the comlink interface, the heartbeat words and
 * the raw delta line. Both sides import it; neither side's classes appear in it.
 *
 * The flow of a turn, and why it is cheap: `dispatch` takes all that waits for the slot and returns on receipt, with the
 * outcomes of turns that were already done by then; later outcomes come back through `collect`, a call that the agent
 * host holds open until it has some. So a fast turn costs one round trip, and a slow one delays nobody.
 */
import type { MessagePort } from 'node:worker_threads';
import type { WireError } from './errors.ts';
import type { Vocabulary } from './encodings.ts';
import type { WireOutcomes, WireTurns } from './wire.ts';
import type { DeliveryId, Reply, StoredMessage } from './messages.ts';
import type { CancelCause, JoinedMessage, RuntimeId, TurnKey } from './turns.ts';

export interface ModelSpec {
  /** `openai:ID`, `openai-compatible:ID` or `anthropic:ID`. */
  readonly model: string;
  readonly baseUrl?: string;
  readonly apiKey?: string;
  readonly system?: string;
  readonly temperature?: number;
  readonly maxOutputTokens?: number;
  readonly context?: ContextSpec;
  /** Model calls of one turn at most; the last of them may call no tools. */
  readonly maxSteps?: number;
  /** Models that answer, in this order, where the ones before them do not. */
  readonly fallback?: readonly string[];
}

/** How much of a model's context window a turn may fill. Tokens, as the agent's encoding counts them. */
export interface ContextSpec {
  /** Of prompt and answer together. Default: the model's own. */
  readonly maxTokens?: number;
  /** Kept free for the answer. Default: `maxOutputTokens`, else the model's own limit, at most a third of the window. */
  readonly reservedForOutput?: number;
  /** Share of the prompt that one tool's result may take, above 0 and at most 1; a longer one is cut. Default 0.25. */
  readonly toolResultShare?: number;
  /** `summary`: what no longer fits is summed up by the model. Default: it is left out. */
  readonly compaction?: 'summary';
}

/** What an agent host needs to run one agent runtime. */
export interface AgentSpec {
  readonly runtime: RuntimeId;
  /** The agent's name in the configuration. */
  readonly agent: string;
  readonly source:
    | { readonly kind: 'builtin'; readonly name: string }
    | { readonly kind: 'module'; readonly url: string }
    | { readonly kind: 'model'; readonly spec: ModelSpec };
  /** Exactly the variables that the agent lists in its configuration. */
  readonly env: Readonly<Record<string, string>>;
  /** Unique in the process and at least 1: a dying thread can still say it in one shared word. */
  readonly number: number;
  /**
   * Whom the session store takes for the owner, where that is not the runtime itself. A start takes over from every earlier one of the same
   * owner; one that follows another without a pause has an owner of its own, so that the turns of both commit.
   */
  readonly owner?: string;
}

export type AgentStartResult =
  | { readonly runtime: RuntimeId; readonly ok: true }
  | { readonly runtime: RuntimeId; readonly ok: false; readonly error: WireError };

/** Served by the agent host of a slot, called by main over comlink. */
export interface AgentHostContract {
  /** Starts agents one after another, in the order given; one that fails does not stop the others. */
  startAgents(specs: readonly AgentSpec[]): Promise<readonly AgentStartResult[]>;
  /** Stops agents in reverse order of their start: running turns get `timeoutMs`, then `stop(ctx)` is awaited. */
  stopAgents(runtimes: readonly RuntimeId[], timeoutMs: number): Promise<void>;
  /** Takes turns over; returns on receipt, with the outcomes that are ready. */
  dispatch(turns: WireTurns): Promise<WireOutcomes>;
  /** Returns outcomes as soon as there are some; empty once the host stops. One call at a time. */
  collect(): Promise<WireOutcomes>;
  /** Aborts turns; each still gets its outcome. Unknown ones are ignored (their outcome is already on its way). */
  cancel(turns: readonly TurnKey[], cause: CancelCause): Promise<void>;
  /** Offers messages to a turn, in order. What it takes, its outcome names; for one that has ended nothing happens. */
  steer(turn: TurnKey, messages: readonly JoinedMessage[]): Promise<void>;
  /** Takes offered messages back; returns those that the turn had not taken and now never will. */
  unsteer(turn: TurnKey, deliveries: readonly DeliveryId[]): Promise<readonly DeliveryId[]>;
  /** Returns a session's newest messages, oldest first; none for a session that is not there. Default: 1,000 of them. */
  history(agent: string, session: string, maxMessages?: number): Promise<readonly StoredMessage[]>;
  /** Forgets a session's messages; false when there were none. A turn that runs meanwhile runs again on the empty session. */
  clearSession(agent: string, session: string): Promise<boolean>;
  /** Lists an agent's sessions, 1,000 at most: those whose namespace is `prefix` or lies below it. */
  listSessions(agent: string, prefix?: string): Promise<readonly string[]>;
  /** Returns those of the deliveries that have committed, each with its stored reply. */
  commitsOf(deliveries: readonly DeliveryId[]): Promise<readonly (readonly [DeliveryId, Reply])[]>;
  /** Stops every agent, ends `collect` and then the resident task. */
  stop(timeoutMs: number): Promise<void>;
}

/** Deadlines of the calls above, in milliseconds; `Infinity` where only the slot's end may cut the call. */
export const CALL_TIMEOUT_MS: Readonly<Record<keyof AgentHostContract, number>> = {
  startAgents: 60_000,
  // As long as its turns may run; the heartbeat ends a slot that hangs.
  stopAgents: Infinity,
  // Its answer carries outcomes, which must never be dropped for coming late; the heartbeat ends a slot that hangs.
  dispatch: Infinity,
  collect: Infinity,
  cancel: 10_000,
  steer: 10_000,
  unsteer: 10_000,
  history: 10_000,
  clearSession: 10_000,
  listSessions: 10_000,
  // A thread that hangs must leave time to ask another one, which is then the freest.
  commitsOf: 3_000,
  // Whoever calls it kills the slot at a time of its own.
  stop: Infinity,
};

/** How a worker logs; `fd` is standard output unless it is 2. */
export interface WorkerLog {
  readonly level: string;
  readonly pretty: boolean;
  readonly fd?: 1 | 2;
}

/** Where a slot keeps its agents' sessions. */
export type SessionsTask =
  | { readonly store: 'memory'; readonly maxMessages?: number }
  | {
      readonly store: 'sqlite';
      /** One for the host: every slot opens it. */
      readonly file: string;
      readonly synchronous: 'normal' | 'full';
      /** Of the sessions that each slot keeps in memory, about. */
      readonly cacheBytes: number;
      readonly maxAgeMs?: number;
      readonly maxMessages?: number;
      /** How long a delivery's commit is remembered, in milliseconds. */
      readonly commitRetentionMs: number;
      /** Who writes next, among the threads of the host. A process of its own has none, and waits as SQLite does. */
      readonly gate?: SharedArrayBuffer;
    };

/** What an agent host is told at its start, whatever carries it. */
export interface HostTask {
  readonly slot: number;
  readonly generation: number;
  readonly heartbeatMs: number;
  /** The deadline of a turn that brings none of its own, in milliseconds. */
  readonly turnTimeoutMs: number;
  readonly sessions: SessionsTask;
  readonly log: WorkerLog;
}

/** What piscina hands to the resident task of a slot. */
export interface ResidentTask extends HostTask {
  /** Carries comlink calls. */
  readonly port: MessagePort;
  /** Carries text deltas one way and credits the other. */
  readonly deltaPort: MessagePort;
  /** {@link SLOT_WORDS} 32-bit words. */
  readonly words: SharedArrayBuffer;
  /** The vocabulary images of the process, shared by all threads. */
  readonly images: Partial<Record<Vocabulary, SharedArrayBuffer>>;
}

/** The lines of the link between main and a child process. */
export const CHILD_LINE = {
  /** Comlink's calls. */
  calls: 0,
  /** {@link WireDeltas} one way and credits the other. */
  deltas: 1,
  /** The {@link HostTask}, and {@link CHILD_STOPPED} as the child's last message when it was stopped as asked. */
  control: 2,
} as const;
export const CHILD_LINES = 3;
export const CHILD_STOPPED = 'stopped';

/** What a child process inherits beside the three standard streams. */
export const CHILD_FD = {
  link: 3,
  /** The slot's words, in a file without a name: it outlives whoever writes into it. */
  words: 4,
  /** Nothing is ever sent on it: its end is the supervisor's. */
  life: 5,
  /** Where the log goes. */
  log: 6,
} as const;

/** Bytes of the file of {@link CHILD_FD.words}: the words, and behind them the error that the process died of, as JSON. */
export const CHILD_WORDS_BYTES = 16_384;

/** The resident task's end, when it ended as asked. */
export interface ResidentEnd {
  readonly slot: number;
  readonly generation: number;
}

/** Indexes into a slot's words: shared memory between threads, a file's page between processes. Main reads, the slot writes. */
export const SLOT_WORD = {
  /** Raised by the worker at every heartbeat; main compares, no clock is shared. */
  beat: 0,
  /** The worker's `threadId`, by which main finds the thread for its loop utilization. */
  threadId: 1,
  /** Turns under way in the worker. */
  running: 2,
  /** Turns that the worker has begun in this generation: those after it were never seen by an agent. */
  begun: 3,
  /** The {@link AgentSpec.number} of the agent whose code threw or exited; 0 for nobody known. */
  blamed: 4,
  /** Loop utilization between the last two heartbeats, in thousandths. Child processes only: a thread's can be asked for. */
  utilization: 5,
  /**
   * The turns that this code may have belonged to, from one to another, as `begun` counts them: one turn, or those of the agent that were
   * begun before the loop turned again. 0 for code that no turn started.
   */
  blamedFrom: 6,
  blamedTo: 7,
} as const;
export const SLOT_WORDS = 8;

/** What a worker sends by the delta line: turns and their new text, alternating. Main answers a number of further messages. */
export type WireDeltas = readonly (TurnKey | string)[];

/** Delta messages that may be under way before main returns credit; text of turns without credit is joined and waits. */
export const DELTA_CREDITS = 64;
