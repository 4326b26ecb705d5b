/**
 * Owns where in the log a delivery stands: the row that brought it, the row of its newest mark, and its status. Columns of numbers in chunks: an object for each
 * of an hour's deliveries would be ten times as large. 17 bytes a delivery.
 */
import { STATUS } from './schema.ts';

/** Deliveries of a chunk: their numbers follow one another, and so do their ends. */
const CHUNK = 1_024;

class Chunk {
  readonly appendedIn = new Float64Array(CHUNK);
  readonly markedIn = new Float64Array(CHUNK);
  /** One more than the status; 0 where there is no such delivery. */
  readonly statuses = new Uint8Array(CHUNK);
  count = 0;
}

/** Where a delivery stood before a change. */
interface Place {
  readonly seq: number;
  readonly appendedIn: number;
  readonly markedIn: number;
  readonly status: number | undefined;
}

export class LogIndex {
  readonly #chunks = new Map<number, Chunk>();
  #size = 0;
  /** The chunk that was asked for last: neighbours are asked for together. */
  #number = -1;
  #chunk: Chunk | undefined;

  get size(): number {
    return this.#size;
  }

  /** Undefined for a delivery that is not in the log. */
  status(seq: number): number | undefined {
    const status = this.#chunkOf(seq)?.statuses[seq % CHUNK] ?? 0;
    return status === 0 ? undefined : status - 1;
  }

  has(seq: number): boolean {
    return this.status(seq) !== undefined;
  }

  isUnfinished(seq: number): boolean {
    const status = this.status(seq);
    return status !== undefined && status < STATUS.answered;
  }

  /** 0 for none. */
  appendedIn(seq: number): number {
    return this.#chunkOf(seq)?.appendedIn[seq % CHUNK] ?? 0;
  }

  /** 0 for none. */
  markedIn(seq: number): number {
    return this.#chunkOf(seq)?.markedIn[seq % CHUNK] ?? 0;
  }

  add(seq: number, row: number): void {
    this.restore({ seq, appendedIn: row, markedIn: 0, status: STATUS.accepted });
  }

  mark(seq: number, row: number, status: number): void {
    const chunk = this.#chunkOf(seq);
    if (!chunk) return;
    chunk.markedIn[seq % CHUNK] = row;
    chunk.statuses[seq % CHUNK] = status + 1;
  }

  delete(seq: number): void {
    this.restore({ seq, appendedIn: 0, markedIn: 0, status: undefined });
  }

  restore({ seq, appendedIn, markedIn, status }: Place): void {
    const number = Math.floor(seq / CHUNK);
    let chunk = this.#chunkOf(seq);
    if (!chunk) {
      if (status === undefined) return;
      chunk = new Chunk();
      this.#chunks.set(number, chunk);
      this.#number = number;
      this.#chunk = chunk;
    }
    const at = seq % CHUNK;
    const change = (status === undefined ? 0 : 1) - (chunk.statuses[at] === 0 ? 0 : 1);
    chunk.appendedIn[at] = appendedIn;
    chunk.markedIn[at] = markedIn;
    chunk.statuses[at] = status === undefined ? 0 : status + 1;
    chunk.count += change;
    this.#size += change;
    if (chunk.count > 0) return;
    this.#chunks.delete(number);
    this.#number = -1;
  }

  /** In order. */
  unfinished(): readonly number[] {
    const found: number[] = [];
    for (const [number, { statuses }] of [...this.#chunks].toSorted(([a], [b]) => a - b)) {
      for (const [at, status] of statuses.entries()) {
        if (status > 0 && status <= STATUS.answered) found.push(number * CHUNK + at);
      }
    }
    return found;
  }

  #chunkOf(seq: number): Chunk | undefined {
    const number = Math.floor(seq / CHUNK);
    if (number !== this.#number) {
      const chunk = this.#chunks.get(number);
      if (!chunk) return undefined;
      this.#number = number;
      this.#chunk = chunk;
    }
    return this.#chunk;
  }
}
