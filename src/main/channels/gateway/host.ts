/** Owns what the gateway needs of its host; the composition root supplies it. */
import type { Readiness, Status } from '../../api.ts';

export interface TokenCount {
  readonly counts: Uint32Array;
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
  /** Begins the drain; the answer goes out before the gateway closes. */
  drain(): void;
  countTokens(
    texts: readonly string[],
    o: { encoding?: string; model?: string; signal?: AbortSignal },
  ): Promise<TokenCount>;
  countMessageTokens(
    messages: readonly { role: string; content: string; name?: string }[],
    o: { encoding?: string; model?: string; signal?: AbortSignal },
  ): Promise<{ total: number; exact: boolean }>;
}
