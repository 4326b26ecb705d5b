/**
 * Owns what follows an attempt that answered nobody: again at once and uncounted, later and counted, or given up. Each of them takes the
 * turn apart; its session is held until the next one.
 *
 * An attempt that ended with its slot may have committed, and only its outcome is lost. The next attempt finds that; where there is none, the session store is
 * asked before anybody is given up, and a reply that stands there is sent. The turn stays as it is meanwhile: it holds its session, a cancel ends it, and a stop
 * leaves it to the next process.
 */
import { backoffDelayMs } from '../../lib/backoff.ts';
import { ERRORS, type OrreryError, type WireError, isErrorCode, toWire } from '../../protocol/index.ts';
import type { Account } from './account.ts';
import { type Death, type Delivery, abortion, deadReason, exhaustion, withDetails } from './delivery.ts';
import { heldMs, isTooLongToHold } from './holding.ts';
import type { Ledger, LedgerOptions } from './ledger.ts';
import { quiet } from './listening.ts';
import type { Recall } from './recall.ts';
import type { Turns } from './turns.ts';

export interface AttemptsOptions extends Pick<LedgerOptions, 'journal' | 'retry' | 'random'> {
  readonly account: Account;
  readonly ledger: Ledger;
  readonly turns: Turns;
  readonly maxAttempts: number;
  /** Brings a delivery to its next attempt. */
  readonly place: (delivery: Delivery) => void;
  /** Gives up a delivery that does not run. */
  readonly die: (delivery: Delivery, ...death: Death) => void;
  /** A delivery is over whose slot had ended: it is suspected no more. */
  readonly ended: (lead: Delivery) => void;
  /** Undefined where nobody can be asked. */
  readonly recall: Recall | undefined;
}

