/**
 * Owns the rules of who shares a turn: which waiting messages join one when it is sent, whether a new one may interrupt it, and
 * which are offered to it while it runs. Decisions only: the mailbox keeps the order, `turns.ts` acts.
 */
import type { Delivery } from './delivery.ts';

/** Messages that join a turn at most, beside its own. */
export const MAX_JOINED = 32;
/** Characters of all messages that share a turn. */
export const MAX_JOINED_CHARS = 65_536;

/**
 * Returns how many of those behind a turn's lead join it, from the first on. A `collect` message joins when the one before it is
 * `collect` or `interrupt`; an `interrupt` message joins with all before it. What stands behind those that join changes nothing, so
 * that a message which was counted in stays so, however many follow it.
 */
export function joining(lead: Delivery, behind: readonly Delivery[]): number {
  if (isAlone(lead)) return 0;
  let count = 0;
  let chars = lead.inbound.message.content.length;
  let { mode } = lead;
  for (const [i, delivery] of behind.entries()) {
    chars += delivery.inbound.message.content.length;
    if (i >= MAX_JOINED || chars > MAX_JOINED_CHARS || isAlone(delivery)) break;
    const follows = count === i && (mode === 'collect' || mode === 'interrupt');
    if (delivery.mode === 'interrupt' || (delivery.mode === 'collect' && follows)) count = i + 1;
    ({ mode } = delivery);
  }
  return count;
}

/** Tells whether a message that just came may interrupt the running turn: only together with all before it, so that nothing is lost. */
export function interrupts(newest: Delivery): boolean {
  const { active, joined, waiting } = newest.mailbox;
  if (newest.mode !== 'interrupt' || !active) return false;
  return joining(active, [...joined, ...waiting]) === joined.length + waiting.length;
}

/** Returns those that are to be offered to the running turn: `steer` messages with nothing before them but offered ones. */
export function offering(lead: Delivery): readonly Delivery[] {
  const { waiting, offered } = lead.mailbox;
  if (isAlone(lead)) return [];
  const end = waiting.findIndex((delivery, i) => i >= offered && (delivery.mode !== 'steer' || isAlone(delivery)));
  return waiting.slice(offered, end < 0 ? waiting.length : end);
}

/** A message with a context of its own speaks of another history, or of a part of one that goes before it alone. A suspect is tried by itself. */
function isAlone({ inbound, unshared, suspicion }: Delivery): boolean {
  return unshared || suspicion !== undefined || inbound.context !== undefined;
}
