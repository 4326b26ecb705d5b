/** Owns a look into a journal from outside of its process, also of one that was killed: what is in it, in its log and in rows of their own. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type LogEntry, MessageLog } from '../../src/main/delivery/sqlite-journal/message-log.ts';
import { STATUS } from '../../src/main/delivery/sqlite-journal/schema.ts';
import { Statements } from '../../src/main/delivery/sqlite-journal/statements.ts';
import type { ServedDir } from './served.ts';

export interface Unfinished {
  readonly text: string;
  /** True once its turn has committed: all that is left is to send the reply. */
  readonly committed: boolean;
}

/** Returns the messages that were accepted and are neither answered nor dead, in the order of acceptance. */
export function unfinished(served: ServedDir): readonly Unfinished[] {
  return readJournal(join(served.path('data'), 'journal.db'), (database) => {
    const rows = database
      .prepare('SELECT status, body FROM deliveries WHERE finished_at IS NULL ORDER BY position')
      .all();
    const logged = loggedIn(database).filter(({ finishedAt }) => finishedAt === null);
    return [...rows, ...logged].map(({ status, body }) => ({
      text: (JSON.parse(String(body)) as { message: { content: string } }).message.content,
      committed: status === STATUS.committed,
    }));
  });
}

export function readJournal<T>(file: string, read: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return read(database);
  } finally {
    database.close();
  }
}

/** Returns the deliveries that are in the log, in the order of acceptance. */
export function loggedIn(database: DatabaseSync): readonly LogEntry[] {
  const log = new MessageLog(new Statements(database), { idPrefix: '', retentionMs: 0 });
  const seqs: number[] = [];
  log.load((seq) => seqs.push(seq));
  return seqs.map((seq) => log.entry(seq)).filter((entry) => entry !== undefined);
}
