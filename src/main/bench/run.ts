/**
 * Owns a run from its options to its end: what is to be run is settled and checked before anything starts, then the host, the scorers
 * and the ledger are opened, and closed again whatever happens.
 */
import { mkdirSync, rmSync, rmdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pino } from 'pino';
import { messageOf } from '../../protocol/index.ts';
import type { ScorerSpec } from '../../protocol/scorers.ts';
import { type ResolvedConfig, type TokenPrice, loadConfig, resolveConfig } from '../config/index.ts';
import { lockDataDir } from '../ops/lock.ts';
import { VERSION } from '../ops/version.ts';
import { TokenPool } from '../tokens/index.ts';
import { invalid } from './errors.ts';
import { finishBatch } from './finishing.ts';
import { BenchHost, adaptConfig, checkAgents } from './host.ts';
import { Lane } from './lane.ts';
import { DoneSet, ResultsLedger, readResults } from './ledger.ts';
import {
  MANIFEST_FILE,
  type RunManifest,
  environmentOf,
  gitOf,
  newRunId,
  readManifest,
  redactConfig,
  writeManifest,
} from './manifest.ts';
import { type BenchOptions, DEFAULT_CONCURRENCY, checkOptions } from './options.ts';
import { Pipeline } from './pipeline.ts';
import { priceOf } from './prices.ts';
import { writeReport } from './report/index.ts';
import { RESULTS_FILE } from './results.ts';
import { checkResumable } from './resume.ts';
import { readScorers } from './scorer-specs.ts';
import { Scoring } from './scoring.ts';
import { type Selection, select, selectedSize } from './selection.ts';
import { type Suite, openSuite } from './suite.ts';
import { type AgentProgress, Tracker } from './tracker.ts';

/** What became of a run. */
export interface BenchReport {
  /** The run's directory, with `run.json`, `results.jsonl` and `report.html`. */
  readonly dir: string;
  readonly manifest: RunManifest;
  readonly agents: readonly AgentProgress[];
  /** The path of `report.html`; null when none was wanted, or it could not be written: the run does not fail over that. */
  readonly report: string | null;
  /** Why there is no report, although one was wanted. */
  readonly reportError?: string;
}

const RUNS_DIR = 'bench-runs';
/** Of the host: its lock, and the cases of a module. */
const DATA_DIR = 'data';
const SPOOL_FILE = 'cases.jsonl';
const PROGRESS_MS = 200;
/** Replies that may wait to be judged. What they cost is not known before: where that is bounded, none is asked ahead. */
const BACKLOG = 1_024;

/** What a run is, once all of it was checked. */
interface Plan {
  readonly options: BenchOptions;
  readonly dir: string;
  readonly config: ResolvedConfig;
  readonly suite: Suite;
  readonly selection: Selection;
  readonly agents: readonly string[];
  readonly specs: readonly ScorerSpec[];
  readonly prices: ReadonlyMap<string, TokenPrice>;
  readonly manifest: RunManifest;
}

/**
 * Runs a suite through hosted agents. Rejects with `ORRERY_BENCH_INVALID`, `ORRERY_BENCH_CHANGED`, `ORRERY_DATA_DIR_IN_USE` when the
 * directory has a run under way, and what the configuration's check and the disk reject with. A case that fails is a result.
 */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  checkOptions(options);
  const base = options.dir ?? process.cwd();
  const now = new Date();
  const id = newRunId(now);
  const dir = resolve(base, options.out ?? join(RUNS_DIR, id));
  const dataDir = join(dir, DATA_DIR);
  mkdirSync(dataDir, { recursive: true });
  const lock = await lockDataDir(dataDir, VERSION);
  let planned: Plan | undefined;
  let before: RunManifest | undefined;
  try {
    before = await readManifest(join(dir, MANIFEST_FILE));
    if (before && options.resume !== true) {
      throw invalid(`${dir} has a run already`, { hint: 'Go on with it with --resume, or give another --out.' });
    }
    planned = await plan(options, before, { base, dir, dataDir, id, now });
    return await run(planned);
  } finally {
    lock.release();
    if (!planned && !before) removeUnused(dir, dataDir);
  }
}

/** What was made for a run that never began; a directory that holds anything else stays. */
function removeUnused(dir: string, dataDir: string): void {
  rmSync(dataDir, { recursive: true, force: true });
  for (const empty of [dir, dirname(dir)]) {
    try {
      rmdirSync(empty);
    } catch {
      return;
    }
  }
}

