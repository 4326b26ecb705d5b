/** Owns a load run from its options to its end: targets that take turns, the driver's own figures, and what is written. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { arch, cpus, platform } from 'node:os';
import { join, resolve } from 'node:path';
import { VERSION } from '../../ops/version.ts';
import { realClock } from './clock.ts';
import { ReplyCounter } from './counting.ts';
import { type Pace, drive } from './driver.ts';
import {
  DEFAULT_CALLERS,
  DEFAULT_DURATION_MS,
  DEFAULT_GRACE_MS,
  DEFAULT_MAX_IN_FLIGHT,
  DEFAULT_ROUNDS,
  DEFAULT_TIMEOUT_MS,
  type LoadOptions,
  type ResolvedTarget,
  checkLoadOptions,
  resolveTargets,
} from './options.ts';
import { renderPage } from './page.ts';
import { readPrompts, sayer } from './prompts.ts';
import { Progress } from './progress.ts';
import { type LoadReport, type TargetReport, ratiosOf, warningsOf } from './report.ts';
import { Requests } from './requests.ts';
import { SelfWatch } from './self.ts';
import { Tally } from './tally.ts';

export const REPORT_FILE = 'load.json';
export const PAGE_FILE = 'load.html';

interface Contestant {
  readonly target: ResolvedTarget;
  readonly tally: Tally;
  readonly requests: Requests;
  readonly send: (n: number) => ReturnType<Requests['send']>;
}

/**
 * Drives load at one target or several. Rejects with `ORRERY_BENCH_INVALID` for options and suites that are not right, and with what the disk
 * rejects with. Requests that fail are figures.
 */
export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  checkLoadOptions(options);
  const targets = resolveTargets(options.targets);
  const prompts = await readPrompts(options);
  // Before anything is asked: a directory that cannot be is told now, not at the end.
  const dir = options.out === undefined ? undefined : resolve(options.out);
  if (dir !== undefined) mkdirSync(dir, { recursive: true });
  await using open = new AsyncDisposableStack();
  const counter = open.use(new ReplyCounter());
  const contestants = targets.map((target): Contestant => {
    const requests = open.use(requestsOf(target, options));
    const say = sayer(target, prompts, options);
    return { target, requests, tally: tallyOf(options, counter), send: (n) => requests.send(say(n)) };
  });
  const startedAt = new Date();
  const watch = new SelfWatch();
  await race(contestants, options);
  await Promise.all(contestants.map(({ tally }) => tally.counted()));
  const figures = contestants.map(({ target, tally }): TargetReport => {
    const { name, baseUrl: url, model } = target;
    return { name, url, model, ...tally.read() };
  });
  const driver = watch.read(options.rate === undefined ? [] : figures.map(({ latenessMs }) => latenessMs));
  const report: LoadReport = {
    version: 1,
    startedAt: startedAt.toISOString(),
    endedAt: new Date().toISOString(),
    status: statusOf(contestants, options),
    mode: options.rate === undefined ? 'closed' : 'open',
    options: shownOptions(options, prompts.length, contestants.length),
    machine: {
      orrery: VERSION,
      node: process.version,
      platform: `${platform()} ${arch()}`,
      cpu: cpus()[0]?.model ?? '',
    },
    driver,
    targets: figures,
    ratios: ratiosOf(figures),
    warnings: warningsOf(figures, driver, options),
  };
  if (dir === undefined) return report;
  writeFileSync(join(dir, REPORT_FILE), `${JSON.stringify(report, undefined, 2)}\n`);
  writeFileSync(join(dir, PAGE_FILE), renderPage(report));
  return { ...report, dir };
}

