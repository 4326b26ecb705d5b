/**
 * Owns the results as JUnit XML, which CI servers read: a suite for each agent, a test for each case and repeat. It follows the form that
 * Jenkins and others agree on (testsuites, testsuite, testcase, failure, error, skipped).
 */
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type BenchResult, cutText } from '../results.ts';
import { type StoredRun, openRun, readRun } from './reading.ts';
import { passedOf } from './verdict.ts';

const MAX_TEXT = 4_000;
const FLUSH_CHARS = 65_536;

interface Counts {
  tests: number;
  failures: number;
  errors: number;
  skipped: number;
  ms: number;
}

/** Writes the file whole or not at all; reads the results once for the counts and once for each agent. */
export async function makeJUnit(dir: string, file: string): Promise<void> {
  const run = await openRun(dir);
  const path = resolve(file);
  const temporary = `${path}.tmp`;
  await mkdir(dirname(path), { recursive: true });
  const handle = await open(temporary, 'w');
  try {
    let text = '';
    for await (const piece of junitOf(run)) {
      text += piece;
      if (text.length < FLUSH_CHARS) continue;
      await handle.writeFile(text);
      text = '';
    }
    await handle.writeFile(text);
    await handle.close();
    await rename(temporary, path);
  } catch (error) {
    await handle.close();
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The document in pieces. */
export async function* junitOf(run: StoredRun): AsyncGenerator<string> {
  const { manifest } = run;
  const counts = await countAll(run);
  const all = [...counts.values()].reduce(add, empty());
  yield `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="${escapeXml(manifest.suite.name)}" ${attributes(all)}>\n`;
  for (const [agent, one] of counts) {
    const timestamp = manifest.startedAt.slice(0, 19);
    yield `  <testsuite name="${escapeXml(agent)}" ${attributes(one)} skipped="${one.skipped}" timestamp="${escapeXml(timestamp)}">\n`;
    const className = `${manifest.suite.name}.${agent}`;
    for await (const batch of readRun(run)) {
      for (const result of batch) if (result.agent === agent) yield testCase(result, className);
    }
    yield '  </testsuite>\n';
  }
  yield '</testsuites>\n';
}

async function countAll(run: StoredRun): Promise<ReadonlyMap<string, Counts>> {
  const counts = new Map(run.manifest.agents.map((agent) => [agent, empty()]));
  for await (const batch of readRun(run)) {
    for (const result of batch) {
      const one = counts.get(result.agent);
      if (!one) continue;
      one.tests += 1;
      one.ms += result.latencyMs.total;
      if (result.error) one.errors += 1;
      else if (passedOf(result) === false) one.failures += 1;
      else if (passedOf(result) === undefined) one.skipped += 1;
    }
  }
  return counts;
}

function testCase(result: BenchResult, className: string): string {
  const { caseId, repeat, latencyMs } = result;
  const name = repeat === 0 ? caseId : `${caseId} #${repeat + 1}`;
  const head = `    <testcase name="${escapeXml(name)}" classname="${escapeXml(className)}" time="${seconds(latencyMs.total)}"`;
  const body = bodyOf(result);
  return body === '' ? `${head}/>\n` : `${head}>\n      ${body}\n    </testcase>\n`;
}

function bodyOf(result: BenchResult): string {
  const { error, scores, score } = result;
  if (error) {
    return `<error message="${escapeXml(cutText(error.message, MAX_TEXT))}" type="${escapeXml(error.code)}">${story(result)}</error>`;
  }
  const passed = passedOf(result);
  if (passed === true) return '';
  if (passed === undefined) return '<skipped message="no scorer had anything to compare"/>';
  const parts = Object.entries(scores).map(
    ([name, one]) => `${name} ${rounded(one.score)}${one.detail === undefined ? '' : `: ${one.detail}`}`,
  );
  const message = `score ${rounded(score ?? 0)} (${parts.join('; ')})`;
  return `<failure message="${escapeXml(cutText(message, MAX_TEXT))}" type="score">${story(result)}</failure>`;
}

function story({ input, expected, output }: BenchResult): string {
  const wanted = typeof expected === 'string' ? expected : JSON.stringify(expected);
  const parts = [['Input', input], ...(wanted === undefined ? [] : [['Expected', wanted]]), ['Output', output]];
  return escapeXml(parts.map(([name, text = '']) => `${name}:\n${cutText(text, MAX_TEXT)}`).join('\n\n'), '\n');
}

/**
 * Text for an attribute or an element of XML 1.0. Characters that it cannot hold at all (section 2.2: most controls, lone surrogates, U+FFFE and
 * U+FFFF) become U+FFFD; ends of lines and tabs are written as references, but for those in `keep`: an attribute would make spaces of them.
 */
export function escapeXml(text: string, keep: string = ''): string {
  return text
    .toWellFormed()
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replaceAll(/[&<>"'\t\n\r]/g, (char) => (keep.includes(char) ? char : `&#${char.charCodeAt(0)};`));
}

function attributes({ tests, failures, errors, ms }: Counts): string {
  return `tests="${tests}" failures="${failures}" errors="${errors}" time="${seconds(ms)}"`;
}

function empty(): Counts {
  return { tests: 0, failures: 0, errors: 0, skipped: 0, ms: 0 };
}

function add(sum: Counts, one: Counts): Counts {
  return {
    tests: sum.tests + one.tests,
    failures: sum.failures + one.failures,
    errors: sum.errors + one.errors,
    skipped: sum.skipped + one.skipped,
    ms: sum.ms + one.ms,
  };
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(3);
}

function rounded(score: number): string {
  return String(Math.round(score * 10_000) / 10_000);
}
