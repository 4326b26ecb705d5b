/** Owns a supervisor that runs inside a command: with the data directory's lock and the control socket around it. */
import type { Logger } from 'pino';
import { type OrreryError, codeOf } from '../../protocol/index.ts';
import type { DrainReport, Supervisor } from '../api.ts';
import type { ResolvedConfig } from '../config/index.ts';
import { type ControlServer, startControl } from '../ops/control.ts';
import { lockDataDir } from '../ops/lock.ts';
import { VERSION } from '../ops/version.ts';

export type CreateSupervisor = (
  config: ResolvedConfig,
  o: {
    readonly log: Logger;
    readonly onFatal: (error: OrreryError) => void;
    readonly load?: () => Promise<ResolvedConfig>;
  },
) => Promise<Supervisor>;

export interface HostOptions {
  /** Reads the configuration again. Default: it cannot be read again. */
  readonly load?: () => Promise<ResolvedConfig>;
  readonly create?: CreateSupervisor;
  /** Drains the supervisor when it is aborted, also while it starts. Default: nobody asks for that. */
  readonly signal?: AbortSignal;
}

export interface Host {
  readonly supervisor: Supervisor;
  /** Resolves with the report once the supervisor was drained, by whomever; rejects when only a new process helps. */
  readonly ended: Promise<DrainReport>;
  /** Drains; a second call gets the first one's report. */
  stop(o?: { readonly timeoutMs?: number }): Promise<DrainReport>;
  /** Closes what is left and gives the data directory back. */
  close(): Promise<void>;
}

/** Creates the supervisor that the package is about; its import is late, because most commands need none. */
export const createRealSupervisor: CreateSupervisor = async (config, o) => {
  const { createSupervisor } = await import('../supervisor.ts');
  return createSupervisor({ agents: {} }, { ...o, dir: config.dir, resolved: config, locked: true });
};

/**
 * Locks the data directory, creates and starts a supervisor and opens its control socket. Rejects with
 * `ORRERY_DATA_DIR_IN_USE` and with what the supervisor's start rejects with; nothing is left running then. One that was drained while it
 * started is no error: its host is resolved to all the same, whose `ended` tells the rest.
 */
export async function startHost(
  config: ResolvedConfig,
  log: Logger,
  { load, create = createRealSupervisor, signal }: HostOptions = {},
): Promise<Host> {
  const lock = await lockDataDir(config.dataDir, VERSION, log);
  let supervisor: Supervisor | undefined;
  let control: ControlServer | undefined;
  const ended = Promise.withResolvers<DrainReport>();
  ended.promise.catch(() => undefined); // whoever waits for it hears of it; a chat does not wait

  async function close(): Promise<void> {
    await control?.close();
    await supervisor?.close();
    lock.release();
  }

  try {
    const created = await create(config, { log, onFatal: ended.reject, ...(load === undefined ? {} : { load }) });
    supervisor = created;
    // Idempotent: everybody gets the first one's report, whoever asked for the drain.
    let isStopping = false;
    const stop = (o: { readonly timeoutMs?: number } = {}): Promise<DrainReport> => {
      isStopping = true;
      return created.drain(o);
    };
    created.drained().then(ended.resolve, ended.reject);
    // Its outcome is told by `ended`.
    const drain = (): void => void stop().catch(() => undefined);
    signal?.addEventListener('abort', drain, { once: true });
    if (signal?.aborted) drain();
    control = await startControl({ supervisor: created, drain: stop, log }, config.dataDir);
    lock.announce(control.socket);
    await created.start().catch((error: unknown) => {
      if (!isStopping) throw error;
      // Mostly it says no more than that, or that a connection was broken off for it.
      if (codeOf(error) !== 'ORRERY_CLOSED')
        log.warn({ err: error }, 'the start ended with an error while it was stopped');
    });
    return { supervisor: created, ended: ended.promise, stop, close };
  } catch (error) {
    await close();
    throw error;
  }
}
