/**
 * Counts the syncs that the kernel is asked for. A kill shows nothing of power loss: what was written outlives the process, synced or
 * not. So it is looked at whether an acceptance is a sync, and how many share one.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { journalFile } from '../support/journal.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const APPENDER = new URL('../fixtures/append-some.ts', import.meta.url).pathname;
const COUNT = 40;

/** A container may have the tool and not the right to use it. */
const canTrace = spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0;

/** Syncs of a process that opens a journal, appends so many messages and closes it. */
function syncs(count: number, how: 'one-by-one' | 'at-once'): number {
  using dir = temporaryDirectory();
  const trace = join(dir.path, 'trace');
  const args = ['-f', '-e', 'trace=fsync,fdatasync', '-o', trace, process.execPath, APPENDER];
  const { status, stderr } = spawnSync('strace', [...args, journalFile(dir.path), String(count), how]);
  if (status !== 0) throw new Error(`The appender failed: ${String(stderr)}`);
  return readFileSync(trace, 'utf8')
    .split('\n')
    .filter((line) => /f(?:data)?sync\(/.test(line)).length;
}

test.skipIf(!canTrace)(
  'journal - each acceptance waits for a sync of its own, and those of one moment share one',
  () => {
    const around = syncs(0, 'one-by-one');
    const alone = syncs(COUNT, 'one-by-one') - around;
    expect(alone).toBeGreaterThanOrEqual(COUNT);
    // A checkpoint or a file that is made longer may add some.
    expect(alone).toBeLessThan(COUNT * 2);
    const together = syncs(COUNT, 'at-once') - around;
    expect(together).toBeGreaterThanOrEqual(1);
    expect(together).toBeLessThan(COUNT / 2);
  },
);
