/**
 * Owns who may use a data directory: one supervisor at a time, and the record by which commands find it.
 *
 * The lock is SQLite's exclusive lock on an empty database, which is a lock of the operating system: of two that start at
 * the same instant exactly one gets it, and the kernel takes it back from a process that was killed. So there is no stale
 * lock to judge by pids, and no window between judging one and taking it over. The record may be stale; the lock decides. Only where somebody
 * removed the lock's file under a supervisor does the record: it names a process that lives, and whose lock is on a file that is gone.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { OrreryError, messageOf } from '../../protocol/index.ts';
import { processStat } from './process-start.ts';

const LOCK_FILE = 'supervisor.lock';
const RECORD_FILE = 'supervisor.json';
/** SQLite's code for a lock that somebody else holds. */
const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;
/** The winner of a race writes its record right after it got the lock; the loser waits this long for it. */
const RECORD_WAIT_MS = 1_000;
const RECORD_LOOK_MS = 20;

/** What commands need to know of the supervisor that runs. */
export interface SupervisorRecord {
  readonly pid: number;
  /** When the process started, in the kernel's ticks: with the pid it names a process for good. Only where there is /proc. */
  readonly processStart?: string;
  /** The control socket; absent until it listens. */
  readonly socket?: string;
  /** Unix time in milliseconds. */
  readonly startedAt: number;
  readonly version: string;
}

/** A data directory that is ours until `release`. */
export interface DataDirLock {
  readonly dataDir: string;
  /** Writes the control socket into the record. */
  announce(socket: string): void;
  /** Takes the record away, if that can be done, and gives the directory back; never throws. A second call does nothing. */
  release(): void;
}

/**
 * Takes a data directory, which is created where it is missing. Throws `ORRERY_DATA_DIR_IN_USE`, which names the process
 * that has it, `ORRERY_CONFIG_INVALID` when it cannot be written to, and `ORRERY_DATABASE_FAILED` when its disk is full. `log` hears of a record that stays behind.
 */
export async function lockDataDir(dataDir: string, version: string, log?: Logger): Promise<DataDirLock> {
  const database = openLock(dataDir);
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (isBusy(error)) throw await inUse(dataDir);
    throw unusable(dataDir, error);
  }
  if (await isHeldElsewhere(dataDir)) {
    database.close();
    throw await inUse(dataDir);
  }
  try {
    return held(dataDir, database, version, log);
  } catch (error) {
    database.close();
    throw unusable(dataDir, error);
  }
}

/** Reads the record of the supervisor that runs; undefined when there is none, or only that of one that is gone. */
export function readRecord(dataDir: string): SupervisorRecord | undefined {
  let record: unknown;
  try {
    record = JSON.parse(readFileSync(join(dataDir, RECORD_FILE), 'utf8'));
  } catch {
    return undefined; // none, or one that is being replaced on a file system without atomic renames
  }
  return isRecord(record) && isAlive(record) ? record : undefined;
}

function held(dataDir: string, database: DatabaseSync, version: string, log: Logger | undefined): DataDirLock {
  const processStart = processStat(process.pid)?.start;
  const record: SupervisorRecord = {
    pid: process.pid,
    ...(processStart === undefined ? {} : { processStart }),
    startedAt: Date.now(),
    version,
  };
  writeRecord(dataDir, record);
  let released = false;
  function release(): void {
    if (released) return;
    released = true;
    process.off('exit', release);
    // Before the lock goes: afterwards the record may be another supervisor's.
    try {
      rmSync(join(dataDir, RECORD_FILE), { force: true });
    } catch (error) {
      // The directory turned read-only, or the disk failed: a record that stays is stale, which its readers notice.
      log?.warn({ err: error, dataDir }, 'the record of the supervisor could not be removed');
    }
    database.close();
  }
  // `exit` handlers run at `process.exit()` too, so that only a kill leaves a record behind.
  process.on('exit', release);
  return { dataDir, announce: (socket) => announce(dataDir, { ...record, socket }), release };
}

