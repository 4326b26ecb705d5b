/**
 * Measures the worst inputs: 10^4, 10^5 and 10^6 characters with hardly a border in them, each tokenizer in a process of
 * its own with a limit of 20 s. The exponent tells how time grows from 10^4 to 10^6; 1 is linear. Times are wall clock, the
 * median of some runs, merge caches empty, each run on a text of its own where the case is random: a short text that is run
 * again and again would be learned by the processor, and a long one not. A size that would pass the limit at merely linear growth is not tried.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { flag, median, printJson, printTable } from './lib/stats.ts';
import { type PeerName, loadPeer } from './tokens-peers.ts';

const LIMIT_MS = 20_000;
const SIZES = flag('short') ? [1e4, 1e5] : [1e4, 1e5, 1e6];
const NAMES: readonly PeerName[] = flag('alone') ? ['orrery'] : ['orrery', 'gpt-tokenizer', 'ai-tokenizer', 'tiktoken'];
/** Short runs are repeated for as long, in milliseconds. */
const REPEAT_MS = 300;
const LEAST_RUNS = 3;

/** A fixed sequence, so that every tokenizer and every run has the same text. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function randomText(length: number, seed: number, first: number, size: number): string {
  const random = randomOf(seed);
  return Array.from({ length }, () => String.fromCharCode(first + Math.floor(random() * size))).join('');
}

function base64(length: number, seed: number): string {
  const random = randomOf(seed);
  return Buffer.from(Array.from({ length: Math.ceil((length * 3) / 4) }, () => Math.floor(random() * 256)))
    .toString('base64')
    .slice(0, length);
}

const CASES: Readonly<Record<string, (length: number, seed: number) => string>> = {
  'one letter': (length) => 'a'.repeat(length),
  spaces: (length) => ' '.repeat(length),
  newlines: (length) => '\n'.repeat(length),
  dashes: (length) => '-'.repeat(length),
  'random lowercase': (length, seed) => randomText(length, seed, 0x61, 26),
  digits: (length, seed) => randomText(length, seed, 0x30, 10),
  base64,
  emoji: (length) => '😀'.repeat(length / 2),
  CJK: (length, seed) => randomText(length, seed, 0x4e00, 20_000),
  Thai: (length, seed) => randomText(length, seed, 0x0e01, 46),
};

interface Task {
  readonly name: string;
  readonly size: number;
}

async function serve(): Promise<void> {
  const peer = await loadPeer(process.argv.at(-1) as PeerName, 'o200k_base');
  process.on('message', ({ name, size }: Task) => {
    const times: number[] = [];
    const until = performance.now() + REPEAT_MS;
    try {
      do {
        const text = CASES[name]!(size, times.length + 1);
        peer.clear();
        const started = performance.now();
        peer.count(text);
        times.push(performance.now() - started);
      } while (performance.now() < until || times.length < LEAST_RUNS);
      process.send!({ ms: median(times) });
    } catch (error) {
      process.send!({ error: String(error) });
    }
  });
  process.send!({ ready: true });
}

/** Asks one tokenizer in its own process, which is ended when it passes the limit and started again for the next task. */
class Subject {
  readonly name: PeerName;
  #child: ChildProcess | undefined;

  constructor(name: PeerName) {
    this.name = name;
  }

  async run(task: Task): Promise<number | string> {
    this.#child ??= await this.#start();
    const child = this.#child;
    const { promise, resolve } = Promise.withResolvers<number | string>();
    // Loading is not counted: the limit begins when the task is sent.
    const timer = setTimeout(() => resolve('> 20 s'), LEAST_RUNS * LIMIT_MS);
    child.once('message', ({ ms }: { ms?: number; error?: string }) => {
      resolve(ms === undefined ? 'fails' : ms > LIMIT_MS ? '> 20 s' : ms);
    });
    child.once('exit', () => resolve('crashes'));
    child.send(task);
    const result = await promise;
    clearTimeout(timer);
    child.removeAllListeners('message').removeAllListeners('exit');
    if (typeof result === 'string') this.stop();
    return result;
  }

  stop(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #start(): Promise<ChildProcess> {
    const child = fork(import.meta.filename, ['--child', this.name]);
    return new Promise((resolve, reject) => {
      child.once('message', () => resolve(child));
      child.once('exit', (code) => reject(new Error(`${this.name} does not load: exit code ${code}`)));
    });
  }
}

async function compare(): Promise<void> {
  const subjects = NAMES.map((name) => new Subject(name));
  const results: Record<string, unknown>[] = [];
  const rows: string[][] = [];
  for (const [name, make] of Object.entries(CASES)) {
    const row = [name];
    for (const subject of subjects) {
      const times: (number | string)[] = [];
      for (const size of SIZES) {
        const last = times.at(-1);
        const hopeless = typeof last === 'string' || (last !== undefined && last * 10 > LIMIT_MS);
        times.push(hopeless ? '> 20 s' : await subject.run({ name, size }));
      }
      const [first, last] = [times[0]!, times.at(-1)!];
      const bytes = Buffer.byteLength(make(SIZES.at(-1)!, 1));
      const speed = typeof last === 'number' ? bytes / last / 1_000 : undefined;
      const decades = Math.log10(SIZES.at(-1)! / SIZES[0]!);
      const exponent =
        typeof first === 'number' && typeof last === 'number' ? Math.log10(last / first) / decades : undefined;
      row.push(speed === undefined ? String(last) : `${speed.toFixed(1)} MB/s`);
      if (subject.name === 'orrery') row.push(exponent === undefined ? '-' : exponent.toFixed(2));
      results.push({ case: name, tokenizer: subject.name, sizes: SIZES, ms: times, mbPerS: speed, exponent });
    }
    rows.push(row);
  }
  for (const subject of subjects) subject.stop();
  printTable([`${SIZES.at(-1)} characters`, 'orrery', 'exponent', ...NAMES.slice(1)], rows);
  printJson('tokens-adversarial', { limitMs: LIMIT_MS, results });
}

if (process.argv.includes('--child')) await serve();
else await compare();
