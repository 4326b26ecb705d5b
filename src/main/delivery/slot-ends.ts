/**
 * Owns what becomes of the turns of a slot that ended: those that were not begun, and whoever cannot have done it, run again, uncounted; the one that did it
 * has had an attempt; and where several may have, they are run singly from then on.
 */
import { type WireError, toWire } from '../../protocol/index.ts';
import type { Attempts } from './attempts.ts';
import type { Delivery } from './delivery.ts';
import { type Findings, type SlotLoss, TELLING_ENDS, isSuspect, judgeTrial, sharersOf } from './loss.ts';
import type { Quarantine } from './quarantine.ts';
import type { Roster } from './roster.ts';

export interface SlotEndsOptions {
  readonly attempts: Attempts;
  readonly quarantine: Quarantine;
  readonly roster: Roster;
  readonly maxAttempts: number;
}

export const SLOT_ENDED: WireError = {
  name: 'OrreryError',
  message: 'Its slot ended',
  code: 'ORRERY_WORKER_EXITED',
};

export class SlotEnds {
  readonly #options: SlotEndsOptions;

  constructor(options: SlotEndsOptions) {
    this.#options = options;
  }

  /** Judges what was with a slot that ended, and says what that shows of whose doing it was. */
  slotDown(slot: number, left: readonly Delivery[], loss: SlotLoss): Findings {
    const { attempts, quarantine, roster } = this.#options;
    const turns = left.filter((delivery) => isSuspect(delivery, loss));
    const sharers = turns.flatMap(sharersOf);
    const telling = TELLING_ENDS.has(loss.error.code);
    const alone = sharers.length === 1 && (telling || loss.own || loss.blamed !== undefined);
    const suspects = sharers.filter(({ aborted }) => !aborted);
    quarantine.suspect(suspects, { of: 'slot', slot, place: 'thread', known: alone });
    for (const delivery of left) roster.finished(delivery, false);
    for (const delivery of left) if (!turns.includes(delivery)) attempts.again(delivery, SLOT_ENDED);
    for (const delivery of turns.toReversed()) {
      if (alone) attempts.crashed(delivery, loss.error, telling);
      else attempts.again(delivery, toWire(loss.error));
    }
    const guilty = alone ? turns[0]?.runtime : undefined;
    return { guilty, poison: alone && telling, suspects: alone ? 0 : suspects.length };
  }

  /** Judges a trial by the end of its slot. */
  trialDown(left: readonly Delivery[], loss: SlotLoss): void {
    const { attempts, quarantine, maxAttempts } = this.#options;
    for (const delivery of left) {
      const { error } = loss;
      const verdict = judgeTrial(delivery, loss, quarantine.trying, maxAttempts);
      if (verdict === 'again') {
        quarantine.inconclusive(delivery);
        attempts.again(delivery, toWire(error));
      } else {
        // First, for whoever is over is forgotten with its case.
        quarantine.guilty(delivery, error, verdict === 'poison');
        attempts.crashed(delivery, error, verdict === 'poison', () => quarantine.poisoned());
      }
      this.forget(delivery);
    }
  }

  /** Whoever is over with its turn is suspected no more. */
  forget(delivery: Delivery): void {
    if (delivery.suspicion && delivery.over) this.#options.quarantine.withdraw(delivery);
  }
}
