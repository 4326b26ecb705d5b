/** Owns what crosses the control socket: routes, bodies and lines. Both its server and its client are part of this package. */
import type { DeliveredReply, WireError } from '../../protocol/index.ts';

/** A socket's path may have 104 bytes on macOS and 108 on Linux, with the byte that ends it. */
export const MAX_SOCKET_PATH_BYTES = 100;

export interface ChatRequest {
  /** Unique for each message: the delivery's dedupe key, and what `cancel` names. */
  readonly id: string;
  readonly text: string;
  readonly namespace: string;
  readonly agent?: string;
}

/** A line of the answer to a chat request. The last one is `reply` or `error`; deltas are provisional until then. */
export type ChatLine = { readonly delta: string } | { readonly reply: DeliveredReply } | { readonly error: WireError };

export interface DrainRequest {
  readonly timeoutMs?: number;
}

export interface ErrorBody {
  readonly error: WireError;
}
