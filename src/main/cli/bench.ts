/** Owns `orrery bench SUITE`: its options, what Ctrl-C does to it, and what it prints. */
import { isatty } from 'node:tty';
import type { Command } from 'commander';
import { OrreryError } from '../../protocol/errors.ts';
import type { AgentProgress, BenchOptions, BenchReport, GatedScore } from '../bench/index.ts';
import { type LoadCommandOptions, addLoadOptions, benchLoad, checkMode } from './bench-load.ts';
import { registerBenchModel } from './bench-model.ts';
import {
  type OutcomeOptions,
  addOutcomeOptions,
  finishOutcome,
  readGate,
  registerBenchReport,
} from './bench-report.ts';
import { endNow, watchThreads } from './end.ts';
import { type JsonOption, addJsonOption, benchNumber, collect } from './options.ts';
import { Exit, printJson, printLine, printTable } from './output.ts';

interface BenchCommandOptions extends JsonOption, LoadCommandOptions, OutcomeOptions {
  readonly config?: string;
  readonly agent?: readonly string[];
  readonly scorer?: readonly string[];
  readonly tag?: readonly string[];
  readonly concurrency?: string;
  readonly concurrencyTotal?: string;
  readonly rpm?: string;
  readonly tpm?: string;
  readonly repeats?: string;
  readonly seed?: string;
  readonly sample?: string;
  readonly limit?: string;
  readonly turnTimeout?: string;
  readonly maxCost?: string;
  readonly out?: string;
  readonly resume?: boolean;
  readonly force?: boolean;
  readonly allowCode?: boolean;
  /** False with `--no-report`. */
  readonly report?: boolean;
}

export function registerBench(program: Command): void {
  const command = program
    .command('bench')
    .argument('[suite]', 'a .jsonl or .csv file, or a module with `cases` and `scorers`')
    .description('run a dataset through agents and score the replies; or drive load at a server (--load)')
    .option('--agent <name>', 'an agent to ask; may be given several times', collect)
    .option('--scorer <name>', 'how replies are judged; may be given several times (default: fits the suite)', collect)
    .option('--concurrency <n>', 'cases under way at once for each agent (default: 16)')
    .option('--concurrency-total <n>', 'the same for all agents together (default: as many as they may have)')
    .option('--rpm <n>', 'requests a minute to each agent')
    .option('--tpm <n>', 'tokens a minute of each agent')
    .option('--repeats <n>', 'how often each case is asked (default: 1)')
    .option('--seed <n>', 'draws the sample, and goes to the agents with the repeat added (default: 0)')
    .option('--sample <n>', 'only so many cases, drawn with the seed')
    .option('--tag <tag>', 'only cases with this tag, or another one that is given', collect)
    .option('--limit <n>', 'only the first so many cases')
    .option('--turn-timeout <ms>', 'milliseconds for one turn (default: `delivery.turnTimeoutMs`)')
    .option('--max-cost <usd>', 'ask nothing new once so much is spent')
    .option('--out <dir>', "the run's directory (default: bench-runs/ID)")
    .option('--resume', 'go on with the run in --out: only what is missing is run')
    .option('--force', 'resume although the suite or the options changed')
    .option('--allow-code', 'let the scorer `code` run what agents write; that is no sandbox')
    .option('--report', 'write report.html at the end, as is the default')
    .option('--no-report', 'write no report.html')
    .option('-c, --config <file>', 'the configuration file (default: found upward from here)');
  addLoadOptions(addJsonOption(addOutcomeOptions(command))).action(
    (suite: string | undefined, options: BenchCommandOptions) => {
      checkMode({ ...options });
      if (options.load === true) return benchLoad(suite, options);
      if (suite !== undefined) return bench(suite, options);
      throw new OrreryError('ORRERY_BENCH_INVALID', 'Expected a suite, got nothing', {
        hint: 'Name a .jsonl or .csv file or a module, or drive load with --load.',
      });
    },
  );
  registerBenchModel(command);
  registerBenchReport(command);
}

