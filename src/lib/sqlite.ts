/**
 * Owns how a database file of ours is opened and spoken to: write-ahead log, waiting for other threads, durability, schema
 * versions, transactions, and errors that say what is wrong with the file. It knows no tables.
 *
 * `synchronous`: with either value a crash of a thread or of the process loses nothing that was committed, and nothing ever
 * leaves the file half-written. `normal` syncs at checkpoints alone, so that a loss of power, or a crash of the operating
 * system, may take the newest commits back; `full` syncs at each commit and keeps them, at the price of a sync each.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { OrreryError, messageOf } from '../protocol/index.ts';
import type { WriteGate } from './write-gate.ts';

export type Synchronous = 'normal' | 'full';

export interface DatabaseOptions {
  readonly file: string;
  /** What it is, for errors, such as "session database". */
  readonly what: string;
  /** SQLite's `application_id`: tells this kind of file from every other. */
  readonly applicationId: number;
  /** One script for each version of the schema, the first for version 1; only ever appended to. */
  readonly migrations: readonly string[];
  readonly synchronous: Synchronous;
  /** Milliseconds that a statement waits for another thread's write. Default {@link DEFAULT_BUSY_TIMEOUT_MS}. */
  readonly busyTimeoutMs?: number;
}

/** Under the heartbeat's 10 s: the thread is blocked meanwhile, and must fail by itself before it is taken for hung. */
export const DEFAULT_BUSY_TIMEOUT_MS = 5_000;

/** Milliseconds between two tries to give a new file its log. */
const LOG_LOOK_MS = 2;

/** SQLite's primary result codes. */
const BUSY = 5;
const READONLY = 8;
const CORRUPT = 11;
const CANTOPEN = 14;
const NOTADB = 26;

/**
 * Room for pages, a connection, and pages of the log after which they go to the database. With SQLite's own 2 MB and 1,000 pages
 * many sessions at once read their pages again for each turn, and a thread stops for the copy twice a second: a third slower.
 */
const CACHE_KIB = 16 * 1_024;
const CHECKPOINT_PAGES = 4_000;

/**
 * Opens a database, which is created where it is missing (mode 0600: it holds what people said), and brings its schema to
 * the newest version. Throws `ORRERY_DATABASE_UNUSABLE` when the file is damaged, cannot be written to, is none of ours or
 * was written by a newer version, and `ORRERY_DATABASE_FAILED` when another thread held it for too long.
 */
