/**
 * Owns a child process's words on main's side: a file without a name, in memory where there is such a place. The child writes
 * into it by a system call, so that all that it had written is there when it is dead, however it died; no message could say so.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHILD_WORDS_BYTES, SLOT_WORDS, type WireError } from '../../protocol/index.ts';
import type { SlotWord } from './carrier.ts';

/** The first one that can be written to. */
const PLACES: readonly (() => string)[] = [() => '/dev/shm', tmpdir];

const WORDS_BYTES = SLOT_WORDS * Int32Array.BYTES_PER_ELEMENT;

export class ChildWords {
  #fd: number | undefined;
  readonly #words = new Int32Array(SLOT_WORDS);

  /** Throws where no file can be made. */
  constructor() {
    this.#fd = makeFile();
  }

  /** For the child to inherit. */
  get fd(): number {
    if (this.#fd === undefined) throw new Error('The words were closed');
    return this.#fd;
  }

  /** 1.5 us: it is in the kernel's memory. */
  read(word: SlotWord): number {
    this.#refresh();
    return this.#words[word] ?? 0;
  }

  /** What the child said that it dies of. */
  lastError(): WireError | undefined {
    if (this.#fd === undefined) return undefined;
    const bytes = Buffer.alloc(CHILD_WORDS_BYTES - WORDS_BYTES);
    const read = readSync(this.#fd, bytes, 0, bytes.length, WORDS_BYTES);
    const end = bytes.subarray(0, read).indexOf(0);
    if (end === 0) return undefined;
    try {
      const said: unknown = JSON.parse(bytes.toString('utf8', 0, end < 0 ? read : end));
      return isWireError(said) ? said : undefined;
    } catch {
      return undefined; // not written by ours
    }
  }

  /** What was read last stays. */
  close(): void {
    if (this.#fd === undefined) return;
    this.#refresh();
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  #refresh(): void {
    if (this.#fd !== undefined) readSync(this.#fd, this.#words, 0, WORDS_BYTES, 0);
  }
}

function makeFile(): number {
  let failure: unknown;
  for (const place of PLACES) {
    const path = join(place(), `orrery-${process.pid}-${randomBytes(6).toString('hex')}`);
    let fd: number | undefined;
    try {
      fd = openSync(path, 'wx+', 0o600);
      unlinkSync(path);
      // Room is taken now: a disk that is full later does not keep the child from telling.
      writeSync(fd, new Uint8Array(CHILD_WORDS_BYTES), 0, CHILD_WORDS_BYTES, 0);
      return fd;
    } catch (error) {
      // A full disk lets a file be made and not be written: whoever tries again and again must not run out of descriptors.
      if (fd !== undefined) closeSync(fd);
      failure = error;
    }
  }
  throw failure;
}

function isWireError(value: unknown): value is WireError {
  if (typeof value !== 'object' || value === null) return false;
  const { name, message, code, stack } = value as Partial<Record<keyof WireError, unknown>>;
  const isText = (text: unknown): boolean => text === undefined || typeof text === 'string';
  return typeof name === 'string' && typeof message === 'string' && isText(code) && isText(stack);
}
