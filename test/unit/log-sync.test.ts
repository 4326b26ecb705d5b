import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LogSync } from '../../src/main/delivery/sqlite-journal/log-sync.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** Takes no byte, as a full disk. */
const FULL = '/dev/full';

test('log - is made longer with zeros, and is as long as before when room was tried', () => {
  using dir = temporaryDirectory();
  const file = join(dir.path, 'a-wal');
  const log = new LogSync(file);
  log.extend(100_000);
  log.extend(50_000);
  expect(readFileSync(file).equals(Buffer.alloc(100_000))).toBe(true);
  log.tryRoom(3 * 1024 * 1024);
  log.wrote();
  log.sync();
  expect(statSync(file).size).toBe(100_000);
  log.close();
});

test('log - after a sync that failed none goes well before it is mended', () => {
  using dir = temporaryDirectory();
  const log = new LogSync(join(dir.path, 'a-wal'));
  log.wrote();
  log.sync();
  // Its descriptor is gone, and so is every sync.
  log.close();
  log.wrote();
  const failed = expect.objectContaining({ code: 'ORRERY_DATABASE_FAILED' });
  expect(() => log.sync()).toThrow(failed);
  expect(log.isBroken).toBe(true);
  expect(() => log.sync()).toThrow(failed);
  log.mended();
  expect(log.isBroken).toBe(false);
});

test.skipIf(!existsSync(FULL))(
  'log - a full disk is found when room is tried, and is no error when the log is made longer',
  () => {
    const log = new LogSync(FULL);
    log.extend(100_000);
    expect(() => log.tryRoom(64)).toThrow(expect.objectContaining({ code: 'ORRERY_DATABASE_FAILED' }));
    log.close();
  },
);
