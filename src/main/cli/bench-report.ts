/** Owns `orrery bench report` and `orrery bench compare`, and what CI servers ask of all of them: JUnit XML, and an exit code by score. */
import type { Command } from 'commander';
import { OrreryError } from '../../protocol/errors.ts';
import type { GatedScore, RunComparison, WrittenReport } from '../bench/index.ts';
import { type JsonOption, addJsonOption } from './options.ts';
import { Exit, printJson, printLine, printTable } from './output.ts';

/** What CI asks of a run, and of the report of one. */
export interface OutcomeOptions {
  readonly junit?: string;
  readonly failUnder?: string;
  readonly reportOutputChars?: string;
}

interface CompareCommandOptions extends JsonOption {
  readonly force?: boolean;
  readonly markdown?: boolean;
  readonly list?: string;
  readonly failUnder?: string;
  readonly maxRegressions?: string;
}

export function addOutcomeOptions(command: Command): Command {
  return command
    .option('--junit <file>', 'write the results as JUnit XML, too')
    .option('--fail-under <score>', 'exit with 1 when an agent scores less (0 to 1; an error counts as 0)')
    .option('--report-output-chars <n>', 'characters of each text that report.html holds (default: 2000)');
}

/** Adds the commands that read what `orrery bench` wrote. */
export function registerBenchReport(bench: Command): void {
  const report = bench
    .command('report')
    .argument('<dir>', "a run's directory")
    .description("make a run's report.html afresh, from what is there");
  addJsonOption(addOutcomeOptions(report)).action((dir: string, options: OutcomeOptions & JsonOption) =>
    writeAgain(dir, withShared(bench, 'report', options, ['junit', 'failUnder', 'reportOutputChars', 'json'])),
  );
  const compare = bench
    .command('compare')
    .argument('<runs...>', "runs' directories; the later ones are compared with the first")
    .description('compare runs of one suite case by case')
    .option('--force', 'although the suite or the scorers are others')
    .option('--markdown', 'print Markdown, as for a pull request')
    .option('--list <n>', 'cases to list of those that changed (default: 20)')
    .option('--fail-under <score>', 'exit with 1 when an agent of a later run scores less (an error counts as 0)')
    .option('--max-regressions <n>', 'exit with 1 when more cases than these passed before and no longer do');
  addJsonOption(compare).action((runs: readonly string[], options: CompareCommandOptions) =>
    compareAll(runs, withShared(bench, 'compare', options, ['force', 'failUnder', 'json'])),
  );
}

/**
 * What `bench` has an option for is read by `bench`, though it stands behind the verb: what the verb has as well is taken from there, and
 * anything else is told, since it would mean nothing.
 */
function withShared<T extends object>(bench: Command, verb: string, own: T, shared: readonly string[]): T {
  const given = bench.opts();
  const stray = Object.keys(given).find((name) => !shared.includes(name));
  if (stray === undefined) return { ...own, ...given };
  const option = stray.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new OrreryError('ORRERY_BENCH_INVALID', `Expected no --${option} with bench ${verb}`, {
    hint: `See \`orrery bench ${verb} --help\`.`,
  });
}

async function writeAgain(dir: string, options: OutcomeOptions & JsonOption): Promise<void> {
  const { writeReport } = await import('../bench/index.ts');
  const gate = await readGate(options);
  const outputChars = wholeOf('--report-output-chars', options.reportOutputChars);
  const report = await writeReport(dir, outputChars === undefined ? {} : { outputChars });
  if (options.json === true) printJson(report);
  else print(report);
  await finishOutcome(dir, options, gate, report.summary.agents);
}

function print({ file, summary }: WrittenReport): void {
  const rows = summary.agents.map(({ agent, results, planned, errors, score, passRate }) => [
    agent,
    planned === null ? String(results) : `${results}/${planned}`,
    String(errors),
    score === null ? '-' : score.value.toFixed(4),
    score?.interval ? `${score.interval.low.toFixed(4)} to ${score.interval.high.toFixed(4)}` : '-',
    passRate === null ? '-' : `${(passRate.value * 100).toFixed(1)} %`,
  ]);
  printTable(['AGENT', 'DONE', 'ERRORS', 'SCORE', '95 %', 'PASSED'], rows);
  printLine(`Report: ${file}`);
}

/** Reads `--fail-under` before anything is run. */
export async function readGate({ failUnder }: OutcomeOptions): Promise<number | undefined> {
  if (failUnder === undefined) return undefined;
  const { readThreshold } = await import('../bench/index.ts');
  return readThreshold(failUnder);
}

/** Writes what CI reads; ends with 1 when a score lies under the threshold, and says which. */
export async function finishOutcome(
  dir: string,
  { junit }: OutcomeOptions,
  gate: number | undefined,
  scores: readonly GatedScore[],
): Promise<void> {
  const { scoresUnder, writeJUnit } = await import('../bench/index.ts');
  if (junit !== undefined) await writeJUnit(dir, junit);
  if (gate !== undefined) failWith(scoresUnder(scores, gate));
}

async function compareAll(dirs: readonly string[], options: CompareCommandOptions): Promise<void> {
  const { compareRuns, comparisonMarkdown, comparisonNotes, comparisonTable, scoresUnder } =
    await import('../bench/index.ts');
  const gate = await readGate(options);
  const most = wholeOf('--max-regressions', options.maxRegressions);
  const list = wholeOf('--list', options.list);
  if (options.json === true && options.markdown === true) {
    throw new OrreryError('ORRERY_BENCH_INVALID', 'Expected --json or --markdown, got both');
  }
  const report = await compareRuns(dirs, {
    ...(options.force === undefined ? {} : { force: options.force }),
    ...(list === undefined ? {} : { list }),
  });
  if (options.json === true) printJson(report);
  else if (options.markdown === true) printLine(comparisonMarkdown(report));
  else {
    const { heads, rows } = comparisonTable(report);
    printTable(heads, rows);
    for (const line of comparisonNotes(report)) printLine(line);
  }
  const under = gate === undefined ? [] : scoresUnder(report.comparisons.map(gatedOf), gate);
  const worse = most === undefined ? [] : report.comparisons.flatMap((one) => regressionsOver(one, most));
  failWith([...under, ...worse]);
}

function gatedOf({ after: { agent, score, errors } }: RunComparison): GatedScore {
  return { agent, gradedScore: score, errors };
}

function regressionsOver({ regressed, after }: RunComparison, most: number): readonly string[] {
  if (regressed <= most) return [];
  return [`${after.agent} no longer passes ${regressed} cases in ${after.run}, and at most ${most} are allowed`];
}

/** On standard error: what is printed may be read by a program. */
function failWith(sentences: readonly string[]): void {
  if (sentences.length === 0) return;
  process.stderr.write(sentences.map((sentence) => `orrery: ${sentence}\n`).join(''));
  throw new Exit(1);
}

function wholeOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new OrreryError(
    'ORRERY_BENCH_INVALID',
    `Expected a whole number of at least 0 after ${option}, got ${JSON.stringify(text)}`,
  );
}