async function plan(
  options: BenchOptions,
  before: RunManifest | undefined,
  o: { readonly base: string; readonly dir: string; readonly dataDir: string; readonly id: string; readonly now: Date },
): Promise<Plan> {
  const { base, dir, dataDir } = o;
  // What agents log goes where the host's log goes, never between the lines of standard output.
  const log = { level: options.log?.level ?? 'silent', pretty: false, fd: 2 } as const;
  const config: ResolvedConfig = { ...(await configOf(options, base, dataDir)), log };
  const agents = [...new Set(options.agents ?? before?.agents ?? [])];
  if (agents.length === 0) {
    throw invalid('Expected at least one agent', {
      hint: `Give --agent NAME. The agents are: ${Object.keys(config.agents).join(', ')}`,
    });
  }
  checkAgents(config, agents, '--agent');
  const record = before?.options;
  const tags = options.tags ?? record?.tags ?? [];
  const sample = options.sample ?? record?.sample ?? undefined;
  const limit = options.limit ?? record?.limit ?? undefined;
  const seed = options.seed ?? before?.seed ?? 0;
  const repeats = options.repeats ?? before?.repeats ?? 1;
  const most = limit !== undefined && sample === undefined && tags.length === 0 ? { most: limit } : {};
  const suite = await openSuite(resolve(base, options.suite), { spool: join(dataDir, SPOOL_FILE), tags, ...most });
  const selection: Selection = {
    tags,
    seed,
    ...(sample === undefined ? {} : { sample }),
    ...(limit === undefined ? {} : { limit }),
  };
  const cases = selectedSize(suite, selection);
  if (cases === 0) throw invalid(`No case of ${suite.path} has one of the tags ${tags.join(', ')}`);
  const scorers = options.scorers ?? before?.scorers ?? [];
  const fallback = suite.defaultScorer;
  const specs = readScorers(scorers, { module: suite.module?.scorers, fallback, dir: base });
  for (const spec of specs) if (spec.kind === 'judge') checkAgents(config, [spec.agent], '--scorer judge:AGENT');
  if (specs.some(({ kind }) => kind === 'code') && options.allowCode !== true) {
    throw invalid('The scorer `code` runs what agents write, as this user and in no sandbox', {
      hint: 'Allow it with --allow-code where that can be borne (a container, a virtual machine), or name another --scorer.',
    });
  }
  const found = agents.map((name) => [name, priceFor(config, name)] as const);
  const priced = found.flatMap(([agent, price]) => (price ? [[agent, price] as const] : []));
  const unpriced = agents.filter((agent) => !priced.some(([name]) => name === agent));
  if (options.maxCost !== undefined && unpriced.length > 0) {
    throw invalid(`Expected a price for ${unpriced.join(', ')} with --max-cost`, {
      hint: 'Add `bench: { prices: { NAME: { inputPerMTok, outputPerMTok } } }` to the configuration; 0 is a price.',
    });
  }
  const concurrencyPerAgent = options.concurrency ?? DEFAULT_CONCURRENCY;
  const manifest: RunManifest = {
    version: 1,
    id: before?.id ?? o.id,
    suite: { name: suite.name, path: suite.path, sha256: suite.sha256, cases },
    agents,
    scorers: scorers.length > 0 ? scorers : specs.map(({ name }) => name),
    repeats,
    seed,
    options: {
      concurrency: options.concurrencyTotal ?? concurrencyPerAgent * agents.length,
      concurrencyPerAgent,
      rpm: options.rpm ?? null,
      tpm: options.tpm ?? null,
      limit: limit ?? null,
      tags,
      sample: sample ?? null,
      turnTimeoutMs: config.delivery.turnTimeoutMs,
      maxCost: options.maxCost ?? null,
    },
    config: redactConfig(config, agents),
    environment: environmentOf(),
    git: await gitOf(config.dir),
    prices: Object.fromEntries(priced.map(([, { name, price }]) => [name, price])),
    startedAt: before?.startedAt ?? o.now.toISOString(),
    endedAt: null,
    status: 'running',
    totals: before?.totals ?? { done: 0, errors: 0, skipped: 0 },
  };
  if (before && options.force !== true) checkResumable(before, manifest);
  const prices = new Map(priced.map(([agent, { price }]) => [agent, price]));
  return { options, dir, config, suite, selection, agents, specs, prices, manifest };
}

function priceFor(config: ResolvedConfig, name: string): ReturnType<typeof priceOf> {
  const agent = config.agents[name];
  return agent && priceOf(agent, config.bench.prices);
}

function configOf(options: BenchOptions, base: string, dataDir: string): Promise<ResolvedConfig> {
  const { config, configFile, turnTimeoutMs } = options;
  const adapt = (input: unknown): unknown =>
    adaptConfig(input, { dataDir, ...(turnTimeoutMs === undefined ? {} : { turnTimeoutMs }) });
  if (config !== undefined) return Promise.resolve(resolveConfig(adapt(config), { dir: base }));
  // The directory is the run's, whatever the environment says.
  const overrides = [{ key: 'dataDir', value: dataDir, source: '--out' }] as const;
  return loadConfig({ cwd: base, adapt, overrides, ...(configFile === undefined ? {} : { file: configFile }) });
}

