/**
 * Owns what waits to be written: messages, marks, and what to do while the file takes no writes.
 *
 *   append -> waiting ---------------------+   (while one that brings messages is under way the next one gathers)
 *   mark -> marks -> MARK_DELAY_MS -> due -+-> work -> thread: one transaction -> appends resolve, marks are let go
 *
 * Marks wait a while, so that the steps of a quick delivery are written as one, and neighbours in the file together: each transaction that changes a page
 * writes all of it. Then they go with the next message, or by themselves. They are kept here until the thread has
 * told that they are durable, and written again if that fails. A file that takes no writes makes the journal `failed`: messages
 * are refused, marks are kept, and the file is tried until it is well.
 */
import {
  type Accepted,
  type DeliveryId,
  type DeliveryState,
  OrreryError,
  fromWire,
  messageOf,
  toWire,
} from '../../../protocol/index.ts';
import { type Admission, type JournalHealth, type JournalLag, type WrittenListener } from '../journal.ts';
import { answerOf } from './answers.ts';
import { type Mark, Marks, newestIn, packMarks } from './marks.ts';
import { AppendPacker, joinAppends } from './packed-work.ts';
import { type ProbeAnswer, type WorkException, deliveryId, seqOf } from './packed.ts';
import { type Failure, type JournalThread, PROBE_MS, journalFailed } from './thread.ts';

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
/** Marks that do not wait for a message any more. */
const MAX_MARKS = 2_048;

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

const OK: JournalHealth = { status: 'ok' };

