/** Owns the judgement of what was with a slot when it ended: who may have ended it. */
import type { OrreryError, RuntimeId } from '../../protocol/index.ts';
import type { Delivery } from './delivery.ts';
import { judge } from './suspicion.ts';

/** How a slot's generation ended, as far as its deliveries are concerned. */
export interface SlotLoss {
  readonly error: OrreryError;
  /** The agent runtime that threw or exited, where it is known. */
  readonly blamed: RuntimeId | undefined;
  /** The places of the turns of which one did it, among those that were begun, where that is known: mostly one. */
  readonly blamedTurns: { readonly from: number; readonly to: number } | undefined;
  /** Turns begun in the generation. */
  readonly begun: number;
  /** The slot lives for one agent: nobody else's code runs there. */
  readonly own: boolean;
  /** True when the end was asked for: then nobody is guilty. */
  readonly intended: boolean;
}

/** What the engine found out about a slot's end. */
export interface Findings {
  /** The runtime of the one turn that did it, where that is certain. */
  readonly guilty: RuntimeId | undefined;
  /** That turn is given up for it. */
  readonly poison: boolean;
  /** Deliveries of which one may have done it; they are run singly now. */
  readonly suspects: number;
}

/** A turn that was alone on its slot when it did this has shown what it does: it is not given another slot to block. */
export const TELLING_ENDS: ReadonlySet<string> = new Set(['ORRERY_WORKER_UNRESPONSIVE', 'ORRERY_WORKER_OUT_OF_MEMORY']);

export function isSuspect(delivery: Delivery, loss: SlotLoss): boolean {
  if (loss.intended || delivery.sequence > loss.begun) return false;
  if (loss.blamed === undefined) return true;
  return delivery.runtime === loss.blamed && isBlamed(delivery, loss);
}

/** Judges a trial by the end of its slot; `trying`: the runtime that was tried. */
export function judgeTrial(
  delivery: Delivery,
  loss: SlotLoss,
  trying: RuntimeId | undefined,
  maxAttempts: number,
): ReturnType<typeof judge> {
  return judge({
    begun: !loss.intended && delivery.sequence <= loss.begun,
    first: delivery.sequence === 1,
    named: isNamed(delivery, loss, trying),
    telling: TELLING_ENDS.has(loss.error.code),
    hasAttempts: delivery.attempts < maxAttempts,
  });
}

/** Whether a dying thread named a turn of this runtime as the one that did it; undefined when it named none. */
function isNamed(delivery: Delivery, loss: SlotLoss, runtime: RuntimeId | undefined): boolean | undefined {
  const { blamed, blamedTurns } = loss;
  if (blamedTurns) return isBlamed(delivery, loss);
  return blamed === undefined || blamed === runtime ? undefined : false;
}

function isBlamed({ sequence }: Delivery, { blamedTurns }: SlotLoss): boolean {
  return !blamedTurns || (blamedTurns.from <= sequence && sequence <= blamedTurns.to);
}

/** Returns whose messages a turn may have had: its lead, those that were joined to it, and those that it was offered. */
export function sharersOf(lead: Delivery): readonly Delivery[] {
  const { joined, waiting, offered } = lead.mailbox;
  return [lead, ...joined, ...waiting.slice(0, offered)];
}
