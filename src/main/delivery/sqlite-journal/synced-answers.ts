/**
 * Owns the answers of the journal's thread until what they tell is durable: those of all requests that waited, in their order, after one sync. Of a few
 * messages it is told before that they are written, so that what they ask for begins meanwhile.
 *
 * The thread itself waits for the disk. Syncs in libuv's pool, beside the next transaction, were tried: the hops to its threads and back took a twelfth of what
 * the host does with 256 messages in flight, and an eighth with 64.
 */
import type { Answer, Written } from './packed.ts';

export interface SyncedAnswersOptions {
  readonly post: (answer: Answer | Written) => void;
  /** Makes durable what was written. */
  readonly sync: () => void;
  /** A sync failed: the answer in the place of those that told of what was written. */
  readonly failed: (error: unknown) => Answer;
}

/**
 * What a request did to the file: it added `messages`, all of them new; or `some`, of which only its answer tells; `changes` have no place in the order of
 * acceptance.
 */
export type Wrote = 'messages' | 'some' | 'changes' | 'nothing';

interface Waiting {
  readonly answer: Answer;
  readonly wrote: Wrote;
}

/** Messages of one transaction that are told of before the sync. With more of them the host is busy with those before, and to tell it twice takes a tenth of its time. */
const FEW = 4;

export class SyncedAnswers {
  readonly #options: SyncedAnswersOptions;
  #waiting: Waiting[] = [];

  constructor(options: SyncedAnswersOptions) {
    this.#options = options;
  }

  /** `messages`: how many it added. */
  add(answer: Answer, wrote: Wrote, messages: number): void {
    // Whoever is told of messages begins them: they must not overtake those that only an answer tells of.
    const isTold = messages <= FEW && !this.#waiting.some((one) => one.wrote === 'some');
    if (wrote === 'messages' && isTold) this.#options.post({ written: this.#waiting.length });
    this.#waiting.push({ answer, wrote: wrote === 'messages' && !isTold ? 'some' : wrote });
  }

  /** There is no other request. */
  settle(): void {
    const { post, sync, failed } = this.#options;
    const told = this.#waiting;
    this.#waiting = [];
    let instead: Answer | undefined;
    try {
      sync();
    } catch (error) {
      instead = failed(error);
    }
    for (const { answer, wrote } of told) post(instead && wrote !== 'nothing' && 'value' in answer ? instead : answer);
  }
}
