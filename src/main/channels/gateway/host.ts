/** Owns what the gateway needs of its host; the composition root supplies it. */
import type { CountedMessage } from '../../../protocol/encodings.ts';
import type { StoredMessage } from '../../../protocol/index.ts';
import type { DeadLetters, Readiness, Status } from '../../api.ts';

export interface TokenCount {
  /** By text or message. */
  readonly counts: Uint32Array;
  /** For a chat with the opening of the reply. */
  readonly total: number;
  readonly exact: boolean;
}

export interface GatewayHost {
  agents(): readonly { readonly name: string; readonly status: string }[];
  defaultAgent(): string;
  readiness(): Readiness;
  status(): Status;
  metrics(): Promise<string>;
  cancel(delivery: string): boolean;
  restartAgent(name: string): Promise<unknown>;
  restartChannel(name: string): Promise<unknown>;
  /** Returns a session's newest messages, oldest first. Rejects with `ORRERY_AGENT_UNKNOWN` and `ORRERY_NOT_FOUND`. */
  readSession(agent: string, namespace: string): Promise<readonly StoredMessage[]>;
  /** Forgets a session's messages. Rejects as {@link readSession} does. */
  clearSession(agent: string, namespace: string): Promise<void>;
  readonly deadLetters: Pick<DeadLetters, 'list' | 'replay' | 'drop'>;
  /** Begins the drain; the answer goes out before the gateway closes. */
  drain(): void;
  countTokens(
    texts: readonly string[],
    o: { encoding?: string; model?: string; signal?: AbortSignal },
  ): Promise<TokenCount>;
  countMessageTokens(
    messages: readonly CountedMessage[],
    o: { encoding?: string; model?: string; signal?: AbortSignal },
  ): Promise<TokenCount>;
}