async function bench(suite: string, options: BenchCommandOptions): Promise<void> {
  watchThreads();
  const [{ runBench }, { progressView }, { createLogger }] = await Promise.all([
    import('../bench/index.ts'),
    import('./bench-progress.ts'),
    import('../../lib/log.ts'),
  ]);
  const gate = await readGate(options);
  const view = progressView(process.stderr);
  const stop = new AbortController();
  let dir = options.out;
  const onSignal = (): void => {
    // The results are whole at any moment: a second signal may end it at once.
    if (stop.signal.aborted) endNow(1);
    process.stderr.write('Finishing what is under way; a second Ctrl-C ends at once. ' + resumeHint(dir));
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  // Errors of cases are results; the host's own log would only draw over the bars.
  const level = process.env['ORRERY_LOG_LEVEL'] ?? 'fatal';
  const report = await runBench({
    ...readOptions(suite, options),
    signal: stop.signal,
    log: createLogger({ level, pretty: isatty(2), fd: 2 }),
    onProgress: (progress) => {
      dir = progress.dir;
      view.show(progress);
    },
  });
  view.end();
  if (options.json === true) printJson(report);
  else print(report);
  await finishOutcome(report.dir, options, gate, report.agents.map(graded));
  if (report.manifest.status !== 'done') throw new Exit(1);
}

function print({ dir, manifest, agents, report, reportError }: BenchReport): void {
  const rows = agents.map(({ agent, planned, done, errors, score, cost, perSecond }) => [
    agent,
    `${done}/${planned}`,
    String(errors),
    score === null ? '-' : score.toFixed(4),
    cost === null ? '-' : `$${cost.toFixed(4)}`,
    perSecond === 0 ? '-' : perSecond.toFixed(1),
  ]);
  printTable(['AGENT', 'DONE', 'ERRORS', 'SCORE', 'COST', 'PER S'], rows);
  printLine(`Results: ${dir}`);
  if (report !== null) printLine(`Report: ${report}`);
  if (reportError !== undefined) printLine(`There is no report: ${reportError}`);
  for (const { agent, failure } of agents)
    if (failure !== undefined) printLine(`Agent ${agent} was given up: ${failure}`);
  if (manifest.status === 'cost-limit') printLine('Stopped at --max-cost.');
  if (manifest.status !== 'done') process.stdout.write(resumeHint(dir));
}

function graded({ agent, score, scored, errors }: AgentProgress): GatedScore {
  return { agent, gradedScore: score === null ? null : (score * scored) / (scored + errors), errors };
}

/** The command as it was given, with what makes it go on. */
function resumeHint(dir: string | undefined): string {
  if (dir === undefined) return '\n';
  const given = process.argv
    .slice(2)
    .filter((word, i, all) => word !== '--resume' && word !== '--out' && all[i - 1] !== '--out');
  return `Go on with: orrery ${[...given, '--out', dir, '--resume'].map(quoted).join(' ')}\n`;
}

function quoted(text: string): string {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function readOptions(suite: string, options: BenchCommandOptions): BenchOptions {
  const { config, agent, scorer, tag, out, resume, force, allowCode, report } = options;
  const numbers = {
    concurrency: benchNumber('--concurrency', options.concurrency),
    concurrencyTotal: benchNumber('--concurrency-total', options.concurrencyTotal),
    rpm: benchNumber('--rpm', options.rpm),
    tpm: benchNumber('--tpm', options.tpm),
    repeats: benchNumber('--repeats', options.repeats),
    seed: benchNumber('--seed', options.seed),
    sample: benchNumber('--sample', options.sample),
    limit: benchNumber('--limit', options.limit),
    turnTimeoutMs: benchNumber('--turn-timeout', options.turnTimeout),
    maxCost: benchNumber('--max-cost', options.maxCost),
    reportOutputChars: benchNumber('--report-output-chars', options.reportOutputChars),
  };
  return {
    suite,
    ...Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== undefined)),
    ...(config === undefined ? {} : { configFile: config }),
    ...(agent === undefined ? {} : { agents: agent }),
    ...(scorer === undefined ? {} : { scorers: scorer }),
    ...(tag === undefined ? {} : { tags: tag }),
    ...(out === undefined ? {} : { out }),
    ...(resume === undefined ? {} : { resume }),
    ...(force === undefined ? {} : { force }),
    ...(allowCode === undefined ? {} : { allowCode }),
    ...(report === undefined ? {} : { report }),
  };
}
