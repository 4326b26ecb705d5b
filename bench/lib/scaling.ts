/**
 * Owns how the token bench asks what a second thread brings: the pool with one thread and with two, and in the same rounds
 * two controls without a pool, which tell what the machine itself has to give: the encoder in bare threads that hold the text
 * already, and a loop that touches no memory. It prints nothing.
 */
import { once } from 'node:events';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { TokenPool, loadImage } from '../../src/main/tokens/index.ts';
import { openEncoder } from '../../src/worker/tokenizer/encoder.ts';

/** Throughput of two threads over that of one, a round. */
export interface Scaling {
  readonly pool: number;
  readonly encoder: number;
  readonly loop: number;
}

interface Work {
  readonly kind: 'encoder' | 'loop';
  readonly times: number;
}

/** Contexts in a sample; two threads share them. */
const CONTEXTS = 24;
/** Both threads' code has to be as warm as the single one's. */
const WARM_ROUNDS = 3;
const LOOP_STEPS = 10_000_000;

if (!isMainThread) serve(workerData as { image: SharedArrayBuffer; text: string });

function serve({ image, text }: { image: SharedArrayBuffer; text: string }): void {
  const encoder = openEncoder(image);
  parentPort!.on('message', ({ kind, times }: Work) => {
    let kept = 1;
    for (let i = 0; i < times; i++) kept = kind === 'encoder' ? encoder.count(text) : loop(kept);
    parentPort!.postMessage(kept);
  });
}

function loop(seed: number): number {
  let state = seed;
  for (let i = 0; i < LOOP_STEPS; i++) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
  return state;
}

/** Measures some rounds of all three, in turn, on copies of one text. */
export async function measureScaling(text: string, rounds: number): Promise<Scaling[]> {
  await using one = new TokenPool({ threads: 1 });
  await using two = new TokenPool({ threads: 2 });
  const texts = Array.from({ length: CONTEXTS }, () => text);
  const image = await loadImage('o200k_base');
  const threads = [0, 1].map(() => new Worker(new URL(import.meta.url), { workerData: { image, text } }));
  const ask = async (thread: Worker, work: Work): Promise<void> => {
    thread.postMessage(work);
    await once(thread, 'message');
  };
  const bare = async (work: Work, first: number): Promise<number> => {
    const alone = await timed(() => ask(threads[first]!, work));
    const half = { kind: work.kind, times: work.times / 2 };
    return alone / (await timed(() => Promise.all(threads.map((thread) => ask(thread, half)))));
  };
  const found: Scaling[] = [];
  for (let round = -WARM_ROUNDS; round < rounds; round++) {
    const pool = (await timed(() => one.count(texts))) / (await timed(() => two.count(texts)));
    // The threads take turns at being the single one.
    const encoder = await bare({ kind: 'encoder', times: CONTEXTS }, Math.abs(round) % 2);
    const bareLoop = await bare({ kind: 'loop', times: CONTEXTS }, Math.abs(round) % 2);
    if (round >= 0) found.push({ pool, encoder, loop: bareLoop });
  }
  await Promise.all(threads.map((thread) => thread.terminate()));
  return found;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}
