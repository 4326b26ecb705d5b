/**
 * Proves that the packed package works where it is used: it packs what was built, installs the tarball into an empty folder,
 * makes `node_modules` read-only, and there runs the command, talks to agents and stops it. Any step that fails ends it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

const ROOT = resolve(import.meta.dirname, '..');
const START_MS = 30_000;
const STOP_MS = 30_000;
const NEEDED = [
  'package.json',
  'README.md',
  'LICENSE',
  'dist/main/cli/bin.js',
  'dist/main/web/index.html',
  'dist/main/bench/report/entry.js',
  'dist/main/bench/report/page/index.html',
];

interface Manifest {
  readonly name: string;
  readonly version: string;
}

// The command starts `node` by its name: it must find the Node that runs this script.
const env = { ...process.env, PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter) };

function run(cwd: string, command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

function step(text: string): void {
  console.log(`package: ${text}`);
}

function pack(folder: string): { tarball: string; files: readonly string[] } {
  const [packed] = JSON.parse(run(ROOT, 'npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder)) as {
    filename: string;
    files: { path: string }[];
  }[];
  assert(packed, 'npm pack names what it packed');
  return { tarball: join(folder, packed.filename), files: packed.files.map(({ path }) => path) };
}

function checkFiles(files: readonly string[]): void {
  const missing = NEEDED.filter((file) => !files.includes(file));
  assert.deepEqual(missing, [], `the tarball lacks files; was it built (npm run build)? ${missing.join(', ')}`);
  const stray = files.filter((file) => /^(src|test|bench|scripts|node_modules)\//.test(file));
  assert.deepEqual(stray, [], 'the tarball holds files that nobody needs');
}

async function lint(tarball: string): Promise<void> {
  const file = readFileSync(tarball);
  const { messages, pkg } = await publint({
    pack: { tarball: new Uint8Array(file).buffer },
    level: 'warning',
  });
  const texts = messages.map((message) => formatMessage(message, pkg) ?? message.code);
  assert.deepEqual(texts, [], 'publint has nothing to say');
}

function entries(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() || entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Takes or gives back the right to write; a superuser may write all the same, hence {@link snapshot}. */
function setWritable(folder: string, writable: boolean): void {
  for (const path of [folder, ...entries(folder)]) {
    const { mode } = statSync(path);
    chmodSync(path, writable ? mode | 0o200 : mode & ~0o222);
  }
}

/** What a write to a folder would change. */
function snapshot(folder: string): ReadonlyMap<string, string> {
  return new Map(
    entries(folder).map((path) => {
      const { mtimeMs, size } = statSync(path);
      return [path, `${String(size)} ${String(mtimeMs)}`];
    }),
  );
}

/** Resolves with the address that the command says it is reached at. */
async function started(command: ChildProcess): Promise<string> {
  assert(command.stdout, 'the command writes to a pipe');
  const lines = createInterface({ input: command.stdout });
  const late = AbortSignal.timeout(START_MS);
  const found = Promise.withResolvers<string>();
  const all: string[] = [];
  late.addEventListener('abort', () => found.reject(new Error(`no start within ${String(START_MS)} ms`)));
  command.once('exit', (code) => found.reject(new Error(`it ended with ${String(code)} before it ran`)));
  lines.on('line', (line) => {
    all.push(line);
    if (!line.includes('"urls"')) return;
    const [url] = (JSON.parse(line) as { urls: string[] }).urls;
    if (url === undefined) found.reject(new Error(`no address in: ${line}`));
    else found.resolve(url);
  });
  try {
    return await found.promise;
  } catch (error) {
    throw new Error(`the command did not start:\n${all.join('\n')}`, { cause: error });
  }
}

