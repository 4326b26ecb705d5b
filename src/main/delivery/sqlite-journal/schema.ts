/** Owns the tables of the journal and how they came about. A script that was released is never changed: the next one is appended. */

/** SQLite's `application_id` of the file: "OrrJ". */
export const JOURNAL_APPLICATION_ID = 0x4f72724a;

/**
 * - `meta`: one row. `clean` is 1 while no process has the file open and the last one closed it; the rest are counts over its lifetime.
 * - `deliveries`: `seq` is in the id and never changes. `position` is the order of acceptance: `seq`, until a dead letter is
 *   put back behind the others. `key` is the dedupe key, or null when a newer message has taken that: found by the table
 *   in memory that is filled from here, see `key-table.ts`. `body_hash` is compared when a key comes again. `reply` is a reply's text, `state` the rest of
 *   the state as JSON, as a mark brings them. `body` and `about` are the message as JSON, and null once nothing needs it.
 *   `finished_at` and `died_at` are in the conditions of the indexes, which so cost a step on the way nothing. `died_at`
 *   is set as long as the row is a dead letter.
 * - `probe`: what is written to see whether there is room.
 */
const VERSION_1 = `
  CREATE TABLE meta (
    clean INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    replayed INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    dead INTEGER NOT NULL
  ) STRICT;
  INSERT INTO meta VALUES (1, 0, 0, 0, 0);
  CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY,
    position INTEGER NOT NULL,
    status INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    replays INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    finished_at INTEGER,
    died_at INTEGER,
    id TEXT NOT NULL,
    key TEXT,
    body_hash BLOB NOT NULL,
    agent TEXT NOT NULL,
    state TEXT,
    reply TEXT,
    body TEXT,
    about TEXT
  ) STRICT;
  CREATE INDEX unfinished ON deliveries (position) WHERE finished_at IS NULL;
  CREATE INDEX letters ON deliveries (died_at, seq) WHERE died_at IS NOT NULL;
  CREATE TABLE probe (n INTEGER PRIMARY KEY, room BLOB NOT NULL) STRICT;
`;

export const JOURNAL_MIGRATIONS: readonly string[] = [VERSION_1];

/** A delivery's status as the file holds it. The numbers are in files: never change one. */
export const STATUS = { accepted: 0, dispatched: 1, retrying: 2, committed: 3, answered: 4, dead: 5 } as const;
