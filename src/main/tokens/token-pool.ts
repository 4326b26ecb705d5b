/**
 * Owns the token pool's front: it counts, encodes and truncates on worker threads, never on the caller's. It checks what it
 * is given, bounds what waits, and puts split texts together again.
 */
import { availableParallelism } from 'node:os';
import type { CountedMessage } from '../../protocol/encodings.ts';
import { OrreryError } from '../../protocol/errors.ts';
import { type TokenOptions, badInput, messagesJob, resolve, splitTexts } from './requests.ts';
import { TokenThreads } from './threads.ts';

/** Requests that may wait or run at once. */
export const DEFAULT_MAX_QUEUE = 10_000;
/** The most threads that are started unless told otherwise. */
const DEFAULT_MAX_THREADS = 4;
const PROGRESS_MS = 100;

export interface TokenPoolOptions {
  /** Worker threads; default: the cores less one, from 1 to 4. Each starts when there is work for it. */
  readonly threads?: number;
  /** Requests that may wait or run at once, 10,000 by default; one more is refused with `ORRERY_TOKENS_QUEUE_FULL`. */
  readonly maxQueue?: number;
}

export interface CountResult {
  /** Tokens by text, file or message. */
  readonly counts: Uint32Array;
  readonly total: number;
  /** False when the model has no public tokenizer: an estimate, the count of `o200k_base`. */
  readonly exact: boolean;
}

export interface FileCount {
  readonly file: string;
  readonly bytes: number;
  readonly tokens: number;
  readonly exact: boolean;
}

export interface FileCounts {
  readonly files: readonly FileCount[];
  readonly total: number;
  readonly exact: boolean;
}

export interface FileOptions extends TokenOptions {
  /** Hears ten times a second how many bytes of all files together were read, to a KiB. */
  readonly onProgress?: (bytesRead: number) => void;
}

/**
 * Counts tokens off the caller's thread. Every method rejects with `ORRERY_TOKENS_BAD_INPUT` for what it cannot read,
 * `ORRERY_TOKENS_QUEUE_FULL` when too much waits, `ORRERY_TOKENS_CLOSED` after `close`, `ORRERY_TOKENS_IMAGE` when a
 * vocabulary can neither be read nor built, `ORRERY_WORKER_EXITED` when its thread ended twice, or the signal's reason.
 */
export class TokenPool implements AsyncDisposable {
  readonly #threads: TokenThreads;
  readonly #maxQueue: number;
  #open = 0;
  #closed: Promise<void> | undefined;

  constructor(options: TokenPoolOptions = {}) {
    const threads = options.threads ?? Math.min(DEFAULT_MAX_THREADS, Math.max(1, availableParallelism() - 1));
    this.#maxQueue = options.maxQueue ?? DEFAULT_MAX_QUEUE;
    for (const [name, value] of Object.entries({ threads, maxQueue: this.#maxQueue })) {
      if (!Number.isInteger(value) || value < 1) {
        throw badInput(`Expected \`${name}\` to be a whole number from 1 on, got ${value}.`);
      }
    }
    this.#threads = new TokenThreads(threads);
  }

  /** Counts texts. A long text is split and spread over the threads; the counts are the same. */
  count(texts: readonly string[], options: TokenOptions = {}): Promise<CountResult> {
    return this.#request(options.signal, async (dropped) => {
      const { encoding, exact } = resolve(options);
      if (!Array.isArray(texts)) throw badInput('Expected texts in an array.');
      const counts = new Uint32Array(texts.length);
      const parts = splitTexts(texts, options.special).map(async (part) => {
        const job = { kind: 'count', encoding, texts: part.texts, ...specialOf(options) } as const;
        const found = await this.#threads.submit<'count'>(job, dropped);
        for (let i = 0; i < found.length; i++) counts[part.owners[i]!]! += found[i]!;
      });
      await allDone(parts);
      return { counts, total: sum(counts), exact };
    });
  }

