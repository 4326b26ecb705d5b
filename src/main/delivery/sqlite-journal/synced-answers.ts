/**
 * Owns the answers of the journal's thread until what they tell is durable: in the order of their requests, each after a sync that began when its
 * transaction was written.
 *
 *   a few messages, and nothing else to do  -> this thread waits for the disk -> all answers are posted
 *   many of them, or a request that waits   -> the disk syncs beside it       -> all answers from before the sync are posted
 *
 * The first is the quickest for a message that comes alone; the second costs two hops to a thread of libuv's pool and gives the time of the sync to the next
 * transaction. Of a few messages it is told that they are written, so that what they ask for begins meanwhile.
 */
import type { Answer, Written } from './packed.ts';

export interface SyncedFile {
  readonly unsynced: boolean;
  sync(): void;
  syncBeside(done: (error: Error | null) => void): void;
}

export interface SyncedAnswersOptions {
  readonly file: SyncedFile;
  readonly post: (answer: Answer | Written) => void;
  /** A sync failed: the answer in the place of those that told of what was written. */
  readonly failed: (error: unknown) => Answer;
  /** A sync beside other work ended; whoever knows of further requests calls {@link SyncedAnswers.goOn} or {@link SyncedAnswers.settle}. */
  readonly synced: () => void;
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

/**
 * Messages whose sync is not worth the hops, and whose turns are worth a word before it. Of many, the host is busy with what came before them: told twice of each transaction
 * it takes a tenth more time.
 */
const FEW = 4;

export class SyncedAnswers {
  readonly #options: SyncedAnswersOptions;
  #waiting: Waiting[] = [];
  /** Messages that are written, and not under a sync. */
  #messages = 0;
  #syncing = false;

  constructor(options: SyncedAnswersOptions) {
    this.#options = options;
  }

  /** `messages`: how many it added. */
  add(answer: Answer, wrote: Wrote, messages: number): void {
    this.#messages += messages;
    // Whoever is told of messages begins them: they must not overtake those that only an answer tells of.
    const isTold = messages <= FEW && !this.#waiting.some((one) => one.wrote === 'some');
    if (wrote === 'messages' && isTold) this.#options.post({ written: this.#waiting.length });
    this.#waiting.push({ answer, wrote: wrote === 'messages' && !isTold ? 'some' : wrote });
  }

  /** Another request is about to be served. */
  goOn(): void {
    const { file, synced } = this.#options;
    if (this.#syncing) return;
    if (!file.unsynced) return this.#post(this.#waiting.length, undefined);
    const count = this.#waiting.length;
    this.#messages = 0;
    this.#syncing = true;
    file.syncBeside((error) => {
      this.#syncing = false;
      this.#post(count, error);
      synced();
    });
  }

  /** There is no other request. False while some still wait for a sync. */
  settle(): boolean {
    if (!this.#syncing && this.#messages > FEW) this.goOn();
    if (this.#syncing) return false;
    let failed: unknown;
    try {
      this.#options.file.sync();
    } catch (error) {
      failed = error;
    }
    this.#messages = 0;
    this.#post(this.#waiting.length, failed);
    return true;
  }

  #post(count: number, error: unknown): void {
    const told = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    const { post, failed } = this.#options;
    const instead = error ? failed(error) : undefined;
    for (const { answer, wrote } of told) post(instead && wrote !== 'nothing' && 'value' in answer ? instead : answer);
  }
}
