/** Owns which journal a host has, and what of it is told: at start, and when it takes no writes. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { JournalStatus } from '../api.ts';
import type { ResolvedConfig } from '../config/types.ts';
import { type Journal, type JournalHealth, MemoryJournal, SqliteJournal } from '../delivery/index.ts';

/** The file in `dataDir`. */
const JOURNAL_FILE = 'journal.db';

/** Makes the configured journal; `open()` is still to be called. */
export function journalOf({ delivery, dataDir }: ResolvedConfig, log: Logger): Journal {
  // Ids of two processes never meet, also when the file was deleted between them.
  const idPrefix = `${Date.now().toString(36)}${randomBytes(3).toString('hex')}`;
  if (delivery.journal === 'memory') return new MemoryJournal({ ...delivery, idPrefix });
  const file = join(dataDir, JOURNAL_FILE);
  const { maxJournalBytes } = delivery;
  const bound = maxJournalBytes === undefined ? {} : { maxFileBytes: maxJournalBytes };
  return new SqliteJournal({ ...delivery, ...bound, file, idPrefix, changed: (health) => logHealth(health, log) });
}

/** Says at a start what a journal in memory does not do. */
export function warnOfMemory({ durable }: Journal, { dataDir }: ResolvedConfig, log: Logger): void {
  if (durable) return;
  log.warn('the journal is in memory: what is accepted is lost if the process is killed');
  const file = join(dataDir, JOURNAL_FILE);
  if (!existsSync(file)) return;
  log.warn(
    { file },
    'a journal of earlier starts is not read: what is unfinished in it waits for `delivery.journal: "sqlite"`',
  );
}

export function journalStatusOf({ kind, health, lag }: Journal): JournalStatus {
  const about = { kind, status: health.status, appends: lag.appends, marks: lag.marks };
  if (health.status === 'ok') return about;
  return { ...about, error: health.error.message, since: health.since };
}

function logHealth(health: JournalHealth, log: Logger): void {
  if (health.status === 'ok') log.info('the journal takes writes again: messages are taken in');
  else log.error({ err: health.error }, 'the journal takes no writes: messages are refused until it does');
}
