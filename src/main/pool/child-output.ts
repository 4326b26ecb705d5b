/**
 * Owns what a child process writes to its standard error: V8's last words, warnings, what its agent prints. It becomes lines
 * of the host's log, bounded, so that a log of JSON stays one; its end is kept, for it may say why the child died.
 */
import type { Readable } from 'node:stream';

/** Characters that are kept. */
const TAIL_LENGTH = 16_384;
/** Characters of one line of the log, and of all within a second: writing them is main's work. */
const MAX_LINE = 8_192;
const MAX_PER_SECOND = 65_536;
/** Milliseconds that lines are gathered: V8 writes an abort's stack traces piece by piece. */
const GATHER_MS = 50;

export class ChildOutput {
  /** Resolves when nothing comes any more. */
  readonly closed: Promise<void>;
  readonly #log: (text: string) => void;
  #tail = '';
  /** Whole lines that are still to be told, and the beginning of one. */
  #lines = '';
  #line = '';
  #timer: NodeJS.Timeout | undefined;
  #until = 0;
  #left = 0;
  #dropped = 0;

  constructor(stream: Readable, log: (text: string) => void) {
    this.#log = log;
    const closed = Promise.withResolvers<void>();
    this.closed = closed.promise;
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => this.#take(text));
    stream.on('error', () => undefined);
    stream.once('close', () => {
      clearTimeout(this.#timer);
      this.#tell(this.#lines + this.#line);
      this.#tellDropped();
      closed.resolve();
    });
  }

  /** The end of all that was written. */
  get tail(): string {
    return this.#tail;
  }

  #take(text: string): void {
    this.#tail = (this.#tail + text).slice(-TAIL_LENGTH);
    const end = text.lastIndexOf('\n') + 1;
    if (end > 0) {
      this.#lines += this.#line + text.slice(0, end);
      this.#line = '';
    }
    if (this.#line.length < MAX_LINE) this.#line += text.slice(end);
    if (this.#lines.length >= MAX_LINE) this.#flush();
    else if (this.#lines !== '') this.#timer ??= setTimeout(() => this.#flush(), GATHER_MS);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#tell(this.#lines);
    this.#lines = '';
  }

  #tell(text: string): void {
    const said = text.trim();
    if (said === '') return;
    const now = performance.now();
    if (now > this.#until) {
      this.#until = now + 1_000;
      this.#left = MAX_PER_SECOND;
      this.#tellDropped();
    }
    const shown = said.slice(0, Math.min(MAX_LINE, this.#left));
    this.#left -= shown.length;
    this.#dropped += said.length - shown.length;
    if (shown !== '') this.#log(shown);
  }

  #tellDropped(): void {
    if (this.#dropped > 0) this.#log(`[${this.#dropped} characters were left out]`);
    this.#dropped = 0;
  }
}
