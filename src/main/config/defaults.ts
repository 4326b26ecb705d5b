/** Owns the defaults of every option, with units in their names; docs/configuration.md lists them, and a test holds the two together. */
import { availableParallelism } from 'node:os';

export const DEFAULT_DATA_DIR = '.orrery';

export const DEFAULT_GATEWAY_HOST = '127.0.0.1';
export const DEFAULT_GATEWAY_PORT = 8790;
/** 1 MiB. */
export const DEFAULT_MAX_BODY_BYTES = 1_048_576;

/** Messages of one user of a chat network. */
export const DEFAULT_USER_RATE_PER_MINUTE = 20;
export const DEFAULT_IRC_PORT = 6667;
export const DEFAULT_IRC_TLS_PORT = 6697;
/** What servers of IRC commonly let pass: a few lines at once, then one in two seconds. */
export const DEFAULT_FLOOD_BURST = 4;
export const DEFAULT_FLOOD_INTERVAL_MS = 2000;

/** One core is left to the main thread; more than 8 threads are asked for, never assumed. */
export const DEFAULT_THREADS: number = Math.max(2, Math.min(availableParallelism() - 1, 8));
export const DEFAULT_MAX_TURNS_PER_AGENT = 256;
export const DEFAULT_HEARTBEAT_MS = 250;
export const DEFAULT_HEARTBEAT_LOOK_MS = 1_000;
export const DEFAULT_KILL_AFTER_MS = 10_000;

export const DEFAULT_MAX_RESTARTS = 5;
export const DEFAULT_RESTART_PERIOD_MS = 60_000;
export const DEFAULT_BACKOFF_MIN_MS = 1_000;
export const DEFAULT_BACKOFF_MAX_MS = 60_000;
/** Share of the delay that is random. */
export const DEFAULT_JITTER = 0.2;
export const DEFAULT_RESET_AFTER_MS = 60_000;

export const DEFAULT_MAX_ATTEMPTS = 3;
export const DEFAULT_TURN_TIMEOUT_MS = 120_000;
export const DEFAULT_MAILBOX_SIZE = 64;
export const DEFAULT_MAX_PENDING = 10_000;
/** An hour on disk. In memory 10 minutes: that journal keeps them in the process's own heap. */
export const DEFAULT_DEDUPE_RETENTION_MS = 3_600_000;
export const DEFAULT_REPLY_RETENTION_MS = 3_600_000;
export const DEFAULT_MEMORY_DEDUPE_RETENTION_MS = 600_000;
export const DEFAULT_MEMORY_REPLY_RETENTION_MS = 600_000;
/** An hour: an answer to what was asked before that is more often a surprise than a help. */
export const DEFAULT_MAX_AGE_MS = 3_600_000;
export const DEFAULT_MAX_HELD_REPLIES = 1_000;
export const DEFAULT_MAX_JOURNAL_LAG = 5_000;
export const DEFAULT_MAX_LOOP_DELAY_MS = 500;
/** 1 MiB. */
export const DEFAULT_MAX_MESSAGE_BYTES = 1_048_576;
export const DEFAULT_RETRY_MIN_MS = 500;
export const DEFAULT_RETRY_MAX_MS = 10_000;
export const DEFAULT_MAX_DEAD_LETTERS = 1_000;

/** 16 MiB, for each thread. */
export const DEFAULT_SESSION_CACHE_BYTES: number = 16 * 1_048_576;

/** Under the 30 s that Kubernetes gives. */
export const DEFAULT_SHUTDOWN_MS = 25_000;
/** Share of the shutdown deadline for finishing turns where `drainMs` is not given: 15 s of 25 s. */
export const DEFAULT_DRAIN_SHARE = 0.6;
/** Share of the shutdown deadline for stopping agents where `hostMs` is not given: 5 s of 25 s. */
export const DEFAULT_HOST_SHARE = 0.2;

export const DEFAULT_LOG_LEVEL = 'info';