/** Lets the targets take turns: a drift of the machine must not fall upon one of them. */
async function race(contestants: readonly Contestant[], options: LoadOptions): Promise<void> {
  const rounds = options.rounds ?? (contestants.length === 1 ? 1 : DEFAULT_ROUNDS);
  const stop = options.signal ?? new AbortController().signal;
  const progress = new Progress(options, rounds);
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? contestants : contestants.toReversed();
    for (const { target, tally, requests, send } of order) {
      if (stop.aborted) return;
      if (tally.isHopeless) continue;
      progress.begin(target.name, tally, round);
      await drive({
        ...sliceOf(options, round, rounds),
        pace: paceOf(options, round),
        clock: realClock,
        tally,
        send,
        cut: () => requests.cut(),
        stop,
        graceMs: options.graceMs ?? DEFAULT_GRACE_MS,
      });
      progress.end();
    }
  }
}

/** The part of a round: what cannot be divided evenly falls to the first rounds. */
function sliceOf(
  { durationMs, requests, warmupMs = 0 }: LoadOptions,
  round: number,
  rounds: number,
): { readonly warmupMs: number; readonly durationMs?: number; readonly requests?: number } {
  const ms = durationMs ?? (requests === undefined ? DEFAULT_DURATION_MS : undefined);
  return {
    warmupMs: warmupMs / rounds,
    ...(ms === undefined ? {} : { durationMs: ms / rounds }),
    ...(requests === undefined
      ? {}
      : { requests: Math.floor(requests / rounds) + (round < requests % rounds ? 1 : 0) }),
  };
}

function paceOf(options: LoadOptions, round: number): Pace {
  const { rate, concurrency = DEFAULT_CALLERS, honourRetryAfter = false, arrivals = 'poisson', seed = 0 } = options;
  if (rate === undefined) return { mode: 'closed', concurrency, honourRetryAfter };
  return {
    mode: 'open',
    rate,
    arrivals,
    seed: seed + round,
    maxInFlight: options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT,
  };
}

function requestsOf({ url, apiKey }: ResolvedTarget, { stream = true, timeoutMs }: LoadOptions): Requests {
  return new Requests({
    url,
    stream,
    timeoutMs: timeoutMs ?? DEFAULT_TIMEOUT_MS,
    now: () => realClock.now(),
    headers: {
      'content-type': 'application/json',
      accept: stream ? 'text/event-stream' : 'application/json',
      'user-agent': `orrery-bench/${VERSION}`,
      ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
    },
  });
}

function tallyOf({ rate, expectedIntervalMs }: LoadOptions, counter: ReplyCounter): Tally {
  return new Tally({
    isOpen: rate !== undefined,
    ...(expectedIntervalMs === undefined ? {} : { expectedIntervalMs }),
    countTokens: (text) => counter.count(text),
  });
}

function statusOf(contestants: readonly Contestant[], { signal }: LoadOptions): LoadReport['status'] {
  if (signal?.aborted === true) return 'interrupted';
  return contestants.every(({ tally }) => tally.answered === 0) ? 'failed' : 'done';
}

/** What was asked for, with the defaults that it was run with; no keys. */
function shownOptions(options: LoadOptions, prompts: number, targets: number): LoadReport['options'] {
  const { rate, durationMs, requests } = options;
  const isOpen = rate !== undefined;
  return {
    concurrency: isOpen ? null : (options.concurrency ?? DEFAULT_CALLERS),
    rate: rate ?? null,
    arrivals: isOpen ? (options.arrivals ?? 'poisson') : null,
    maxInFlight: isOpen ? (options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT) : null,
    durationMs: durationMs ?? (requests === undefined ? DEFAULT_DURATION_MS : null),
    requests: requests ?? null,
    warmupMs: options.warmupMs ?? 0,
    timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    stream: options.stream ?? true,
    prompts,
    suite: options.suite ?? null,
    sessions: options.sessions ?? null,
    maxTokens: options.maxTokens ?? null,
    seed: options.seed ?? 0,
    expectedIntervalMs: options.expectedIntervalMs ?? null,
    honourRetryAfter: options.honourRetryAfter ?? false,
    rounds: options.rounds ?? (targets === 1 ? 1 : DEFAULT_ROUNDS),
  };
}
