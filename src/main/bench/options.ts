/** Owns the options of a run: their defaults, and the check that says of each what was expected. */
import type { Logger } from 'pino';
import { didYouMean } from '../../lib/did-you-mean.ts';
import type { OrreryConfig } from '../config/index.ts';
import { invalid, shown } from './errors.ts';
import type { AgentProgress } from './tracker.ts';

/** Questions under way at once for each agent, unless told otherwise. */
export const DEFAULT_CONCURRENCY = 16;

export interface BenchOptions {
  /** A `.jsonl`, `.ndjson` or `.csv` file, or a module with `cases` and `scorers`. */
  readonly suite: string;
  /** Agents of the configuration that are compared. With `resume`, default: those of the run. */
  readonly agents?: readonly string[];
  /** The configuration. Default: the file `configFile`, else what the commands would find. */
  readonly config?: OrreryConfig;
  readonly configFile?: string;
  /** Relative paths start here. Default: the working directory. */
  readonly dir?: string;
  /** The run's directory. Default: `bench-runs/ID`. */
  readonly out?: string;
  /** Goes on with the run in `out`: what is missing is run, and nothing else. Where there is none, one begins. */
  readonly resume?: boolean;
  /** Resumes although the suite, or what is measured, is not what it was. */
  readonly force?: boolean;
  /** Names of scorers. Default: those of the suite's module, else the one that fits the suite's form. */
  readonly scorers?: readonly string[];
  /** Questions under way at once for each agent. Default 16. */
  readonly concurrency?: number;
  /** The same for all agents together. Default: `concurrency` for each. */
  readonly concurrencyTotal?: number;
  /** Requests a minute to each agent. Default: no limit. */
  readonly rpm?: number;
  /** Tokens a minute of each agent, prompts and replies together. Default: no limit. */
  readonly tpm?: number;
  /** How often each case is asked. Default 1. */
  readonly repeats?: number;
  /** Draws the sample; with the repeat's number it goes to the agent as `metadata.seed`. Default 0. */
  readonly seed?: number;
  /** So many cases, drawn with the seed. */
  readonly sample?: number;
  /** Cases that have one of these tags. */
  readonly tags?: readonly string[];
  /** The first so many of them. */
  readonly limit?: number;
  /** Milliseconds for one turn. Default: `delivery.turnTimeoutMs`. */
  readonly turnTimeoutMs?: number;
  /** US dollars, after which nothing new is asked. Needs a price for each agent. */
  readonly maxCost?: number;
  /** Lets the scorer `code` run what agents write, as this user. That is no sandbox. */
  readonly allowCode?: boolean;
  /** Milliseconds that judging one case may take. Default 10,000. */
  readonly scorerTimeoutMs?: number;
  /** Threads for scorers. Default: one for those that only compare, else one less than the cores, at most 4. */
  readonly scorerThreads?: number;
  /** Writes `report.html` at the end, however the run ends. Default true. */
  readonly report?: boolean;
  /** Characters of each text that the report holds. Default 2,000. */
  readonly reportOutputChars?: number;
  /** Ends the run in order: nothing new is asked, and what is under way is finished within `shutdown.drainMs`. */
  readonly signal?: AbortSignal;
  /** Hears of the run once it begins, and then a few times a second. */
  readonly onProgress?: (progress: BenchProgress) => void;
  /** The host's log. Default: silent. */
  readonly log?: Logger;
}

export interface BenchProgress {
  /** The run's directory. */
  readonly dir: string;
  readonly agents: readonly AgentProgress[];
}

type Rule = readonly [what: string, holds: (value: unknown) => boolean];

const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
const isFlag = (value: unknown): boolean => typeof value === 'boolean';
const isAny = (): boolean => true;
const isWhole = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 1;
const whole: Rule = ['a whole number of at least 1', isWhole];
const ms: Rule = ['a whole number of milliseconds from 1 to 2147483647', (v) => isWhole(v) && Number(v) < 2 ** 31];

const RULES: Readonly<Record<keyof BenchOptions, Rule>> = {
  suite: ['the path of a suite', isText],
  agents: ['a list of agents', isTexts],
  config: ['a configuration', isAny],
  configFile: ['a path', isText],
  dir: ['a path', isText],
  out: ['a path', isText],
  resume: ['true or false', isFlag],
  force: ['true or false', isFlag],
  scorers: ['a list of scorers', isTexts],
  concurrency: whole,
  concurrencyTotal: whole,
  rpm: whole,
  tpm: whole,
  repeats: whole,
  seed: ['a whole number of at least 0', (v) => Number.isSafeInteger(v) && Number(v) >= 0],
  sample: whole,
  tags: ['a list of tags', isTexts],
  limit: whole,
  turnTimeoutMs: ms,
  maxCost: ['an amount in US dollars above 0', (v) => typeof v === 'number' && Number.isFinite(v) && v > 0],
  allowCode: ['true or false', isFlag],
  scorerTimeoutMs: ms,
  scorerThreads: whole,
  report: ['true or false', isFlag],
  reportOutputChars: [
    'a whole number from 0 to 1000000',
    (v) => Number.isSafeInteger(v) && Number(v) >= 0 && Number(v) <= 1e6,
  ],
  signal: ['an AbortSignal', isAny],
  onProgress: ['a function', (v) => typeof v === 'function'],
  log: ['a logger', isAny],
};

/** Throws `ORRERY_BENCH_INVALID` for the first option that is not what it has to be, or that there is none of. */
export function checkOptions(options: BenchOptions): void {
  const known = Object.keys(RULES);
  for (const [key, value] of Object.entries(options)) {
    const rule = Object.hasOwn(RULES, key) ? RULES[key as keyof BenchOptions] : undefined;
    if (!rule) {
      const near = didYouMean(key, known);
      throw invalid(`There is no option \`${key}\`${near === undefined ? '' : `; did you mean \`${near}\`?`}`);
    }
    if (value !== undefined && !rule[1](value)) {
      throw invalid(`Expected \`${key}\` to be ${rule[0]}, got ${shown(value)}`);
    }
  }
  if (!isText(options.suite)) throw invalid(`Expected \`suite\` to be ${RULES.suite[0]}, got ${shown(options.suite)}`);
  if (options.resume === true && options.out === undefined) {
    throw invalid('Expected `out`, the directory of the run, with `resume`', { hint: 'Give --out DIR with --resume.' });
  }
}
