/**
 * Owns watch mode: it looks at the files of the configuration and of the agents' modules, and has the supervisor take over what
 * was edited. Looking twice a second costs next to nothing, and works on every file system; events of the operating system do not.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import type { Logger } from 'pino';
import type { Supervisor } from '../api.ts';
import { localFiles } from '../config/imports.ts';

/** An edit is taken over when a file looks the same twice: editors write in several steps. */
export const LOOK_MS = 400;

export interface WatchOptions {
  readonly supervisor: Pick<Supervisor, 'agents' | 'reload'>;
  /** The configuration; absent where the built-in one runs. */
  readonly file: string | undefined;
  readonly log: Logger;
  readonly lookMs?: number;
}

/** Files by what is done about them: the configuration read again, or an agent restarted. */
interface Sources {
  readonly config: readonly string[];
  readonly agents: ReadonlyMap<string, readonly string[]>;
}

interface Print {
  /** Tells cheaply that a file may have been written. */
  readonly stamp: string;
  /** Of its content; empty for a file that is missing. */
  readonly hash: string;
}

export class Watch implements Disposable {
  readonly #options: WatchOptions;
  #sources: Sources = { config: [], agents: new Map() };
  /** What the host runs with, by path. */
  #known = new Map<string, Print>();
  /** Stamps of the last look, of files that differ from what is known. */
  #unsettled = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Resolves when it has seen all files once: later edits are noticed. */
  async start(): Promise<void> {
    await this.#list();
    this.#later();
    const files = this.#known.size;
    this.#options.log.info({ files }, 'watching the configuration and the modules of agents');
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #later(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      void this.#look()
        .catch((error: unknown) => this.#options.log.error({ err: error }, 'the watched files could not be looked at'))
        .then(() => this.#later());
    }, this.#options.lookMs ?? LOOK_MS);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const differing = new Map<string, string>();
    for (const [path, { stamp }] of this.#known) {
      const now = await stampOf(path);
      if (now !== stamp) differing.set(path, now);
    }
    const isSettled = [...differing].every(([path, stamp]) => this.#unsettled.get(path) === stamp);
    this.#unsettled = differing;
    if (differing.size === 0 || !isSettled) return;
    const edited = new Set<string>();
    for (const [path, stamp] of differing) {
      const hash = await hashOf(path);
      if (hash !== this.#known.get(path)?.hash) edited.add(path);
      // As it was before it is loaded: what is written from now on is another edit.
      this.#known.set(path, { stamp, hash });
    }
    this.#unsettled = new Map();
    if (edited.size === 0 || this.#closed) return;
    const began = Date.now();
    await this.#takeOver(edited);
    await this.#list(began);
  }

  async #takeOver(edited: ReadonlySet<string>): Promise<void> {
    const { supervisor, log } = this.#options;
    const { config, agents } = this.#sources;
    const isEdited = (files: readonly string[]): boolean => files.some((file) => edited.has(file));
    const started = new Set<string>();
    if (isEdited(config)) {
      // Whatever it rejects with is in the log by then.
      const report = await supervisor.reload().catch(() => undefined);
      for (const name of [...(report?.agents.added ?? []), ...(report?.agents.changed ?? [])]) started.add(name);
      for (const name of report?.agents.removed ?? []) started.add(name);
    }
    for (const [name, files] of agents) {
      if (!isEdited(files) || started.has(name)) continue;
      try {
        await supervisor.agents.restart(name);
      } catch (error) {
        log.error(
          { agent: name, err: error },
          `the edited code of agent ${name} does not run; what ran before goes on`,
        );
      }
    }
  }

  /**
   * Finds the files anew: an edit may have brought others. What is known of a file stays. One that is new here and was written since
   * `began` (Unix time in milliseconds) may have been loaded as it was before: it counts as edited.
   */
  async #list(began: number = Infinity): Promise<void> {
    const { supervisor, file } = this.#options;
    const modules = supervisor.agents.list().filter(({ source }) => isAbsolute(source));
    const agents = new Map<string, readonly string[]>();
    for (const { name, source } of modules) agents.set(name, await localFiles(source));
    this.#sources = { config: file === undefined ? [] : await localFiles(file), agents };
    const known = new Map<string, Print>();
    for (const path of [...this.#sources.config, ...[...agents.values()].flat()]) {
      known.set(path, this.#known.get(path) ?? (await printOf(path, began)));
    }
    this.#known = known;
  }
}

/** File systems may keep time in steps of some milliseconds. */
const TIME_STEP_MS = 20;

async function printOf(path: string, began: number): Promise<Print> {
  const { ctimeMs } = (await stat(path).catch(() => undefined)) ?? { ctimeMs: 0 };
  if (ctimeMs >= began - TIME_STEP_MS) return { stamp: '', hash: '' };
  return { stamp: await stampOf(path), hash: await hashOf(path) };
}

async function stampOf(path: string): Promise<string> {
  try {
    const { mtimeMs, ctimeMs, size, ino } = await stat(path);
    return [mtimeMs, ctimeMs, size, ino].join('-');
  } catch {
    return 'missing';
  }
}

async function hashOf(path: string): Promise<string> {
  try {
    return createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
  } catch {
    return '';
  }
}
