/** Owns a supervisor that runs inside a command: with the data directory's lock and the control socket around it. */
import type { Logger } from 'pino';
import type { OrreryError } from '../../protocol/index.ts';
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
 * `ORRERY_DATA_DIR_IN_USE` and with what the supervisor's start rejects with; nothing is left running then.
 */
export async function startHost(
  config: ResolvedConfig,
  log: Logger,
  { load, create = createRealSupervisor }: HostOptions = {},
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
    const stop = (o: { readonly timeoutMs?: number } = {}): Promise<DrainReport> => created.drain(o);
    created.drained().then(ended.resolve, ended.reject);
    control = await startControl({ supervisor: created, drain: stop, log }, config.dataDir);
    lock.announce(control.socket);
    await created.start();
    return { supervisor: created, ended: ended.promise, stop, close };
  } catch (error) {
    await close();
    throw error;
  }
}
