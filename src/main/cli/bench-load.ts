/** Owns `orrery bench --load`: its options, what Ctrl-C does to it, and what it prints. */
import type { Writable } from 'node:stream';
import type { Command } from 'commander';
import { OrreryError } from '../../protocol/errors.ts';
import type { LoadOptions, LoadProgress, LoadReport, LoadTarget } from '../bench/load/index.ts';
import { benchNumber, collect, writtenOption } from './options.ts';
import { Exit, printJson, printLine, printTable } from './output.ts';

/** Beside those of `orrery bench` that it shares: `--concurrency`, `--seed`, `--out`, `--json`. */
export interface LoadCommandOptions {
  readonly load?: boolean;
  readonly url?: readonly string[];
  readonly target?: readonly string[];
  readonly model?: readonly string[];
  readonly apiKeyEnv?: readonly string[];
  readonly rate?: string;
  readonly arrivals?: string;
  readonly maxInFlight?: string;
  readonly duration?: string;
  readonly requests?: string;
  readonly warmup?: string;
  readonly timeout?: string;
  readonly stream?: boolean;
  readonly prompt?: string;
  readonly sessions?: string;
  readonly maxTokens?: string;
  readonly expectedInterval?: string;
  readonly honourRetryAfter?: boolean;
  readonly rounds?: string;
}

interface SharedOptions {
  readonly concurrency?: string;
  readonly seed?: string;
  readonly out?: string;
  readonly json?: boolean;
}

const LINE_EVERY_MS = 10_000;
/** The longest that a timer takes, in whole seconds. */
const MAX_SECONDS = 2_147_483;

export function addLoadOptions(command: Command): Command {
  return command
    .optionsGroup('Load (--load):')
    .option('--load', 'drive load at a server instead of scoring replies; the suite, if any, gives the prompts')
    .option('--url <url>', 'an OpenAI-compatible server (default: http://127.0.0.1:8790/v1)', collect)
    .option('--target <name=url>', 'the same with a name; several take turns and are compared', collect)
    .option('--model <name>', 'the model; of an Orrery, the agent (default: orrery). Once, or for each target', collect)
    .option('--api-key-env <name>', 'the variable with the key. Once, or for each target', collect)
    .option(
      '--rate <r>',
      'open loop: arrivals a second. Without it, --concurrency callers (default: 8) ask in a closed loop',
    )
    .option('--arrivals <kind>', 'open loop: poisson or constant (default: poisson)')
    .option('--max-in-flight <n>', 'open loop: requests under way at once (default: 1000)')
    .option('--duration <s>', 'seconds that are measured, of each target (default: 10)')
    .option('--requests <n>', 'requests that are measured, of each target')
    .option('--warmup <s>', 'seconds before measuring begins (default: 0)')
    .option('--timeout <s>', 'seconds until a request is given up (default: 60)')
    .option('--stream', 'ask for streams (default)')
    .option('--no-stream', 'ask for whole answers')
    .option('--prompt <text>', 'what is said in each request')
    .option('--sessions <n>', 'sessions that the requests take in turn (default: each request on its own)')
    .option('--max-tokens <n>', 'max_tokens of each request')
    .option('--expected-interval <ms>', 'closed loop: how often a caller is meant to ask; adds corrected latencies')
    .option('--honour-retry-after', 'closed loop: a caller waits as Retry-After says')
    .option('--rounds <n>', 'how often several targets take turns (default: 4)');
}

/** Options that `--load` does not take, and those that are nothing without it. */
const SUITE_ONLY = [
  'agent',
  'scorer',
  'tag',
  'concurrencyTotal',
  'rpm',
  'tpm',
  'repeats',
  'sample',
  'limit',
  'turnTimeout',
  'maxCost',
  'resume',
  'force',
  'allowCode',
  'config',
  'junit',
  'failUnder',
  'report',
  'reportOutputChars',
] as const;
const LOAD_ONLY = [
  'url',
  'target',
  'model',
  'apiKeyEnv',
  'rate',
  'arrivals',
  'maxInFlight',
  'duration',
  'requests',
  'warmup',
  'timeout',
  'stream',
  'prompt',
  'sessions',
  'maxTokens',
  'expectedInterval',
  'honourRetryAfter',
  'rounds',
] as const;

