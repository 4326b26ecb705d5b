import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Status } from '../../src/main/api.ts';
import { readRecord } from '../../src/main/ops/lock.ts';
import { type RunOptions, type Running, run, start } from '../support/commands.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

const FAKE = fileURLToPath(new URL('../fixtures/serve-fake.ts', import.meta.url));
/** A user who owns nothing. */
const NOBODY = 65_534;
const OLD_NODE =
  'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.19.5"}})';

/** A working directory with a configuration whose gateway takes any port, and two agents on one thread. */
function project(): TemporaryDirectory {
  const directory = temporaryDirectory();
  directory.write(
    'agents/slow.ts',
    `export default { async *respond(turn) { yield 'wait'; await new Promise((_, reject) => turn.signal.addEventListener('abort', () => reject(turn.signal.reason))); } };`,
  );
  directory.write(
    'orrery.config.json5',
    `{ agents: { echo: { use: 'builtin:echo' }, slow: { use: './agents/slow.ts' } }, defaultAgent: 'echo',
       channels: { web: { type: 'gateway', port: 0 } }, workers: { threads: 1 } }`,
  );
  return directory;
}

async function serving(cwd: string, o: RunOptions = {}): Promise<Running> {
  const running = start(['serve'], { cwd, ...o });
  await running.until('the supervisor runs');
  return running;
}

