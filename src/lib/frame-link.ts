/**
 * Owns how several lines share one stream between two processes: each message is a frame, a head of 8 bytes and V8's structured
 * clone of it. It knows nothing of what is said.
 *
 * What a port does by itself is done here by hand: a message that cannot be cloned throws at once and sends nothing, what
 * comes before its listener waits, and between two messages all promises settle that can. Order holds over all lines. The stream keeps what its reader has not taken; what may be
 * under way is bounded by those who speak (credits for text, turns of an agent), as it is with ports.
 */
import type { Duplex } from 'node:stream';
import { deserialize, serialize } from 'node:v8';
import { OrreryError, messageOf } from '../protocol/index.ts';
import type { Line } from './line.ts';

/** A mark, the line's number, and the bytes of the message. */
const HEAD_BYTES = 8;
/** Tells a frame from what a program wrote where it should not have: without it, its text would be taken for a length. */
const MARK = 0x4f52;

export class FrameLink {
  /** Settles when nothing comes any more: with an error when what came was no frame, and the stream was given up for that. */
  readonly closed: Promise<OrreryError | undefined>;
  readonly #stream: Duplex;
  readonly #lines: readonly FrameLine[];
  #chunks: Buffer[] = [];
  #have = 0;
  /** The line and the length of the frame whose message is still to come. */
  #open: { readonly line: number; readonly length: number } | undefined;
  #broken: OrreryError | undefined;
  /** Messages that came together with the one that is being heard. */
  readonly #arrived: { readonly line: number; readonly message: unknown }[] = [];
  #hearing = false;
  #isOver = false;
  readonly #closed = Promise.withResolvers<OrreryError | undefined>();

  constructor(stream: Duplex, lines: number) {
    this.#stream = stream;
    this.#lines = Array.from({ length: lines }, (_, number) => new FrameLine((message) => this.#post(number, message)));
    stream.on('data', (chunk: Buffer) => this.#take(chunk));
    // The other side is gone, with or without a word: `close` follows.
    stream.on('error', () => undefined);
    stream.once('close', () => {
      this.#isOver = true;
      if (!this.#hearing) this.#closed.resolve(this.#broken);
    });
    this.closed = this.#closed.promise;
  }

  line(number: number): Line {
    const line = this.#lines[number];
    if (!line) throw new RangeError(`Expected a line below ${this.#lines.length}, got ${number}`);
    return line;
  }

  /** Resolves when all that was posted has left this process; nothing can be posted afterwards. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      this.#stream.once('close', resolve);
      // It calls back with an error when the other side is gone, which is an end too.
      this.#stream.end(() => resolve());
    });
  }

  /** Gives the stream up, and what was not sent with it. */
  destroy(): void {
    this.#stream.destroy();
  }

  #post(line: number, message: unknown): void {
    const body = serialize(message);
    // Whoever is gone hears nothing: that it ended is told elsewhere.
    if (!this.#stream.writable) return;
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    head.writeUInt16LE(MARK, 0);
    head.writeUInt16LE(line, 2);
    head.writeUInt32LE(body.length, 4);
    this.#stream.cork();
    this.#stream.write(head);
    this.#stream.write(body);
    this.#stream.uncork();
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#have += chunk.length;
    while (!this.#broken) {
      const want = this.#open ? this.#open.length : HEAD_BYTES;
      if (this.#have < want) return;
      const bytes = this.#cut(want);
      try {
        if (this.#open) this.#closeFrame(this.#open.line, bytes);
        else this.#openFrame(bytes);
      } catch (error) {
        if (!(error instanceof BrokenFrame)) throw error;
        this.#broken = new OrreryError(
          'ORRERY_PROTOCOL',
          `The other process sent what is no message: ${error.message}`,
        );
        this.#stream.destroy();
      }
    }
  }

  #openFrame(head: Buffer): void {
    const line = head.readUInt16LE(2);
    if (head.readUInt16LE(0) !== MARK || line >= this.#lines.length) throw new BrokenFrame('it has no head');
    this.#open = { line, length: head.readUInt32LE(4) };
  }

  #closeFrame(line: number, body: Buffer): void {
    this.#open = undefined;
    let message: unknown;
    try {
      message = deserialize(body);
    } catch (error) {
      throw new BrokenFrame(messageOf(error));
    }
    this.#arrived.push({ line, message });
    if (!this.#hearing) this.#hear();
  }

  /**
   * Hands one message over, and the next one when nothing is left to be done for it. Two turns come in one chunk; the first is
   * answered within a few promises, the second ends the process: in one go the first one's answer would never be sent.
   */
  #hear(): void {
    const arrived = this.#arrived.shift();
    this.#hearing = arrived !== undefined;
    if (!arrived) {
      if (this.#isOver) this.#closed.resolve(this.#broken);
      return;
    }
    // A tick comes after all promises, but not between two ticks.
    queueMicrotask(() => process.nextTick(() => this.#hear()));
    this.#lines[arrived.line]?.take(arrived.message);
  }

  /** Chunks are joined once for a message, not once for each chunk: a long one would cost its square. */
  #cut(length: number): Buffer {
    const [first] = this.#chunks;
    const all = first && first.length >= length ? first : Buffer.concat(this.#chunks);
    if (all === first) this.#chunks.shift();
    else this.#chunks = [];
    if (all.length > length) this.#chunks.unshift(all.subarray(length));
    this.#have -= length;
    return all.subarray(0, length);
  }
}

class BrokenFrame extends Error {}

class FrameLine implements Line {
  readonly postMessage: (message: unknown) => void;
  #listener: ((message: unknown) => void) | undefined;
  #waiting: unknown[] = [];
  #closed = false;

  constructor(post: (message: unknown) => void) {
    this.postMessage = post;
  }

  on(_event: 'message', listener: (message: unknown) => void): void {
    this.#listener = listener;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const message of waiting) this.take(message);
  }

  close(): void {
    this.#closed = true;
    this.#waiting = [];
  }

  /** The stream keeps a process alive as long as it is open, and it is open as long as the process is wanted. */
  unref(): void {}

  take(message: unknown): void {
    if (this.#closed) return;
    if (this.#listener) this.#listener(message);
    else this.#waiting.push(message);
  }
}
