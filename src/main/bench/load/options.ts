/** Owns the options of a load run: their defaults, and the check that says of each what was expected. */
import { didYouMean } from '../../../lib/did-you-mean.ts';
import { invalid, shown } from '../errors.ts';
import type { Arrivals } from './arrivals.ts';
import type { TallyGlance } from './tally.ts';

/** The gateway of `orrery serve`, where nothing else is said. */
export const DEFAULT_URL = 'http://127.0.0.1:8790/v1';
/** Orrery's default agent. */
export const DEFAULT_MODEL = 'orrery';
/** Callers of a closed loop. */
export const DEFAULT_CALLERS = 8;
export const DEFAULT_DURATION_MS = 10_000;
export const DEFAULT_TIMEOUT_MS = 60_000;
export const DEFAULT_MAX_IN_FLIGHT = 1_000;
export const DEFAULT_PROMPT = 'Tell me in a few words what an orrery is.';
/** Rounds where several targets take turns. */
export const DEFAULT_ROUNDS = 4;
/** How long what is under way may take once the run is to stop. */
export const DEFAULT_GRACE_MS = 30_000;

/** Something that answers OpenAI's chat completions. */
export interface LoadTarget {
  /** In tables and plots. Default: the URL's host. */
  readonly name?: string;
  /** With `/v1`; default: the gateway of an Orrery on this machine, `http://127.0.0.1:8790/v1`. */
  readonly url?: string;
  /** The model that is asked for; of an Orrery, the agent. Default `orrery`, its default agent. */
  readonly model?: string;
  readonly apiKey?: string;
}

export interface LoadOptions {
  /** One, or several that take turns. Default: an Orrery on this machine. */
  readonly targets?: readonly LoadTarget[];
  /** Closed loop: so many callers, each asks again once it is answered. Default 8, where there is no `rate`. */
  readonly concurrency?: number;
  /** Open loop: so many arrivals a second, whatever becomes of those before. */
  readonly rate?: number;
  /** How the arrivals of an open loop are spread. Default `poisson`. */
  readonly arrivals?: Arrivals;
  /** Open loop: requests under way at once; further ones wait, and count from when they were meant to be sent. Default 1,000. */
  readonly maxInFlight?: number;
  /** Milliseconds that are measured, of each target. Default 10,000, where there are no `requests`. */
  readonly durationMs?: number;
  /** Requests that are measured, of each target. */
  readonly requests?: number;
  /** Milliseconds before measuring begins, of each target. Default 0. */
  readonly warmupMs?: number;
  /** Milliseconds until a request without its whole answer is given up. Default 60,000. */
  readonly timeoutMs?: number;
  /** Asks for streams. Default true. */
  readonly stream?: boolean;
  /** What is said in each request. */
  readonly prompt?: string;
  /** Instead of `prompt`: a suite whose inputs are said one after another. Of a case with several messages, those up to its first turn. */
  readonly suite?: string;
  /** Sessions (`x-orrery-session`) that the requests take in turn. Default: each request is on its own. */
  readonly sessions?: number;
  /** `max_tokens` of each request. Default: not sent. */
  readonly maxTokens?: number;
  /** Draws Poisson arrivals. Default 0. */
  readonly seed?: number;
  /** Closed loop: milliseconds in which each caller is meant to ask once. Adds corrected latencies. */
  readonly expectedIntervalMs?: number;
  /** Closed loop: a caller that is told `Retry-After` waits for it, 60 s at most. Default false: it is counted. */
  readonly honourRetryAfter?: boolean;
  /** How often several targets take turns; each second time in the opposite order. Default 4, of one target 1. */
  readonly rounds?: number;
  /** Milliseconds for what is under way once `signal` aborts. Default 30,000. */
  readonly graceMs?: number;
  /** A directory for `load.json` and `load.html`. Default: nothing is written. */
  readonly out?: string;
  /** Ends the run in order: nothing new is sent, and what is under way has `graceMs`. */
  readonly signal?: AbortSignal;
  /** Hears of the run a few times a second. */
  readonly onProgress?: (progress: LoadProgress) => void;
}

export interface LoadProgress extends TallyGlance {
  readonly target: string;
  /** 0 to 1, by time or by requests, whichever is further. */
  readonly part: number;
  readonly seconds: number;
  /** Answers a second since the last time. */
  readonly perSecond: number;
}

/** A target with all that may be left out. */
export interface ResolvedTarget {
  readonly name: string;
  /** As it is shown. */
  readonly baseUrl: string;
  /** Of `chat/completions`. */
  readonly url: URL;
  readonly model: string;
  readonly apiKey?: string;
}

type Rule = readonly [what: string, holds: (value: unknown) => boolean];

const MOST = 2 ** 31;
const isWholeFrom = (least: number) => (v: unknown) => Number.isSafeInteger(v) && Number(v) >= least;
const isNumber = (v: unknown, least: number, most: number): boolean => typeof v === 'number' && v >= least && v <= most;
const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
const isFlag = (value: unknown): boolean => typeof value === 'boolean';
const ms: Rule = ['a number of milliseconds from 1 to 2147483647', (v) => isNumber(v, 1, MOST - 1)];

