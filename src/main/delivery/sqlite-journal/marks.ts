/**
 * Owns the states that are not known to be in the file: those that wait to be written, and those that are under way. A delivery that went two
 * steps since the last transaction is written once, with the later one: found by a table of places instead of a Map, whose entries would
 * come and go per message.
 */
import type { DeliveryState } from '../../../protocol/index.ts';
import { MarkPacker, NO_MARKS, type PackedMarks } from './packed-work.ts';

export interface Mark {
  readonly seq: number;
  state: DeliveryState;
  attempts: number;
  /** Larger for what was marked later: transactions fail in any order, and a later step must not be taken back by an earlier one. */
  order: number;
}

/** As many do not wait for a message any more. */
const MAX_WAITING = 2_048;
/** Two deliveries that share a place only miss each other's earlier step. */
const PLACES = 4_096;

const NONE: readonly Mark[] = [];

export class Marks {
  /** Those that wait. */
  #list: Mark[] = [];
  #underWay: (readonly Mark[])[] = [];
  /** Those that wait have waited long enough. */
  #hasWaited = false;
  #order = 0;
  /** Where the last mark of a delivery of that place stands; of an earlier list, it finds another delivery there, or none. */
  readonly #places = new Int32Array(PLACES);

  /** How many wait. */
  get size(): number {
    return this.#list.length;
  }

  /** How many wait or are under way. */
  get count(): number {
    return this.#underWay.reduce((count, { length }) => count + length, this.#list.length);
  }

  get isFull(): boolean {
    return this.#list.length >= MAX_WAITING;
  }

  /** They are to be taken with what is sent next. */
  get isDue(): boolean {
    return this.#hasWaited || this.isFull;
  }

  /** Those that wait have waited long enough. */
  waited(): void {
    this.#hasWaited = true;
  }

  add(seq: number, state: DeliveryState, attempts: number): void {
    const order = (this.#order += 1);
    const known = this.#list[this.#places[seq % PLACES] ?? 0];
    if (known?.seq === seq) {
      known.state = state;
      known.attempts = attempts;
      known.order = order;
    } else this.#push({ seq, state, attempts, order });
  }

  #push(mark: Mark): void {
    this.#places[mark.seq % PLACES] = this.#list.length;
    this.#list.push(mark);
  }

  /** The newest state of a delivery that was marked and is not known to be in the file. */
  find(seq: number): DeliveryState | undefined {
    const waiting = newestIn(this.#list, seq);
    if (waiting) return waiting;
    for (const marks of this.#underWay.toReversed()) {
      const state = newestIn(marks, seq);
      if (state) return state;
    }
    return undefined;
  }

  /** Takes all that wait: they are under way until they are {@link kept} or {@link putBack}. */
  take(): readonly Mark[] {
    this.#hasWaited = false;
    const taken = this.#list;
    if (taken.length === 0) return NONE;
    this.#list = [];
    this.#underWay.push(taken);
    return taken;
  }

  /** Takes those that are due; else they go on waiting. */
  takeDue(): readonly Mark[] {
    return this.isDue ? this.take() : NONE;
  }

  /** What was taken is in the file. */
  kept(marks: readonly Mark[]): void {
    if (marks.length > 0) this.#ended(marks);
  }

  /** Takes marks back that were not kept: the newest of each delivery, of these and of those that came since. */
  putBack(marks: readonly Mark[]): void {
    if (marks.length === 0) return;
    this.#ended(marks);
    const newest = new Map<number, Mark>();
    for (const mark of [...marks, ...this.#list]) {
      if (mark.order > (newest.get(mark.seq)?.order ?? 0)) newest.set(mark.seq, mark);
    }
    this.#list = [];
    for (const mark of newest.values()) this.#push(mark);
  }

  #ended(marks: readonly Mark[]): void {
    this.#underWay = this.#underWay.filter((one) => one !== marks);
  }
}

/** For the few messages that come a second time: a walk. */
function newestIn(marks: readonly Mark[], seq: number): DeliveryState | undefined {
  return marks.findLast((mark) => mark.seq === seq)?.state;
}

export function packMarks(marks: readonly Mark[]): PackedMarks {
  if (marks.length === 0) return NO_MARKS;
  const packer = new MarkPacker();
  for (const { seq, state, attempts } of marks) packer.add(seq, state, attempts);
  return packer.packed();
}
