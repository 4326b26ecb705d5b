/** Runs `orrery serve` as a process, and has it take over edits: by the command, by SIGHUP, and by watching. */
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ReloadReport, Status } from '../../src/main/api.ts';
import { BIN, type Running, run, start } from '../support/commands.ts';
import { eventually } from '../support/host.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

let files: TemporaryDirectory;

beforeEach(() => {
  files = temporaryDirectory();
  files.write('shared/version.ts', "export const VERSION = 'one';");
  files.write('shared/extra.ts', 'export const extra = {};');
  files.write(
    'agents/edited.ts',
    `import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { VERSION } from '../shared/version.ts';
export default {
  async *respond({ message }) {
    while (message.content === 'hold' && !existsSync(${JSON.stringify(join(files.path, 'gate'))})) await delay(5);
    yield VERSION + ' ' + message.content;
  },
};`,
  );
  write({ edited: './agents/edited.ts' });
});

afterEach(() => files[Symbol.dispose]());

function configOf(agents: Readonly<Record<string, string>>, rest = ''): string {
  const entries = Object.entries(agents).map(([name, source]) => `${name}: { use: '${source}' }`);
  return `import { defineConfig } from 'orrery-host';
import { extra } from './shared/extra.ts';
export default defineConfig({
  agents: { ${entries.join(', ')}, ...extra },
  defaultAgent: 'edited',
  channels: { web: { type: 'gateway', port: 0 } },
  workers: { threads: 2 },
  log: { pretty: false },
  ${rest}
});`;
}

function write(agents: Readonly<Record<string, string>>, rest?: string): void {
  files.write('orrery.config.ts', configOf(agents, rest));
}

class Served implements AsyncDisposable {
  readonly running: Running;
  readonly url: string;

  private constructor(running: Running, url: string) {
    this.running = running;
    this.url = url;
  }

  static async start(...options: string[]): Promise<Served> {
    const running = start(['serve', ...options], { cwd: files.path });
    const output = await running.until('the supervisor runs');
    const line = output.split('\n').find((text) => text.includes('the supervisor runs')) ?? '';
    const [url = ''] = (JSON.parse(line) as { urls: string[] }).urls;
    return new Served(running, url);
  }

  async ask(message: string, namespace = 's'): Promise<string> {
    const response = await fetch(`${this.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message, namespace }),
    });
    return ((await response.json()) as { message: string }).message;
  }

  async status(): Promise<Status> {
    return (await (await fetch(`${this.url}/api/status`)).json()) as Status;
  }

  async agents(): Promise<readonly string[]> {
    return (await this.status()).agents.map(({ name }) => name);
  }

  /** It drains in order. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.running.child.kill('SIGTERM');
    const { code, stdout } = await this.running.finished;
    if (code !== 0) throw new Error(`ended with ${String(code)}:\n${stdout}`);
  }
}

describe('orrery reload', () => {
  test('serve - the command has the file read again and prints what became of it', async () => {
    await using served = await Served.start();
    write({ edited: './agents/edited.ts', more: 'builtin:echo' }, 'shutdown: { timeoutMs: 9_000 },');
    const json = await run(['reload', '--json'], { cwd: files.path });
    expect(json.code).toBe(0);
    expect(JSON.parse(json.stdout) as ReloadReport).toMatchObject({
      file: expect.stringContaining('orrery.config.ts'),
      agents: { added: ['more'], changed: [], removed: [] },
      channels: { added: [], changed: [], removed: [] },
      routing: false,
      needsRestart: expect.arrayContaining(['shutdown.timeoutMs']),
      failed: [],
    });
    expect(await served.agents()).toEqual(['edited', 'more']);

    write({ edited: './agents/edited.ts' });
    const text = await run(['reload'], { cwd: files.path });
    expect([text.code, text.stdout]).toEqual([0, expect.stringContaining('agent more removed')]);

    write({ edited: './agents/edited.ts', more: 'builtin:ehco' });
    const [reloaded, checked] = [
      await run(['reload'], { cwd: files.path }),
      await run(['config', 'check'], { cwd: files.path }),
    ];
    expect(reloaded).toMatchObject({ code: 2, stdout: '' });
    // The same words as those of the check.
    expect(reloaded.stderr).toBe(checked.stderr);
    expect(reloaded.stderr).toContain('builtin:ehco');
    expect(await served.agents()).toEqual(['edited']);
    expect(await served.ask('hello')).toBe('one hello');
  });

  test('serve - reads the file again at SIGHUP, and an edited module at `agents restart`', async () => {
    await using served = await Served.start();
    const held = served.ask('hold', 'long');
    await eventually('it is under way', async () => (await served.status()).slots.some(({ running }) => running === 1));
    write({ edited: './agents/edited.ts', more: 'builtin:echo' });
    served.running.child.kill('SIGHUP');
    await eventually('it is there', async () => (await served.agents()).includes('more'));
    files.write('shared/version.ts', "export const VERSION = 'two';");
    // Busy with what the old code still does.
    const restarted = await run(['agents', 'restart', 'edited'], { cwd: files.path });
    expect(restarted).toMatchObject({ code: 0, stdout: 'edited was restarted: busy\n' });
    expect(await served.ask('hello')).toBe('two hello');
    writeFileSync(join(files.path, 'gate'), '');
    expect(await held).toBe('one hold');
  });
});

test('serve - a terminal that is closed ends the host, though its signal is that of a reload', async () => {
  const command = [process.execPath, BIN, 'serve'].map((word) => `'${word}'`).join(' ');
  const terminal = spawn('script', ['-qec', command, '/dev/null'], {
    cwd: files.path,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  terminal.stdout.on('data', (data: Buffer) => {
    said += data.toString();
  });
  await eventually('it runs', () => said.includes('the supervisor runs'));
  const [, pid] = /"pid":(\d+)/.exec(said) ?? [];
  terminal.kill('SIGKILL');
  await eventually('the host is gone', () => {
    try {
      process.kill(Number(pid), 0);
      return false;
    } catch {
      return true;
    }
  });
  // It gave its directory back, which a kill does not.
  expect(existsSync(join(files.path, '.orrery', 'supervisor.json'))).toBe(false);
});

describe('orrery serve --watch', () => {
  test('watch - edits of modules, of what they import and of the configuration are taken over, and bad ones are not', async () => {
    await using served = await Served.start('--watch');
    const { running } = served;
    const held = served.ask('hold', 'long');
    await eventually('it is under way', async () => (await served.status()).slots.some(({ running: n }) => n === 1));

    files.write('shared/version.ts', "export const VERSION = 'two';");
    await eventually('the new code answers', async () => (await served.ask('hello')) === 'two hello');
    files.write('shared/version.ts', 'export const VERSION = ;');
    await running.until('what ran before goes on');
    expect(await served.ask('hello')).toBe('two hello');
    files.write('shared/version.ts', "export const VERSION = 'three';");
    await eventually('the next edit is looked at', async () => (await served.ask('hello')) === 'three hello');

    files.write('orrery.config.ts', '');
    await running.until('the one before stays in force');
    expect(await served.agents()).toEqual(['edited']);
    write({ edited: './agents/edited.ts', more: 'builtin:echo' });
    await eventually('the agent is there', async () => (await served.agents()).includes('more'));
    // An import of the configuration, too.
    files.write('shared/extra.ts', "export const extra = { third: { use: 'builtin:eliza' } };");
    await eventually('the next agent is there', async () => (await served.agents()).includes('third'));

    writeFileSync(join(files.path, 'gate'), '');
    expect(await held).toBe('one hold');
    expect(await served.ask('hello')).toBe('three hello');
  });
});
