/**
 * Runs a bench by its name, or all of them one after another; without a name it lists them. It measures nothing itself.
 *
 * npm run bench -- NAME [options of that bench]
 * npm run bench -- NAME --short
 * npm run bench -- all [--short]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';

interface Bench {
  readonly name: string;
  readonly asks: string;
  /** Options, and variables of the environment, that make it a matter of seconds: to see that it runs, not to quote it. */
  readonly short: { readonly args: readonly string[]; readonly env?: Readonly<Record<string, string>> };
}

const BENCHES: readonly Bench[] = [
  {
    name: 'roundtrip',
    asks: 'what the whole path of a message costs, beside piscina.run, comlink and raw postMessage',
    short: { args: ['--rounds', '1', '--messages', '2000'] },
  },
  {
    name: 'responsiveness',
    asks: 'whether the main thread stays free while every slot computes, beside plain threads, one thread and a bare timer',
    short: { args: ['--seconds', '5'] },
  },
  {
    name: 'heartbeats',
    asks: 'whether connections to Discord and IRC live while every slot computes, beside a host of one thread',
    short: { args: ['--short'] },
  },
  {
    name: 'restarts',
    asks: 'whether a channel that is restarted in the middle of many messages loses or repeats any',
    short: { args: ['--messages', '100'] },
  },
  {
    name: 'gateway',
    asks: 'what /v1/chat/completions costs, beside a fastify + AI SDK handler, single and clustered',
    short: { args: ['--rounds', '1', '--seconds', '1'] },
  },
  {
    name: 'density',
    asks: 'how many agents fit in memory, how soon they start, and how soon a lost thread is back, beside new Worker',
    short: { args: ['--runs', '1', '--crashes', '5'] },
  },
  {
    name: 'carriers',
    asks: 'what a process of its own costs an agent, beside a thread of its own',
    short: { args: ['--rounds', '1', '--turns', '500', '--seconds', '1'] },
  },
  {
    name: 'durable',
    asks: 'what a journal on disk costs, beside one in memory, one transaction a message and the disk itself',
    short: { args: ['--rounds', '1'] },
  },
  {
    name: 'sessions',
    asks: 'how many turns a second can be committed to disk, by one thread and by two on one file',
    short: { args: ['--rounds', '1', '--seconds', '0.5'] },
  },
  {
    name: 'context',
    asks: 'what a session of 100,000 messages costs a turn, beside counting it anew',
    short: { args: ['--turns', '20', '--rounds', '2', '--most', '10000'] },
  },
  {
    name: 'eval',
    asks: 'what a benchmark run adds to the waiting of its cases, beside the ideal, promptfoo and a plain p-limit loop',
    short: { args: ['--cases', '200', '--rounds', '1'] },
  },
  {
    name: 'eval-scale',
    asks: 'whether a benchmark run of 100,000 cases stays small, fast and off the main thread',
    short: { args: ['--cases', '5000'] },
  },
  {
    name: 'tokens',
    asks: 'how fast one thread counts and encodes, beside gpt-tokenizer, ai-tokenizer and tiktoken',
    short: { args: [], env: { ROUNDS: '1' } },
  },
  {
    name: 'tokens-adversarial',
    asks: 'what a million characters of the worst kind cost a tokenizer, beside its peers',
    short: { args: ['--short'] },
  },
  {
    name: 'tokens-offload',
    asks: 'whether counting 200k-token contexts leaves the main thread free',
    short: { args: ['--short'] },
  },
  {
    name: 'tokens-memory',
    asks: 'what memory a thread with the encoder takes, and how soon it counts, beside its peers',
    short: { args: ['--short'] },
  },
];

const fileOf = ({ name }: Bench): URL => new URL(`./${name}.ts`, import.meta.url);

/** Runs one in a process of its own; resolves to its exit code. */
async function run(bench: Bench, args: readonly string[]): Promise<number> {
  const short = args.includes('--short');
  const own = args.filter((argument) => argument !== '--short');
  const child = spawn(process.execPath, [fileOf(bench).pathname, ...(short ? bench.short.args : []), ...own], {
    stdio: 'inherit',
    env: { ...process.env, ...(short ? bench.short.env : {}) },
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

const [name, ...args] = process.argv.slice(2);
const present = BENCHES.filter((bench) => existsSync(fileOf(bench)));
const chosen = name === 'all' ? present : present.filter((bench) => bench.name === name);
if (chosen.length === 0) {
  if (name !== undefined && !name.startsWith('-')) console.error(`There is no bench "${name}".\n`);
  console.log('npm run bench -- NAME [options] [--short]\n');
  for (const bench of present) console.log(`  ${bench.name.padEnd(20)} ${bench.asks}`);
  console.log(`  ${'all'.padEnd(20)} one after another; use it with --short`);
  process.exitCode = name === undefined ? 0 : 2;
}
for (const bench of chosen) {
  if (chosen.length > 1) console.log(`\n== ${bench.name}: ${bench.asks}\n`);
  const code = await run(bench, args);
  if (code !== 0) {
    console.error(`The bench ${bench.name} failed (exit code ${code})`);
    process.exitCode = 1;
  }
}
