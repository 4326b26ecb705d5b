/** Owns a slot's generation on a pool thread: piscina's resident task, its two ports and its shared words. */
import { MessageChannel, type Worker } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import type { Line } from '../../lib/line.ts';
import { type HostTask, type ResidentTask, SLOT_WORD, SLOT_WORDS, messageOf } from '../../protocol/index.ts';
import type { Carrier, CarrierEnd, SlotWord } from './carrier.ts';

export class ThreadCarrier implements Carrier {
  readonly calls: Line;
  readonly deltas: Line;
  readonly ended: Promise<CarrierEnd>;
  readonly #piscina: Piscina;
  readonly #words: Int32Array;
  readonly #abort = new AbortController();
  #elu: ReturnType<Worker['performance']['eventLoopUtilization']> | undefined;

  constructor(piscina: Piscina, task: HostTask, images: ResidentTask['images']) {
    const calls = new MessageChannel();
    const deltas = new MessageChannel();
    const words = new SharedArrayBuffer(SLOT_WORDS * Int32Array.BYTES_PER_ELEMENT);
    this.#piscina = piscina;
    this.#words = new Int32Array(words);
    this.calls = calls.port1;
    this.deltas = deltas.port1;
    const resident: ResidentTask = { ...task, port: calls.port2, deltaPort: deltas.port2, words, images };
    const run = piscina.run(resident, { transferList: [calls.port2, deltas.port2], signal: this.#abort.signal });
    this.ended = run.then(() => ({ exit: 'clean' }), endOf);
  }

  get thread(): Worker | undefined {
    const threadId = this.word(SLOT_WORD.threadId);
    if (threadId <= 0) return undefined;
    return this.#piscina.threads.find((worker) => worker.threadId === threadId);
  }

  get pid(): undefined {
    return undefined;
  }

  word(word: SlotWord): number {
    return Atomics.load(this.#words, word);
  }

  /** 1.7 us, and tells a stuck thread from an idle one. */
  measure(): number {
    const worker = this.thread;
    if (!worker) return 0;
    const now = worker.performance.eventLoopUtilization();
    const last = this.#elu;
    this.#elu = now;
    return last ? worker.performance.eventLoopUtilization(now, last).utilization : 0;
  }

  kill(): void {
    this.#abort.abort();
  }
}

function endOf(cause: unknown): CarrierEnd {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  const exit = code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'oom' : 'crashed';
  // Piscina says it in a sentence only.
  const match = /exited with code: (\d+)/.exec(messageOf(cause));
  return match ? { exit, cause, exitCode: Number(match[1]) } : { exit, cause };
}
