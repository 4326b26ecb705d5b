/**
 * Owns the journal's thread as main sees it: requests that are answered in order, and a new thread in place of one that ended.
 *
 * What a thread has not answered when it ends is asked of the next one, in the same order. All of it may be asked twice: the
 * thread committed a batch and ended before it told; the next one finds the rows with their own sequence numbers, and says
 * that they were accepted. A thread that ends over its first requests is not replaced at once: they may be what kills it. They fail, and `started` begins anew when the owner asks for it.
 */
import { Worker } from 'node:worker_threads';
import { OrreryError, fromWire } from '../../../protocol/index.ts';
import type { Answer, AskKind, Asks, JournalSetup, Opening, Request, Written } from './packed.ts';

const ENTRY = new URL(`./entry${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

export interface ThreadListener {
  /** It can be asked; `next` is the first free sequence number that its file shows. */
  opened(next: number): void;
  /** There is no thread: the file did not open, or two threads ended one after another. */
  lost(error: OrreryError): void;
}

/** `unknown`: it may have been done, or not. `final`: no later try will do better. */
export interface Failure {
  readonly error: OrreryError;
  readonly unknown: boolean;
  readonly final: boolean;
}

interface Asked {
  readonly request: Request;
  readonly done: (value: unknown) => void;
  readonly failed: (failure: Failure) => void;
  /** Called at most once, before the others. */
  written: (() => void) | undefined;
}

export class JournalThread {
  readonly #setup: Omit<JournalSetup, 'first'>;
  readonly #listener: ThreadListener;
  #worker: Worker | undefined;
  /** The worker has opened the file. */
  #ready = false;
  #everReady = false;
  /** The worker has answered something. */
  #answered = false;
  /** It has closed the file. Its end may be told in the same breath, before whoever asked for it has heard. */
  #closed = false;
  #asked: Asked[] = [];
  #ended = Promise.withResolvers<void>();

  constructor(setup: Omit<JournalSetup, 'first'>, listener: ThreadListener) {
    this.#setup = setup;
    this.#listener = listener;
  }

  /** False while there is no thread, nor one that is starting. */
  get running(): boolean {
    return this.#worker !== undefined;
  }

  start(): void {
    if (this.#worker) return;
    const workerData: JournalSetup = { ...this.#setup, first: !this.#everReady };
    const worker = new Worker(ENTRY, { workerData, name: 'orrery-journal' });
    const ended = Promise.withResolvers<void>();
    let cause: unknown;
    let opened = false;
    this.#worker = worker;
    this.#ended = ended;
    this.#ready = false;
    this.#answered = false;
    worker.on('message', (message: Opening | Written | Answer) => {
      if (opened) {
        if ('written' in message) this.#written(message.written);
        else this.#settle(message as Answer);
        return;
      }
      opened = true;
      const opening = message as Opening;
      if ('error' in opening) cause = fromWire(opening.error);
      else this.#open(opening.next);
    });
    worker.on('error', (error) => {
      cause = error;
    });
    worker.once('exit', (code) => {
      ended.resolve();
      this.#end(cause ?? new Error(`The journal's thread ended with code ${code}`));
    });
  }

  /**
   * Asks a thread that runs or starts; `failed` is called at once where there is none. `written` hears of work that is in the file and not synced yet: see `Written`.
   */
  ask<K extends AskKind>(
    request: Request<K>,
    done: (value: Asks[K][1]) => void,
    failed: (failure: Failure) => void,
    written?: () => void,
  ): void {
    if (!this.#worker) {
      failed({ error: journalFailed("The journal's thread is not running"), unknown: false, final: false });
      return;
    }
    this.#asked.push({ request: request as Request, done: done as (value: unknown) => void, failed, written });
    if (this.#ready) this.#worker.postMessage(request);
  }

  /** Resolves when the thread that runs has ended; nothing takes its place after {@link stop}. */
  async stop(o: { readonly kill: boolean }): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    if (!worker) return;
    if (o.kill) await worker.terminate();
    await this.#ended.promise;
  }

  #open(next: number): void {
    this.#ready = true;
    this.#everReady = true;
    for (const { request } of this.#asked) this.#worker?.postMessage(request);
    this.#listener.opened(next);
  }

  #written(place: number): void {
    const asked = this.#asked[place];
    const written = asked?.written;
    if (!asked || !written) return;
    // A thread that ended after this is asked again, and its successor tells it again.
    asked.written = undefined;
    written();
  }

  #settle(answer: Answer): void {
    this.#answered = true;
    const asked = this.#asked.shift();
    if ('error' in answer) {
      const { error, final, unknown = false } = answer;
      asked?.failed({ error: fromWire(error), unknown, final });
    } else {
      this.#closed = asked?.request.kind === 'close';
      asked?.done(answer.value);
    }
  }

  #end(cause: unknown): void {
    const blameless = this.#answered || (this.#ready && this.#asked.length === 0);
    const again = this.#worker !== undefined && blameless && !this.#closed;
    const stopped = this.#worker === undefined || this.#closed;
    this.#worker = undefined;
    this.#ready = false;
    if (again) {
      this.start();
      return;
    }
    const error = cause instanceof OrreryError ? cause : journalFailed("The journal's thread ended", cause);
    const asked = this.#asked;
    this.#asked = [];
    for (const one of asked) one.failed({ error, unknown: true, final: false });
    if (!stopped) this.#listener.lost(error);
  }
}

/** How long a caller is told to wait, and how often the file is tried, in milliseconds. */
export const PROBE_MS = 1_000;

export function journalFailed(message: string, cause?: unknown): OrreryError {
  return new OrreryError('ORRERY_JOURNAL_FAILED', message, { retryAfterMs: PROBE_MS, cause });
}