/** Throws `ORRERY_BENCH_INVALID` for an option that the chosen way of benching would ignore. */
export function checkMode(options: Readonly<Record<string, unknown>>): void {
  const isLoad = options['load'] === true;
  const stray = (isLoad ? SUITE_ONLY : LOAD_ONLY).find((name) => options[name] !== undefined);
  if (stray === undefined) return;
  const option = writtenOption(stray);
  if (!isLoad) throw invalid(`Expected --load with ${option}`, 'Add --load, or leave the option out.');
  throw invalid(
    `Expected no ${option} with --load`,
    stray === 'agent' ? 'The agent of an Orrery is asked for with --model NAME.' : 'It is of runs that score a suite.',
  );
}

/** Runs it. The exit code is 1 when it was cut off, or nothing at all was answered. */
export async function benchLoad(suite: string | undefined, options: LoadCommandOptions & SharedOptions): Promise<void> {
  const load = readLoadOptions(suite, options);
  const { runLoad } = await import('../bench/load/index.ts');
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(1);
    process.stderr.write('\nNothing new is sent; waiting for what is under way. A second Ctrl-C ends at once.\n');
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  const view = progressView(process.stderr);
  try {
    const report = await runLoad({ ...load, signal: stop.signal, onProgress: view.show });
    view.end();
    if (options.json === true) printJson(report);
    else await print(report);
    if (report.status !== 'done') throw new Exit(1);
  } finally {
    view.end();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
  }
}

async function print(report: LoadReport): Promise<void> {
  const { driverWords, failureTable, figureTable, paceWords } = await import('../bench/load/index.ts');
  const aligned = (heads: readonly string[], rows: readonly (readonly string[])[]): void => {
    const all = [heads, ...rows];
    const widths = heads.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
    const pad = (row: readonly string[]): string[] =>
      row.map((cell, i) => (i === 0 ? cell : cell.padStart(widths[i] ?? 0)));
    printTable(pad(heads), rows.map(pad));
  };
  printLine(`${paceWords(report)}${report.status === 'done' ? '' : `; ${report.status}`}`);
  printLine('');
  const figures = figureTable(report);
  aligned(figures.heads, figures.rows);
  const failures = failureTable(report);
  if (failures.rows.length > 0) {
    printLine('');
    printTable(
      failures.heads.map((head) => head.toUpperCase()),
      failures.rows,
    );
  }
  printLine('');
  printLine(driverWords(report.driver));
  for (const warning of report.warnings) printLine(`! ${warning}`);
  if (report.dir !== undefined) printLine(`Written: ${report.dir}/load.json and load.html`);
}

