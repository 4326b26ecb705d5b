/** Owns the look at what is left: of a process in /proc, of a session of processes, and in the data directory. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** What this process holds. */
export interface Held {
  /** Kernel threads by their names. */
  readonly threads: Readonly<Record<string, number>>;
  /** Open files, pipes and sockets, by their kind or path. */
  readonly files: Readonly<Record<string, number>>;
  readonly handles: Readonly<Record<string, number>>;
  readonly children: readonly number[];
}

export function leftInProcess(): Held {
  // Their handles come with their first use, and are Node's own.
  const own = [process.stdout, process.stderr];
  return {
    threads: counts(list('/proc/self/task').map((id) => text(`/proc/self/task/${id}/comm`).trim())),
    files: counts(list('/proc/self/fd').map((fd) => fileOf(`/proc/self/fd/${fd}`))),
    // A request that is under way is no handle that stays.
    handles: counts(process.getActiveResourcesInfo().filter((name) => own.length > 0 && !name.startsWith('FSReq'))),
    children: list('/proc/self/task').flatMap((id) => numbers(text(`/proc/self/task/${id}/children`))),
  };
}

/** Kernel threads that Node keeps for itself: V8's and libuv's pools, the inspector's and the delayed tasks' thread. */
const NODES_OWN = /^(?:node|node-|MainThread|V8Worker|libuv-worker|DelayedTask|SignalInspector|iou-)/;

/** What is there after that was not there before, in words. */
export function leftOver(before: Held, after: Held): readonly string[] {
  return [
    ...more('thread', before.threads, after.threads).filter((what) => !NODES_OWN.test(what.slice('thread '.length))),
    ...more('file', before.files, after.files),
    ...more('handle', before.handles, after.handles),
    ...after.children.filter((pid) => !before.children.includes(pid)).map((pid) => `child process ${pid}`),
  ];
}

/** Processes of a session that still live: whatever its leader started and did not end. */
export function processesOfSession(session: number): readonly string[] {
  return list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const stat = text(`/proc/${pid}/stat`);
      const [state, , , sid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(sid) === session && state !== 'Z';
    })
    .map((pid) => `${pid} ${text(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()}`);
}

/** Files in the data directory of a host that ended in order. */
const EXPECTED_FILES = /^(?:sessions\.db|journal\.db|supervisor\.lock|lock\.db|orrery\.lock|compile-cache)$/;

export function unexpectedFiles(dataDir: string): readonly string[] {
  return list(dataDir).filter((name) => !EXPECTED_FILES.test(name));
}

function more(
  what: string,
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): readonly string[] {
  return Object.entries(after).flatMap(([name, count]) => {
    const added = count - (before[name] ?? 0);
    return added > 0 ? [`${what} ${name} (${added})`] : [];
  });
}

function counts(names: readonly string[]): Readonly<Record<string, number>> {
  const all: Record<string, number> = {};
  for (const name of names) all[name] = (all[name] ?? 0) + 1;
  return all;
}

function fileOf(link: string): string {
  try {
    // A pipe's or a socket's number says nothing.
    return readlinkSync(link).replace(/:\[\d+\]$/, '');
  } catch {
    return 'the look itself'; // the directory that is being listed
  }
}

/** Things go while they are looked at. */
function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function text(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function numbers(words: string): readonly number[] {
  return words.split(' ').filter(Boolean).map(Number);
}

/** Memory, threads and open files of a process as the kernel counts them; undefined when it is gone. */
export function figuresOf(
  pid: number,
):
  | { readonly rssBytes: number; readonly threads: number; readonly files: number; readonly sockets: number }
  | undefined {
  const status = text(`/proc/${pid}/status`);
  const rss = /VmRSS:\s+(\d+) kB/.exec(status)?.[1];
  if (rss === undefined) return undefined;
  const files = list(`/proc/${pid}/fd`).map((fd) => fileOf(join(`/proc/${pid}/fd`, fd)));
  return {
    rssBytes: Number(rss) * 1_024,
    threads: Number(/Threads:\s+(\d+)/.exec(status)?.[1]),
    files: files.length,
    sockets: files.filter((name) => name === 'socket').length,
  };
}
