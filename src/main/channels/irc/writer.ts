/**
 * Owns the lines on their way to an IRC server: no faster than the server takes them, and known to have arrived. IRC confirms nothing, but a
 * server works through a connection in order: when it answers a PING, it has done everything before it.
 */
import type { OrreryError } from '../../../protocol/index.ts';

export interface WriterOptions {
  /** Lines that may be sent at once. */
  readonly burst: number;
  /** Milliseconds for each further line. */
  readonly intervalMs: number;
  readonly write: (line: readonly string[]) => void;
  /** Milliseconds, from any start. */
  readonly now: () => number;
}

interface Waiting {
  readonly line: readonly string[];
  readonly written: PromiseWithResolvers<void>;
  readonly signal: AbortSignal;
}

export class Writer {
  readonly #options: WriterOptions;
  #waiting: Waiting[] = [];
  #allowance: number;
  #at: number;
  #timer: NodeJS.Timeout | undefined;
  #pings = 0;
  /** The PING under way, and the one that is sent after it for what was written since. */
  #barrier: { readonly token: string; readonly lines: number; readonly done: PromiseWithResolvers<void> } | undefined;
  #next: PromiseWithResolvers<void> | undefined;
  #unconfirmed = 0;
  #error: OrreryError | undefined;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#allowance = options.burst;
    this.#at = options.now();
  }

  /** Lines that were written and of which it is not known whether they arrived. */
  get unconfirmed(): number {
    return this.#unconfirmed;
  }

  /** Resolves when the line is written, in order. Rejects when the connection ends first, or the signal aborts. */
  send(line: readonly string[], signal: AbortSignal): Promise<void> {
    if (this.#error) return Promise.reject(this.#error);
    const written = Promise.withResolvers<void>();
    this.#waiting.push({ line, written, signal });
    this.#pump();
    return written.promise;
  }

  /** Resolves when everything that is written by now has arrived. */
  confirmed(): Promise<void> {
    if (this.#error) return Promise.reject(this.#error);
    if (this.#unconfirmed === 0) return Promise.resolve();
    if (!this.#barrier) return this.#ping(Promise.withResolvers());
    this.#next ??= Promise.withResolvers();
    return this.#next.promise;
  }

  /** The server answered a PING. */
  pong(token: string): void {
    const barrier = this.#barrier;
    if (barrier?.token !== token) return;
    this.#barrier = undefined;
    const next = this.#next;
    this.#next = undefined;
    this.#unconfirmed -= barrier.lines;
    barrier.done.resolve();
    if (next) void this.#ping(next);
  }

  /** The connection is over: what waits is rejected. */
  end(error: OrreryError): void {
    if (this.#error) return;
    this.#error = error;
    clearTimeout(this.#timer);
    for (const { written } of this.#waiting.splice(0)) written.reject(error);
    this.#barrier?.done.reject(error);
    this.#next?.reject(error);
  }

  #ping(done: PromiseWithResolvers<void>): Promise<void> {
    this.#pings += 1;
    const token = `orrery-${this.#pings}`;
    this.#barrier = { token, lines: this.#unconfirmed, done };
    // It must not wait behind lines that came later; what it costs, they wait longer.
    this.#refill();
    this.#allowance -= 1;
    this.#options.write(['PING', token]);
    return done.promise;
  }

  #refill(): void {
    const { burst, intervalMs, now } = this.#options;
    const at = now();
    this.#allowance = Math.min(burst, this.#allowance + (intervalMs === 0 ? burst : (at - this.#at) / intervalMs));
    this.#at = at;
  }

  #pump(): void {
    if (this.#timer) return;
    this.#refill();
    for (;;) {
      const [first] = this.#waiting;
      if (!first) return;
      if (first.signal.aborted) {
        this.#waiting.shift();
        first.written.reject(first.signal.reason);
        continue;
      }
      if (this.#allowance < 1 && this.#options.intervalMs > 0) break;
      this.#waiting.shift();
      this.#allowance -= 1;
      this.#unconfirmed += 1;
      this.#options.write(first.line);
      first.written.resolve();
    }
    const delayMs = Math.ceil((1 - this.#allowance) * this.#options.intervalMs);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#pump();
    }, delayMs);
  }
}
