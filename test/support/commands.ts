/** Owns running the command as a process of its own, as its users do. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export const BIN: string = fileURLToPath(new URL('../../src/main/cli/bin.ts', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  /** Resolves with the output so far once it holds the text; rejects when the process ends without it. */
  until(text: string): Promise<string>;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly node?: readonly string[];
  readonly script?: string;
  /** Standard input; left open when absent and `keepInput` is set. */
  readonly input?: string;
  readonly keepInput?: boolean;
}

/** Starts the command without the caller's `ORRERY_*` variables. */
export function start(args: readonly string[], o: RunOptions = {}): Running {
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith('ORRERY_') && name !== 'NODE_OPTIONS');
  const child = spawn(process.execPath, [...(o.node ?? []), o.script ?? BIN, ...args], {
    cwd: o.cwd,
    env: { ...Object.fromEntries(clean), ...o.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const waiting = new Set<() => void>();
  const hear = (): void => {
    for (const look of waiting) look();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    hear();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    hear();
  });
  child.stdin.on('error', () => undefined); // the process may end before it read all
  if (o.keepInput !== true) child.stdin.end(o.input ?? '');
  else if (o.input !== undefined) child.stdin.write(o.input);
  const finished = once(child, 'close').then(([code, signal]): Finished => ({ code, signal, stdout, stderr }));
  return {
    child,
    finished,
    until(text) {
      const found = Promise.withResolvers<string>();
      const look = (): void => {
        if ((stdout + stderr).includes(text)) found.resolve(stdout + stderr);
      };
      waiting.add(look);
      look();
      void finished.then(() => found.reject(new Error(`ended without ${text}:\n${stdout}\n${stderr}`)));
      return found.promise.finally(() => waiting.delete(look));
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await finished;
    },
  };
}

export function run(args: readonly string[], o: RunOptions = {}): Promise<Finished> {
  return start(args, o).finished;
}
