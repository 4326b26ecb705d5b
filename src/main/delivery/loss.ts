/** Owns the judgement of what was with a slot when it ended: who may have ended it. */
import type { OrreryError, RuntimeId } from '../../protocol/index.ts';
import type { Delivery } from './delivery.ts';

/** How a slot's generation ended, as far as its deliveries are concerned. */
export interface SlotLoss {
  readonly error: OrreryError;
  /** The agent runtime that threw or exited, where it is known. */
  readonly blamed: RuntimeId | undefined;
  /** Turns begun in the generation. */
  readonly begun: number;
  /** True when the end was asked for: then nobody is guilty. */
  readonly intended: boolean;
}

/** A turn that was alone on its slot when it did this has shown what it does: it is not given another slot to block. */
export const TELLING_ENDS: ReadonlySet<string> = new Set(['ORRERY_WORKER_UNRESPONSIVE', 'ORRERY_WORKER_OUT_OF_MEMORY']);

export function isSuspect(delivery: Delivery, loss: SlotLoss): boolean {
  return loss.blamed === undefined || delivery.runtime === loss.blamed;
}
