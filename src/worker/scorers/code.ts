/**
 * Owns the scorer that runs a reply as Python, as HumanEval asks. The child process has a deadline, an empty environment and a
 * directory of its own that is removed. It is no sandbox: the code may do what this user may do.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Score, ScoredCase } from '../../protocol/scorers.ts';

const PYTHON = 'python3';
const MAX_OUTPUT_BYTES = 64 * 1024;

/** The program defines what it is asked for and passes the case's tests before the deadline. */
export async function code(scored: ScoredCase, timeoutMs: number): Promise<Score> {
  const program = programOf(scored);
  const dir = await mkdtemp(join(tmpdir(), 'orrery-code-'));
  try {
    const file = join(dir, 'main.py');
    await writeFile(file, program);
    // `-I`: neither the user's packages nor variables of the environment. SIGKILL, because code may ignore anything softer.
    await promisify(execFile)(PYTHON, ['-I', file], {
      cwd: dir,
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: MAX_OUTPUT_BYTES,
    });
    return { score: 1, passed: true };
  } catch (error) {
    return failure(error, timeoutMs);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** The reply with the tests behind it; a reply that does not define the function is the rest of the prompt. */
export function programOf({ input, output, expected, metadata }: ScoredCase): string {
  const test = metadata?.['test'] ?? expected;
  const entry = metadata?.['entryPoint'];
  if (typeof test !== 'string' || typeof entry !== 'string' || !/^\w+$/.test(entry)) {
    throw new TypeError('Expected a case of the code scorer to have `test` and `entry_point`');
  }
  const [, fenced] = /```(?:python|py)?[^\S\n]*\n([\s\S]*?)```/i.exec(output) ?? [];
  const reply = fenced ?? output;
  const whole = new RegExp(`^\\s*(?:async\\s+)?def\\s+${entry}\\b`, 'm').test(reply) ? reply : `${input}${reply}`;
  return `${whole}\n\n${test}\n\ncheck(${entry})\n`;
}

function failure(error: unknown, timeoutMs: number): Score {
  const { code, killed, stderr, message } = error as {
    code?: unknown;
    killed?: boolean;
    stderr?: string;
    message: string;
  };
  if (code === 'ENOENT') throw new Error(`${PYTHON} is not installed, so that code cannot be run`, { cause: error });
  if (killed === true && code !== 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') {
    return { score: 0, passed: false, detail: `did not end within ${timeoutMs} ms` };
  }
  const last = (stderr ?? '').trim().split('\n').at(-1);
  return { score: 0, passed: false, detail: (last === undefined || last === '' ? message : last).slice(0, 300) };
}
