/** Owns a supervisor that runs inside a command: with the data directory's lock and the control socket around it. */
import type { Logger } from 'pino';
import type { DrainReport, Supervisor } from '../api.ts';
import type { ResolvedConfig } from '../config/index.ts';
import { type ControlServer, startControl } from '../ops/control.ts';
import { lockDataDir } from '../ops/lock.ts';
import { packageVersion } from './version.ts';

export type CreateSupervisor = (config: ResolvedConfig, log: Logger) => Promise<Supervisor>;

/** A supervisor may also be drained from inside, through its gateway; `ended` tells of it. */
type EndingSupervisor = Supervisor & { readonly ended?: Promise<DrainReport> };

export interface Host {
  readonly supervisor: Supervisor;
  /** Resolves with the report once the supervisor was drained, by whomever. */
  readonly ended: Promise<DrainReport>;
  /** Drains; a second call gets the first one's report. */
  stop(o?: { readonly timeoutMs?: number }): Promise<DrainReport>;
  /** Closes what is left and gives the data directory back. */
  close(): Promise<void>;
}

/** Creates the supervisor that the package is about; its import is late, because most commands need none. */
export const createRealSupervisor: CreateSupervisor = async (config, log) => {
  const { createSupervisor } = await import('../supervisor.ts');
  return createSupervisor({ agents: {} }, { dir: config.dir, resolved: config, log });
};

/**
 * Locks the data directory, creates and starts a supervisor and opens its control socket. Rejects with
 * `ORRERY_DATA_DIR_IN_USE` and with what the supervisor's start rejects with; nothing is left running then.
 */
export async function startHost(
  config: ResolvedConfig,
  log: Logger,
  create: CreateSupervisor = createRealSupervisor,
): Promise<Host> {
  const lock = await lockDataDir(config.dataDir, packageVersion());
  let supervisor: EndingSupervisor | undefined;
  let control: ControlServer | undefined;

  async function close(): Promise<void> {
    await control?.close();
    await supervisor?.close();
    lock.release();
  }

  try {
    const created: EndingSupervisor = await create(config, log);
    supervisor = created;
    const ended = Promise.withResolvers<DrainReport>();
    void created.ended?.then(ended.resolve, ended.reject);
    let stopping: Promise<DrainReport> | undefined;
    const stop = (o: { readonly timeoutMs?: number } = {}): Promise<DrainReport> => {
      if (stopping === undefined) {
        stopping = created.drain(o);
        stopping.then(ended.resolve, ended.reject);
      }
      return stopping;
    };
    control = await startControl({ supervisor: created, drain: stop, log }, config.dataDir);
    lock.announce(control.socket);
    await created.start();
    return { supervisor: created, ended: ended.promise, stop, close };
  } catch (error) {
    await close();
    throw error;
  }
}