/** Reads the command's options. Throws `ORRERY_BENCH_INVALID`. */
export function readLoadOptions(suite: string | undefined, options: LoadCommandOptions & SharedOptions): LoadOptions {
  const { arrivals, stream, prompt, honourRetryAfter, out } = options;
  const given = {
    targets: readTargets(options),
    suite,
    prompt,
    stream,
    out,
    honourRetryAfter,
    // What it may be is the library's to say.
    arrivals: arrivals as LoadOptions['arrivals'],
    concurrency: benchNumber('--concurrency', options.concurrency),
    rate: benchNumber('--rate', options.rate),
    maxInFlight: benchNumber('--max-in-flight', options.maxInFlight),
    durationMs: secondsAsMs('--duration', options.duration, 0.001),
    requests: benchNumber('--requests', options.requests),
    warmupMs: secondsAsMs('--warmup', options.warmup, 0),
    timeoutMs: secondsAsMs('--timeout', options.timeout, 0.001),
    sessions: benchNumber('--sessions', options.sessions),
    maxTokens: benchNumber('--max-tokens', options.maxTokens),
    seed: benchNumber('--seed', options.seed),
    expectedIntervalMs: benchNumber('--expected-interval', options.expectedInterval),
    rounds: benchNumber('--rounds', options.rounds),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** The command's seconds are the library's milliseconds, whose error would name neither the option nor what was given. */
function secondsAsMs(option: string, text: string | undefined, least: number): number | undefined {
  const value = benchNumber(option, text);
  if (value === undefined) return undefined;
  if (value >= least && value <= MAX_SECONDS) return value * 1_000;
  throw invalid(`Expected seconds from ${least} to ${MAX_SECONDS} after ${option}, got ${JSON.stringify(text)}`);
}

function readTargets({ url = [], target = [], model = [], apiKeyEnv = [] }: LoadCommandOptions): LoadTarget[] {
  const named = target.map((text) => {
    const at = text.indexOf('=');
    if (at < 1) throw invalid(`Expected NAME=URL after --target, got ${JSON.stringify(text)}`);
    return { name: text.slice(0, at), url: text.slice(at + 1) };
  });
  const found: LoadTarget[] = [...url.map((one) => ({ url: one })), ...named];
  const all = found.length === 0 ? [{}] : found;
  const models = forEach('--model', model, all.length);
  const keys = forEach('--api-key-env', apiKeyEnv, all.length).map(readKey);
  return all.map((one, i) => {
    const [asked, apiKey] = [models[i], keys[i]];
    return Object.assign(one, asked === undefined ? {} : { model: asked }, apiKey === undefined ? {} : { apiKey });
  });
}

/** An option that is given once is for all targets. */
function forEach(option: string, values: readonly string[], targets: number): readonly (string | undefined)[] {
  if (values.length <= 1) return Array.from({ length: targets }, () => values[0]);
  if (values.length === targets) return values;
  throw invalid(`Expected ${option} once, or once for each of ${targets} targets, got it ${values.length} times`);
}

function readKey(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const key = process.env[name];
  if (key !== undefined && key !== '') return key;
  throw invalid(
    `Expected the variable ${name} of --api-key-env to be set`,
    'It is the name of a variable of the environment, not the key.',
  );
}

function invalid(message: string, hint?: string): OrreryError {
  return new OrreryError('ORRERY_BENCH_INVALID', message, hint === undefined ? {} : { hint });
}

/** On a terminal one line that is drawn again, elsewhere a line every ten seconds. */
function progressView(out: Writable & { readonly isTTY?: boolean; readonly columns?: number }): {
  readonly show: (progress: LoadProgress) => void;
  readonly end: () => void;
} {
  let isDrawn = false;
  let last = performance.now();
  return {
    show(progress) {
      const line = progressLine(progress);
      if (out.isTTY === true) {
        out.write(`\r${line.slice(0, (out.columns ?? 80) - 1)}\x1b[K`);
        isDrawn = true;
      } else if (performance.now() - last >= LINE_EVERY_MS) {
        last = performance.now();
        out.write(`${line}\n`);
      }
    },
    end() {
      if (isDrawn) out.write('\r\x1b[K');
      isDrawn = false;
    },
  };
}

function progressLine({ target, part, sent, answered, failed, inFlight, perSecond, p50, p99 }: LoadProgress): string {
  const ms = (value: number | null): string => (value === null ? '-' : `${value.toFixed(value < 10 ? 1 : 0)} ms`);
  const done = ` ${String(Math.floor(part * 100)).padStart(3)}%`;
  return `${target}${done}  ${sent} sent, ${answered} answered, ${failed} failed, ${inFlight} under way, ${perSecond.toFixed(1)}/s, p50 ${ms(p50)}, p99 ${ms(p99)}`;
}