export function openDatabase(o: DatabaseOptions): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(dirname(o.file), { recursive: true, mode: 0o700 });
    closeSync(openSync(o.file, 'a', 0o600));
    database = new DatabaseSync(o.file, { timeout: o.busyTimeoutMs ?? DEFAULT_BUSY_TIMEOUT_MS });
    // At one moment of the file: another opener that makes the tables between two looks would leave a kind of nobody's.
    database.exec('BEGIN');
    checkKind(database, o);
    database.exec('COMMIT');
    useLog(database, o.busyTimeoutMs ?? DEFAULT_BUSY_TIMEOUT_MS);
    database.exec(`PRAGMA synchronous = ${o.synchronous === 'full' ? 'FULL' : 'NORMAL'}`);
    database.exec(`PRAGMA cache_size = -${CACHE_KIB}; PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    migrate(database, o);
    return database;
  } catch (error) {
    database?.close();
    throw databaseError(error, o);
  }
}

/** Runs work in write transactions: all of it is kept, or none. */
export class Writer {
  readonly #begin: () => unknown;
  readonly #commit: () => unknown;
  readonly #rollback: () => unknown;
  readonly #gate: WriteGate | undefined;

  /** `gate`: the threads of this process that write to the same file. */
  constructor(database: DatabaseSync, gate?: WriteGate) {
    this.#gate = gate;
    const [begin, commit, rollback] = ['BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK'].map((sql) => database.prepare(sql));
    this.#begin = () => begin?.run();
    this.#commit = () => commit?.run();
    // SQLite has rolled back by itself after some errors (a full disk), and refuses a second time.
    this.#rollback = () => database.isTransaction && rollback?.run();
  }

  /** The write lock is taken first: a transaction that began by reading could not wait for another writer. */
  run<T>(work: () => T): T {
    this.#gate?.enter();
    try {
      this.#begin();
      const result = work();
      this.#commit();
      return result;
    } catch (error) {
      this.#rollback();
      throw error;
    } finally {
      this.#gate?.leave();
    }
  }
}

/**
 * Closes a database behind the gate of the threads that share its file. The last one to close moves the log to the file and removes it, but two that
 * close side by side each find the other one still there, and neither does.
 */
export function closeDatabase(database: DatabaseSync, gate?: WriteGate): void {
  gate?.enter();
  try {
    database.close();
  } finally {
    gate?.leave();
  }
}

/** Says an error of SQLite's in ours; one that is ours already stays as it is. */
export function databaseError(error: unknown, { what, file }: Pick<DatabaseOptions, 'what' | 'file'>): OrreryError {
  if (error instanceof OrreryError) return error;
  const options = { cause: error, details: { file } };
  // What SQLite took for sound and is none of what we write: a text that is no JSON, a number beyond the schema's ranges.
  const unreadable = error instanceof SyntaxError || error instanceof RangeError;
  switch (unreadable ? CORRUPT : primaryCode(error)) {
    case CORRUPT:
    case NOTADB: {
      const hint =
        'Stop the supervisor, move the file away with its -wal and -shm, put a copy back where there is one, and start again.';
      return unusable(`The ${what} ${file} is damaged, or is no SQLite database`, { ...options, hint });
    }
    case READONLY:
    case CANTOPEN:
    case undefined: {
      const text = `The ${what} ${file} cannot be opened for writing: ${messageOf(error)}`;
      return unusable(text, { ...options, hint: 'Check the owner and the mode of the file and of its directory.' });
    }
    case BUSY:
      return new OrreryError('ORRERY_DATABASE_FAILED', `The ${what} was busy for too long`, options);
    default:
      return new OrreryError('ORRERY_DATABASE_FAILED', `The ${what} ${file} failed: ${messageOf(error)}`, options);
  }
}

/** Before anything is written: a file that is not ours stays as it was. */
function checkKind(database: DatabaseSync, { what, file, applicationId, migrations }: DatabaseOptions): void {
  // The tables first: another thread may make the file between two reads, its tables and its id in one transaction. An id that is
  // read before them would still be missing when they are there.
  const tables = numberOf(database.prepare('SELECT count(*) AS n FROM sqlite_schema').get(), 'n');
  const id = pragma(database, 'application_id');
  const version = pragma(database, 'user_version');
  if (id !== applicationId && (id !== 0 || tables > 0)) {
    throw unusable(`Expected ${file} to be a ${what}, it is another program's SQLite database`, {
      hint: 'Give another `dataDir`, or move the file away.',
    });
  }
  if (version > migrations.length) {
    throw unusable(`The ${what} ${file} has version ${version}, this program knows up to ${migrations.length}`, {
      hint: 'It was written by a newer version: run that one, or give another `dataDir`.',
    });
  }
}

/** Of two threads that give one new file its log, SQLite tells one that the file is busy, and does not wait for that. */
function useLog(database: DatabaseSync, timeoutMs: number): void {
  const from = performance.now();
  for (;;) {
    try {
      database.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (primaryCode(error) !== BUSY || performance.now() - from >= timeoutMs) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOG_LOOK_MS);
    }
  }
}

/** Threads that open one file at once find the versions that another one has just made. */
function migrate(database: DatabaseSync, o: DatabaseOptions): void {
  const { migrations, applicationId } = o;
  if (pragma(database, 'user_version') === migrations.length) return;
  new Writer(database).run(() => {
    checkKind(database, o);
    for (const script of migrations.slice(pragma(database, 'user_version'))) database.exec(script);
    database.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${migrations.length}`);
  });
}

function pragma(database: DatabaseSync, name: string): number {
  return numberOf(database.prepare(`PRAGMA ${name}`).get(), name);
}

function numberOf(row: Readonly<Record<string, unknown>> | undefined, column: string): number {
  const value = row?.[column];
  return typeof value === 'number' ? value : 0;
}

/** SQLite's code without its extension; undefined for what is not SQLite's. */
function primaryCode(error: unknown): number | undefined {
  const code = typeof error === 'object' && error !== null && 'errcode' in error ? error.errcode : undefined;
  return typeof code === 'number' ? code & 0xff : undefined;
}

function unusable(message: string, options: ConstructorParameters<typeof OrreryError>[2]): OrreryError {
  return new OrreryError('ORRERY_DATABASE_UNUSABLE', message, options);
}
