/**
 * Owns the supervisor's process as the driver sees it: it starts it, starts it again after a kill, asks it, and hears of it. What
 * is sent while none runs is lost, as it is on a network.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { type WriteStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Asks, FromHost, ToHost } from './protocol.ts';

const HOST = new URL('./host.ts', import.meta.url);

/** How long a process may take to come up, in milliseconds. */
const UP_MS = 60_000;

export interface HostLinkOptions {
  readonly config: string;
  readonly directory: string;
  readonly execArgv?: readonly string[];
  heard(message: FromHost): void;
  /** The process ended; `expected`: somebody had asked it to. */
  ended(exit: Exit, expected: boolean): void;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class HostLink {
  readonly #options: HostLinkOptions;
  readonly #log: WriteStream;
  #child: ChildProcess | undefined;
  #up = Promise.withResolvers<string>();
  #isUp = false;
  #exited: Promise<Exit> = Promise.resolve({ code: 0, signal: null });
  #asked = new Map<number, PromiseWithResolvers<unknown>>();
  #n = 0;
  #expected = false;
  /** Processes started so far: each is another other side of every connection. */
  generation = 0;
  /** All that was started: their sessions are looked through at the end. */
  readonly pids: number[] = [];

  constructor(options: HostLinkOptions) {
    this.#options = options;
    this.#log = createWriteStream(join(options.directory, 'host.log'), { flags: 'a' });
  }

  /** Where the gateway listens; resolves when a process is up. */
  get url(): Promise<string> {
    return this.#up.promise;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Starts a process; resolves when it is up, or has ended. `recovery`: the delivery taken over at which it kills itself. */
  async start(recovery = 0): Promise<void> {
    const { config, directory, execArgv = [] } = this.#options;
    const clean = Object.entries(process.env).filter(
      ([name]) => !name.startsWith('ORRERY_') && name !== 'NODE_OPTIONS',
    );
    const child = fork(HOST, [config, directory, String(recovery)], {
      execArgv: [...execArgv],
      // A session of its own: whatever it starts and leaves is found by that.
      detached: true,
      // A pipe: the log must not stop while the disk takes no writes.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...Object.fromEntries(clean), UV_THREADPOOL_SIZE: '16' },
    });
    this.generation += 1;
    this.#child = child;
    this.#expected = false;
    this.pids.push(child.pid ?? 0);
    child.stdout?.pipe(this.#log, { end: false });
    child.stderr?.pipe(this.#log, { end: false });
    child.on('message', (message: FromHost) => this.#hear(child, message));
    this.#exited = once(child, 'exit').then(([code, signal]) => this.#ended(child, { code, signal }));
    const timer = setTimeout(() => child.kill('SIGKILL'), UP_MS);
    await Promise.race([this.#up.promise, this.#exited]);
    clearTimeout(timer);
  }

  /** Kills the process; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#expected = true;
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /** Waits for a process that kills itself; false when it lives after that time. */
  async endsWithin(ms: number): Promise<boolean> {
    this.#expected = true;
    const late = Promise.withResolvers<false>();
    const timer = setTimeout(late.resolve, ms, false);
    const ended = await Promise.race([this.#exited.then(() => true), late.promise]);
    clearTimeout(timer);
    this.#expected = ended;
    return ended;
  }

  /** Tells the process to stop in order; resolves to its end and how long that took, in milliseconds. */
  async stop(): Promise<Exit & { readonly ms: number }> {
    this.#expected = true;
    const from = performance.now();
    this.#child?.kill('SIGTERM');
    const exit = await this.#exited;
    return { ...exit, ms: Math.round(performance.now() - from) };
  }

  close(): void {
    if (this.#child?.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    this.#log.end();
  }

  /** False when there is nobody to hear it. */
  send(message: ToHost): boolean {
    const child = this.#child;
    if (!this.#isUp || child?.connected !== true) return false;
    child.send(message, () => undefined);
    return true;
  }

  /** Rejects when the process ends before it answers. */
  ask<K extends keyof Asks>(what: K, argument: Asks[K][0]): Promise<Asks[K][1]> {
    this.#n += 1;
    const asked = Promise.withResolvers<unknown>();
    this.#asked.set(this.#n, asked);
    if (!this.send({ type: 'ask', n: this.#n, what, argument })) asked.reject(new Error('The host is not up'));
    return asked.promise as Promise<Asks[K][1]>;
  }

  #hear(child: ChildProcess, message: FromHost): void {
    if (child !== this.#child) return;
    if (message.type === 'up') {
      this.#isUp = true;
      this.#up.resolve(message.url);
    } else if (message.type === 'answer') {
      const asked = this.#asked.get(message.n);
      this.#asked.delete(message.n);
      if (message.error === undefined) asked?.resolve(message.value);
      else asked?.reject(new Error(message.error));
    }
    this.#options.heard(message);
  }

  #ended(child: ChildProcess, exit: Exit): Exit {
    if (child === this.#child) {
      if (this.#isUp) this.#up = Promise.withResolvers();
      this.#isUp = false;
      for (const { reject } of this.#asked.values()) reject(new Error('The host ended'));
      this.#asked.clear();
      this.#options.ended(exit, this.#expected);
    }
    return exit;
  }
}
