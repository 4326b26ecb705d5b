/**
 * Owns a slot's generation in a child process of its own: the same agent host as in a thread, which no end of it reaches past.
 *
 *   main                                                   child (src/worker/child-entry.ts)
 *   calls, deltas, control  <== fd 3, a stream of frames ==>  agent host
 *   words: beat, begun...   <-- fd 4, a file's page --------  written by a system call, read here
 *   held open               --- fd 5, never written -------->  its end is main's end: a thread there kills the process
 *   log lines               <-- fd 6, main's own -----------  pino;   fd 2: what V8 and libraries print, logged here
 *
 * The child leads a process group. So a terminal's signals pass it by, and a kill takes along what its agent had started.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { Duplex, Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FrameLink } from '../../lib/frame-link.ts';
import type { Line } from '../../lib/line.ts';
import { CHILD_LINE, CHILD_LINES, CHILD_STOPPED, type HostTask, OrreryError, SLOT_WORD } from '../../protocol/index.ts';
import type { Carrier, CarrierEnd, SlotWord } from './carrier.ts';
import { childEnd } from './child-end.ts';
import { ChildOutput } from './child-output.ts';
import { ChildWords } from './child-words.ts';

export interface ChildOptions {
  /** Shown beside the command in a list of processes. */
  readonly label: string;
  readonly maxHeapMb?: number;
  /** The whole environment of the child. */
  readonly env: Readonly<Record<string, string>>;
  /** Hears what the child writes to standard error, in whole lines. */
  readonly output: (text: string, pid: number) => void;
  /** Knows which children live, for whoever comes after this process. */
  readonly book: ChildBook;
}

export interface ChildBook {
  began(pid: number): void;
  ended(pid: number): void;
}

