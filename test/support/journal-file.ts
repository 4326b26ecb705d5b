/** Owns a look into a journal from outside of its process, also of one that was killed: what is in it and not answered yet. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { STATUS } from '../../src/main/delivery/sqlite-journal/schema.ts';
import type { ServedDir } from './served.ts';

export interface Unfinished {
  readonly text: string;
  /** True once its turn has committed: all that is left is to send the reply. */
  readonly committed: boolean;
}

/** Returns the messages that were accepted and are neither answered nor dead, in the order of acceptance. */
export function unfinished(served: ServedDir): readonly Unfinished[] {
  const file = new DatabaseSync(join(served.path('data'), 'journal.db'), { readOnly: true });
  try {
    const rows = file
      .prepare('SELECT status, body FROM deliveries WHERE finished_at IS NULL AND died_at IS NULL ORDER BY position')
      .all() as { status: number; body: string }[];
    return rows.map(({ status, body }) => ({
      text: (JSON.parse(body) as { message: { content: string } }).message.content,
      committed: status === STATUS.committed,
    }));
  } finally {
    file.close();
  }
}
