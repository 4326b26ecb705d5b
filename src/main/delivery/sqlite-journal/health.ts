/**
 * Owns whether the file takes writes, as main knows it, and how it is tried while it does not:
 *
 *   ok -> a write fails, or a look at the disk -> failed -> PROBE_MS -> probe -> ok, or failed still
 *
 * A probe writes what was marked meanwhile. What becomes of messages is the writer's affair.
 */
import { type OrreryError, fromWire, messageOf, toWire } from '../../../protocol/index.ts';
import type { JournalHealth } from '../journal.ts';
import { type Marks, packMarks } from './marks.ts';
import type { ProbeAnswer } from './packed.ts';
import { type Failure, type JournalThread, PROBE_MS, journalFailed } from './thread.ts';

export interface FileHealthOptions {
  readonly thread: Pick<JournalThread, 'ask' | 'running' | 'start'>;
  readonly marks: Marks;
  /** Hears of each change. */
  readonly changed: (health: JournalHealth) => void;
  readonly now: () => number;
}

const OK: JournalHealth = { status: 'ok' };

export class FileHealth {
  readonly #options: FileHealthOptions;
  #state: JournalHealth = OK;
  #probeTimer: NodeJS.Timeout | undefined;
  #checkedAt = -Infinity;
  #closed = false;

  constructor(options: FileHealthOptions) {
    this.#options = options;
  }

  get state(): JournalHealth {
    return this.#state;
  }

  /** What is told to those whose message is refused; undefined while the file takes writes. */
  get refusal(): OrreryError | undefined {
    return this.#state.status === 'failed' ? this.#state.error : undefined;
  }

  /** The file takes no writes until a probe goes well. Returns what is told of it. */
  fail({ error, final }: Pick<Failure, 'error' | 'final'>): OrreryError {
    if (this.#state.status === 'failed') return this.#state.error;
    const refusal = refusalOf(error);
    this.#state = { status: 'failed', error: refusal, since: this.#options.now() };
    if (!final) this.#probeLater();
    this.#options.changed(this.#state);
    return refusal;
  }

  /** Tries whether the file takes writes, though nothing has failed here: it may live on room that it took long ago. Once a second at most. */
  check(): void {
    if (this.#closed || this.refusal || performance.now() - this.#checkedAt < PROBE_MS) return;
    this.#checkedAt = performance.now();
    this.#options.thread.ask(
      { kind: 'check', at: this.#options.now() },
      ({ error, final = false }) => {
        if (error) this.fail({ error: fromWire(error), final });
      },
      // The thread's end is told to whoever had work under way.
      () => undefined,
    );
  }

  /** Tries to write; what was marked meanwhile goes first. */
  probe(): Promise<void> {
    const { thread, now } = this.#options;
    const marks = this.#options.marks.take();
    return new Promise((resolve) => {
      const settle = ({ marked, error, final = false }: ProbeAnswer): void => {
        if (marked) this.#options.marks.kept(marks);
        else this.#options.marks.putBack(marks);
        if (error === undefined) this.#recovered();
        else if (!final) this.#probeLater();
        resolve();
      };
      thread.ask({ kind: 'probe', at: now(), marks: packMarks(marks) }, settle, ({ error, final }) =>
        settle({ marked: false, error: toWire(error), final }),
      );
    });
  }

  /** The thread's place was empty, and is taken again. */
  threadOpened(): void {
    if (this.refusal) void this.probe();
  }

  threadLost(error: OrreryError): void {
    if (this.refusal) this.#probeLater();
    else this.fail({ error, final: false });
  }

  /** Begins no look and no probe any more. */
  close(): void {
    this.#closed = true;
  }

  /** Forgets its timer. */
  end(): void {
    clearTimeout(this.#probeTimer);
  }

  #probeLater(): void {
    if (this.#closed) return;
    clearTimeout(this.#probeTimer);
    const { thread } = this.#options;
    this.#probeTimer = setTimeout(() => {
      if (thread.running) void this.probe();
      else thread.start();
    }, PROBE_MS);
  }

  #recovered(): void {
    if (this.#state.status === 'ok') return;
    this.#state = OK;
    this.#options.changed(OK);
  }
}

function refusalOf(error: OrreryError): OrreryError {
  if (error.code === 'ORRERY_JOURNAL_FAILED') return error;
  return journalFailed(`The journal does not take writes: ${messageOf(error)}`, error);
}
