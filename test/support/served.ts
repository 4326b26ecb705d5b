/** Owns `orrery serve` as a process on a directory that outlives it: started, ended in any way, and started again. */
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChannelStatus } from '../../src/main/api.ts';
import type { OrreryConfig } from '../../src/main/config/input.ts';
import { type Finished, type Running, run, start } from './commands.ts';
import { type TemporaryDirectory, temporaryDirectory } from './temporary.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: {
    readonly message?: string;
    readonly id?: string;
    readonly error?: { readonly code: string; readonly message: string; readonly id?: string };
  };
}

export interface Asked {
  readonly message: string;
  readonly id: string;
  readonly namespace?: string;
  readonly agent?: string;
}

export class ServedDir implements AsyncDisposable {
  readonly dir: TemporaryDirectory = temporaryDirectory();
  readonly #file: string;
  running: Running | undefined;
  url = '';

  /** The gateway takes any free port, and the log is JSON; all else is the test's. */
  constructor(config: OrreryConfig) {
    const { dir } = this;
    const whole = {
      channels: { web: { type: 'gateway', port: 0 } },
      dataDir: join(dir.path, 'data'),
      log: { level: 'info', pretty: false },
      ...config,
    };
    this.#file = dir.write('orrery.json', JSON.stringify(whole));
  }

  get process(): Running {
    if (!this.running) throw new Error('no process was started');
    return this.running;
  }

  path(name: string): string {
    return join(this.dir.path, name);
  }

  /** Begins a process, and does not wait for it. */
  launch(): Running {
    // For agents whose messages bring no metadata.
    const env = { GATE: this.path('gate'), LOG: this.path('log') };
    this.running = start(['serve', '-c', this.#file], { cwd: this.dir.path, env });
    return this.running;
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    this.launch();
    const output = await this.process.until('the supervisor runs');
    const line = output.split('\n').find((text) => text.includes('the supervisor runs')) ?? '';
    const [url] = (JSON.parse(line) as { urls: string[] }).urls;
    if (url === undefined) throw new Error(`no URL in ${line}`);
    this.url = url;
  }

  /** Ends it with no chance to do anything, and resolves when it is gone. */
  async kill(): Promise<void> {
    const { child } = this.process;
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    await this.process.finished;
  }

  /** Ends it in order; rejects when it had to cut something off. */
  async stop(): Promise<void> {
    this.process.child.kill('SIGTERM');
    const { code, stdout } = await this.process.finished;
    if (code !== 0) throw new Error(`ended with ${code}:\n${stdout}`);
  }

  /** As a client does: one that is turned away because the machine is busy comes again. */
  async ask(asked: Asked): Promise<Answer> {
    for (;;) {
      const answer = await this.#ask(asked);
      if (answer.status !== 429) return answer;
      await pause();
    }
  }

  async #ask({ message, id, namespace = 's', agent }: Asked): Promise<Answer> {
    return this.#answer(
      await fetch(`${this.url}/api/chat`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          message,
          id,
          namespace,
          metadata: { gate: this.path('gate'), log: this.path('log') },
          ...(agent === undefined ? {} : { agent }),
        }),
      }),
    );
  }

  /** As a client that comes back: asks with the same id until it is answered, through refusals that pass. */
  async insist(asked: Asked): Promise<Answer> {
    for (;;) {
      const answer = await this.ask(asked);
      if (answer.body.error?.code !== 'ORRERY_DUPLICATE_IN_FLIGHT') return answer;
      await pause();
    }
  }

  async call(method: string, path: string): Promise<{ readonly status: number; readonly body: unknown }> {
    const response = await fetch(`${this.url}${path}`, { method, headers: { 'x-orrery': '1' } });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    return { status: response.status, body: isJson ? (JSON.parse(text) as unknown) : text };
  }

  async channel(name: string): Promise<ChannelStatus> {
    const { channels } = (await this.call('GET', '/api/status')).body as { channels: readonly ChannelStatus[] };
    const found = channels.find((channel) => channel.name === name);
    if (!found) throw new Error(`there is no channel ${name}`);
    return found;
  }

  /** Runs a command on it, as its operator does. */
  async command(...args: readonly string[]): Promise<Finished> {
    return await run([...args, '-c', this.#file], { cwd: this.dir.path });
  }

  openGate(name = 'gate'): void {
    writeFileSync(this.path(name), '');
  }

  lines(name = 'log'): readonly string[] {
    const path = this.path(name);
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.running?.[Symbol.asyncDispose]();
    this.dir[Symbol.dispose]();
  }

  async #answer(response: Response): Promise<Answer> {
    return { status: response.status, headers: response.headers, body: (await response.json()) as Answer['body'] };
  }
}

const PAUSE_MS = 20;

function pause(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, PAUSE_MS);
  });
}
