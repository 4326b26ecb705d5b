/** Owns the public shapes of a running supervisor: what the library, the commands and the gateway see of it. */
import type {
  AgentState,
  ConnectionState,
  DeliveredReply,
  InboundMessage,
  SlotState,
  StoredMessage,
  WireError,
} from '../protocol/index.ts';
import type { AgentRef, ChannelManager } from './channels/manager.ts';
import type { NameChanges } from './config/diff.ts';
import type { OrreryConfig } from './config/input.ts';
import type { AccountSnapshot } from './delivery/account.ts';
import type { DeadLetter } from './delivery/journal.ts';
import type { QuarantineSnapshot } from './delivery/quarantine.ts';

export type { AccountSnapshot } from './delivery/account.ts';
export type { DeadLetter } from './delivery/journal.ts';
export type { NameChanges } from './config/diff.ts';
export type { QuarantineSnapshot } from './delivery/quarantine.ts';

export interface AgentStatus {
  readonly name: string;
  readonly source: string;
  readonly isolation: Isolation;
  /** The state of each replica, with the slot that it lives in (a label such as `shared-0`, or the runtime's name). */
  readonly replicas: readonly { readonly runtime: string; readonly slot: string; readonly state: AgentState }[];
  readonly restarts: number;
}

/** With others on a thread, on a thread of its own, in a process of its own. */
export type Isolation = 'shared' | 'dedicated' | 'process';

export interface SlotStatus {
  readonly slot: string;
  readonly isolation: Isolation;
  /** Of the child process that carries it, while one lives. */
  readonly pid?: number;
  readonly state: SlotState;
  readonly agents: number;
  /** Turns under way. */
  readonly running: number;
  readonly restarts: number;
  /** Event-loop utilization since the last look, 0 to 1. */
  readonly utilization: number;
}

export interface ChannelStatus {
  readonly name: string;
  readonly type: string;
  readonly connected: boolean;
  readonly state: ConnectionState;
  readonly metadata: Readonly<Record<string, string>>;
  /** What a network's adapter tells of its connection: messages taken in and passed over by reason, reconnects, the nick in use. */
  readonly health?: Readonly<Record<string, number | string>>;
  /** Where a gateway is reached, once it is open. */
  readonly url?: string;
}

