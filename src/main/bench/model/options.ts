/** Owns the options of the model to practise on: their defaults, and the check that says of each what was expected. */
import { didYouMean } from '../../../lib/did-you-mean.ts';
import { invalid, shown } from '../errors.ts';

export interface ModelServerOptions {
  /** Milliseconds until the first token. Default 200. */
  readonly ttftMs?: number;
  /** Tokens a second of each reply, after the first. Default 50. */
  readonly tokensPerSecond?: number;
  /** Tokens of a reply, unless the request asks for fewer (`max_tokens`). Default 64. */
  readonly tokens?: number;
  /** 0 to 1: each wait is longer or shorter by up to this share of it, evenly drawn. Default 0. */
  readonly jitter?: number;
  /** 0 to 1: the share of requests that fail. Default 0. */
  readonly errorRate?: number;
  /** What they fail with. Default 503. */
  readonly errorStatus?: number;
  /** `Retry-After` of what fails with 429 or 503, in whole seconds. Default 1. */
  readonly retryAfterSeconds?: number;
  /** Replies under way at once; further requests get a 429, as providers give it. Default: no limit. */
  readonly maxConcurrency?: number;
  /** Draws texts, jitter and failures: the nth request always gets the same. Default 0. */
  readonly seed?: number;
  /** Default 0: any that is free. */
  readonly port?: number;
  /** Default `127.0.0.1`. There is no key: whoever reaches it may ask. */
  readonly host?: string;
  /** What `/v1/models` lists; any other is answered, too. Default `practice`. */
  readonly model?: string;
}

export type ResolvedOptions = { readonly [K in keyof ModelServerOptions]-?: NonNullable<ModelServerOptions[K]> };

export const MODEL_DEFAULTS: ResolvedOptions = {
  ttftMs: 200,
  tokensPerSecond: 50,
  tokens: 64,
  jitter: 0,
  errorRate: 0,
  errorStatus: 503,
  retryAfterSeconds: 1,
  maxConcurrency: Infinity,
  seed: 0,
  port: 0,
  host: '127.0.0.1',
  model: 'practice',
};

type Rule = readonly [what: string, holds: (value: unknown) => boolean];

const isFrom = (least: number, most: number) => (v: unknown) => typeof v === 'number' && v >= least && v <= most;
const isWhole = (least: number, most: number) => (v: unknown) => Number.isSafeInteger(v) && isFrom(least, most)(v);
const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
const share: Rule = ['a number from 0 to 1', isFrom(0, 1)];

const RULES: Readonly<Record<keyof ModelServerOptions, Rule>> = {
  ttftMs: ['a number of milliseconds from 0 to 3600000', isFrom(0, 3_600_000)],
  tokensPerSecond: ['a number of tokens a second from 0.01 to 1000000', isFrom(0.01, 1_000_000)],
  tokens: ['a whole number of tokens from 1 to 100000', isWhole(1, 100_000)],
  jitter: share,
  errorRate: share,
  errorStatus: ['a status from 400 to 599', isWhole(400, 599)],
  retryAfterSeconds: ['a whole number of seconds from 0 to 86400', isWhole(0, 86_400)],
  maxConcurrency: ['a whole number of at least 1', (v) => v === Infinity || isWhole(1, Number.MAX_SAFE_INTEGER)(v)],
  seed: ['a whole number of at least 0', isWhole(0, Number.MAX_SAFE_INTEGER)],
  port: ['a port from 0 to 65535', isWhole(0, 65_535)],
  host: ['an address', isText],
  model: ['the name of a model', isText],
};

/**
 * Throws `ORRERY_BENCH_INVALID` for the first option that is not what it has to be, or that there is none of. `written` names the options as whoever gave
 * them wrote them; by default by their keys.
 */
export function resolveModelOptions(
  options: ModelServerOptions,
  written: Readonly<Partial<Record<string, string>>> = {},
): ResolvedOptions {
  for (const [key, value] of Object.entries(options)) {
    const rule = Object.hasOwn(RULES, key) ? RULES[key as keyof ModelServerOptions] : undefined;
    if (!rule) {
      const near = didYouMean(key, Object.keys(RULES));
      throw invalid(`There is no option \`${key}\`${near === undefined ? '' : `; did you mean \`${near}\`?`}`);
    }
    if (value !== undefined && !rule[1](value)) {
      throw invalid(`Expected ${written[key] ?? `\`${key}\``} to be ${rule[0]}, got ${shown(value)}`);
    }
  }
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...MODEL_DEFAULTS, ...(Object.fromEntries(given) as ModelServerOptions) };
}
