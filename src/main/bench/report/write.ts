/** Owns making `report.html` of a run's directory: read once for the figures, a second time for the texts, then written whole. */
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RunFigures } from './figures.ts';
import { renderPage } from './page.ts';
import { openRun } from './reading.ts';
import { readRows } from './rows.ts';
import { type ReportSummary, summarize } from './summary.ts';

/** In the run's directory. */
export const REPORT_FILE = 'report.html';

export interface ReportOptions {
  /** Characters of each output, input and expected text that the page holds. Default 2,000; at most 1,000,000. */
  readonly outputChars?: number;
}

export interface WrittenReport {
  /** The page's path. */
  readonly file: string;
  /** Cases that the page lists, at most 10,000; the figures cover all. */
  readonly casesShown: number;
  readonly summary: ReportSummary;
}

/** Makes the report where it is called: it computes for seconds when there are many cases. */
export async function makeReport(dir: string, { outputChars }: ReportOptions): Promise<WrittenReport> {
  const run = await openRun(dir);
  const figures = await RunFigures.read(run);
  const summary = summarize(figures);
  const cases = await readRows(figures, outputChars === undefined ? {} : { outputChars });
  const { config: _, suite, ...rest } = run.manifest;
  const { path: __, ...named } = suite;
  const html = await renderPage({ manifest: { ...rest, suite: named }, summary, cases });
  const file = join(run.dir, REPORT_FILE);
  const temporary = `${file}.tmp`;
  try {
    await writeFile(temporary, html);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return { file, casesShown: cases.rows.length, summary };
}
