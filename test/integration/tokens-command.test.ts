import { expect, test } from 'vitest';
import { type Finished, run } from '../support/commands.ts';
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
