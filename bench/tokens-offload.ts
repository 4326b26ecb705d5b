/**
 * Measures what counting costs the main thread: the event loop's delay while contexts of 200k tokens are counted without
 * pause, on the token pool, by gpt-tokenizer on the main thread, and with nothing but a timer (the control); the main
 * thread's CPU time for short strings in bulk; and what a second thread brings, beside what the machine has to give to two.
 * Each variant has a process of its own. `--scaling` asks for the last only.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { TokenPool } from '../src/main/tokens/index.ts';
import { type Scaling, measureScaling } from './lib/scaling.ts';
import { flag, median, printJson, printTable, printTarget, rounded } from './lib/stats.ts';
import { corpora } from './tokens-corpora.ts';
import { loadPeer } from './tokens-peers.ts';

const VARIANTS = ['control', 'orrery', 'gpt-tokenizer'] as const;
type Variant = (typeof VARIANTS)[number];
const ROUNDS = flag('short') ? 1 : 5;
const SECONDS = flag('short') ? 2 : 6;
const BULK_ROUNDS = flag('short') ? 3 : 11;
/** Processes that scaling is measured in: how a thread's code was compiled stays with it for its life. */
const SCALE_PROCESSES = flag('short') ? 1 : 5;
const SCALE_ROUNDS = 5;
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
const subject = process.argv[child + 1]!;
if (child < 0) await ask();
else if (subject === 'scaling') process.send!(await measureScaling(context(), SCALE_ROUNDS));
else process.send!(await measure(subject as Variant));

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
  for (let round = 0; round < BULK_ROUNDS; round++) {
    const before = cpuMicros();
    await pool.count(flat);
    await pool.count(flat);
    samples.push((cpuMicros() - before) / (2 * SHORT_STRINGS));
  }
  return median(samples);
}

async function inProcess<T>(what: string): Promise<T> {
  const process_ = fork(import.meta.filename, [...process.argv.slice(2), '--child', what]);
  const [answer] = (await once(process_, 'message')) as [T];
  process_.kill();
  return answer;
}

async function ask(): Promise<void> {
  const figures = flag('scaling') ? {} : await compareDelays();
  const scaling = await compareScaling();
  printJson('tokens-offload', { rounds: ROUNDS, seconds: SECONDS, ...figures, scaling });
}

/** Prints and gives what the event loop of the main thread was late by, and what short strings cost it. */
async function compareDelays(): Promise<Record<string, unknown>> {
  const delays = new Map<Variant, Delay[]>(VARIANTS.map((variant) => [variant, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const variant of VARIANTS) {
      delays.get(variant)!.push(await inProcess<Delay>(variant));
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
  const [control, ours] = [results[0]!, results[1]!];
  printTarget('p99 on main at most 5 ms', `${ours.p99Ms.toFixed(1)} ms`, ours.p99Ms <= 5);
  const most = Math.max(50, 2 * control.maxMs);
  printTarget('maximum on main at most 50 ms, or twice the control', `${ours.maxMs.toFixed(1)} ms`, ours.maxMs <= most);
  printTarget(
    `main-thread CPU per ${SHORT_CHARACTERS}-character string at most 2 us`,
    `${bulk.toFixed(2)} us`,
    bulk <= 2,
  );
  return { results, bulkMicros: rounded(bulk) };
}

/** Prints what a second thread brings, and gives it by rounds: the pool, the encoder, the loop. */
async function compareScaling(): Promise<number[][]> {
  const rounds: Scaling[] = [];
  for (let i = 0; i < SCALE_PROCESSES; i++) rounds.push(...(await inProcess<Scaling[]>('scaling')));
  const times = (of: keyof Scaling): number => median(rounds.map((round) => round[of]));
  const scaling = { pool: times('pool'), encoder: times('encoder'), loop: times('loop') };
  printTable(
    [`two threads against one, median of ${rounds.length}`, 'times'],
    [
      ['token pool', scaling.pool.toFixed(2)],
      ['control: the encoder in bare threads', scaling.encoder.toFixed(2)],
      ['control: a loop in bare threads', scaling.loop.toFixed(2)],
    ],
  );
  printTarget('two threads at least 1.8 times one', scaling.pool.toFixed(2), scaling.pool >= 1.8);
  return rounds.map(({ pool, encoder, loop }) => [rounded(pool), rounded(encoder), rounded(loop)]);
}
