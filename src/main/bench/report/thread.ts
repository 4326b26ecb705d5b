/**
 * Owns the front of the report's thread: reading a run and its statistics take seconds when there are many cases, and the main thread
 * stays free of them. A job has a thread of its own, which ends with it.
 */
import { Worker } from 'node:worker_threads';
import { OrreryError, fromWire, messageOf } from '../../../protocol/index.ts';
import { invalid, shown } from '../errors.ts';
import type { CompareOptions, CompareReport } from './compare.ts';
import type { Job, JobAnswer } from './jobs.ts';
import type { ReportOptions, WrittenReport } from './write.ts';

const ENTRY = new URL(`./entry${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);
const MAX_CHARS = 1_000_000;

/**
 * Writes `report.html` into a run's directory, from what is there: the run may be done, interrupted, or going on. The page needs no network.
 * Rejects with `ORRERY_BENCH_INVALID` when the directory has no run or an option is wrong, and with what the disk rejects with; then
 * a report that was there stays.
 */
export async function writeReport(dir: string, options: ReportOptions = {}): Promise<WrittenReport> {
  const { outputChars } = options;
  if (
    outputChars !== undefined &&
    !(Number.isSafeInteger(outputChars) && outputChars >= 0 && outputChars <= MAX_CHARS)
  ) {
    throw invalid(`Expected \`outputChars\` to be a whole number from 0 to ${MAX_CHARS}, got ${shown(outputChars)}`);
  }
  return (await run({ kind: 'report', dir, options })) as WrittenReport;
}

/**
 * Compares runs of one suite, the later ones with the first, and writes nothing. Results are matched by case and repeat, agents by name;
 * where each run has one agent alone, those two. Rejects with `ORRERY_BENCH_CHANGED` when suites or scorers differ (unless `force`), and
 * with `ORRERY_BENCH_INVALID` when a directory has no run or no agent is in both.
 */
export async function compareRuns(dirs: readonly string[], options: CompareOptions = {}): Promise<CompareReport> {
  return (await run({ kind: 'compare', dirs, options })) as CompareReport;
}

/** Writes a run's results as JUnit XML to a file, whole or not at all. Rejects as `writeReport` does. */
export async function writeJUnit(dir: string, file: string): Promise<void> {
  await run({ kind: 'junit', dir, file });
}

function run(job: Job): Promise<unknown> {
  const done = Promise.withResolvers<unknown>();
  const worker = new Worker(ENTRY, { workerData: job, name: 'orrery-bench-report' });
  worker.once('message', (answer: JobAnswer) => {
    if ('error' in answer) done.reject(fromWire(answer.error));
    else done.resolve(answer.value);
  });
  worker.once('error', (cause) => {
    done.reject(new OrreryError('ORRERY_INTERNAL', `The report's thread ended: ${messageOf(cause)}`, { cause }));
  });
  // After its answer this changes nothing.
  worker.once('exit', (code) =>
    done.reject(new OrreryError('ORRERY_INTERNAL', `The report's thread ended with ${code}`)),
  );
  return done.promise;
}
