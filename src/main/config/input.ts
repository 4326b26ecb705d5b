/** Owns the configuration as people write it: `OrreryConfig` and `defineConfig`. It checks nothing. */
import type { QueueMode } from '../../protocol/index.ts';
import type { RouteRule, TokenPrice } from './types.ts';

export interface AgentConfig {
  /** `builtin:NAME`, or the path of a module relative to the configuration file. Either this or `model`. */
  use?: string;
  /** `openai:ID`, `openai-compatible:ID` or `anthropic:ID`. Either this or `use`. */
  model?: string;
  /** Runtimes of this agent, over which sessions are spread. Default 1. */
  replicas?: number;
  /** `shared` (default): on the pool's threads. `dedicated`: a thread of its own. */
  isolation?: 'shared' | 'dedicated' | 'process';
  /** With `isolation: 'dedicated'` or `'process'` only. */
  limits?: {
    /** Old-generation heap of the thread in MB. */
    maxHeapMb?: number;
  };
  /** Names of environment variables that the agent gets as `ctx.env`; it sees no others. */
  env?: readonly string[];
  /** `permanent` (default): restarted always. `transient`: after an abnormal end. `temporary`: never. */
  restart?: 'permanent' | 'transient' | 'temporary';
  /** With `model`: the provider's server; required for `openai-compatible`. */
  baseUrl?: string;
  /** With `model`: the provider's key. */
  apiKey?: string;
  /** With `model`: the system prompt. */
  system?: string;
  /** With `model`: 0 to 2. */
  temperature?: number;
  /** With `model`: tokens of one reply at most. */
  maxOutputTokens?: number;
  /** With `model`: how much of the model's context window a turn may fill, in tokens. */
  context?: {
    /** Of prompt and reply together. Default: the model's own, 32,768 for a model that is not known. */
    maxTokens?: number;
    /** Of it, kept free for the reply. Default: `maxOutputTokens`, else the model's own limit, at most a third. */
    reservedForOutput?: number;
    /** Share of the prompt that one tool's result may take. Default 0.25. */
    toolResultShare?: number;
    /** `summary`: the model sums up what no longer fits. Default: it is left out of the prompt. */
    compaction?: 'summary';
  };
  /** With `model`: calls of the model in one turn at most. Default 20. */
  maxSteps?: number;
  /** With `model`: models that answer, in this order, where the ones before them do not. */
  fallback?: readonly string[];
}

export interface GatewayChannelConfig {
  type: 'gateway';
  /** Default 127.0.0.1. Beyond loopback a `token` is required. */
  host?: string;
  /** Default 8790; 0 takes any free port. */
  port?: number;
  /** May chat and see its own sessions. */
  token?: string;
  /** May control, and see every session, dead letters and metrics. */
  adminToken?: string;
  /** Bytes of one request body. Default 1,048,576 (1 MiB). */
  maxBodyBytes?: number;
  /** Requests a minute from one address. Default: no limit. */
  rateLimitPerMinute?: number;
  /** Further values of `Host` that are accepted, such as the name behind a reverse proxy. */
  allowedHosts?: readonly string[];
  /** Further values of `Origin` that are accepted, such as `https://chat.example.org`. */
  allowedOrigins?: readonly string[];
  /** The agent of all messages of this channel, unless the caller names one. */
  agent?: string;
  /** How messages of one session that come during a turn are handled, unless the caller asks for a mode. */
  queue?: QueueInput;
}

export interface QueueInput {
  /** `followup` (default): one after another. `collect`: those that wait become one turn. `interrupt`: the running turn begins again with them. `steer`: put into it. */
  mode?: QueueMode;
  /** Modes by namespace; `*` at the end of a pattern stands for anything, and the most specific one wins. */
  sessions?: Readonly<Record<string, QueueMode>>;
}

interface NetworkChannelConfig {
  /** Who may talk: `*` is everyone, else patterns such as `user:42`, `room:7` or `guild:1`. Default: nobody. */
  allow?: readonly string[];
  /** What is answered in rooms: `mentions` of the bot (default), or `all`. Direct messages of those allowed always are. */
  respondTo?: 'mentions' | 'all';
  /** Messages of one user that are taken in. Default 20. */
  rateLimitPerMinute?: number;
  /** Names the account in routing. Default: the channel's name. */
  account?: string;
  /** The agent of all messages of this channel. */
  agent?: string;
  /** How messages of one session that come during a turn are handled. */
  queue?: QueueInput;
}

export interface DiscordChannelConfig extends NetworkChannelConfig {
  type: 'discord';
  /** The bot's token. */
  token: string;
  /** Base of the REST API, without a version. Default: Discord's own. */
  apiUrl?: string;
  /** Shows replies while they are written, by editing them. Default true. */
  stream?: boolean;
}

export interface IrcChannelConfig extends NetworkChannelConfig {
  type: 'irc';
  host: string;
  /** Default 6697, without TLS 6667. */
  port?: number;
  /** Default true. */
  tls?: boolean;
  /** Whether the server's certificate must be trusted. Default true. */
  tlsVerify?: boolean;
  nick: string;
  /** Default: the nick. */
  username?: string;
  /** Default: the nick. */
  realname?: string;
  /** Rooms to join: `#name`, or `#name key`. */
  channels?: readonly string[];
  /** Of the server. */
  password?: string;
  /** Of the account: SASL PLAIN. */
  sasl?: { account: string; password: string };
  /** How fast lines are sent. */
  flood?: {
    /** Lines at once. Default 4. */
    burst?: number;
    /** For each further one. Default 2,000. */
    intervalMs?: number;
  };
  /** Markdown is taken out (`plain`, default) or written with the codes for bold, italics and monospace. */
  formatting?: 'plain' | 'codes';
}