describe('orrery', () => {
  it('old Node - is told in a sentence, with exit code 2', async () => {
    const { code, stdout, stderr } = await run(['serve'], { node: ['--import', OLD_NODE] });
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toBe('orrery: Node.js 24 or newer is needed, and this is 20.19.5. See https://nodejs.org/\n');
  });

  it('bin - has nothing that an old Node cannot read before the check', () => {
    const text = readFileSync(new URL('../../src/main/cli/bin.ts', import.meta.url), 'utf8');
    const code = text.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
    expect(code).toContain("import('./main.ts')");
    expect(code).not.toMatch(/^import |^export |\?\.|\?\?|=>|`|\basync\b|\bawait\b|node:/m);
  });

  it('usage - is wrong with exit code 2, and help and version are not', async () => {
    const [nothing, unknown, option, help, version] = await Promise.all([
      run([]),
      run(['stauts']),
      run(['serve', '--prot', '1']),
      run(['help', 'serve']),
      run(['--version']),
    ]);
    expect([nothing.code, unknown.code, option.code, help.code, version.code]).toEqual([2, 2, 2, 0, 0]);
    expect(unknown.stderr).toContain('Did you mean status?');
    expect(option.stderr).toContain('Did you mean --port?');
    expect(help.stdout).toContain('--data-dir');
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('configuration - is told with all its errors, without a stack, and exit code 2', async () => {
    using directory = temporaryDirectory();
    directory.write('orrery.config.json', '{ "agents": { "a": { "use": "builtin:ecco" } }, "chanels": {} }');
    const [text, json] = await Promise.all([
      run(['serve'], { cwd: directory.path }),
      run(['config', 'check', '--json'], { cwd: directory.path }),
    ]);
    expect(text.code).toBe(2);
    expect(text.stderr).toContain('did you mean "builtin:echo"?');
    expect(text.stderr).toContain('did you mean "channels"?');
    expect(text.stderr).not.toMatch(/^\s+at /m);
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stderr)).toMatchObject({ error: { code: 'ORRERY_CONFIG_INVALID' } });
  });

  it('commands - say that no supervisor runs, with exit code 1', async () => {
    using directory = temporaryDirectory();
    const verbs = [['status'], ['drain'], ['agents', 'list'], ['channels', 'restart', 'x'], ['dead-letters', 'list']];
    for (const { code, stderr } of await Promise.all(verbs.map((args) => run(args, { cwd: directory.path })))) {
      expect(code).toBe(1);
      expect(stderr).toContain(`No supervisor runs in ${join(directory.path, '.orrery')}`);
    }
  });
});

describe('orrery init', () => {
  it('files - pass the check, answer, and are never overwritten', async () => {
    using directory = temporaryDirectory();
    const { path: cwd } = directory;
    const first = await run(['init', 'bots'], { cwd });
    expect(first.code).toBe(0);
    expect(first.stdout).toContain('orrery serve');
    expect(readdirSync(join(cwd, 'bots')).sort()).toEqual(['agents', 'orrery.config.ts']);
    const inside = { cwd: join(cwd, 'bots', 'agents') };
    const check = await run(['config', 'check'], inside);
    expect(check).toMatchObject({ code: 0, stderr: '' });
    expect(check.stdout).toContain('agents hello, eliza (default: hello); channels web');
    const talk = await run(['chat'], { ...inside, input: 'one\ntwo\n' });
    expect(talk).toMatchObject({ code: 0, stderr: '' });
    expect(talk.stdout).toBe(
      'Hello! You said "one"; that was message 1 of this session.\nHello! You said "two"; that was message 2 of this session.\n',
    );
    const before = readFileSync(join(cwd, 'bots', 'orrery.config.ts'), 'utf8');
    const again = await run(['init', 'bots'], { cwd });
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('already has orrery.config.ts and agents/hello.ts');
    expect(readFileSync(join(cwd, 'bots', 'orrery.config.ts'), 'utf8')).toBe(before);
  });
});

describe('orrery serve', () => {
  it('supervisor - is reached by every command, and drained by one', async () => {
    using directory = project();
    const { path: cwd } = directory;
    await using running = await serving(cwd);
    const status = JSON.parse((await run(['status', '--json'], { cwd })).stdout) as Status;
    expect(status).toMatchObject({ pid: running.child.pid, state: 'running', defaultAgent: 'echo' });
    const text = await run(['status'], { cwd });
    expect(text.stdout).toMatch(/^Orrery .* is running/);
    expect(text.stdout).toMatch(/echo \(default\) +builtin:echo +shared +idle on shared-0/);
    expect(JSON.parse((await run(['agents', 'list', '--json'], { cwd })).stdout)).toHaveLength(2);
    expect((await run(['agents', 'restart', 'echo'], { cwd })).stdout).toMatch(/^echo was restarted/);
    expect((await run(['channels', 'restart', 'web'], { cwd })).stdout).toMatch(/^web was restarted/);
    expect(await run(['agents', 'restart', 'ecco'], { cwd })).toMatchObject({ code: 1 });
    expect(await run(['channels', 'restart', 'x'], { cwd })).toMatchObject({ code: 1 });
    expect(JSON.parse((await run(['dead-letters', 'list', '--json'], { cwd })).stdout)).toEqual([]);

    const second = await run(['serve'], { cwd });
    expect(second.code).toBe(2);
    expect(second.stderr).toContain(`in use by the supervisor with pid ${running.child.pid}`);

    const attached = await run(['chat', 'echo'], { cwd, input: 'over the socket\n' });
    expect(attached).toMatchObject({ code: 0, stdout: 'over the socket\n', stderr: '' });

    const drained = await run(['drain', '--json'], { cwd });
    expect(drained.code).toBe(0);
    expect(JSON.parse(drained.stdout)).toMatchObject({ clean: true, unfinished: 0 });
    expect(readRecord(join(cwd, '.orrery'))).toBeUndefined();
    expect((await running.finished).code).toBe(0);
    expect(readdirSync(join(cwd, '.orrery'))).toEqual([
      'compile-cache',
      'journal.db',
      'sessions.db',
      'supervisor.lock',
    ]);
  });

  it('log - is one JSON object a line on a pipe, and names the version, agents and data directory', async () => {
    using directory = project();
    await using running = await serving(directory.path);
    running.child.kill('SIGTERM');
    const { code, stdout, stderr } = await running.finished;
    expect(code).toBe(0);
    expect(stderr).toBe('');
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.find(({ msg }) => msg === 'the supervisor runs')).toMatchObject({
      level: 'info',
      agents: ['echo', 'slow'],
      dataDir: join(directory.path, '.orrery'),
    });
  });

  it('turn beyond the deadline - is cut off with exit code 1', async () => {
    using directory = project();
    const { path: cwd } = directory;
    await using running = await serving(cwd);
    await using talk = start(['chat', 'slow'], { cwd, input: 'x\n', keepInput: true });
    const pending = async (): Promise<number> =>
      (JSON.parse((await run(['status', '--json'], { cwd })).stdout) as Status).messages.pending;
    await expect.poll(pending, { timeout: 20_000 }).toBe(1);
    const drained = await run(['drain', '--timeout-ms', '1500'], { cwd });
    expect(drained.code).toBe(1);
    expect(drained.stdout).toContain('cut off with 1 unfinished');
    expect((await running.finished).code).toBe(1);
    talk.child.stdin?.end();
    const { code, stderr } = await talk.finished;
    expect(code).toBe(1);
    expect(stderr).toMatch(/ORRERY_INTERRUPTED|ORRERY_CLOSED/);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('%s - drains and exits with 0 when all was finished', async (signal) => {
    using directory = temporaryDirectory();
    await using running = start([directory.path], { script: FAKE });
    await running.until('the supervisor runs');
    running.child.kill(signal);
    const { code, stdout } = await running.finished;
    expect(code).toBe(0);
    expect(stdout).toContain('draining; a second signal');
    expect(stdout).toContain('"urls":["http://127.0.0.1:1234"]');
    expect(existsSync(join(directory.path, 'supervisor.json'))).toBe(false);
  });

  it('signal - exits with 1 when turns were cut off', async () => {
    using directory = temporaryDirectory();
    await using running = start([directory.path], { script: FAKE, env: { FAKE_CLEAN: '0' } });
    await running.until('the supervisor runs');
    running.child.kill('SIGTERM');
    expect((await running.finished).code).toBe(1);
  });

  it.each([
    ['1', 0],
    ['0', 1],
  ])('signal - during the start ends that, and the exit code is the drain’s, clean %s', async (clean, code) => {
    using directory = temporaryDirectory();
    await using running = start([directory.path], { script: FAKE, env: { FAKE_START: '1', FAKE_CLEAN: clean } });
    await running.until('it starts');
    running.child.kill('SIGTERM');
    const { code: exitCode, stdout, stderr } = await running.finished;
    expect(exitCode).toBe(code);
    // Not as a start that failed.
    expect(stderr).toBe('');
    expect(stdout).toMatch(/"level":"warn".*The connection was broken off/);
    expect(stdout).not.toContain('the supervisor runs');
    expect(existsSync(join(directory.path, 'supervisor.json'))).toBe(false);
  });

  it.each([
    ['1', 0],
    ['0', 1],
  ])(
    'record that cannot be removed - is a warning, and the exit code stays the drain’s, clean %s',
    async (clean, code) => {
      using directory = temporaryDirectory();
      await using running = start([directory.path], { script: FAKE, env: { FAKE_CLEAN: clean } });
      await running.until('the supervisor runs');
      // No one may remove a directory as a file; who may write to a read-only directory depends on the user.
      const record = join(directory.path, 'supervisor.json');
      rmSync(record);
      mkdirSync(record);
      running.child.kill('SIGTERM');
      const { code: exitCode, stdout } = await running.finished;
      expect(exitCode).toBe(code);
      expect(stdout).toMatch(/"level":"warn".*could not be removed/);
      expect(stdout).not.toContain('"level":"fatal"');
    },
  );

  it('data directory that turned read-only - is told in warnings, and the drain ends with its own exit code', async () => {
    using directory = temporaryDirectory();
    const { path } = directory;
    // Root may write anywhere, so it becomes somebody else.
    const isRoot = process.getuid?.() === 0;
    if (isRoot) chownSync(path, NOBODY, NOBODY);
    await using running = start([path], { script: FAKE, env: isRoot ? { FAKE_UID: String(NOBODY) } : {} });
    await running.until('the supervisor runs');
    chmodSync(path, 0o500);
    running.child.kill('SIGTERM');
    const { code, stdout } = await running.finished;
    chmodSync(path, 0o700);
    expect(stdout).not.toContain('"level":"fatal"');
    expect(stdout.match(/"level":"warn".*could not be removed/g)).toHaveLength(2);
    expect(code).toBe(0);
  });

  it.runIf(process.getuid?.() === 0)(
    'data directory that another user ran in - is a wrong configuration that names the directory, without a stack',
    async () => {
      using directory = temporaryDirectory();
      const { path } = directory;
      // What a host of root's leaves when it is killed.
      mkdirSync(join(path, 'control'), { mode: 0o700 });
      writeFileSync(join(path, 'control', 'supervisor.sock'), '');
      chownSync(path, NOBODY, NOBODY);
      const node = ['--import', `data:text/javascript,process.setuid(${NOBODY})`];
      const { code, stderr } = await run(['serve', '--data-dir', path], { cwd: path, node });
      expect(stderr).toContain(`expected a directory that can be written to, got ${path}`);
      expect(stderr).not.toContain('    at ');
      expect(code).toBe(2);
    },
  );

  it('second signal - exits at once with 1 while the drain hangs', async () => {
    using directory = temporaryDirectory();
    await using running = start([directory.path], { script: FAKE, env: { FAKE_HANG: '1' } });
    await running.until('the supervisor runs');
    running.child.kill('SIGTERM');
    await running.until('draining; a second signal');
    running.child.kill('SIGINT');
    expect((await running.finished).code).toBe(1);
    expect(existsSync(join(directory.path, 'supervisor.json'))).toBe(false);
  });

  it('error that nobody caught - is logged and ends the process with 1', async () => {
    using directory = temporaryDirectory();
    await using running = start([directory.path], { script: FAKE, env: { FAKE_THROW: '1' } });
    const { code, stdout } = await running.finished;
    expect(code).toBe(1);
    expect(stdout).toMatch(/"level":"fatal".*nobody caught this/);
  });

  it('killed supervisor - leaves a data directory that the next one takes', async () => {
    using directory = project();
    const killed = await serving(directory.path);
    killed.child.kill('SIGKILL');
    await killed.finished;
    expect((await run(['status'], { cwd: directory.path })).code).toBe(1);
    await using next = await serving(directory.path);
    next.child.kill('SIGTERM');
    expect((await next.finished).code).toBe(0);
  });
});

describe('orrery chat', () => {
  it('pipe - exits with 1 and tells the error when a message failed, and answers the others', async () => {
    using directory = temporaryDirectory();
    directory.write(
      'a.ts',
      `export default { async *respond(turn) { if (turn.message.content === 'bad') throw new Error('no'); yield turn.message.content; } };`,
    );
    directory.write('orrery.config.json', '{ "agents": { "a": { "use": "./a.ts" } }, "workers": { "threads": 1 } }');
    const { code, stdout, stderr } = await run(['chat'], { cwd: directory.path, input: 'one\nbad\ntwo' });
    expect(code).toBe(1);
    expect(stdout).toBe('one\ntwo\n');
    expect(stderr).toContain('(ORRERY_AGENT_FAILED)');
    expect(existsSync(join(directory.path, '.orrery', 'supervisor.json'))).toBe(false);
  });

  it('unknown agent - is told with those that there are', async () => {
    using directory = project();
    const { code, stdout, stderr } = await run(['chat', 'ecco'], { cwd: directory.path, input: 'x\n' });
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain('There is no agent "ecco"');
    expect(stderr).toContain('echo, slow');
  });
});
