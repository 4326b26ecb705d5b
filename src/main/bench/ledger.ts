/**
 * Owns `results.jsonl`: lines are appended in whole batches, one write at a time, and what a kill tore at the end is cut off before the
 * next run appends. It is the record of what is done: the host's journal of a benchmark is in memory.
 *
 * A line is done once its write was taken by the system: a kill of the process loses nothing of it. A loss of power may, for a second.
 */
import { type FileHandle, open } from 'node:fs/promises';
import type { BenchResult } from './results.ts';
import { invalid } from './errors.ts';
import { readLines } from './records.ts';

const SYNC_EVERY_MS = 1_000;
const CHUNK_BYTES = 65_536;
const NEWLINE = 10;

export class ResultsLedger {
  readonly #handle: FileHandle;
  #last: Promise<void> = Promise.resolve();
  #syncedAt = performance.now();

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Opens the file to append to; cuts off a torn last line. */
  static async open(path: string): Promise<ResultsLedger> {
    const handle = await open(path, 'a+');
    try {
      const { size } = await handle.stat();
      const whole = await wholeBytes(handle, size);
      if (whole < size) await handle.truncate(whole);
      return new ResultsLedger(handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Appends results in this order; resolves when the system has them. Rejects when the disk does not take them. */
  append(results: readonly BenchResult[]): Promise<void> {
    if (results.length === 0) return Promise.resolve();
    let lines = '';
    for (const result of results) lines += `${JSON.stringify(result)}\n`;
    const done = this.#last.then(() => this.#write(Buffer.from(lines)));
    this.#last = done.catch(() => undefined);
    return done;
  }

  async close(): Promise<void> {
    await this.#last;
    try {
      await this.#handle.sync();
    } finally {
      await this.#handle.close();
    }
  }

  async #write(bytes: Buffer): Promise<void> {
    // A full disk may take a part: what is left is written on, or stays torn at the end and is cut off by the next run.
    for (let at = 0; at < bytes.length;) at += (await this.#handle.write(bytes, at)).bytesWritten;
    if (performance.now() - this.#syncedAt < SYNC_EVERY_MS) return;
    this.#syncedAt = performance.now();
    await this.#handle.datasync();
  }
}

/** Bytes up to the end of the last whole line. */
async function wholeBytes(handle: FileHandle, size: number): Promise<number> {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let end = size; end > 0;) {
    const from = Math.max(0, end - CHUNK_BYTES);
    const { bytesRead } = await handle.read(chunk, 0, end - from, from);
    const at = chunk.subarray(0, bytesRead).lastIndexOf(NEWLINE);
    if (at >= 0) return from + at + 1;
    end = from;
  }
  return 0;
}

/** Reads the results that are there, in batches. Throws `ORRERY_BENCH_INVALID` at a line that is none. */
export async function* readResults(path: string): AsyncGenerator<readonly BenchResult[]> {
  for await (const lines of readLines(path)) {
    yield lines.map(({ number, text }) => {
      try {
        const result = JSON.parse(text) as BenchResult;
        if (typeof result.caseId === 'string' && typeof result.agent === 'string') return result;
      } catch {
        // told below
      }
      throw invalid(`${path}:${number}: expected a result, and the line is none`, {
        hint: 'The file was changed by something else: take the line out, or begin a new run.',
      });
    });
  }
}

/** Which (case, agent, repeat) are done: some bits for each case that has any. */
export class DoneSet {
  readonly #agents: ReadonlyMap<string, number>;
  readonly #repeats: number;
  readonly #bits = new Map<string, Uint8Array>();
  #size = 0;

  constructor(agents: readonly string[], repeats: number) {
    this.#agents = new Map(agents.map((agent, i) => [agent, i]));
    this.#repeats = repeats;
  }

  get size(): number {
    return this.#size;
  }

  /** False when it was done before, or is none of this run's. */
  add(caseId: string, agent: string, repeat: number): boolean {
    const place = this.#place(agent, repeat);
    if (place < 0 || this.#has(caseId, place)) return false;
    let bits = this.#bits.get(caseId);
    if (!bits) this.#bits.set(caseId, (bits = new Uint8Array(Math.ceil((this.#agents.size * this.#repeats) / 8))));
    bits[place >> 3] = (bits[place >> 3] ?? 0) | (1 << (place & 7));
    this.#size += 1;
    return true;
  }

  has(caseId: string, agent: string, repeat: number): boolean {
    return this.#bits.size > 0 && this.#has(caseId, this.#place(agent, repeat));
  }

  #has(caseId: string, place: number): boolean {
    return ((this.#bits.get(caseId)?.[place >> 3] ?? 0) & (1 << (place & 7))) !== 0;
  }

  #place(agent: string, repeat: number): number {
    const index = this.#agents.get(agent);
    return index === undefined || !(repeat >= 0 && repeat < this.#repeats) ? -1 : index * this.#repeats + repeat;
  }
}
