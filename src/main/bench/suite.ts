/**
 * Owns a suite as a run sees it: checked as a whole before anything is asked of an agent, then read again case by case. At no time is
 * it in memory: a module's cases are written to a file first, and a file is a stream.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { basename, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { resolveOwnPackage } from '../../lib/own-package.ts';
import { messageOf } from '../../protocol/index.ts';
import { DEFAULT_SCORER, type SuiteCase, type SuiteFormat, caseOf, formatOf } from './cases.ts';
import { invalid, shown } from './errors.ts';
import { readRecords } from './records.ts';

const FILES: readonly string[] = ['.jsonl', '.ndjson', '.csv'];
const MODULES: readonly string[] = ['.ts', '.mts', '.js', '.mjs'];

/** What a suite's module may export. */
interface SuiteModule {
  readonly cases?: unknown;
  readonly scorers?: unknown;
}

/** Cases that were read in one step. */
export interface CaseBatch {
  readonly cases: readonly SuiteCase[];
  /** Characters that they took in the file, or more: a bound of what they hold. */
  readonly chars: number;
}

/** A suite that was read once and found to be right. */
export interface Suite {
  readonly name: string;
  readonly path: string;
  /** Of the file; of a module, of its text and of the cases that it gave. */
  readonly sha256: string;
  readonly format: SuiteFormat;
  /** Cases in all. */
  readonly size: number;
  /** Cases that have one of the tags. */
  readonly tagged: number;
  readonly defaultScorer: string;
  /** The module, for its custom scorers. */
  readonly module?: { readonly url: string; readonly scorers: unknown };
  /** Reads the cases in order, in batches. */
  read(): AsyncIterable<CaseBatch>;
}

export interface OpenOptions {
  /** Where the cases of a module are written. */
  readonly spool: string;
  /** Cases to take of a module, which may have no end. */
  readonly most?: number;
  readonly tags: readonly string[];
}

/**
 * Reads a suite once, so that whatever is wrong with it is told before anything is spent. Throws `ORRERY_BENCH_INVALID` with the place;
 * of two cases with one id, the second.
 */
export async function openSuite(path: string, options: OpenOptions): Promise<Suite> {
  const file = resolve(path);
  const kind = extname(file).toLowerCase();
  if (!(await isFile(file))) throw invalid(`Expected a suite, and ${path} is no file`);
  if (MODULES.includes(kind)) return openModule(file, options);
  if (!FILES.includes(kind)) {
    throw invalid(`Expected a suite that ends in ${[...FILES, ...MODULES].join(', ')}, got ${path}`);
  }
  return scan(file, file, [file], options.tags);
}

async function openModule(file: string, { spool, most = Infinity, tags }: OpenOptions): Promise<Suite> {
  resolveOwnPackage();
  const url = pathToFileURL(file).href;
  let found: SuiteModule;
  try {
    found = (await import(url)) as SuiteModule;
  } catch (error) {
    throw invalid(`${file}: the suite's module did not load: ${messageOf(error)}`, { cause: error });
  }
  await writeCases(found.cases, file, spool, most);
  const suite = await scan(file, spool, [file, spool], tags);
  return { ...suite, module: { url, scorers: found.scorers } };
}

/** Writes what a module's `cases` gives: a list, anything to iterate over, or a function that returns one. */
async function writeCases(cases: unknown, file: string, spool: string, most: number): Promise<void> {
  const given: unknown = typeof cases === 'function' ? await (cases as () => unknown)() : cases;
  if (!isIterable(given)) {
    throw invalid(`${file}: expected \`export const cases\` to be a list or iterable of cases, got ${shown(given)}`);
  }
  const handle = await open(spool, 'w');
  try {
    let lines = '';
    let number = 0;
    for await (const one of given) {
      number += 1;
      if (number > most) break;
      const line: string | undefined = JSON.stringify(one);
      if (line === undefined) throw invalid(`${file}: expected case ${number} to be an object, got ${shown(one)}`);
      lines += `${line}\n`;
      if (lines.length < 65_536) continue;
      await handle.write(lines);
      lines = '';
    }
    await handle.write(lines);
  } finally {
    await handle.close();
  }
}

async function scan(path: string, file: string, hashed: readonly string[], tags: readonly string[]): Promise<Suite> {
  const ids = new Set<string>();
  let format: SuiteFormat | undefined;
  let tagged = 0;
  for await (const records of readRecords(file)) {
    for (const { where, value } of records) {
      format ??= formatOf(value, where);
      const one = caseOf(value, format, where, ids.size + 1);
      if (ids.has(one.id)) throw invalid(`${where}: expected ids that differ, got ${shown(one.id)} a second time`);
      ids.add(one.id);
      if (hasTag(one, tags)) tagged += 1;
    }
  }
  if (format === undefined) throw invalid(`Expected a suite with at least one case, and ${path} has none`);
  const known = format;
  return {
    name: basename(path, extname(path)),
    path,
    sha256: await digest(hashed),
    format,
    size: ids.size,
    tagged,
    defaultScorer: DEFAULT_SCORER[format],
    read: () => readCases(file, known),
  };
}

async function* readCases(file: string, format: SuiteFormat): AsyncGenerator<CaseBatch> {
  let number = 0;
  for await (const records of readRecords(file)) {
    const cases: SuiteCase[] = [];
    let chars = 0;
    for (const record of records) {
      number += 1;
      chars += record.chars;
      cases.push(caseOf(record.value, format, record.where, number));
    }
    yield { cases, chars };
  }
}

/** Tells whether a case has one of the tags; without tags every case counts. */
export function hasTag({ tags = [] }: SuiteCase, wanted: readonly string[]): boolean {
  return wanted.length === 0 || tags.some((tag) => wanted.includes(tag));
}

async function digest(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true;
}

function isIterable(value: unknown): value is Iterable<unknown> | AsyncIterable<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return Symbol.iterator in value || Symbol.asyncIterator in value;
}
