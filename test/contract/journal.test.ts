import { MemoryJournal } from '../../src/main/delivery/memory-journal.ts';
import { RETENTION_MS, openJournal } from '../support/journal.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { journalContract } from './journal-contract.ts';

journalContract('in memory', (now) => {
  const retention = { dedupeRetentionMs: RETENTION_MS, replyRetentionMs: RETENTION_MS / 2 };
  const journal = new MemoryJournal({ ...retention, idPrefix: 'm', maxDeadLetters: 1_000, now });
  return Promise.resolve({ journal, [Symbol.asyncDispose]: () => journal.close() });
});

journalContract('in SQLite', async (now) => {
  const dir = temporaryDirectory();
  const journal = await openJournal(dir.path, { now });
  return {
    journal,
    [Symbol.asyncDispose]: async () => {
      await journal.close();
      dir[Symbol.dispose]();
    },
  };
});
