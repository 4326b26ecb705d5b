import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BIN, type Finished, run } from '../support/commands.ts';
import { temporaryDirectory } from '../support/temporary.ts';

function count(args: readonly string[], o: { cwd: string; input?: string }): Promise<Finished> {
  return run(['tokens', 'count', ...args], o);
}

test('orrery tokens count - prints files, globs and standard input as JSON in their order', async () => {
  using directory = temporaryDirectory();
  directory.write('a.md', 'hello world');
  directory.write('docs/b.md', 'hello');
  directory.write('docs/[c].md', 'x');
  const { code, stdout } = await count(['--json', 'docs/[c].md', '-', '**/*.md'], {
    cwd: directory.path,
    input: 'one two',
  });
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual({
    encoding: 'o200k_base',
    files: [
      { file: 'docs/[c].md', bytes: 1, tokens: 1, exact: true },
      { file: '-', bytes: 7, tokens: 2, exact: true },
      { file: 'a.md', bytes: 11, tokens: 2, exact: true },
      { file: 'docs/b.md', bytes: 5, tokens: 1, exact: true },
    ],
    total: 6,
  });
});

test('orrery tokens count - counts a file once however often it is named, and follows links to files', async () => {
  using directory = temporaryDirectory();
  directory.write('a.md', 'hello world');
  directory.write('folder/b.md', 'hello');
  await symlink('folder/b.md', join(directory.path, 'link.md'));
  await symlink('folder', join(directory.path, 'linked.md'));
  await symlink('nothing', join(directory.path, 'broken.md'));
  const { stdout } = await count(['--json', './a.md', 'a.md', '*.md', join(directory.path, 'a.md')], {
    cwd: directory.path,
  });
  expect(JSON.parse(stdout)).toMatchObject({
    files: [
      { file: './a.md', tokens: 2 },
      { file: 'link.md', tokens: 1 },
    ],
    total: 3,
  });
});

test('orrery tokens count - takes any amount of standard input', async () => {
  using directory = temporaryDirectory();
  const input = 'A line of text, ж and 中. 😀\n'.repeat(150_000);
  const { stdout } = await count(['--json', '--encoding', 'cl100k_base'], { cwd: directory.path, input });
  const { files } = JSON.parse(stdout) as { files: { bytes: number; tokens: number }[] };
  const one = await count(['--json', '--encoding', 'cl100k_base'], {
    cwd: directory.path,
    input: input.slice(0, input.length / 150_000),
  });
  const { total } = JSON.parse(one.stdout) as { total: number };
  expect(files[0]).toMatchObject({ bytes: Buffer.byteLength(input), tokens: total * 150_000 });
});

test('orrery tokens count - prints a table with a total, and marks estimates', async () => {
  using directory = temporaryDirectory();
  directory.write('a.txt', 'hello world');
  directory.write('b.txt', 'hello');
  const { stdout, stderr } = await count(['--model', 'claude-opus-4', '*.txt'], { cwd: directory.path });
  expect(stdout.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
    ['TOKENS', 'BYTES', 'FILE (o200k_base)'],
    ['~2', '11', 'a.txt'],
    ['~1', '5', 'b.txt'],
    ['~3', '16', 'total'],
    [''],
  ]);
  expect(stderr).toContain('claude-opus-4 has no public tokenizer');
});

test('orrery tokens count - fails for a pattern with no file, a folder, or an unknown encoding', async () => {
  using directory = temporaryDirectory();
  directory.write('docs/a.md', 'x');
  for (const args of [['nothing*'], ['docs'], ['--encoding', 'nope', 'docs/a.md']]) {
    const { code, stderr } = await count(['--json', ...args], { cwd: directory.path });
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'ORRERY_TOKENS_BAD_INPUT' } });
    expect(code).toBe(1);
  }
});

test('orrery tokens count - draws a bar on a terminal while a long count runs, and takes it away', async () => {
  using directory = temporaryDirectory();
  directory.write('quick.txt', 'hello world');
  // The count waits for the pipe, so that it lasts as long as the test says.
  const pipe = join(directory.path, 'slow');
  execFileSync('mkfifo', [pipe]);
  const command = `${process.execPath} ${BIN} tokens count quick.txt slow`;
  const terminal = spawn('script', ['-qec', command, '/dev/null'], { cwd: directory.path });
  let shown = '';
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  const ended = once(terminal, 'close');
  try {
    while (!shown.includes('MB/s')) {
      await Promise.race([once(terminal.stdout, 'data'), ended]);
      if (terminal.exitCode !== null) break;
    }
    expect(shown).toMatch(/\r\[[#.]+\] \d+% \d+\.\d MB\/s/);
  } finally {
    await writeFile(pipe, 'hello');
    await ended;
  }
  expect(terminal.exitCode).toBe(0);
  const [, after = ''] = shown.split('\x1b[K');
  expect(after.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
    ['TOKENS', 'BYTES', 'FILE (o200k_base)'],
    ['2', '11', 'quick.txt'],
    ['1', '5', 'slow'],
    ['3', '16', 'total'],
    [''],
  ]);
});