async function run(plan: Plan): Promise<BenchReport> {
  const { options, dir, config, suite, selection, agents, specs, manifest } = plan;
  const results = join(dir, RESULTS_FILE);
  await writeManifest(join(dir, MANIFEST_FILE), manifest);
  const planned = selectedSize(suite, selection) * manifest.repeats;
  const tracker = new Tracker(agents, planned);
  const done = new DoneSet(agents, manifest.repeats);
  await using open = new AsyncDisposableStack();
  const ledger = open.adopt(await ResultsLedger.open(results), (ledger) => ledger.close());
  await takeOver(results, done, tracker, plan);
  if (done.size === planned * agents.length) return end(plan, tracker, 'done');
  const timeout = options.scorerTimeoutMs === undefined ? {} : { timeoutMs: options.scorerTimeoutMs };
  const threads = options.scorerThreads === undefined ? {} : { threads: options.scorerThreads };
  const module = suite.module === undefined ? {} : { module: suite.module.url };
  const scoring = open.adopt(new Scoring({ specs, ...module, ...timeout, ...threads }), (scoring) => scoring.close());
  const tokens = open.use(new TokenPool());
  const log = options.log ?? pino({ enabled: false });
  // Its thread starts now, and not beside the first cases, whose time it would take. What fails here is told with a case.
  const counted = tokens.count([' ']).catch(() => undefined);
  const host = open.adopt(await BenchHost.start(config, log), (host) => host.close());
  await counted;
  const { concurrency, concurrencyPerAgent } = manifest.options;
  const lane = (agent: string): Lane =>
    new Lane({
      agent,
      concurrency: concurrencyPerAgent,
      // A built-in agent says all of its reply at once: its deltas would be work for nothing.
      stream: config.agents[agent]?.source.kind !== 'builtin',
      ...(options.rpm === undefined ? {} : { rpm: options.rpm }),
      ...(options.tpm === undefined ? {} : { tpm: options.tpm }),
    });
  const judges = specs.filter((spec) => spec.kind === 'judge');
  const others = new Set(judges.map(({ agent }) => agent).filter((agent) => !agents.includes(agent)));
  const finishing = { scoring, tokens, ledger, agents: config.agents, prices: plan.prices };
  const pipeline = new Pipeline({
    channel: host.channel,
    lanes: agents.map(lane),
    judgeLanes: new Map([...others].map((agent) => [agent, lane(agent)])),
    concurrency,
    repeats: manifest.repeats,
    seed: manifest.seed,
    judges,
    cases: () => select(suite, selection),
    isDone: ({ one, agent, repeat }) => done.has(one.id, agent, repeat),
    finish: (batch) => finishBatch(finishing, batch),
    batchSize: scoring.batchSize,
    batches: scoring.threads + 1,
    backlog: options.maxCost === undefined ? BACKLOG : 0,
    onResult: (result) => {
      tracker.record(result);
      if (tracker.cost >= (manifest.options.maxCost ?? Infinity)) pipeline.stop('cost-limit');
    },
    onAgentGone: (agent, error) => tracker.failed(agent, error.message),
  });
  tracker.start(performance.now());
  const tell = (): void => options.onProgress?.({ dir, agents: tracker.read(performance.now()) });
  const timer = setInterval(tell, PROGRESS_MS);
  const release = stopOn(options.signal, pipeline, host, config.shutdown.drainMs);
  try {
    const reason = await pipeline.run();
    const isWhole = tracker.totals().skipped === 0;
    // An agent that is gone leaves cases that the next start can run.
    return await end(plan, tracker, reason === 'done' && !isWhole ? 'interrupted' : reason);
  } catch (error) {
    await end(plan, tracker, 'interrupted');
    throw error;
  } finally {
    clearInterval(timer);
    release();
    tell();
  }
}

/** Reads what earlier starts of the run did. A result of another run of the same name is nobody's. */
async function takeOver(results: string, done: DoneSet, tracker: Tracker, { options }: Plan): Promise<void> {
  if (options.resume !== true) return;
  for await (const batch of readResults(results)) {
    for (const result of batch) if (done.add(result.caseId, result.agent, result.repeat)) tracker.record(result);
  }
}

/** Drains on the signal: what does not end within `drainMs` is cut off, and has no result. */
function stopOn(signal: AbortSignal | undefined, pipeline: Pipeline, host: BenchHost, drainMs: number): () => void {
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    pipeline.stop('interrupted');
    timer = setTimeout(() => {
      pipeline.cut();
      void host.close();
    }, drainMs);
  };
  if (signal?.aborted === true) stop();
  else signal?.addEventListener('abort', stop, { once: true });
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  };
}

async function end(plan: Plan, tracker: Tracker, status: RunManifest['status']): Promise<BenchReport> {
  const { dir, manifest } = plan;
  const endedAt = new Date().toISOString();
  const ended: RunManifest = { ...manifest, endedAt, status, totals: tracker.totals() };
  await writeManifest(join(dir, MANIFEST_FILE), ended);
  const agents = tracker.read(performance.now());
  return { dir, manifest: ended, agents, ...(await reportOf(plan)) };
}

/** The results are what counts: a page that cannot be made is told of, and can be made later. */
async function reportOf({ options, dir }: Plan): Promise<Pick<BenchReport, 'report' | 'reportError'>> {
  if (options.report === false) return { report: null };
  const { reportOutputChars: outputChars } = options;
  try {
    const { file } = await writeReport(dir, outputChars === undefined ? {} : { outputChars });
    return { report: file };
  } catch (error) {
    options.log?.warn({ err: error, dir }, 'the report could not be written');
    return { report: null, reportError: messageOf(error) };
  }
}