async function ask(url: string, agent: string, message: string): Promise<string> {
  const response = await fetch(`${url}/api/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ agent, message }),
    signal: AbortSignal.timeout(START_MS),
  });
  const body = await response.text();
  assert.equal(response.status, 200, `POST /api/chat to ${agent} answered ${String(response.status)}: ${body}`);
  const answer = (JSON.parse(body) as { message: unknown }).message;
  const text = typeof answer === 'string' ? answer : (answer as { content?: unknown }).content;
  assert(typeof text === 'string' && text !== '', `an answer of ${agent} in: ${body}`);
  return text;
}

async function stopped(command: ChildProcess): Promise<void> {
  command.removeAllListeners('exit');
  const exit = once(command, 'exit', { signal: AbortSignal.timeout(STOP_MS) });
  command.kill('SIGTERM');
  const [code, signal] = (await exit) as [number | null, string | null];
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, 'SIGTERM drains the supervisor');
}

function writeProject(folder: string): void {
  mkdirSync(join(folder, 'agents'));
  writeFileSync(
    join(folder, 'agents/shout.ts'),
    `import { type Turn, defineAgent } from 'orrery-host/agent';
export default defineAgent({
  async *respond(turn: Turn): AsyncGenerator<string> { yield turn.message.content.toUpperCase(); },
});
`,
  );
  writeFileSync(
    join(folder, 'orrery.config.ts'),
    `import { defineConfig } from 'orrery-host';
export default defineConfig({
  agents: { echo: { use: 'builtin:echo' }, eliza: { use: 'builtin:eliza' }, shout: { use: './agents/shout.ts' },
    alone: { use: './agents/shout.ts', isolation: 'process', limits: { maxHeapMb: 64 } } },
  defaultAgent: 'eliza',
  channels: { web: { type: 'gateway', host: '127.0.0.1', port: 0 } },
});
`,
  );
}

async function serve(folder: string, agents: Readonly<Record<string, RegExp>>): Promise<void> {
  const command = spawn(join(folder, 'node_modules/.bin/orrery'), ['serve', '--port', '0'], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const url = await started(command);
    for (const [agent, expected] of Object.entries(agents))
      assert.match(await ask(url, agent, 'hello there'), expected);
    const page = await fetch(`${url}/`);
    assert.equal(page.status, 200, 'the chat page is served');
    assert.match(await page.text(), /<!doctype html>/i);
    await stopped(command);
  } finally {
    if (command.exitCode === null && command.signalCode === null) command.kill('SIGKILL');
  }
}

async function main(): Promise<void> {
  const { name, version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
  const temporary = mkdtempSync(join(tmpdir(), 'orrery-package-'));
  const folder = join(temporary, 'empty');
  const modules = join(folder, 'node_modules');
  try {
    const { tarball, files } = pack(temporary);
    checkFiles(files);
    await lint(tarball);
    step(`packed ${String(files.length)} files, publint agrees`);

    mkdirSync(folder);
    writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
    run(folder, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', '--omit=dev', tarball);
    setWritable(modules, false);
    const before = snapshot(modules);
    step('installed into an empty folder, node_modules is read-only');

    assert.equal(run(folder, join(modules, '.bin/orrery'), '--version').trim(), version);
    for (const entry of ['', '/agent', '/tokens']) {
      const script = `if (Object.keys(await import('${name}${entry}')).length === 0) process.exit(1);`;
      run(folder, process.execPath, '--input-type=module', '--eval', script);
    }
    // An optional peer that is missing is said so.
    const missing = `import { loadTokenizerJson } from '${name}/agent'; await loadTokenizerJson('x').catch((e) => console.log(e.code, e.hint));`;
    assert.equal(
      run(folder, process.execPath, '--input-type=module', '--eval', missing).trim(),
      'ORRERY_PEER_MISSING npm install @huggingface/tokenizers',
    );
    step('the command says its version, the three entries load');

    await serve(folder, { echo: /hello there/, eliza: /\S/ });
    step('serves without a configuration, answers, and drains on SIGTERM');
    writeProject(folder);
    await serve(folder, { echo: /hello there/, shout: /HELLO THERE/, alone: /HELLO THERE/ });
    step('serves a TypeScript configuration with a TypeScript agent of its user, on a thread and in a process');

    writeFileSync(join(folder, 'suite.jsonl'), '{"input":"a","expected":"a"}\n');
    run(
      folder,
      join(modules, '.bin/orrery'),
      'bench',
      'suite.jsonl',
      '--agent',
      'echo',
      '--out',
      'run',
      '--fail-under',
      '1',
    );
    assert.match(readFileSync(join(folder, 'run/report.html'), 'utf8'), /<\/html>\n$/);
    step('runs a benchmark and writes its report');

    assert.deepEqual(snapshot(modules), before, 'nothing was written into node_modules');
  } finally {
    setWritable(temporary, true);
    rmSync(temporary, { recursive: true, force: true });
  }
}

await main();