export type ChannelInput = GatewayChannelConfig | DiscordChannelConfig | IrcChannelConfig;

/** The configuration as it is written; every key but `agents` has a default. Durations are in milliseconds. */
export interface OrreryConfig {
  agents: Record<string, AgentConfig>;
  /** The agent of messages that no rule routes. Default: the only agent, where there is one. */
  defaultAgent?: string;
  /** Ways in. Default: none, so that only the library's `inject` and `orrery chat` reach the agents. */
  channels?: Record<string, ChannelInput>;
  /** Default: `[{ rule: 'metadataKey', key: 'agent' }]`. */
  routing?: readonly RouteRule[];
  workers?: {
    /** Shared threads. Default: one less than the cores, at least 2, at most 8. */
    threads?: number;
    /** Old-generation heap of a shared thread in MB. Default: Node's own. */
    maxHeapMb?: number;
    /** Turns under way at once in one agent runtime. Default 256. */
    maxTurnsPerAgent?: number;
    /** Default 250. */
    heartbeatMs?: number;
    /** Default 1,000. */
    heartbeatLookMs?: number;
    /** A thread without a heartbeat for this long is replaced. Default 10,000. */
    killAfterMs?: number;
  };
  restarts?: {
    /** Restarts within `periodMs` before an agent is escalated. Default 5. */
    maxRestarts?: number;
    /** Default 60,000. */
    periodMs?: number;
    /** Default 1,000; the first restart is immediate. */
    backoffMinMs?: number;
    /** Default 60,000. */
    backoffMaxMs?: number;
    /** Share of the delay that is random, 0 to 1. Default 0.2. */
    jitter?: number;
    /** Health for this long forgets earlier restarts. Default 60,000. */
    resetAfterMs?: number;
  };
  delivery?: {
    /**
     * Where accepted messages are kept. Default `sqlite`: the file `journal.db` in `dataDir`, and a message is accepted once it is on disk.
     * `memory`: while the process lives, and without a disk's delay.
     */
    journal?: 'sqlite' | 'memory';
    /** Default 3. */
    maxAttempts?: number;
    /** Default 120,000. */
    turnTimeoutMs?: number;
    /** Messages waiting in one session. Default 64. */
    mailboxSize?: number;
    /** Deliveries under way in all. Default 10,000. */
    maxPending?: number;
    /** How long an id is known as a duplicate. Default 3,600,000 (an hour); in memory 600,000. */
    dedupeRetentionMs?: number;
    /** How long a reply is kept under its id. Default 3,600,000 (an hour); in memory 600,000. */
    replyRetentionMs?: number;
    /** Bytes of one message's text. Default 1,048,576 (1 MiB). */
    maxMessageBytes?: number;
    /** Default 500. */
    retryMinMs?: number;
    /** Default 10,000. */
    retryMaxMs?: number;
    /** Dead letters that are kept; the oldest go first. Default 1,000. */
    maxDeadLetters?: number;
    /**
     * A message that is older when the host comes back after a stop is not answered any more, and becomes a dead letter (`expired`); a reply is
     * held as long for a channel that is down. Default 3,600,000 (an hour).
     */
    maxAgeMs?: number;
    /** Replies held for each channel that is down. Default 1,000. */
    maxHeldReplies?: number;
    /** Messages that wait for the journal before new ones are turned away. Default 5,000. */
    maxJournalLag?: number;
    /** With `sqlite`: the journal's file; at its bound it is as with a full disk. Default: the disk. */
    maxJournalBytes?: number;
    /** How late the main thread's loop may be before new messages are turned away. Default 500. */
    maxLoopDelayMs?: number;
  };
  sessions?: {
    /** Where conversations are kept. Default `sqlite`: the file `sessions.db` in `dataDir`. `memory`: while their thread lives. */
    store?: 'sqlite' | 'memory';
    /** With `sqlite`. `full` keeps the newest turns also when the power fails, for a sync at each of them. Default `normal`. */
    synchronous?: 'normal' | 'full';
    /** With `sqlite`: bytes of the sessions that each thread keeps in memory, about. Default 16,777,216 (16 MiB). */
    cacheBytes?: number;
    /** With `sqlite`: messages that are older are forgotten. Default: never. */
    maxAgeMs?: number;
    /** Messages kept of one session; the oldest go first. Default: all with `sqlite`, 200 with `memory`. */
    maxMessages?: number;
  };
  shutdown?: {
    /** The one deadline, from the signal to the exit. Default 25,000. */
    timeoutMs?: number;
    /** Of it, for finishing turns. Default: 60 %. */
    drainMs?: number;
    /** Of it, for each host to stop its agents. Default: 20 %. */
    hostMs?: number;
  };
  bench?: {
    /**
     * What tokens cost, in US dollars a million, by the name of an agent or of a model (`openai:gpt-4o`, or `gpt-4o` alone); an agent's own
     * price wins. Default: none, and then a benchmark's cost is unknown.
     */
    prices?: Readonly<Record<string, TokenPrice>>;
  };
  /** Relative to the configuration file. Default `.orrery`. One supervisor at a time. */
  dataDir?: string;
  log?: {
    /** `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`. Default `info`. */
    level?: string;
    /** Lines for people instead of JSON. Default: true on a terminal. */
    pretty?: boolean;
  };
}

/** Returns its argument; gives the configuration its type. */
export function defineConfig(config: OrreryConfig): OrreryConfig {
  return config;
}
