/**
 * Owns what waits to be written, messages and marks, and what goes into which transaction.
 *
 *   append -> waiting ---------------------+   (while one that brings messages is under way the next one gathers)
 *   mark -> marks -> MARK_DELAY_MS -> due -+-> work -> thread: one transaction -> appends resolve, marks are let go
 *
 * Marks wait a while, so that the steps of a quick delivery are written as one, and neighbours in the file together: each transaction that changes a page
 * writes all of it. Then they go with the next message, or by themselves. They are kept here until the thread has
 * told that they are durable, and written again if that fails. While the file takes no writes, messages are refused and marks are kept.
 */
import { type Accepted, type DeliveryId, type DeliveryState, OrreryError } from '../../../protocol/index.ts';
import type { Admission, JournalHealth, JournalLag, WrittenListener } from '../journal.ts';
import { answerOf } from './answers.ts';
import { FileHealth } from './health.ts';
import { Marks, packMarks } from './marks.ts';
import { AppendPacker, joinAppends } from './packed-work.ts';
import { type WorkException, deliveryId, seqOf } from './packed.ts';
import { type JournalThread, journalFailed } from './thread.ts';

/** What the writer needs of the journal's thread. */
export type WriterThread = Pick<JournalThread, 'ask' | 'running' | 'start'>;

export interface WriterOptions {
  readonly thread: WriterThread;
  readonly idPrefix: string;
  readonly changed: ((health: JournalHealth) => void) | undefined;
  readonly now: () => number;
}

/** How long a mark waits for others, in milliseconds. */
export const MARK_DELAY_MS = 20;

/** Characters of messages in one transaction; a single larger batch goes alone. */
const MAX_CHARS = 4 * 1024 * 1024;

interface Appending {
  readonly batch: readonly Admission[];
  readonly firstSeq: number;
  readonly packed: AppendPacker;
  readonly written: WrittenListener | undefined;
  /** It was told that it is written. */
  begun: boolean;
  readonly resolve: (answers: readonly (Accepted | Error)[]) => void;
  readonly reject: (error: OrreryError) => void;
}