export class JournalWriter {
  readonly #options: WriterOptions;
  readonly #now: () => number;
  readonly #thread: WriterThread;
  readonly #marks = new Marks();
  #health: JournalHealth = OK;
  #next = 0;
  #waiting: Appending[] = [];
  #withdrawn: number[] = [];
  /** Messages and marks that are under way, and transactions. */
  #messages = 0;
  #marksUnderWay: (readonly Mark[])[] = [];
  #underWay = 0;
  /**
   * Those of them that bring messages: one, and more only for what is asked behind them. A second one on its way to the thread would spare that a hop, and halve what a transaction brings: with 8 to 256 messages in flight it took
   * a tenth more CPU for each.
   */
  #bringing = 0;
  #lastWork: Promise<void> = Promise.resolve();
  #scheduled = false;
  /** Marks have waited long enough. */
  #due = false;
  #markTimer: NodeJS.Timeout | undefined;
  #probeTimer: NodeJS.Timeout | undefined;
  #closed = false;
  #checkedAt = -Infinity;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#now = options.now;
    this.#thread = options.thread;
  }

  get lag(): JournalLag {
    return { appends: this.#messages, marks: this.#marks.size + sum(this.#marksUnderWay) };
  }

  get health(): JournalHealth {
    return this.#health;
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
    if (this.#health.status === 'failed') return this.#look(batch, this.#health.error);
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
    if (this.#marks.size >= MAX_MARKS) this.#pump();
    else if (!this.#due) this.#markTimer ??= setTimeout(() => this.#writeMarks(), MARK_DELAY_MS);
  }

  async flush(): Promise<void> {
    this.sendAll();
    if (this.#health.status === 'failed') throw this.#health.error;
    await this.#lastWork;
  }

  /** Refuses messages from now on. */
  close(): void {
    this.#closed = true;
  }

  /** Forgets its timers; what still waits is not written. */
  end(): void {
    clearTimeout(this.#markTimer);
    clearTimeout(this.#probeTimer);
  }

  /** The thread's place was empty, and is taken again. */
  threadOpened(): void {
    if (this.#health.status === 'failed') void this.probe();
  }

  threadLost(error: OrreryError): void {
    if (this.#health.status === 'failed') this.#probeLater();
    else this.#fail({ error, final: false });
  }

  #pump(): void {
    if (this.#health.status === 'failed') return;
    if (this.#waiting.length > 0 && this.#bringing === 0) this.#send();
    const isMarksTurn = this.#marks.size >= MAX_MARKS || (this.#due && this.#marks.size > 0);
    if (isMarksTurn && this.#underWay === 0) this.#send();
  }

  /** Sends all that waits to the thread, so that what is asked next comes after it. */
  sendAll(): void {
    while (this.#health.status === 'ok' && this.#waiting.length + this.#marks.size > 0) this.#send();
  }

  #writeMarks(): void {
    this.#markTimer = undefined;
    if (this.#marks.size === 0 || this.#health.status === 'failed') return;
    this.#due = true;
    // Else the next transaction takes them along.
    if (this.#underWay === 0) this.#send();
  }

  /** Those that have waited long enough, or all where nothing else is to be sent. */
  #takeMarks(isAlone: boolean): readonly Mark[] {
    if (!this.#due && !isAlone && this.#marks.size < MAX_MARKS) return [];
    this.#due = false;
    return this.#marks.take();
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
    const marks = this.#takeMarks(count === 0);
    const withdrawn = this.#withdrawn;
    if (withdrawn.length > 0) this.#withdrawn = [];
    const appends = joinAppends(appending.map((one) => one.packed));
    const settled = Promise.withResolvers<void>();
    // Most of them have nobody who waits.
    settled.promise.catch(() => undefined);
    this.#lastWork = settled.promise;
    this.#underWay += 1;
    this.#bringing += Math.min(count, 1);
    this.#marksUnderWay.push(marks);
    this.#thread.ask(
      { kind: 'work', at: this.#now(), appends, marks: packMarks(marks), withdrawn },
      (exceptions) => {
        this.#ended(marks, count);
        this.#accept(appending, exceptions);
        settled.resolve();
        this.#pump();
      },
      (failure) => {
        this.#ended(marks, count);
        this.#marks.putBack(marks);
        this.#withdrawn.push(...withdrawn);
        settled.reject(this.#fail(failure).error);
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

  #ended(marks: readonly Mark[], count: number): void {
    this.#underWay -= 1;
    this.#bringing -= Math.min(count, 1);
    this.#settled(marks);
  }

  #settled(marks: readonly Mark[]): void {
    this.#marksUnderWay = this.#marksUnderWay.filter((one) => one !== marks);
  }

  /** The newest state that was marked and is not known to be in the file. */
  readonly #newest = (id: DeliveryId): DeliveryState | undefined => {
    const seq = seqOf(id);
    const found = this.#marks.find(seq);
    if (found) return found;
    for (const marks of this.#marksUnderWay.toReversed()) {
      const state = newestIn(marks, seq);
      if (state) return state;
    }
    return undefined;
  };

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
    reject(this.#health.status === 'failed' ? this.#health.error : journalFailed('The journal failed'));
  }

  /** Refuses everything until a probe goes well. */
  #fail({ error, final }: Pick<Failure, 'error' | 'final'>): Extract<JournalHealth, { status: 'failed' }> {
    if (this.#health.status === 'failed') return this.#health;
    const failed = { status: 'failed', error: refusalOf(error), since: this.#now() } as const;
    this.#health = failed;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) this.#refuse(one, false);
    if (!final) this.#probeLater();
    this.#options.changed?.(failed);
    return failed;
  }

  #probeLater(): void {
    if (this.#closed) return;
    clearTimeout(this.#probeTimer);
    this.#probeTimer = setTimeout(() => {
      if (this.#thread.running) void this.probe();
      else this.#thread.start();
    }, PROBE_MS);
  }

  /** Tries whether the file takes writes, though nothing has failed here: it may live on room that it took long ago. Once a second at most. */
  check(): void {
    if (this.#closed || this.#health.status === 'failed' || performance.now() - this.#checkedAt < PROBE_MS) return;
    this.#checkedAt = performance.now();
    this.#thread.ask(
      { kind: 'check', at: this.#now() },
      ({ error, final = false }) => {
        if (error) this.#fail({ error: fromWire(error), final });
      },
      // The thread's end is told to whoever had work under way.
      () => undefined,
    );
  }

  /** Tries to write; what was marked meanwhile goes first. */
  probe(): Promise<void> {
    const marks = this.#takeMarks(true);
    this.#marksUnderWay.push(marks);
    return new Promise((resolve) => {
      const settle = ({ marked, error, final = false }: ProbeAnswer): void => {
        this.#settled(marks);
        if (!marked) this.#marks.putBack(marks);
        if (error === undefined) this.#recovered();
        else if (!final) this.#probeLater();
        resolve();
      };
      this.#thread.ask({ kind: 'probe', at: this.#now(), marks: packMarks(marks) }, settle, ({ error, final }) =>
        settle({ marked: false, error: toWire(error), final }),
      );
    });
  }

  #recovered(): void {
    if (this.#health.status === 'ok') return;
    this.#health = OK;
    // What failed is told, and nobody's flush any more.
    this.#lastWork = Promise.resolve();
    this.#options.changed?.(OK);
    if (this.#marks.size > 0) this.#markTimer ??= setTimeout(() => this.#writeMarks(), MARK_DELAY_MS);
  }
}

function sum(lists: readonly (readonly Mark[])[]): number {
  return lists.reduce((count, { length }) => count + length, 0);
}

function refusalOf(error: OrreryError): OrreryError {
  if (error.code === 'ORRERY_JOURNAL_FAILED') return error;
  return journalFailed(`The journal does not take writes: ${messageOf(error)}`, error);
}