function announce(dataDir: string, record: SupervisorRecord): void {
  try {
    writeRecord(dataDir, record);
  } catch (error) {
    throw unusable(dataDir, error);
  }
}

/** A rename replaces the record in one step: a reader sees the old or the new one, never half of it. */
function writeRecord(dataDir: string, record: SupervisorRecord): void {
  const file = join(dataDir, RECORD_FILE);
  writeFileSync(`${file}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function openLock(dataDir: string): DatabaseSync {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const file = join(dataDir, LOCK_FILE);
    const database = new DatabaseSync(file, { timeout: 0 });
    chmodSync(file, 0o600);
    return database;
  } catch (error) {
    throw unusable(dataDir, error);
  }
}

/** Who gives the directory back removes its record before its lock, and one that is being killed may be there for a moment longer than its lock. */
async function isHeldElsewhere(dataDir: string): Promise<boolean> {
  const deadline = Date.now() + RECORD_WAIT_MS;
  while (namesAnother(readRecord(dataDir))) {
    if (Date.now() >= deadline) return true;
    await sleep(RECORD_LOOK_MS);
  }
  return false;
}

/** Without its start a number may be anybody's by now, and then the lock alone decides. */
function namesAnother(record: SupervisorRecord | undefined): boolean {
  if (record?.processStart === undefined || record.pid === process.pid) return false;
  const stat = processStat(record.pid);
  return stat?.start === record.processStart && stat.state !== 'Z' && stat.state !== 'X';
}

async function inUse(dataDir: string): Promise<OrreryError> {
  const deadline = Date.now() + RECORD_WAIT_MS;
  let record = readRecord(dataDir);
  while (record === undefined && Date.now() < deadline) {
    await sleep(RECORD_LOOK_MS);
    record = readRecord(dataDir);
  }
  const by = record === undefined ? 'another supervisor' : `the supervisor with pid ${record.pid}`;
  return new OrreryError('ORRERY_DATA_DIR_IN_USE', `The data directory ${dataDir} is in use by ${by}`, {
    details: { dataDir, ...(record === undefined ? {} : { pid: record.pid }) },
  });
}

/** Says in ours why a data directory, or what lies in it, cannot be used. */
export function unusable(dataDir: string, error: unknown): OrreryError {
  if (error instanceof OrreryError) return error;
  // No fault of the configuration: whoever starts the host again finds that it goes once there is room.
  if (isFull(error)) {
    return new OrreryError(
      'ORRERY_DATABASE_FAILED',
      `The disk of the data directory ${dataDir} is full (${messageOf(error)})`,
      {
        cause: error,
        hint: 'Make room on that disk, and start again.',
      },
    );
  }
  return new OrreryError(
    'ORRERY_CONFIG_INVALID',
    `dataDir: expected a directory that can be written to, got ${dataDir} (${messageOf(error)})`,
    { cause: error, hint: 'Give another directory with --data-dir, ORRERY_DATA_DIR or `dataDir`.' },
  );
}

function isFull(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  if ('errcode' in error) return error.errcode === SQLITE_FULL;
  return 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}

function isBusy(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'errcode' in error && error.errcode === SQLITE_BUSY;
}

function isRecord(value: unknown): value is SupervisorRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, socket, startedAt, version } = value as Partial<Record<keyof SupervisorRecord, unknown>>;
  const socketFits = socket === undefined || typeof socket === 'string';
  return Number.isSafeInteger(pid) && socketFits && typeof startedAt === 'number' && typeof version === 'string';
}

/** A pid alone may by now be another process's. */
function isAlive(record: SupervisorRecord): boolean {
  try {
    process.kill(record.pid, 0);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false;
  }
  const start = processStat(record.pid)?.start;
  return start === undefined || record.processStart === undefined || start === record.processStart;
}