  /** Counts files, read on the threads as they go; bytes that are no UTF-8 count as U+FFFD. */
  countFiles(paths: readonly string[], options: FileOptions = {}): Promise<FileCounts> {
    return this.#request(options.signal, async (dropped) => {
      const { encoding, exact } = resolve(options);
      if (!Array.isArray(paths)) throw badInput('Expected paths in an array.');
      const control = new Int32Array(new SharedArrayBuffer(8));
      const cancel = (): void => void Atomics.store(control, 0, 1);
      const tell = (): void => options.onProgress?.(Atomics.load(control, 1) * 1024);
      const timer = options.onProgress === undefined ? undefined : setInterval(tell, PROGRESS_MS);
      options.signal?.addEventListener('abort', cancel);
      try {
        const files = paths.map(async (file): Promise<FileCount> => {
          if (typeof file !== 'string') throw badInput('Expected a path to be a string.');
          const found = await this.#threads.submit<'file'>({ kind: 'file', encoding, path: file, control }, dropped);
          return { file, ...found, exact };
        });
        await allDone(files);
        const done = await Promise.all(files);
        return { files: done, total: sum(done.map(({ tokens }) => tokens)), exact };
      } finally {
        clearInterval(timer);
        options.signal?.removeEventListener('abort', cancel);
      }
    });
  }

  /** Counts a chat as a prompt, with the framing of the model's family; `total` includes the opening of the reply. */
  countMessages(messages: readonly CountedMessage[], options: TokenOptions = {}): Promise<CountResult> {
    return this.#request(options.signal, async (dropped) => {
      const { encoding, exact } = resolve(options);
      if (!Array.isArray(messages)) throw badInput('Expected messages in an array.');
      const found = await this.#threads.submit<'messages'>(messagesJob(messages, encoding, options.model), dropped);
      return { ...found, exact: exact && found.exact };
    });
  }

  /** Encodes a text. For a model with no public tokenizer it is refused: an estimate has no ids. */
  encode(text: string, options: TokenOptions = {}): Promise<Uint32Array> {
    return this.#request(options.signal, (dropped) => {
      const { encoding, exact } = resolve(options);
      if (typeof text !== 'string') throw badInput(`Expected \`text\` to be a string, got ${typeof text}.`);
      if (!exact) throw badInput(`There is no public tokenizer for ${options.model}, so it has no ids.`);
      return this.#threads.submit<'encode'>({ kind: 'encode', encoding, text, ...specialOf(options) }, dropped);
    });
  }

  /** Keeps as much of the start of a text as has at most `maxTokens` tokens; never splits a code point. */
  truncate(
    text: string,
    maxTokens: number,
    options: TokenOptions = {},
  ): Promise<{ text: string; tokens: number; cut: boolean }> {
    return this.#request(options.signal, async (dropped) => {
      const { encoding } = resolve(options);
      if (typeof text !== 'string') throw badInput(`Expected \`text\` to be a string, got ${typeof text}.`);
      const job = { kind: 'truncate', encoding, text, maxTokens } as const;
      const { units, tokens } = await this.#threads.submit<'truncate'>(job, dropped);
      return { text: text.slice(0, units), tokens, cut: units < text.length };
    });
  }

  /** Refuses new requests, finishes those that were accepted, and ends the threads. Idempotent. */
  close(): Promise<void> {
    return (this.#closed ??= this.#threads.close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Admits a request, and lets go of it when its signal says so: jobs of it that still wait are dropped. */
  async #request<T>(signal: AbortSignal | undefined, work: (dropped: () => boolean) => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) throw new OrreryError('ORRERY_TOKENS_CLOSED', 'The token pool is closed.');
    signal?.throwIfAborted();
    if (this.#open >= this.#maxQueue) {
      throw new OrreryError('ORRERY_TOKENS_QUEUE_FULL', `The token pool has ${this.#maxQueue} requests under way.`);
    }
    this.#open++;
    try {
      const done = work(() => signal?.aborted === true);
      return signal === undefined ? await done : await unlessAborted(done, signal);
    } finally {
      this.#open--;
    }
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    // What still runs ends by itself, and nobody hears how.
    work.catch(() => {});
  }
}

/** Waits for every one, then fails with the first failure: nothing is left running behind a request that ended. */
async function allDone(work: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

function specialOf(options: TokenOptions): { special?: 'all' | readonly string[] } {
  return options.special === undefined ? {} : { special: options.special };
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
