/** Owns `run.json`: what was run, with what, where, and how far it came. Secrets are no part of it. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { availableParallelism, platform, release, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { messageOf } from '../../protocol/index.ts';
import type { ResolvedConfig, TokenPrice } from '../config/index.ts';
import { VERSION } from '../ops/version.ts';
import { invalid } from './errors.ts';

/** In the run's directory. */
export const MANIFEST_FILE = 'run.json';

export interface RunManifest {
  readonly version: 1;
  readonly id: string;
  readonly suite: {
    readonly name: string;
    readonly path: string;
    readonly sha256: string;
    /** Cases that the run takes. */
    readonly cases: number | null;
  };
  readonly agents: readonly string[];
  /** As `--scorer` takes them. */
  readonly scorers: readonly string[];
  readonly repeats: number;
  readonly seed: number;
  readonly options: RunOptionsRecord;
  readonly config: unknown;
  readonly environment: {
    readonly node: string;
    readonly orrery: string;
    readonly os: string;
    readonly cpus: number;
    readonly memoryMb: number;
  };
  readonly git: { readonly revision: string | null; readonly dirty: boolean };
  readonly prices: Readonly<Record<string, TokenPrice>>;
  /** ISO 8601, of the first start. */
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly status: 'running' | 'done' | 'interrupted' | 'cost-limit';
  readonly totals: RunTotals;
}

export interface RunOptionsRecord {
  /** In all. */
  readonly concurrency: number;
  readonly concurrencyPerAgent: number;
  readonly rpm: number | null;
  readonly tpm: number | null;
  readonly limit: number | null;
  readonly tags: readonly string[];
  readonly sample: number | null;
  readonly turnTimeoutMs: number;
  readonly maxCost: number | null;
}

export interface RunTotals {
  /** Results, those with errors included. */
  readonly done: number;
  readonly errors: number;
  /** What was not run: the run was interrupted, or its money was spent. */
  readonly skipped: number;
}

/** A name for a run: when it began, and something that tells two of one second apart. */
export function newRunId(now: Date): string {
  const [date = '', time = ''] = now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').split('T');
  return `${date}-${time}-${randomBytes(2).toString('hex')}`;
}

/** Replaces the file as a whole: it is always the old manifest or the new one. */
export async function writeManifest(path: string, manifest: RunManifest): Promise<void> {
  const temporary = `${path}.tmp`;
  const handle = await open(temporary, 'w');
  try {
    await handle.writeFile(`${JSON.stringify(manifest, undefined, 2)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
}

/** Reads the manifest of a run; undefined when there is none. Throws `ORRERY_BENCH_INVALID` for what is none. */
export async function readManifest(path: string): Promise<RunManifest | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const manifest = JSON.parse(text) as RunManifest;
    if (manifest.version === 1) return manifest;
    throw new Error(`its version is ${String(manifest.version)}`);
  } catch (error) {
    throw invalid(`${path}: expected the manifest of a run (${messageOf(error)})`, { cause: error });
  }
}

export function environmentOf(): RunManifest['environment'] {
  return {
    node: process.version,
    orrery: VERSION,
    os: `${platform()} ${release()}`,
    cpus: availableParallelism(),
    memoryMb: Math.round(totalmem() / 1_048_576),
  };
}

const GIT_TIMEOUT_MS = 5_000;

/** The revision of the directory's checkout; null where there is none, or no git. */
export async function gitOf(cwd: string): Promise<RunManifest['git']> {
  const git = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)('git', [...args], { cwd, timeout: GIT_TIMEOUT_MS })).stdout.trim();
  try {
    const revision = await git('rev-parse', 'HEAD');
    return { revision, dirty: (await git('status', '--porcelain', '--untracked-files=no')) !== '' };
  } catch {
    return { revision: null, dirty: false };
  }
}

const SECRET = '[secret]';
const SECRET_NAME = /key|token|secret|password|passwd|credential|auth/i;
/** A shorter value may be part of anything. */
const MIN_SECRET = 6;

/**
 * The configuration of the agents that ran, and of the host. An agent's key is left out and its variables are named only; the value of a
 * variable that sounds like a secret, or that an agent lists, is struck out wherever it stands, as is what an address says of a user.
 */
export function redactConfig(
  config: ResolvedConfig,
  agents: readonly string[],
  env: Readonly<Record<string, string | undefined>> = process.env,
): unknown {
  const listed = Object.values(config.agents).flatMap((agent) => Object.values(agent.env));
  const named = Object.entries(env).flatMap(([name, value]) => (SECRET_NAME.test(name) ? [value ?? ''] : []));
  const keys = Object.values(config.agents).flatMap(({ source }) =>
    source.kind === 'model' ? [source.spec.apiKey ?? ''] : [],
  );
  const secrets = [...new Set([...listed, ...named, ...keys])].filter((value) => value.length >= MIN_SECRET);
  const { workers, delivery, sessions, restarts } = config;
  const used = agents.flatMap((name) => {
    const agent = config.agents[name];
    if (!agent) return [];
    const { source, env: variables, ...rest } = agent;
    return [[name, { ...rest, source: withoutKey(source), env: Object.keys(variables) }] as const];
  });
  return strike({ agents: Object.fromEntries(used), workers, delivery, sessions, restarts }, secrets);
}

function withoutKey(source: ResolvedConfig['agents'][string]['source']): unknown {
  if (source.kind !== 'model') return source;
  const { apiKey: _, ...spec } = source.spec;
  return { kind: source.kind, spec };
}

function strike(value: unknown, secrets: readonly string[]): unknown {
  if (typeof value === 'string') {
    const plain = value.replace(/(\w+:\/\/)[^/@\s]+@/g, `$1${SECRET}@`);
    return secrets.reduce((text, secret) => text.replaceAll(secret, SECRET), plain);
  }
  if (Array.isArray(value)) return value.map((item) => strike(item, secrets));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, strike(item, secrets)]));
}