const RULES: Readonly<Record<keyof LoadOptions, Rule>> = {
  targets: ['a list of at least one target', (v) => Array.isArray(v) && v.length > 0],
  concurrency: ['a whole number from 1 to 100000', (v) => isWholeFrom(1)(v) && Number(v) <= 100_000],
  rate: ['a number of arrivals a second above 0, at most 100000', (v) => isNumber(v, 1e-6, 100_000)],
  arrivals: ['"poisson" or "constant"', (v) => v === 'poisson' || v === 'constant'],
  maxInFlight: ['a whole number from 1 to 100000', (v) => isWholeFrom(1)(v) && Number(v) <= 100_000],
  durationMs: ms,
  requests: ['a whole number of at least 1', isWholeFrom(1)],
  warmupMs: ['a number of milliseconds from 0 to 2147483647', (v) => isNumber(v, 0, MOST - 1)],
  timeoutMs: ms,
  stream: ['true or false', isFlag],
  prompt: ['a text', isText],
  suite: ['the path of a suite', isText],
  sessions: ['a whole number of at least 1', isWholeFrom(1)],
  maxTokens: ['a whole number of at least 1', isWholeFrom(1)],
  seed: ['a whole number of at least 0', isWholeFrom(0)],
  expectedIntervalMs: ms,
  honourRetryAfter: ['true or false', isFlag],
  rounds: ['a whole number from 1 to 1000', (v) => isWholeFrom(1)(v) && Number(v) <= 1_000],
  graceMs: ['a number of milliseconds from 0 to 2147483647', (v) => isNumber(v, 0, MOST - 1)],
  out: ['a path', isText],
  signal: ['an AbortSignal', (v) => v instanceof AbortSignal],
  onProgress: ['a function', (v) => typeof v === 'function'],
};

/** What only one of the two loops knows, and the option that makes it that loop. */
const OPEN_ONLY = ['arrivals', 'maxInFlight'] as const;
const CLOSED_ONLY = ['concurrency', 'expectedIntervalMs', 'honourRetryAfter'] as const;

/** Throws `ORRERY_BENCH_INVALID` for the first option that is not what it has to be, is none, or does not go with another. */
export function checkLoadOptions(options: LoadOptions): void {
  for (const [key, value] of Object.entries(options)) {
    const rule = Object.hasOwn(RULES, key) ? RULES[key as keyof LoadOptions] : undefined;
    if (!rule) {
      const near = didYouMean(key, Object.keys(RULES));
      throw invalid(`There is no option \`${key}\`${near === undefined ? '' : `; did you mean \`${near}\`?`}`);
    }
    if (value !== undefined && !rule[1](value)) {
      throw invalid(`Expected \`${key}\` to be ${rule[0]}, got ${shown(value)}`);
    }
  }
  for (const key of options.rate === undefined ? OPEN_ONLY : CLOSED_ONLY) {
    if (options[key] === undefined) continue;
    throw options.rate === undefined
      ? invalid(`Expected \`rate\` with \`${key}\`: it is of an open loop`, {
          hint: 'Give --rate R as well, or leave it out.',
        })
      : invalid(`Expected either \`rate\` or \`${key}\`, got both`, {
          hint: 'An open loop (--rate) sends when the schedule says; a closed one (--concurrency) when a caller is free.',
        });
  }
  if (options.prompt !== undefined && options.suite !== undefined) {
    throw invalid('Expected either `prompt` or `suite`, got both');
  }
}

/** Fills in what a target leaves out. Throws `ORRERY_BENCH_INVALID` for a URL that is none, and for a name that two have. */
export function resolveTargets(targets: readonly LoadTarget[] = [{}]): readonly ResolvedTarget[] {
  const resolved = targets.map(({ name, url = DEFAULT_URL, model = DEFAULT_MODEL, apiKey }): ResolvedTarget => {
    const base = baseOf(url);
    const endpoint = new URL(base);
    endpoint.pathname += '/chat/completions';
    const shownUrl = base.href;
    return {
      name: name ?? (targets.length === 1 ? base.host : `${base.host} ${model}`),
      baseUrl: shownUrl,
      url: endpoint,
      model,
      ...(apiKey === undefined ? {} : { apiKey }),
    };
  });
  const twice = resolved.find(({ name }, i) => resolved.findIndex((other) => other.name === name) !== i);
  if (twice) {
    throw invalid(`Expected targets with names that differ, got ${shown(twice.name)} twice`, {
      hint: 'Name them: --target NAME=URL.',
    });
  }
  return resolved;
}

/** A server's address alone means its `/v1`; the whole address of the endpoint is taken, too. */
function baseOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw invalid(`Expected a URL such as ${DEFAULT_URL}, got ${shown(text)}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw invalid('Expected a URL without name and password', { hint: 'A key is given with --api-key-env NAME.' });
  }
  const path = url.pathname.replace(/\/+$/, '').replace(/\/chat\/completions$/, '');
  url.pathname = path === '' ? '/v1' : path;
  return url;
}