export interface Status {
  readonly version: string;
  readonly pid: number;
  readonly state: SupervisorState;
  /** Unix time in milliseconds. */
  readonly startedAt: number;
  readonly journal: JournalStatus;
  readonly defaultAgent: string;
  readonly agents: readonly AgentStatus[];
  readonly slots: readonly SlotStatus[];
  readonly channels: readonly ChannelStatus[];
  readonly messages: AccountSnapshot;
  /** Turns that may have ended their thread, and are run singly. */
  readonly quarantine: QuarantineSnapshot;
  /** Threads that did not end within 5 s of a kill. */
  readonly zombies: number;
  /** Event-loop delay of the main thread over the last minute at most, in milliseconds. */
  readonly loopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

export interface JournalStatus {
  readonly kind: 'memory' | 'sqlite';
  /** `failed`: the file takes no writes. Messages are refused, what was accepted is kept, and the file is tried every second. */
  readonly status: 'ok' | 'failed';
  readonly error?: string;
  /** Since when it is failed: Unix time in milliseconds. */
  readonly since?: number;
  /** Messages that wait to be accepted. */
  readonly appends: number;
  /** Later states that are not on disk yet. */
  readonly marks: number;
}

export type SupervisorState = 'idle' | 'starting' | 'running' | 'draining' | 'closed';

export interface DrainReport {
  /** True when everything accepted was answered and every agent stopped within the deadline. */
  readonly clean: boolean;
  readonly answered: number;
  /** Deliveries that were cut off: the next start does them. With the in-memory journal they are dead letters with reason `shutdown`. */
  readonly unfinished: number;
  readonly durationMs: number;
}

/** What became of another configuration. Names are those of the new one, and for what is gone of the one before. */
export interface ReloadReport {
  /** The file that was read; absent for a configuration that was handed over. */
  readonly file?: string;
  readonly agents: NameChanges;
  readonly channels: NameChanges;
  /** The rules were replaced. */
  readonly routing: boolean;
  /** The new default agent, where it is another one. */
  readonly defaultAgent?: string;
  /** Paths of keys, such as `workers.threads`, that were changed and that only a new process takes over; the running values stay. */
  readonly needsRestart: readonly string[];
  /** What did not start in its new form; what was before goes on, and the next reload tries again. */
  readonly failed: readonly ReloadFailure[];
  /** What is odd about the new configuration, but no error. */
  readonly warnings: readonly string[];
  readonly durationMs: number;
}

export interface ReloadFailure {
  readonly kind: 'agent' | 'channel';
  readonly name: string;
  readonly error: WireError;
}

export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

export interface Agents {
  list(): readonly AgentStatus[];
  /**
   * Starts every replica anew, one after another, with the code as it is now: a module in a new thread, or process. New turns go there once it
   * serves, while those under way end where they run; a session's next turn waits for them. Rejects with `ORRERY_AGENT_UNKNOWN`, or with what
   * its start threw, and then what served before goes on.
   */
  restart(name: string): Promise<AgentStatus>;
}

export interface ChannelManagers {
  list(): readonly ChannelStatus[];
  get(name: string): ChannelManager | undefined;
  /** The agents, as `setAgents` of a {@link ChannelManager} of one's own takes them. Such a manager is its maker's to stop. */
  agents(): ReadonlyMap<string, AgentRef>;
  /** Replaces the channel's connection; accepted messages are kept. Rejects with `ORRERY_NOT_FOUND`. */
  restart(name: string): Promise<ChannelStatus>;
}

/** Messages that could not be answered: the newest `delivery.maxDeadLetters` of them, on disk with the durable journal. */
export interface DeadLetters {
  /** The newest first, at most `limit` (default 100), from after the letter `after` on. Rejects with `ORRERY_NOT_FOUND` where that one was put back or forgotten meanwhile. */
  list(o?: { limit?: number; after?: string }): Promise<readonly DeadLetter[]>;
  /** Rejects with `ORRERY_NOT_FOUND`. */
  get(id: string): Promise<DeadLetter>;
  /**
   * Runs the message again, behind all that its session has and with all attempts; its reply goes to where it came from, and is kept under
   * its id. Resolves with the letter it was once the journal has it. Rejects with `ORRERY_NOT_FOUND`, `ORRERY_AGENT_UNKNOWN`,
   * `ORRERY_MAILBOX_FULL`, `ORRERY_OVERLOADED`, `ORRERY_DRAINING` and `ORRERY_JOURNAL_FAILED`.
   */
  replay(id: string): Promise<DeadLetter>;
  /** Forgets it; its id stays known as a duplicate for the retention. Rejects with `ORRERY_NOT_FOUND`. */
  drop(id: string): Promise<void>;
}

/**
 * Conversations, by the agent's name and the namespace in its written form, such as `web:alice`. All of it rejects with
 * `ORRERY_AGENT_UNKNOWN`, `ORRERY_BAD_NAMESPACE`, and `ORRERY_SLOT_NOT_READY` while no thread is up that could look.
 */
export interface Sessions {
  /** Returns the newest messages, oldest first; 1,000 at most by default. Rejects with `ORRERY_NOT_FOUND` when there are none. */
  read(agent: string, namespace: string, o?: { maxMessages?: number }): Promise<readonly StoredMessage[]>;
  /**
   * Forgets the messages. A turn that runs meanwhile is run again on the empty session. Rejects with `ORRERY_NOT_FOUND` when
   * there are none.
   */
  clear(agent: string, namespace: string): Promise<void>;
  /** Lists namespaces that are `prefix` or lie below it, as far as they have messages; 1,000 at most. */
  list(agent: string, prefix?: string): Promise<readonly string[]>;
}

export interface Supervisor extends AsyncDisposable {
  /**
   * Starts agents, then channels. Rejects with a configuration code when a channel cannot bind, and with `ORRERY_CLOSED` when it is drained or closed
   * meanwhile; agents that fail are retried.
   */
  start(): Promise<void>;
  status(): Status;
  readiness(): Readiness;
  /**
   * Takes over another configuration: the one given, or what its file holds now. Only what differs is touched. Resolves when it is in force.
   * Rejects with the code of what is wrong (`ORRERY_CONFIG_INVALID`...) and changes nothing then; with `ORRERY_STARTING`, `ORRERY_DRAINING` and
   * `ORRERY_CLOSED` while it does not run; without an argument, for a supervisor that was made from an object, with `ORRERY_UNSUPPORTED`. Reloads
   * run one at a time; those that come during one share the next, with the latest configuration.
   */
  reload(config?: OrreryConfig): Promise<ReloadReport>;
  /** Refuses new messages, finishes accepted ones until the deadline, stops agents, then closes. Idempotent. */
  drain(o?: { timeoutMs?: number }): Promise<DrainReport>;
  /** Resolves with the report once the supervisor was drained, by whomever: its user, a command, the gateway. */
  drained(): Promise<DrainReport>;
  /** Closes at once: what is unfinished is cut off. */
  close(): Promise<void>;
  readonly channels: ChannelManagers;
  readonly agents: Agents;
  readonly deadLetters: DeadLetters;
  readonly sessions: Sessions;
  /** Delivers a message from inside the process; rejects with the error that a channel would have sent. */
  inject(
    message: InboundMessage,
    o?: { signal?: AbortSignal; onDelta?: (text: string) => void },
  ): Promise<DeliveredReply>;
  /** Aborts a delivery; false when it is not under way. */
  cancel(id: string): boolean;
  /** Prometheus text. */
  metrics(): Promise<string>;
}
