/** Owns what every client of a run is: it keeps a connection, asks, and says what became of that. It decides no retry. */
import type { PlannedMessage, PlannedSession } from './plan.ts';

export type Result =
  | { readonly kind: 'answered'; readonly text: string; readonly namespace?: string | undefined }
  /** It was accepted, and then this became of it. */
  | { readonly kind: 'failed'; readonly code: string }
  /** Nothing of it was kept. */
  | { readonly kind: 'refused'; readonly code: string }
  /** The connection ended: who knows what became of it. */
  | { readonly kind: 'lost'; readonly why: string };

export interface Client {
  /** Resolves to the number of the connection that is open: what is asked over one of them arrives in order. */
  open(): Promise<number>;
  /** Sends at once. Never rejects. */
  ask(session: PlannedSession, message: PlannedMessage): Promise<Result>;
  /** Cuts off a share of what is under way, chosen by `random`; returns how much that was. */
  drop(share: number, random: () => number): number;
  close(): void;
}

/** How long an answer is waited for before the connection is given up, in milliseconds. */
export const ANSWER_MS = 60_000;
