/**
 * Owns the few words that a slot tells without sending anything, so that a stuck or dying one has told them: by shared memory
 * in a thread, and in a child process by a file that it inherits. The kernel keeps what was written, however its writer ends.
 */
import { writeSync } from 'node:fs';
import { CHILD_WORDS_BYTES, type SLOT_WORD, SLOT_WORDS, type WireError } from '../protocol/index.ts';

type Word = (typeof SLOT_WORD)[keyof typeof SLOT_WORD];

/** What is written is there for main when the call returns. */
export interface Words {
  add(word: Word, by: number): void;
  store(word: Word, value: number): void;
}

export class SharedWords implements Words {
  readonly #words: Int32Array;

  constructor(words: SharedArrayBuffer) {
    this.#words = new Int32Array(words);
  }

  add(word: Word, by: number): void {
    Atomics.add(this.#words, word, by);
  }

  store(word: Word, value: number): void {
    Atomics.store(this.#words, word, value);
  }
}

/** One system call of about 1 us for each change. */
export class FileWords implements Words {
  readonly #fd: number;
  readonly #words = new Int32Array(SLOT_WORDS);
  readonly #bytes = new Uint8Array(this.#words.buffer);

  constructor(fd: number) {
    this.#fd = fd;
  }

  add(word: Word, by: number): void {
    this.store(word, (this.#words[word] ?? 0) + by);
  }

  store(word: Word, value: number): void {
    if (this.#words[word] === value) return;
    this.#words[word] = value;
    const at = word * Int32Array.BYTES_PER_ELEMENT;
    writeSync(this.#fd, this.#bytes, at, Int32Array.BYTES_PER_ELEMENT, at);
  }

  /** Leaves the error behind that this process dies of. */
  dieOf({ name, message, code, stack }: WireError): void {
    const room = CHILD_WORDS_BYTES - this.#bytes.length;
    const short = { name: name.slice(0, MAX_NAME), message: message.slice(0, MAX_MESSAGE) };
    for (const error of [{ name, message, code, stack }, short]) {
      const bytes = Buffer.from(JSON.stringify(error));
      if (bytes.length > room) continue;
      writeSync(this.#fd, bytes, 0, bytes.length, this.#bytes.length);
      return;
    }
  }
}

/** These fit in any case: a UTF-16 unit is 6 bytes of JSON at most. */
const MAX_MESSAGE = 2_000;
const MAX_NAME = 100;
