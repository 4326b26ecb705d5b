/**
 * Owns the list of the supervisor's child processes, in `dataDir`, and the end of those that a supervisor left behind. A child
 * ends by itself when its supervisor does; the list is for one that could not. A number alone may by now be another process's:
 * who is ended has the start time too that stands beside it.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { processStat, startByPs } from './process-start.ts';

const CHILDREN_FILE = 'children.json';
/** Milliseconds that a killed process may take to vanish. */
const END_MS = 2_000;
const END_LOOK_MS = 10;

/** A process that its start names for good; without one it is never judged, and never ended. */
interface Known {
  readonly pid: number;
  readonly start?: string;
}

interface Children {
  readonly supervisor: Known;
  readonly children: readonly Known[];
}

/** The children of this supervisor. */
export class ChildrenFile {
  readonly #dataDir: string;
  readonly #log: Logger;
  readonly #children = new Map<number, Known>();

  constructor(dataDir: string, log: Logger) {
    this.#dataDir = dataDir;
    this.#log = log;
  }

  /** Writes the child down before anything is sent to it. */
  began(pid: number): void {
    const start = processStat(pid)?.start;
    this.#children.set(pid, known(pid, start));
    this.#write();
    if (start !== undefined || process.platform === 'linux') return;
    void startByPs(pid).then((found) => {
      if (found === undefined || !this.#children.has(pid)) return;
      this.#children.set(pid, known(pid, found));
      this.#write();
    });
  }

  ended(pid: number): void {
    if (this.#children.delete(pid)) this.#write();
  }

  /** A rename replaces the list in one step. Without a child there is no file. */
  #write(): void {
    const file = join(this.#dataDir, CHILDREN_FILE);
    try {
      if (this.#children.size === 0) return rmSync(file, { force: true });
      const supervisor = known(process.pid, processStat(process.pid)?.start);
      const list: Children = { supervisor, children: [...this.#children.values()] };
      mkdirSync(this.#dataDir, { recursive: true, mode: 0o700 });
      writeFileSync(`${file}.new`, `${JSON.stringify(list)}\n`, { mode: 0o600 });
      renameSync(`${file}.new`, file);
    } catch (error) {
      // The children still end with this process: the list is the second net.
      this.#log.warn({ err: error, file }, 'the list of child processes could not be written');
    }
  }
}

/**
 * Ends what the last supervisor on this data directory left behind, with all that it had started; resolves when it is gone.
 * Touches nothing while that supervisor lives, and no process whose start is not the one in the list.
 */
export async function endLeftovers(dataDir: string, log: Logger): Promise<void> {
  const file = join(dataDir, CHILDREN_FILE);
  const list = readList(file);
  if (!list) return;
  if (await lives(list.supervisor)) {
    if (list.supervisor.pid !== process.pid)
      log.warn({ file, ...list.supervisor }, 'another supervisor uses this directory');
    return;
  }
  for (const child of list.children) {
    if (!(await lives(child))) continue;
    log.warn({ pid: child.pid }, 'a child process was left behind by the last supervisor and is ended');
    kill(child.pid);
    if (!(await gone(child))) log.error({ pid: child.pid }, 'a child process that was left behind does not end');
  }
  rmSync(file, { force: true });
}

function known(pid: number, start: string | undefined): Known {
  return start === undefined ? { pid } : { pid, start };
}

async function lives({ pid, start }: Known): Promise<boolean> {
  if (start === undefined) return false;
  const stat = processStat(pid);
  if (stat) return stat.state !== 'Z' && stat.start === start;
  return process.platform !== 'linux' && (await startByPs(pid)) === start;
}

async function gone(child: Known): Promise<boolean> {
  const deadline = performance.now() + END_MS;
  while (await lives(child)) {
    if (performance.now() > deadline) return false;
    await sleep(END_LOOK_MS);
  }
  return true;
}

/** A child leads its group. */
function kill(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // it ended meanwhile
  }
}

/** Undefined when there is none, or it is not one of ours. */
function readList(file: string): Children | undefined {
  try {
    const list: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof list !== 'object' || list === null) return undefined;
    const { supervisor, children } = list as Partial<Record<keyof Children, unknown>>;
    if (!isKnown(supervisor) || !Array.isArray(children)) return undefined;
    return { supervisor, children: children.filter(isKnown) };
  } catch {
    return undefined;
  }
}

function isKnown(value: unknown): value is Known {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, start } = value as Partial<Record<keyof Known, unknown>>;
  // A group's number: 0 and 1 would be everybody's.
  return Number.isSafeInteger(pid) && (pid as number) > 1 && (start === undefined || typeof start === 'string');
}
