/**
 * Owns the processes of a bench: a parent starts one, asks it questions by name, and ends it; the child answers with
 * {@link serve}. It knows nothing of what is measured.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

interface Question {
  readonly n: number;
  readonly name: string;
  readonly argument: unknown;
}

interface Answer {
  readonly n: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** Asked of a child by the parent, by name. */
export type Handlers = Readonly<Record<string, (argument: never) => unknown>>;

/** How long a child may take to end by itself before it is killed, in milliseconds. */
const STOP_MS = 5_000;

/** One child process. */
export class Child {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #n = 0;

  constructor(process: ChildProcess) {
    this.#process = process;
    process.on('message', (answer: Answer) => this.#settle(answer));
    process.once('exit', (code, signal) => {
      const error = new Error(`A process of the bench ended early (${signal ?? code})`);
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
  }

  /** Asks the child's handler of that name. Rejects with its error, or when the child ends. */
  ask<T>(name: string, argument: unknown = {}): Promise<T> {
    this.#n += 1;
    const asked = Promise.withResolvers<unknown>();
    this.#waiting.set(this.#n, asked);
    this.#process.send({ n: this.#n, name, argument } satisfies Question);
    return asked.promise as Promise<T>;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, 'exit');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS);
    this.#process.disconnect();
    await exited;
    clearTimeout(timer);
  }

  #settle({ n, value, error }: Answer): void {
    const asked = this.#waiting.get(n);
    this.#waiting.delete(n);
    if (error === undefined) asked?.resolve(value);
    else asked?.reject(new Error(error));
  }
}

/** Starts a module in a process of its own; resolves when it serves. Its standard output is not read. */
export async function start(
  module: URL,
  args: readonly string[] = [],
  execArgv: readonly string[] = [],
): Promise<Child> {
  const child = new Child(
    fork(module, args, {
      execArgv: [...execArgv],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, NODE_ENV: 'production' },
    }),
  );
  await child.ask('hello');
  return child;
}

/** Answers the parent's questions until it lets go of this process; `close` then runs before the end. */
export function serve(handlers: Handlers, close: () => Promise<void> | void = () => undefined): void {
  const known = new Map<string, (argument: unknown) => unknown>([['hello', () => true]]);
  for (const [name, handler] of Object.entries(handlers)) known.set(name, handler as (argument: unknown) => unknown);
  const answer = async ({ n, name, argument }: Question): Promise<Answer> => {
    try {
      const handler = known.get(name);
      if (!handler) throw new Error(`There is no handler ${name}`);
      return { n, value: await handler(argument) };
    } catch (error) {
      return { n, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
  };
  process.on('message', (question: Question) => {
    void answer(question).then((message) => process.connected && process.send?.(message));
  });
  process.once('disconnect', () => {
    void Promise.resolve(close()).finally(() => process.exit(0));
  });
}

/** CPU time of this process with all its threads, in seconds. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
