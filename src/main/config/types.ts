/** Owns the configuration after validation: every default filled in, every path absolute, every variable replaced. */
import type { ModelSpec, QueueMode } from '../../protocol/index.ts';

export interface ResolvedAgent {
  readonly name: string;
  readonly source:
    | { readonly kind: 'builtin'; readonly name: string }
    | { readonly kind: 'module'; readonly path: string }
    | { readonly kind: 'model'; readonly spec: ModelSpec };
  readonly replicas: number;
  readonly isolation: 'shared' | 'dedicated' | 'process';
  /** Agents with a thread or a process of their own only. */
  readonly limits: { readonly maxHeapMb?: number };
  /** Names and values of the variables that the agent lists. */
  readonly env: Readonly<Record<string, string>>;
  readonly restart: 'permanent' | 'transient' | 'temporary';
}

/** What messages of a channel do that come while their session has others. */
export interface QueueConfig {
  readonly mode: QueueMode;
  /** Modes by namespace; `*` at the end of a pattern stands for anything, and the most specific one wins. */
  readonly sessions: Readonly<Record<string, QueueMode>>;
}

export interface GatewayConfig {
  readonly type: 'gateway';
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly token?: string;
  readonly adminToken?: string;
  /** Bytes of one request body. Default 1 MiB. */
  readonly maxBodyBytes: number;
  /** Requests a minute from one address. Default: no limit. */
  readonly rateLimitPerMinute?: number;
  /** Further values of `Host` that are accepted, such as the name behind a reverse proxy. */
  readonly allowedHosts: readonly string[];
  /** Further values of `Origin` that are accepted, such as `https://chat.example.org`. */
  readonly allowedOrigins: readonly string[];
  /** The agent of all messages of this channel, unless the caller names one. */
  readonly agent?: string;
  /** Default: `followup`. */
  readonly queue?: QueueConfig;
}

/** What all chat networks have. */
export interface NetworkConfig {
  /** Who may talk; nobody where it is empty. */
  readonly allow: readonly string[];
  /** What is answered in rooms. */
  readonly respondTo: 'mentions' | 'all';
  /** Messages of one user. */
  readonly rateLimitPerMinute: number;
  /** Names the account in routing. Default: the channel's name. */
  readonly account?: string;
  readonly agent?: string;
  readonly queue?: QueueConfig;
}

export interface DiscordConfig extends NetworkConfig {
  readonly type: 'discord';
  readonly token: string;
  /** Default: Discord's own. */
  readonly apiUrl?: string;
  /** Shows replies while they are written. */
  readonly stream: boolean;
}

export interface IrcConfig extends NetworkConfig {
  readonly type: 'irc';
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Whether the server's certificate must be trusted. */
  readonly tlsVerify: boolean;
  readonly nick: string;
  readonly username: string;
  readonly realname: string;
  /** Rooms to join: `#name`, or `#name key`. */
  readonly channels: readonly string[];
  /** Of the server. */
  readonly password?: string;
  readonly sasl?: { readonly account: string; readonly password: string };
  readonly flood: { readonly burst: number; readonly intervalMs: number };
  readonly formatting: 'plain' | 'codes';
}

export type ChannelConfig = GatewayConfig | DiscordConfig | IrcConfig;

/** Conditions of a binding; every one that is given must hold. `*` at the end of a pattern stands for anything. */
export interface RouteMatch {
  readonly channel?: string;
  readonly account?: string;
  /** Who speaks: compared with the metadata key `peer`. */
  readonly peer?: string;
  readonly namespace?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

export type RouteRule =
  | { readonly match: RouteMatch; readonly agent: string }
  | { readonly rule: 'metadataKey'; readonly key: string }
  | { readonly rule: 'namespacePrefix' }
  | { readonly rule: 'static'; readonly agent: string };

/** US dollars for a million tokens. */
export interface TokenPrice {
  readonly inputPerMTok: number;
  readonly outputPerMTok: number;
}

export interface ResolvedConfig {
  /** The configuration file; absent when the built-in configuration runs. */
  readonly file?: string;
  /** The directory that relative paths start from. */
  readonly dir: string;
  readonly agents: Readonly<Record<string, ResolvedAgent>>;
  readonly defaultAgent: string;
  readonly channels: Readonly<Record<string, ChannelConfig>>;
  readonly routing: readonly RouteRule[];
  readonly workers: {
    readonly threads: number;
    /** Old-generation heap of a shared thread in MB; Node's own default when absent. */
    readonly maxHeapMb?: number;
    /** Agents' turns under way at once, for each agent runtime. */
    readonly maxTurnsPerAgent: number;
    readonly heartbeatMs: number;
    readonly heartbeatLookMs: number;
    readonly killAfterMs: number;
  };
  readonly restarts: {
    readonly maxRestarts: number;
    readonly periodMs: number;
    readonly backoffMinMs: number;
    readonly backoffMaxMs: number;
    /** Share of the delay that is random, 0 to 1. */
    readonly jitter: number;
    readonly resetAfterMs: number;
  };
  readonly delivery: {
    readonly journal: 'sqlite' | 'memory';
    readonly maxAttempts: number;
    readonly turnTimeoutMs: number;
    /** Messages waiting in one session. */
    readonly mailboxSize: number;
    /** Deliveries under way in all. */
    readonly maxPending: number;
    readonly dedupeRetentionMs: number;
    readonly replyRetentionMs: number;
    /** Bytes of one message's text. */
    readonly maxMessageBytes: number;
    readonly retryMinMs: number;
    readonly retryMaxMs: number;
    /** Dead letters that are kept; the oldest go first. */
    readonly maxDeadLetters: number;
    /** Of a message that is recovered, and of a reply that waits for its channel. */
    readonly maxAgeMs: number;
    /** Replies that wait for one channel to be open again. */
    readonly maxHeldReplies: number;
    /** Messages that wait for the journal. */
    readonly maxJournalLag: number;
    /** Of the journal's file; absent: the disk. */
    readonly maxJournalBytes?: number;
    /** Of the main thread's loop, smoothed. */
    readonly maxLoopDelayMs: number;
  };
  readonly sessions:
    | { readonly store: 'memory'; readonly maxMessages?: number }
    | {
        readonly store: 'sqlite';
        readonly synchronous: 'normal' | 'full';
        /** Of the sessions that each thread keeps in memory, about. */
        readonly cacheBytes: number;
        /** Absent: messages have no age. */
        readonly maxAgeMs?: number;
        /** Kept of one session; absent: all. */
        readonly maxMessages?: number;
      };
  readonly shutdown: {
    /** The one deadline, from the signal to the exit. */
    readonly timeoutMs: number;
    readonly drainMs: number;
    readonly hostMs: number;
  };
  readonly bench: {
    /** By the name of an agent or of a model. */
    readonly prices: Readonly<Record<string, TokenPrice>>;
  };
  readonly dataDir: string;
  /** `fd`: standard output unless it is 2. */
  readonly log: { readonly level: string; readonly pretty: boolean; readonly fd?: 1 | 2 };
  /** What is odd but no error, such as a variable that an agent lists and that is not set; said once at start. */
  readonly warnings?: readonly string[];
}
