/**
 * Owns the states that wait to be written. A delivery that went two steps since the last transaction is written once, with
 * the later one: found by a table of places instead of a Map, whose entries would come and go per message.
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

/** Two deliveries that share a place only miss each other's earlier step. */
const PLACES = 4_096;

export class Marks {
  #list: Mark[] = [];
  #order = 0;
  /** Where the last mark of a delivery of that place stands; of an earlier list, it finds another delivery there, or none. */
  readonly #places = new Int32Array(PLACES);

  get size(): number {
    return this.#list.length;
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

  /** The newest state of a delivery that waits here. */
  find(seq: number): DeliveryState | undefined {
    return newestIn(this.#list, seq);
  }

  take(): readonly Mark[] {
    const taken = this.#list;
    if (taken.length > 0) this.#list = [];
    return taken;
  }

  /** Takes marks back that were not kept: the newest of each delivery, of these and of those that came since. */
  putBack(marks: readonly Mark[]): void {
    if (marks.length === 0) return;
    const newest = new Map<number, Mark>();
    for (const mark of [...marks, ...this.#list]) {
      if (mark.order > (newest.get(mark.seq)?.order ?? 0)) newest.set(mark.seq, mark);
    }
    this.#list = [];
    for (const mark of newest.values()) this.#push(mark);
  }
}

/** For the few messages that come a second time: a walk. */
export function newestIn(marks: readonly Mark[], seq: number): DeliveryState | undefined {
  return marks.findLast((mark) => mark.seq === seq)?.state;
}

export function packMarks(marks: readonly Mark[]): PackedMarks {
  if (marks.length === 0) return NO_MARKS;
  const packer = new MarkPacker();
  for (const { seq, state, attempts } of marks) packer.add(seq, state, attempts);
  return packer.packed();
}
