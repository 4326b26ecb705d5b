/**
 * Owns the answers of the journal's thread until what they tell is durable: in the order of their requests, each after a sync that began when its
 * transaction was written.
 *
 *   another request waits -> the disk syncs beside it      -> all answers from before the sync are posted
 *   nothing else to do    -> this thread waits for the disk -> all answers are posted
 *
 * The first costs two hops to a thread of libuv's pool and gives the time of the sync to the next transaction; the second is the quickest for a message that
 * comes alone, and what such a message asks for may begin meanwhile: that it is written is told first.
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

/** What became durable with it: `messages`, that were all accepted; other `changes`, whose answer must not be told when its sync fails; or `nothing`. */
export type Wrote = 'messages' | 'changes' | 'nothing';

interface Waiting {
  readonly answer: Answer;
  readonly wrote: Wrote;
}

const WRITTEN: Written = { written: true };

export class SyncedAnswers {
  readonly #options: SyncedAnswersOptions;
  #waiting: Waiting[] = [];
  #syncing = false;

  constructor(options: SyncedAnswersOptions) {
    this.#options = options;
  }

  add(answer: Answer, wrote: Wrote): void {
    this.#waiting.push({ answer, wrote });
  }

  /** Another request is about to be served. */
  goOn(): void {
    const { file, synced } = this.#options;
    if (this.#syncing) return;
    if (!file.unsynced) return this.#post(this.#waiting.length, undefined);
    const count = this.#waiting.length;
    this.#syncing = true;
    file.syncBeside((error) => {
      this.#syncing = false;
      this.#post(count, error);
      synced();
    });
  }

  /** There is no other request. False while some still wait for a sync. */
  settle(): boolean {
    if (this.#syncing) return false;
    const { file, post } = this.#options;
    let failed: unknown;
    try {
      if (this.#waiting.length === 1 && this.#waiting[0]?.wrote === 'messages' && file.unsynced) post(WRITTEN);
      file.sync();
    } catch (error) {
      failed = error;
    }
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
