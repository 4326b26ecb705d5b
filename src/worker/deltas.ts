/**
 * Owns the way of text deltas to main: joined per turn while no credit is there, one message a tick while there is.
 * The line is raw because a comlink callback costs a channel per call. Nothing here waits: a turn never blocks on a slow
 * listener, since what waits is at most its own reply's text.
 */
import type { Line } from '../lib/line.ts';
import { DELTA_CREDITS, type TurnKey } from '../protocol/index.ts';

/** The text of one turn on its way. */
export class DeltaStream {
  readonly turn: TurnKey;
  readonly #sender: DeltaSender;
  /** What waits for credit. */
  waiting = '';
  /** Whether any text of the turn was handed over. */
  used = false;

  constructor(turn: TurnKey, sender: DeltaSender) {
    this.turn = turn;
    this.#sender = sender;
  }

  push(text: string): void {
    this.used = true;
    if (this.waiting === '') this.#sender.add(this);
    this.waiting += text;
  }

  /** Forgets what waits: the turn's outcome says it all. */
  drop(): void {
    this.waiting = '';
  }
}

export class DeltaSender {
  readonly #line: Line;
  #waiting: DeltaStream[] = [];
  #credits = DELTA_CREDITS;
  #scheduled = false;

  constructor(line: Line) {
    this.#line = line;
    line.on('message', (credit) => {
      this.#credits += credit as number;
      this.#schedule();
    });
    // It alone must not keep a thread alive that has nothing else to do.
    line.unref();
  }

  /** Takes a stream up that has text to send. */
  add(stream: DeltaStream): void {
    this.#waiting.push(stream);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#credits <= 0 || this.#waiting.length === 0) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    const message: (TurnKey | string)[] = [];
    // A stream that was dropped and filled again stands here twice: the first time takes all.
    for (const stream of this.#waiting) {
      if (stream.waiting === '') continue;
      message.push(stream.turn, stream.waiting);
      stream.waiting = '';
    }
    this.#waiting = [];
    if (message.length === 0) return;
    this.#credits -= 1;
    this.#line.postMessage(message);
  }
}