export class Attempts {
  readonly #options: AttemptsOptions;

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** The turn ended with an error. */
  failed(lead: Delivery, error: WireError): void {
    const code = isErrorCode(error.code) ? error.code : 'ORRERY_AGENT_FAILED';
    const { maxAttempts, retry, turns } = this.#options;
    const { joined, offered } = lead.mailbox;
    if (code === 'ORRERY_CONTEXT_TOO_LARGE' && (joined.length > 0 || offered > 0)) return this.#unshare(lead, error);
    if (code === 'ORRERY_SLOT_NOT_READY') return this.#later(turns.dissolve(lead, ifAborted), error, false);
    if (code === 'ORRERY_SUPERSEDED') return this.again(lead, error);
    const ended = code === 'ORRERY_CANCELLED' || code === 'ORRERY_INTERRUPTED';
    if (ended && [lead, ...joined].some(({ aborted }) => aborted)) {
      // Ended for the sake of some: the others begin again without them.
      return this.again(lead, error, ({ aborted }) => aborted && [deadReason(code), error]);
    }
    // Its agent was stopped under it, and comes back.
    if (code === 'ORRERY_INTERRUPTED') return this.#later(turns.dissolve(lead, ifAborted), error, false);
    if (ended || !ERRORS[code].retryable) {
      turns.dissolve(lead, () => [deadReason(code), error]);
      return;
    }
    if (code === 'ORRERY_DATABASE_FAILED') {
      // The disk takes no writes at all, which is no fault of the turn's and passes.
      if (this.#isDiskClosed) return this.#later(turns.dissolve(lead, ifAborted), error, false);
      // Or the journal has not come to know it: what its log has long had room for it still writes.
      this.#options.journal.check?.();
    }
    const isHopeless = isTooLongToHold(error.retryAfterMs, retry);
    const left = turns.dissolve(lead, (delivery) =>
      isHopeless || delivery.attempts >= maxAttempts ? exhaustion(delivery, error, 'exhausted') : ifAborted(delivery),
    );
    this.#later(left, error, true);
  }

  /**
   * The turn ended its slot, and no other one can have; `poison`: there is no further attempt, whatever is left of them. `died` is called when it is given up for that, which may be
   * much later.
   */
  crashed(lead: Delivery, error: OrreryError, poison: boolean, died?: () => void): void {
    const { turns, maxAttempts, ended } = this.#options;
    const wire = withDetails(toWire(error), { agent: lead.agent });
    if (!poison && lead.attempts < maxAttempts) return this.#later(turns.dissolve(lead, ifAborted), wire, true);
    const death = exhaustion(lead, wire, 'poison');
    this.#unlessCommitted(lead, () => {
      died?.();
      turns.dissolve(lead, () => death);
      ended(lead);
    });
  }

  /** Gives up a delivery that has no way to another attempt. */
  giveUp(delivery: Delivery, ...death: Death): void {
    const { die } = this.#options;
    // No turn had it.
    if (delivery.state.status === 'accepted' && !delivery.adopted && !delivery.offered) return die(delivery, ...death);
    this.#unlessCommitted(delivery, () => die(delivery, ...death));
  }

  /**
   * Ends a delivery that has its session, unless a commit of it is found: its reply is sent then. Neither happens where it is cancelled meanwhile, or left to the next process. It ends
   * at once where nobody can be asked.
   */
  #unlessCommitted(lead: Delivery, end: () => void): void {
    const { recall, turns, ended } = this.#options;
    if (!recall) return end();
    const isOver = (): boolean => lead.over || lead.mailbox.active !== lead;
    void recall.find(lead.id, { isOver }).then((reply) => {
      if (recall.closed || isOver()) return;
      if (!reply) return end();
      quiet(lead);
      turns.found(lead, reply);
      ended(lead);
    });
  }

  /** Runs a turn again that did nothing wrong: at once, and without counting. */
  again(lead: Delivery, cause: WireError, judge: (delivery: Delivery) => Death | undefined = ifAborted): void {
    this.#again(this.#options.turns.dissolve(lead, judge), cause);
  }

  /**
   * A suspect could not be run: its agent does not start there. That is tried again as often as a turn, and counts as none; while the disk takes no writes, as long as that lasts: a process
   * of its own begins with a file.
   */
  unopened(delivery: Delivery, error: OrreryError): void {
    const { journal, maxAttempts, place } = this.#options;
    const wire = toWire(error);
    // A host that stops leaves it to the next process, or gives it up for the stop.
    if (!this.#isDiskClosed && error.code !== 'ORRERY_DRAINING') {
      delivery.unopened += 1;
      // Or it has not come to know it.
      journal.check?.();
    }
    if (delivery.unopened >= maxAttempts)
      return this.giveUp(delivery, 'exhausted', withDetails(wire, { agent: delivery.agent }));
    const delayMs = this.#delayMs(wire, delivery.unopened);
    const again = (): void => {
      if (this.#isDiskClosed) this.#after(delivery, delayMs, again);
      else place(delivery);
    };
    this.#after(delivery, delayMs, again);
  }

  /**
   * Together they were too large for the model's context: each runs alone, uncounted. That is the lead's too when others were only offered, for
   * the turn may have taken them; they are as they were.
   */
  #unshare(lead: Delivery, error: WireError): void {
    const left = this.#options.turns.dissolve(lead, ifAborted);
    for (const delivery of left) delivery.unshared = true;
    this.#again(left, error);
  }

  #again(left: readonly Delivery[], cause: WireError): void {
    const { ledger, place } = this.#options;
    for (const delivery of left) ledger.retrying(delivery, cause, { at: Date.now(), counted: false });
    const [first] = left;
    if (first) place(first);
  }

  #later(left: readonly Delivery[], error: WireError, counted: boolean): void {
    const [first] = left;
    if (!first) return;
    const { account, ledger, place } = this.#options;
    const delayMs = this.#delayMs(error, counted ? first.attempts : first.attempts - 1);
    for (const delivery of left) ledger.retrying(delivery, error, { at: Date.now() + delayMs, counted });
    account.retries += 1;
    const again = (): void => {
      if (first.state.status !== 'retrying') return;
      // Not while it could not commit either: each attempt may ask a model.
      if (error.code === 'ORRERY_DATABASE_FAILED' && this.#isDiskClosed) this.#after(first, delayMs, again);
      else place(first);
    };
    this.#after(first, delayMs, again);
  }

  /** Sessions and journal lie on one disk: the journal tries every second whether it takes writes again. */
  get #isDiskClosed(): boolean {
    return this.#options.journal.health.status === 'failed';
  }

  #delayMs({ retryAfterMs }: WireError, attempts: number): number {
    const { retry, random } = this.#options;
    return heldMs(retryAfterMs ?? backoffDelayMs(Math.max(1, attempts), retry, random()), retry);
  }

  #after(delivery: Delivery, delayMs: number, work: () => void): void {
    delivery.retryTimer = setTimeout(() => {
      delivery.retryTimer = undefined;
      work();
    }, delayMs);
  }
}

function ifAborted({ aborted }: Delivery): Death | undefined {
  return aborted && abortion(aborted);
}
