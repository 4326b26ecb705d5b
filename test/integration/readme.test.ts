/** Runs every code block of the README and of docs/library.md. What the documents name is held by `test/unit/docs.test.ts`. */
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import JSON5 from 'json5';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../src/main/config/index.ts';
import { type Running, start } from '../support/commands.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PRELOAD = new URL('../fixtures/resolve-package.ts', import.meta.url).href;
/** The port that the README uses; tests take any free one. */
const PORT = '8790';

interface Block {
  readonly language: string;
  readonly text: string;
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

function blocksOf(page: string): Block[] {
  return Array.from(page.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm), ([, language = '', text = '']) => ({
    language,
    text,
  }));
}

const README = read('README.md');
const BLOCKS = blocksOf(README);

function textsOf(language: string): string[] {
  return BLOCKS.filter((block) => block.language === language).map(({ text }) => text);
}

/** The blocks of TypeScript by the file name in their first line. */
function modules(texts: readonly string[] = textsOf('ts')): Map<string, string> {
  return new Map(texts.map((text) => [/^\/\/ (\S+)\n/.exec(text)?.[1] ?? '', text]));
}

describe('README.md', () => {
  it('blocks - are all of a kind that is run or checked here', () => {
    expect([...new Set(BLOCKS.map(({ language }) => language))].sort()).toEqual(['json5', 'sh', 'text', 'ts']);
    expect([...modules().keys()]).toEqual(['agents/counter.ts', 'host.ts', 'ask.ts']);
  });

  it('commands - are npm commands that this package has', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const commands = textsOf('sh').flatMap((text) => text.trim().split(/ && |\n/));
    expect(commands.length).toBeGreaterThan(3);
    expect(commands.filter((command) => !isKnown(command, scripts))).toEqual([]);
  });

  it('orrery chat - answers', async () => {
    const args = textsOf('sh').flatMap((text) => /orrery -- (.*)/.exec(text)?.[1]?.split(' ') ?? []);
    using dir = temporaryDirectory();
    await using running = start(args, { cwd: dir.path, input: 'I am sad\n' });
    expect(args).toEqual(['chat', 'eliza']);
    expect(await running.finished).toMatchObject({ code: 0, stdout: expect.stringContaining('sad') });
  });

  it('agent, host and client - run as they stand, and the session is kept', async () => {
    using dir = temporaryDirectory();
    symlinkSync(join(ROOT, 'node_modules'), join(dir.path, 'node_modules'));
    const files = modules();
    dir.write('package.json', '{ "type": "module" }');
    dir.write('agents/counter.ts', files.get('agents/counter.ts') ?? '');
    const host = runModule(
      dir.write('host.ts', (files.get('host.ts') ?? '').replace(`port: ${PORT}`, 'port: 0')),
      dir.path,
    );
    await using running = host;
    const url = /http:\S+/.exec(await running.until('\n'))?.[0] ?? '';
    const client = (files.get('ask.ts') ?? '').replace(`http://127.0.0.1:${PORT}`, url);
    const script = dir.write('ask.ts', client);
    for (const number of [1, 2]) {
      await using asking = runModule(script, dir.path);
      expect(await asking.finished).toMatchObject({
        code: 0,
        stderr: '',
        stdout: `This is message ${number} of web:alice: hello`,
      });
    }
    running.child.kill('SIGTERM');
    expect(await running.finished).toMatchObject({ code: 0, stderr: '' });
  });

  it('configurations - are valid', () => {
    for (const text of textsOf('json5')) {
      expect(resolveConfig(JSON5.parse(text), { dir: ROOT }).agents).not.toEqual({});
    }
  });
});

describe('docs/library.md', () => {
  const files = modules(blocksOf(read('docs/library.md')).map(({ text }) => text));
  const printed: Readonly<Record<string, string>> = {
    'host.ts': 'echo: hello',
    'channel.ts': 'echo: hello',
    'tokens.ts': '2 true hello true',
  };

  it.each([...files])('%s - runs as it stands', async (name, text) => {
    using dir = temporaryDirectory();
    symlinkSync(join(ROOT, 'node_modules'), join(dir.path, 'node_modules'));
    dir.write('package.json', '{ "type": "module" }');
    await using running = runModule(dir.write(name, text), dir.path);
    expect(await running.finished).toMatchObject({ code: 0, stderr: '', stdout: `${printed[name]}\n` });
  });
});

/** Tells whether npm has the command, and whether the file that its script begins with is there. */
function isKnown(command: string, scripts: Readonly<Record<string, string>>): boolean {
  const [, verb = '', rest = ''] = /^npm (ci|cit|start|run)\b(.*)$/.exec(command) ?? [];
  if (verb === 'ci') return existsSync(join(ROOT, 'package-lock.json'));
  const script = verb === 'run' ? rest.replace(/ -s\b/, '').trim().split(' ')[0] : verb === 'cit' ? 'test' : verb;
  const line = scripts[script ?? ''];
  const file = /^node (\S+)/.exec(line ?? '')?.[1];
  return line !== undefined && (file === undefined || existsSync(join(ROOT, file)));
}

function runModule(script: string, cwd: string): Running {
  return start([], { cwd, script, node: ['--import', PRELOAD] });
}
