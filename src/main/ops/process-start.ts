/** Owns what tells a process from a later one with the same number: when it started. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

export interface ProcessStat {
  /** The kernel's letter for its state; `Z` for one that has ended and that its parent has not asked about. */
  readonly state: string;
  /** When it started, in the kernel's ticks since the machine did. */
  readonly start: string;
}

/** Reads /proc; undefined for a process that is not there, and where there is no /proc. */
export function processStat(pid: number): ProcessStat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Fields 3 and 22; the name in field 2 may hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    const start = fields[19];
    return state === undefined || start === undefined ? undefined : { state, start };
  } catch {
    return undefined;
  }
}

/** Asks `ps`, for systems without /proc: the second of its start; undefined for a process that is not there. */
export async function startByPs(pid: number): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)], { timeout: PS_MS });
    return stdout.trim() || undefined;
  } catch {
    return undefined;
  }
}

const PS_MS = 2_000;
