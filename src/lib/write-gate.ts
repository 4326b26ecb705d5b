/**
 * Owns who writes next among the threads of one process that share a SQLite file. SQLite's own way to wait is to sleep a while,
 * 1 to 100 ms and more, and to look again: measured with two threads that commit without a pause, one of them got 8 % of the
 * turns and waited up to 932 ms for one. Here a thread is woken when the one before it is done.
 *
 * The gate only spares that sleep. Who may write is SQLite's lock alone: a thread that was killed inside of the gate leaves it
 * shut, and whoever then waits goes on after {@link PATIENCE_MS}, as if it had been open.
 */

/** Milliseconds; longer than a commit takes, checkpoints on slow disks apart. */
export const PATIENCE_MS = 250;

const OPEN = 0;
/** Somebody is inside. */
const TAKEN = 1;
/** Somebody is inside, and somebody may be waiting. */
const WAITED_FOR = 2;

/** Makes the shared word of a gate, for {@link WriteGate} in each thread. */
export function writeGateWord(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

export class WriteGate {
  readonly #word: Int32Array;

  constructor(word: SharedArrayBuffer) {
    this.#word = new Int32Array(word);
  }

  /** Blocks until it is this thread's turn. */
  enter(): void {
    if (Atomics.compareExchange(this.#word, 0, OPEN, TAKEN) === OPEN) return;
    // Whoever takes it here cannot know whether others wait too, and so says that they do.
    while (Atomics.exchange(this.#word, 0, WAITED_FOR) !== OPEN) {
      if (Atomics.wait(this.#word, 0, WAITED_FOR, PATIENCE_MS) === 'timed-out') return;
    }
  }

  /** Lets the next one in. */
  leave(): void {
    if (Atomics.exchange(this.#word, 0, OPEN) === WAITED_FOR) Atomics.notify(this.#word, 0, 1);
  }
}
