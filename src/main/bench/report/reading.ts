/** Owns reading a run's directory, whatever state it is in: done, interrupted, killed, or still going on. It changes nothing there. */
import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { invalid } from '../errors.ts';
import { DoneSet } from '../ledger.ts';
import { MANIFEST_FILE, type RunManifest, readManifest } from '../manifest.ts';
import { readLines } from '../records.ts';
import { type BenchResult, RESULTS_FILE } from '../results.ts';

export interface StoredRun {
  /** Absolute. */
  readonly dir: string;
  readonly manifest: RunManifest;
}

/** Opens a run's directory. Rejects with `ORRERY_BENCH_INVALID` when it holds none. */
export async function openRun(dir: string): Promise<StoredRun> {
  const path = resolve(dir);
  const manifest = await readManifest(join(path, MANIFEST_FILE));
  if (manifest) return { dir: path, manifest };
  throw invalid(`Expected the directory of a run, and ${path} has no ${MANIFEST_FILE}`, {
    hint: 'A run writes into the directory that --out names, by default bench-runs/ID.',
  });
}

/**
 * Reads a run's results in batches: each (case, agent, repeat) of the manifest once. Rejects with `ORRERY_BENCH_INVALID` at a line that
 * is no result, but for the last one, which a kill may have torn.
 */
export async function* readRun({ dir, manifest }: StoredRun): AsyncGenerator<readonly BenchResult[]> {
  const path = join(dir, RESULTS_FILE);
  if (!(await exists(path))) return;
  const seen = new DoneSet(manifest.agents, manifest.repeats);
  let torn: number | undefined;
  for await (const lines of readLines(path)) {
    const batch: BenchResult[] = [];
    for (const { number, text } of lines) {
      if (torn !== undefined) throw noResult(path, torn);
      const result = parse(text);
      if (!result) torn = number;
      else if (seen.add(result.caseId, result.agent, result.repeat)) batch.push(result);
    }
    if (batch.length > 0) yield batch;
  }
}

function parse(text: string): BenchResult | undefined {
  try {
    const result = JSON.parse(text) as BenchResult | null;
    const isResult =
      typeof result?.caseId === 'string' && typeof result.agent === 'string' && Boolean(result.latencyMs);
    return isResult ? result : undefined;
  } catch {
    return undefined;
  }
}

function noResult(path: string, line: number): Error {
  return invalid(`${path}:${line}: expected a result, and the line is none`, {
    hint: 'The file was changed by something else: take the line out.',
  });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
