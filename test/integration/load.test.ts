/** Holds the loading of agents to its promises, on real files and Node's own loader. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BUILTINS } from '../../src/protocol/builtins.ts';
import { builtinAgent } from '../../src/worker/builtin/builtins.ts';
import { loadAgent } from '../../src/worker/load.ts';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'orrery-load-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function write(name: string, text: string): Promise<string> {
  const path = join(dir, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  return pathToFileURL(path).href;
}

interface Loaded {
  readonly ok: boolean;
  readonly code?: string;
  readonly message?: string;
  readonly hint?: string;
  readonly said?: string;
}

/** Loads in a worker thread of plain Node, as the host does: the test runner has a loader of its own. */
async function loadInWorker(url: string): Promise<Loaded> {
  const code = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { loadAgent } = await import(workerData.load);
    try {
      const agent = await loadAgent({ kind: 'module', url: workerData.url });
      let said = '';
      for await (const text of agent.respond({ message: { content: 'hi' } })) said += text;
      parentPort.postMessage({ ok: true, said });
    } catch (error) {
      parentPort.postMessage({ ok: false, code: error.code, message: error.message, hint: error.hint });
    }`;
  const load = new URL('../../src/worker/load.ts', import.meta.url).href;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData: { url, load } });
  try {
    return await new Promise<Loaded>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  } finally {
    await worker.terminate();
  }
}

describe('built-in agents', () => {
  it('every name of the table has its agent, and no other name has', async () => {
    for (const name of Object.keys(BUILTINS)) {
      expect(builtinAgent(name)).toMatchObject({ respond: expect.any(Function) });
      expect(await loadAgent({ kind: 'builtin', name })).toBe(builtinAgent(name));
    }
    expect(builtinAgent('constructor')).toBeUndefined();
    await expect(loadAgent({ kind: 'builtin', name: 'nobody' })).rejects.toMatchObject({
      code: 'ORRERY_AGENT_LOAD',
      hint: expect.stringContaining('eliza'),
    });
  });
});

describe('modules', () => {
  it('TypeScript is loaded as it is', async () => {
    const url = await write(
      'typed.ts',
      'const hi: string = "hi"; export default { async *respond(): AsyncGenerator<string> { yield hi; } };',
    );
    expect(await loadInWorker(url)).toEqual({ ok: true, said: 'hi' });
  });

  it('an instance of a class and a CommonJS module are agents, too', async () => {
    const instance = await write(
      'class.mjs',
      'class A { said = "hi"; async *respond() { yield this.said; } } export default new A();',
    );
    expect(await loadInWorker(instance)).toEqual({ ok: true, said: 'hi' });
    const common = await write('common.cjs', 'module.exports = { async *respond() { yield "hi"; } };');
    expect(await loadInWorker(common)).toEqual({ ok: true, said: 'hi' });
  });

  it.each([
    ['the file is missing', 'there/is/none.ts', undefined, /there is no such file/, /configuration file/],
    ['it is a directory', 'folder', '', /found a directory/, /Name the file/],
    [
      'TypeScript has a syntax error',
      'syntax.ts',
      'export default {\n  respond( {',
      /syntax error: .+\(line 2\)/,
      /Correct/,
    ],
    ['JavaScript has a syntax error', 'syntax.mjs', 'export default { respond( {', /syntax error/, /node --check/],
    [
      'TypeScript needs more than stripping',
      'enum.ts',
      'export enum A { x }',
      /enum is not supported/,
      /strips types only/,
    ],
    [
      'TypeScript lies under node_modules',
      'node_modules/a/a.ts',
      'export default {}',
      /under node_modules/,
      /Build the agent/,
    ],
    ['an import is missing', 'imports.ts', 'import "./none.ts";', /none\.ts/, /Install what/],
    ['its top level throws', 'throws.mjs', 'throw new RangeError("boom")', /threw while it was loaded: boom/, /./],
    ['it is not a module at all', 'data.json', '{}', /json/, /\.ts, \.mts, \.js or \.mjs/],
    ['there is no default export', 'none.mjs', 'export const a = 1;', /found none/, /Export the agent/],
    [
      'respond is exported by name',
      'named.mjs',
      'export function respond() {}',
      /found none/,
      /export default \{ respond \}/,
    ],
    [
      'the default export is a function',
      'function.mjs',
      'export default () => {};',
      /to be an object, got function/,
      /Export/,
    ],
    ['the default export is null', 'null.mjs', 'export default null;', /got null/, /Export/],
    [
      'respond is no function',
      'respond.mjs',
      'export default { respond: "hi" };',
      /`respond` to be a function, got string/,
      /./,
    ],
    [
      'start is no function',
      'start.mjs',
      'export default { respond() {}, start: 1 };',
      /`start` to be a function, got number/,
      /./,
    ],
  ])('is a load error when %s', async (_, name, text, message, hint) => {
    const url = text === undefined ? pathToFileURL(join(dir, name)).href : await write(name, text);
    const target = name === 'folder' ? pathToFileURL(dir).href : url;
    const loaded = await loadInWorker(target);
    expect(loaded).toMatchObject({ ok: false, code: 'ORRERY_AGENT_LOAD' });
    expect(loaded.message).toMatch(message);
    expect(loaded.hint).toMatch(hint);
  });

  it('an edited file is loaded anew, an unchanged one is the same module', async () => {
    const url = await write('edited.mjs', 'export default { async respond() { return "one"; } };');
    const first = await loadAgent({ kind: 'module', url });
    expect(await loadAgent({ kind: 'module', url })).toBe(first);
    await write('edited.mjs', 'export default { async respond() { return "twice"; } };');
    const second = await loadAgent({ kind: 'module', url });
    expect(second).not.toBe(first);
    expect(await loadAgent({ kind: 'module', url })).toBe(second);
  });

  it('a URL that is none or of another scheme is a load error', async () => {
    for (const url of ['', './a.ts', 'https://example.org/a.js']) {
      await expect(loadAgent({ kind: 'module', url })).rejects.toMatchObject({ code: 'ORRERY_AGENT_LOAD' });
    }
  });
});
