/**
 * Measures what counting costs the main thread: the event loop's delay while contexts of 200k tokens are counted without
 * pause, on the token pool, by gpt-tokenizer on the main thread, and with nothing but a timer (the control); the main
 * thread's CPU time for short strings in bulk; and what a second thread brings. Each variant has a process of its own.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { TokenPool } from '../src/main/tokens/index.ts';
import { flag, median, printJson, printTable } from './lib/stats.ts';
import { corpora } from './tokens-corpora.ts';
import { loadPeer } from './tokens-peers.ts';

const VARIANTS = ['control', 'orrery', 'gpt-tokenizer'] as const;
type Variant = (typeof VARIANTS)[number];
const ROUNDS = flag('short') ? 1 : 5;
const SECONDS = flag('short') ? 2 : 6;
const SCALE_ROUNDS = flag('short') ? 3 : 11;
/** About 200k tokens of prose. */
const CONTEXT_CHARACTERS = 900_000;
const SHORT_CHARACTERS = 300;
const SHORT_STRINGS = 20_000;

interface Delay {
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly contexts: number;
}

const child = process.argv.indexOf('--child');
if (child < 0) await compare();
else process.send!(await measure(process.argv[child + 1] as Variant));

function context(): string {
  const prose = corpora()[0]!.texts[0]!;
  return prose.repeat(Math.ceil(CONTEXT_CHARACTERS / prose.length)).slice(0, CONTEXT_CHARACTERS);
}

async function measure(variant: Variant): Promise<Delay> {
  const text = context();
  const count = await counter(variant);
  await count(text);
  await count(text);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  await setTimeout(200);
  delay.enable();
  const until = performance.now() + SECONDS * 1_000;
  let contexts = 0;
  while (performance.now() < until) {
    await count(text);
    contexts++;
  }
  delay.disable();
  return { p99Ms: delay.percentile(99) / 1e6, maxMs: delay.max / 1e6, contexts };
}

async function counter(variant: Variant): Promise<(text: string) => Promise<unknown>> {
  if (variant === 'control') return () => setTimeout(20);
  if (variant === 'orrery') {
    const pool = new TokenPool({ threads: 1 });
    return (text) => pool.count([text]);
  }
  const peer = await loadPeer('gpt-tokenizer', 'o200k_base');
  return async (text) => {
    peer.count(text);
    await setImmediate();
  };
}

function cpuMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

/** Main-thread CPU time a string, in microseconds, the answer's way back included. */
async function bulkMicros(): Promise<number> {
  await using pool = new TokenPool({ threads: 1 });
  const text = context();
  const strings = Array.from({ length: SHORT_STRINGS }, (_, i) => text.slice(i * 40, i * 40 + SHORT_CHARACTERS));
  // Sliced strings would be flattened on the way: a caller's own messages are flat.
  const flat = strings.map((string) => Buffer.from(string).toString());
  await pool.count(flat);
  const samples: number[] = [];
  for (let round = 0; round < SCALE_ROUNDS; round++) {
    const before = cpuMicros();
    await pool.count(flat);
    await pool.count(flat);
    samples.push((cpuMicros() - before) / (2 * SHORT_STRINGS));
  }
  return median(samples);
}

/** Wall time of the same work on one thread and on two, interleaved. */
async function scaling(): Promise<number> {
  await using one = new TokenPool({ threads: 1 });
  await using two = new TokenPool({ threads: 2 });
  const texts = Array.from({ length: 8 }, context);
  const time = async (pool: TokenPool): Promise<number> => {
    const started = performance.now();
    await pool.count(texts);
    return performance.now() - started;
  };
  for (const pool of [one, two, one, two]) await time(pool);
  const ratios: number[] = [];
  for (let round = 0; round < SCALE_ROUNDS; round++) ratios.push((await time(one)) / (await time(two)));
  return median(ratios);
}

async function compare(): Promise<void> {
  const delays = new Map<Variant, Delay[]>(VARIANTS.map((variant) => [variant, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const variant of VARIANTS) {
      const process_ = fork(import.meta.filename, [...process.argv.slice(2), '--child', variant]);
      const [delay] = (await once(process_, 'message')) as [Delay];
      process_.kill();
      delays.get(variant)!.push(delay);
    }
  }
  const results = VARIANTS.map((variant) => {
    const found = delays.get(variant)!;
    return {
      variant,
      p99Ms: median(found.map(({ p99Ms }) => p99Ms)),
      maxMs: median(found.map(({ maxMs }) => maxMs)),
      worstMs: Math.max(...found.map(({ maxMs }) => maxMs)),
      contextsPerS: median(found.map(({ contexts }) => contexts)) / SECONDS,
    };
  });
  printTable(
    ['event loop, median of rounds', 'p99 ms', 'max ms', 'worst ms', 'contexts/s'],
    results.map(({ variant, p99Ms, maxMs, worstMs, contextsPerS }) => [
      variant,
      p99Ms.toFixed(1),
      maxMs.toFixed(1),
      worstMs.toFixed(1),
      variant === 'control' ? '-' : contextsPerS.toFixed(1),
    ]),
  );
  const bulk = await bulkMicros();
  const scale = await scaling();
  console.log(`main-thread CPU per ${SHORT_CHARACTERS}-character string: ${bulk.toFixed(2)} us`);
  console.log(`two threads against one: x ${scale.toFixed(2)}`);
  printJson('tokens-offload', { rounds: ROUNDS, seconds: SECONDS, results, bulkMicros: bulk, scaling: scale });
}