const ENTRY = fileURLToPath(
  new URL(`../../worker/child-entry${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
);

/** Milliseconds that what a dead child had said may take to be read: it lies in this machine's memory. */
const LAST_WORDS_MS = 1_000;
/** A process that the kernel does not end by then waits for a device; it is given up, and stays in the book. */
const KILL_PATIENCE_MS = 10_000;

export class ChildCarrier implements Carrier {
  readonly calls: Line;
  readonly deltas: Line;
  readonly ended: Promise<CarrierEnd>;
  readonly #words: ChildWords;
  readonly #child: ChildProcess;
  readonly #book: ChildBook;
  readonly #exit = Promise.withResolvers<Pick<ChildProcess, 'exitCode' | 'signalCode'>>();
  #stopped = false;
  #killed: NodeJS.Timeout | undefined;
  #alone: NodeJS.Timeout | undefined;
  #beat = 0;

  /** Throws what the operating system says when it has no room for another process. */
  constructor(task: HostTask, options: ChildOptions) {
    const { label, maxHeapMb, env, output, book } = options;
    this.#book = book;
    this.#words = new ChildWords();
    const flags = [
      ...inheritedFlags(process.execArgv),
      ...(maxHeapMb === undefined ? [] : [`--max-old-space-size=${maxHeapMb}`]),
    ];
    const child = spawn(process.execPath, [...flags, ENTRY, label], {
      env,
      detached: true,
      stdio: ['ignore', 'inherit', 'pipe', 'overlapped', this.#words.fd, 'overlapped', task.log.fd ?? 1],
    });
    const failed = new Promise<CarrierEnd>((resolve) => {
      child.on('error', (cause) => {
        // Not for a signal that found nobody.
        if (child.pid === undefined) resolve({ exit: 'crashed', cause });
      });
    });
    this.#child = child;
    // Node's type knows of five streams; and where no descriptor is free there are none at all.
    const streams = child.stdio as readonly unknown[] | undefined;
    const [, , errors, stream, , life] = streams ?? [];
    if (!(errors instanceof Readable && stream instanceof Duplex && life instanceof Duplex)) {
      this.#words.close();
      throw new OrreryError('ORRERY_INTERNAL', 'A child process came without its streams');
    }
    life.on('error', () => undefined);
    const link = new FrameLink(stream, CHILD_LINES);
    const said = new ChildOutput(errors, (text) => output(text, child.pid ?? 0));
    this.calls = link.line(CHILD_LINE.calls);
    this.deltas = link.line(CHILD_LINE.deltas);
    link.line(CHILD_LINE.control).on('message', (message) => {
      this.#stopped = message === CHILD_STOPPED;
    });
    link.line(CHILD_LINE.control).postMessage({ ...task, sessions: ungated(task.sessions) });
    void link.closed.then((broken) => {
      // Whoever wrote what is no frame is not to be listened to; and one that has closed its link cannot be. That comes in the
      // course of an end too: a kill at once would take the place of what it died of.
      if (broken) this.kill();
      else this.#alone = setTimeout(() => this.kill(), LAST_WORDS_MS);
    });
    if (child.pid !== undefined) book.began(child.pid);
    child.once('exit', (exitCode, signalCode) => this.#exit.resolve({ exitCode, signalCode }));
    this.ended = Promise.race([failed, this.#end(link, said)]).finally(() => {
      clearTimeout(this.#killed);
      clearTimeout(this.#alone);
      this.#words.close();
      link.destroy();
      errors.destroy();
      life.destroy();
    });
  }

  get thread(): undefined {
    return undefined;
  }

  get pid(): number | undefined {
    const { pid, exitCode, signalCode } = this.#child;
    return exitCode === null && signalCode === null ? pid : undefined;
  }

  word(word: SlotWord): number {
    return this.#words.read(word);
  }

  /** The child measures it at each heartbeat; one that does not come back to its loop is busy all the time. */
  measure(): number {
    const beat = this.word(SLOT_WORD.beat);
    const stands = beat === this.#beat;
    this.#beat = beat;
    return stands ? 1 : this.word(SLOT_WORD.utilization) / 1_000;
  }

  kill(): void {
    const { pid } = this;
    if (pid === undefined || this.#killed) return;
    killGroup(pid);
    this.#killed = setTimeout(() => this.#exit.resolve({ exitCode: null, signalCode: 'SIGKILL' }), KILL_PATIENCE_MS);
  }

  async #end(link: FrameLink, said: ChildOutput): Promise<CarrierEnd> {
    const { exitCode, signalCode } = await this.#exit.promise;
    const { pid } = this.#child;
    if (pid !== undefined && this.pid === undefined) {
      // What its agent had started has nobody left to answer to. The group's number is taken as long as there is one of it.
      killGroup(pid);
      this.#book.ended(pid);
    }
    // Its last messages are read after its end was told; a program of the agent's that left the group may hold the output.
    const late = new AbortController();
    const patience = delay(LAST_WORDS_MS, undefined, { signal: late.signal }).catch(() => undefined);
    const broken = await Promise.race([Promise.all([link.closed, said.closed]), patience]);
    late.abort();
    if (broken?.[0]) return { exit: 'crashed', cause: broken[0] };
    return childEnd({
      code: exitCode,
      signal: signalCode,
      stopped: this.#stopped,
      error: this.#words.lastError(),
      output: said.tail,
    });
  }
}

/** A gate is shared memory: between processes SQLite's own lock has to do. */
function ungated(sessions: HostTask['sessions']): HostTask['sessions'] {
  if (sessions.store === 'memory') return sessions;
  const { gate: _, ...rest } = sessions;
  return rest;
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // nobody is left of it
  }
}

/** A debugger's port is taken, and what is run instead of a file, or beside it, is main's. */
const OWN_FLAGS = /^--?(?:inspect|debug|watch|test|input-type|prof|cpu-prof|heap-prof|max-old-space-size)/;
const CODE_FLAGS: ReadonlySet<string> = new Set(['-e', '--eval', '-p', '--print', '-pe']);

/** Returns what of the flags of this process holds for its children too, such as modules to preload and permissions. */
export function inheritedFlags(execArgv: readonly string[]): readonly string[] {
  let kept = true;
  return execArgv.filter((flag) => {
    // Anything else is the value of the flag before it.
    if (flag.startsWith('-')) kept = !CODE_FLAGS.has(flag) && !OWN_FLAGS.test(flag);
    return kept;
  });
}
