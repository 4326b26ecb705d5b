/** Owns `orrery tokens count`: files, globs and standard input, counted on the token pool. */
import { glob, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { DEFAULT_ENCODING, resolveModel, safeCut } from '../../protocol/encodings.ts';
import { OrreryError } from '../../protocol/errors.ts';
import type { FileCount, TokenOptions, TokenPool } from '../tokens/index.ts';
import { type JsonOption, addJsonOption } from './options.ts';
import { printJson, printTable } from './output.ts';

interface CountOptions extends JsonOption {
  readonly encoding?: string;
  readonly model?: string;
}

/** How long a count runs before a terminal shows a bar. */
const PROGRESS_AFTER_MS = 1_000;
const BAR_CELLS = 30;
/** UTF-16 units of standard input that are counted at a time. */
const INPUT_UNITS: number = 1024 * 1024;
const STDIN = '-';

export function registerTokens(program: Command): void {
  const tokens = program.command('tokens').description('count tokens');
  const count = tokens
    .command('count')
    .argument('[file...]', 'files or globs; `-` or nothing is standard input')
    .description('count the tokens of files or of standard input')
    .option('--encoding <name>', 'o200k_base, o200k_harmony or cl100k_base (default: of the model, else o200k_base)')
    .option('--model <name>', "a model's name; one with no public tokenizer is estimated, and labelled so");
  addJsonOption(count).action(async (patterns: string[], options: CountOptions) => {
    const { TokenPool } = await import('../tokens/index.ts');
    await using pool = new TokenPool();
    const chosen: TokenOptions = {
      ...(options.encoding === undefined ? {} : { encoding: options.encoding }),
      ...(options.model === undefined ? {} : { model: options.model }),
    };
    const paths = patterns.length === 0 ? [STDIN] : await expand(patterns);
    const files = await countAll(pool, paths, chosen);
    print(files, chosen, options.json === true);
  });
}

/** Counts in the order given; standard input is read when its turn comes. */
async function countAll(pool: TokenPool, paths: readonly string[], options: TokenOptions): Promise<FileCount[]> {
  const named = paths.filter((path) => path !== STDIN);
  const progress = await startProgress(named);
  try {
    const found = await pool.countFiles(named, { ...options, onProgress: (bytesRead) => progress.show(bytesRead) });
    const byPath = new Map(found.files.map((file) => [file.file, file]));
    if (paths.includes(STDIN)) byPath.set(STDIN, await countInput(pool, options));
    return paths.map((path) => byPath.get(path)).filter((file) => file !== undefined);
  } finally {
    progress.end();
  }
}

/** Takes standard input in parts that end where no piece can, so that any amount fits. */
async function countInput(pool: TokenPool, options: TokenOptions): Promise<FileCount> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let bytes = 0;
  let tokens = 0;
  let exact = true;
  let text = '';
  let worth = INPUT_UNITS;
  const take = async (part: string): Promise<void> => {
    const counted = await pool.count([part], options);
    tokens += counted.total;
    exact = counted.exact;
  };
  for await (const chunk of process.stdin) {
    const data = chunk as Buffer;
    bytes += data.length;
    text += decoder.decode(data, { stream: true });
    if (text.length < worth) continue;
    const cut = safeCut(text, 0, text.length - 1);
    worth = cut === text.length ? 2 * text.length : INPUT_UNITS;
    if (cut === text.length) continue;
    await take(text.slice(0, cut));
    text = text.slice(cut);
  }
  await take(text + decoder.decode());
  return { file: STDIN, bytes, tokens, exact };
}

/**
 * A name that is a file is that file, even with glob characters in it; a pattern must match something. A file that is named
 * twice, in whatever way, is counted once, under its first name.
 */
async function expand(patterns: readonly string[]): Promise<string[]> {
  const paths = new Map<string, string>();
  const add = (path: string): void => {
    const key = path === STDIN ? STDIN : resolve(path);
    if (!paths.has(key)) paths.set(key, path);
  };
  for (const pattern of patterns) {
    const info = pattern === STDIN ? undefined : await stat(pattern).catch(() => undefined);
    if (info?.isDirectory() === true) throw notFound(pattern, 'is a folder', `Name its files: '${pattern}/**'.`);
    if (pattern === STDIN || info !== undefined) {
      add(pattern);
      continue;
    }
    const found = await filesOf(pattern);
    if (found.length === 0) throw notFound(pattern, 'matches no file', 'Name files, globs or `-`.');
    for (const path of found) add(relativeTo(path));
  }
  return [...paths.values()];
}

/** Gives the files that a glob matches, links to files among them, by name. */
async function filesOf(pattern: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of glob(pattern, { withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const linked = entry.isSymbolicLink() && (await stat(path).catch(() => undefined))?.isFile() === true;
    if (entry.isFile() || linked) found.push(path);
  }
  return found.toSorted();
}

function relativeTo(path: string): string {
  const here = `${process.cwd()}/`;
  return path.startsWith(here) ? path.slice(here.length) : path;
}

function notFound(pattern: string, how: string, hint: string): OrreryError {
  return new OrreryError('ORRERY_TOKENS_BAD_INPUT', `${pattern} ${how}.`, { hint });
}

interface Progress {
  show(bytesRead: number): void;
  end(): void;
}

/** Draws a bar on standard error when that is a terminal and the count takes longer than a second. */
async function startProgress(paths: readonly string[]): Promise<Progress> {
  const out = process.stderr;
  if (!out.isTTY) return { show: () => {}, end: () => {} };
  const sizes = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const started = performance.now();
  let drawn = false;
  return {
    show(bytesRead) {
      if (performance.now() - started < PROGRESS_AFTER_MS || total === 0) return;
      const part = Math.min(1, bytesRead / total);
      const cells = Math.round(part * BAR_CELLS);
      const bar = '#'.repeat(cells) + '.'.repeat(BAR_CELLS - cells);
      const speed = bytesRead / 1e6 / ((performance.now() - started) / 1e3);
      out.write(`\r[${bar}] ${Math.floor(part * 100)}% ${speed.toFixed(1)} MB/s `);
      drawn = true;
    },
    end() {
      if (drawn) out.write('\r\x1b[K');
    },
  };
}

function print(files: readonly FileCount[], options: TokenOptions, json: boolean): void {
  const encoding =
    options.encoding ?? (options.model === undefined ? DEFAULT_ENCODING : resolveModel(options.model).encoding);
  const total = files.reduce((sum, file) => sum + file.tokens, 0);
  if (json) {
    printJson({ encoding, files, total });
    return;
  }
  const row = (name: string, bytes: number, tokens: number, exact: boolean): string[] => [
    `${exact ? '' : '~'}${tokens}`.padStart(10),
    String(bytes).padStart(10),
    name,
  ];
  const rows = files.map((file) => row(file.file, file.bytes, file.tokens, file.exact));
  if (files.length > 1) {
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    rows.push(
      row(
        'total',
        bytes,
        total,
        files.every(({ exact }) => exact),
      ),
    );
  }
  printTable(['TOKENS'.padStart(10), 'BYTES'.padStart(10), `FILE (${encoding})`], rows);
  if (files.some(({ exact }) => !exact)) {
    process.stderr.write(`${options.model} has no public tokenizer: ~ is an estimate, the count of ${encoding}.\n`);
  }
}
