/** Owns the shape of an agent and of its turns, as the host and an agent's code share it. */
import type { Logger } from 'pino';
import type { Encoding, Tokenizer } from '../protocol/encodings.ts';
import type { ChatMessage, StoredMessage, Usage, UserMessage } from '../protocol/messages.ts';
import type { Namespace } from '../protocol/namespace.ts';

/** Counts tokens on the agent's own thread, in slices of a few milliseconds that let its neighbours run. */
export interface AgentTokens {
  /** False where the model has no public tokenizer: then every number is an estimate. */
  readonly exact: boolean;
  /** What is counted with; absent where the agent has a tokenizer of its own. */
  readonly encoding?: Encoding;
  /** Rejects with `ORRERY_TOKENS_IMAGE` where the vocabulary is missing, and with the signal's reason. */
  count(text: string, o?: { readonly signal?: AbortSignal }): Promise<number>;
  encode(text: string): Promise<Uint32Array>;
  decode(ids: Uint32Array): Promise<string>;
}

/** What an agent gets at its start and its stop. */
export interface AgentContext {
  /** The agent's name in the configuration. */
  readonly name: string;
  /** Names this replica: the agent's name, with `#2`, `#3`... for further replicas. */
  readonly runtime: string;
  /** Exactly the variables that the agent lists under `env`. */
  readonly env: Readonly<Record<string, string>>;
  readonly log: Logger;
  readonly tokens: AgentTokens;
}

/** One run of the agent for one delivery. */
export interface Turn extends AgentContext {
  /** The delivery's id: stable over retries, so a key for the agent's own idempotence. */
  readonly id: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly message: UserMessage;
  readonly namespace: Namespace;
  /** The session so far, oldest first, without the present message: its newest 1,000 messages. Frozen. */
  readonly history: readonly ChatMessage[];
  /**
   * Finds messages anywhere in the session's past by their words, not only in {@link history}: those that have all of them, the
   * newest first, then those that have some. Case and accents do not count; `word*` finds words that begin so, `"two words"`
   * finds them side by side. Any text is a query. `limit` is 20 by default. Empty for a turn without a session.
   */
  search(query: string, o?: { readonly limit?: number }): readonly StoredMessage[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Aborts when the turn is cancelled, its deadline passes or the host stops; nothing yielded later is used. */
  readonly signal: AbortSignal;
  /** Whether somebody reads the pieces as they come. When not, the whole reply at once is as good, and may be cheaper. */
  readonly streamed: boolean;
  /** Adds tokens that a provider reported to the reply's usage, and model calls to its steps. */
  report(usage: Usage, steps?: number): void;
}

export interface AgentDefinition {
  /** Yields the reply's text in pieces; together they are the reply. A promise of the whole text works too. */
  respond(turn: Turn): AsyncIterable<string> | Promise<string>;
  /** Counts instead of the encoding of the agent's model. Default: that one, and `o200k_base` for agents without a model. */
  readonly tokenizer?: Tokenizer;
  /** `provider:ID` of the model whose encoding counts. Default: the configured one, where the configuration names it. */
  readonly model?: string;
  /** Runs once before the first turn; an error is `ORRERY_AGENT_START` and is retried by the restart policy. */
  start?(ctx: AgentContext): Promise<void> | void;
  /** Runs once after the last turn, also at shutdown; awaited within the deadline. */
  stop?(ctx: AgentContext): Promise<void> | void;
}