export class JournalWriter {
  readonly #options: WriterOptions;
  readonly #now: () => number;
  readonly #thread: WriterThread;
  readonly #marks = new Marks();
  /** Whether the file takes writes. */
  readonly health: FileHealth;
  #next = 0;
  #waiting: Appending[] = [];
  #withdrawn: number[] = [];
  /** Messages that wait or are under way. */
  #messages = 0;
  /** Transactions that are under way. */
  #underWay = 0;
  /**
   * Those of them that bring messages: one, and more only for what is asked behind them. A second one on its way to the thread would spare that a hop, and halve what a transaction brings: with 8 to 256 messages in flight it took
   * a tenth more CPU for each.
   */
  #bringing = 0;
  #lastWork: Promise<void> = Promise.resolve();
  #scheduled = false;
  #markTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#now = options.now;
    this.#thread = options.thread;
    const { thread, now } = options;
    this.health = new FileHealth({ thread, marks: this.#marks, changed: (health) => this.#healthChanged(health), now });
  }

  get lag(): JournalLag {
    return { appends: this.#messages, marks: this.#marks.count };
  }

  /** Begins to number messages. */
  numberFrom(next: number): void {
    this.#next = next;
  }

  /** Gives out the next place in the order of acceptance. */
  nextPlace(): number {
    const place = this.#next;
    this.#next += 1;
    return place;
  }

  /** Rejects with `ORRERY_JOURNAL_FAILED`, and after a close with `ORRERY_CLOSED`; none of the batch is accepted then. */
  append(batch: readonly Admission[], written?: WrittenListener): Promise<readonly (Accepted | Error)[]> {
    const { refusal } = this.health;
    if (refusal) return this.#look(batch, refusal);
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new OrreryError('ORRERY_CLOSED', 'The journal was closed');
      const packed = new AppendPacker();
      const firstSeq = this.#next;
      for (const admission of batch) packed.add(this.nextPlace(), admission);
      this.#messages += batch.length;
      this.#waiting.push({ batch, firstSeq, packed, written, begun: false, resolve, reject });
      if (this.#scheduled || this.#bringing > 0) return;
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#pump();
      });
    });
  }

  /** Answers those who come again for what is there, and refuses the others. */
  #look(batch: readonly Admission[], refusal: OrreryError): Promise<readonly (Accepted | Error)[]> {
    const packed = new AppendPacker();
    // They are nobody's numbers: nothing is taken in.
    for (const admission of batch) packed.add(0, admission);
    this.#messages += batch.length;
    const { promise, resolve, reject } = Promise.withResolvers<readonly (Accepted | Error)[]>();
    this.#thread.ask(
      { kind: 'look', at: this.#now(), appends: joinAppends([packed]) },
      (known) => {
        this.#messages -= batch.length;
        if (known.length === 0) return reject(refusal);
        const answers: (Accepted | Error)[] = batch.map(() => refusal);
        for (const [i, one] of known) {
          // One that may have been kept though it was refused: nobody runs it, and it is taken out once the file takes writes.
          const isNobodys = one !== null && this.#withdrawn.includes(seqOf(one.id));
          if (batch[i] && !isNobodys) answers[i] = answerOf(one, batch[i].inbound, this.#newest);
        }
        resolve(answers);
      },
      () => {
        this.#messages -= batch.length;
        reject(refusal);
      },
    );
    return promise;
  }

  mark(id: DeliveryId, state: DeliveryState, attempts: number): void {
    this.#marks.add(seqOf(id), state, attempts);
    if (this.#marks.isFull) this.#pump();
    else if (!this.#marks.isDue) this.#markTimer ??= setTimeout(() => this.#writeMarks(), MARK_DELAY_MS);
  }

  async flush(): Promise<void> {
    this.sendAll();
    const { refusal } = this.health;
    if (refusal) throw refusal;
    await this.#lastWork;
  }

  /** Refuses messages from now on. */
  close(): void {
    this.#closed = true;
    this.health.close();
  }

  /** Forgets its timers; what still waits is not written. */
  end(): void {
    clearTimeout(this.#markTimer);
    this.health.end();
  }

  #pump(): void {
    if (this.health.refusal) return;
    if (this.#waiting.length > 0 && this.#bringing === 0) this.#send();
    if (this.#marks.isDue && this.#underWay === 0) this.#send();
  }

  /** Sends all that waits to the thread, so that what is asked next comes after it. */
  sendAll(): void {
    while (!this.health.refusal && this.#waiting.length + this.#marks.size > 0) this.#send();
  }

  #writeMarks(): void {
    this.#markTimer = undefined;
    if (this.#marks.size === 0 || this.health.refusal) return;
    this.#marks.waited();
    // Else the next transaction takes them along.
    if (this.#underWay === 0) this.#send();
  }

  #send(): void {
    const waiting = this.#waiting;
    let chars = 0;
    let count = 0;
    for (const one of waiting) {
      if (count > 0 && chars + one.packed.chars > MAX_CHARS) break;
      chars += one.packed.chars;
      count += 1;
    }
    const appending = count === waiting.length ? waiting : waiting.slice(0, count);
    this.#waiting = count === waiting.length ? [] : waiting.slice(count);
    const marks = count === 0 ? this.#marks.take() : this.#marks.takeDue();
    const withdrawn = this.#withdrawn;
    // Not the same one: a request may be asked again of another thread, as it is then.
    this.#withdrawn = [];
    const appends = joinAppends(appending.map((one) => one.packed));
    const settled = Promise.withResolvers<void>();
    // Most of them have nobody who waits.
    settled.promise.catch(() => undefined);
    this.#lastWork = settled.promise;
    this.#underWay += 1;
    this.#bringing += Math.min(count, 1);
    this.#thread.ask(
      { kind: 'work', at: this.#now(), appends, marks: packMarks(marks), withdrawn },
      (exceptions) => {
        this.#ended(count);
        this.#marks.kept(marks);
        this.#accept(appending, exceptions);
        settled.resolve();
        this.#pump();
      },
      (failure) => {
        this.#ended(count);
        this.#marks.putBack(marks);
        this.#withdrawn.push(...withdrawn);
        settled.reject(this.health.fail(failure));
        for (const one of appending) this.#refuse(one, failure.unknown);
      },
      () => this.#written(appending),
    );
  }

  /** All were accepted, and only their sync is missing. */
  #written(appending: readonly Appending[]): void {
    for (const one of appending) {
      one.begun = true;
      one.written?.(one.batch.map((admission, i) => this.#accepted(admission, one.firstSeq + i)));
    }
  }

  #accepted({ agent }: Admission, seq: number): Accepted {
    return { status: 'accepted', id: deliveryId(this.#options.idPrefix, seq), agent };
  }

  #ended(count: number): void {
    this.#underWay -= 1;
    this.#bringing -= Math.min(count, 1);
  }

  /** The newest state that was marked and is not known to be in the file. */
  readonly #newest = (id: DeliveryId): DeliveryState | undefined => this.#marks.find(seqOf(id));

  #accept(appending: readonly Appending[], exceptions: readonly WorkException[]): void {
    let from = 0;
    let next = 0;
    for (const { batch, firstSeq, resolve } of appending) {
      const answers: (Accepted | Error)[] = [];
      for (const [i, admission] of batch.entries()) {
        const exception = exceptions[next];
        if (exception?.[0] === from + i) {
          next += 1;
          answers.push(answerOf(exception[1], admission.inbound, this.#newest));
        } else answers.push(this.#accepted(admission, firstSeq + i));
      }
      from += batch.length;
      this.#messages -= batch.length;
      resolve(answers);
    }
  }

  #refuse({ batch, firstSeq, begun, reject }: Appending, unknown: boolean): void {
    this.#messages -= batch.length;
    // Its caller will come again, and must not find a delivery that nobody runs; one that was begun is run.
    if (unknown && !begun) for (let i = 0; i < batch.length; i++) this.#withdrawn.push(firstSeq + i);
    reject(this.health.refusal ?? journalFailed('The journal failed'));
  }

  #healthChanged(health: JournalHealth): void {
    if (health.status === 'failed') {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const one of waiting) this.#refuse(one, false);
    } else {
      // What failed is told, and nobody's flush any more.
      this.#lastWork = Promise.resolve();
      if (this.#marks.size > 0) this.#markTimer ??= setTimeout(() => this.#writeMarks(), MARK_DELAY_MS);
    }
    this.#options.changed?.(health);
  }
}
