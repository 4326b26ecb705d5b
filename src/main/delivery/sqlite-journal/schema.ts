/** Owns the tables of the journal and how they came about. A script that was released is never changed: the next one is appended. */

/** SQLite's `application_id` of the file: "OrrJ". */
export const JOURNAL_APPLICATION_ID = 0x4f72724a;

/**
 * What the newest version has:
 *
 * - `meta`: one row. `clean` is 1 while no process has the file open and the last one closed it; the rest are counts over deliveries
 *   whose rows are not there any more. Those of the rows come on top: so a message changes no page but its own.
 * - `deliveries`: `seq` is in the id and never changes. `position` is the order of acceptance: `seq`, until a dead letter is
 *   put back behind the others. `key` is the dedupe key, or null when a newer message has taken that: found by the table
 *   in memory that is filled from here, see `key-table.ts`. `body_hash`, in hexadecimal digits, is compared when a key comes again. `reply` is a reply's text, `state` the rest of
 *   the state as JSON, as a mark brings them. `body` and `about` are the message as JSON, and null once nothing needs it.
 *   `died_at` is set as long as the row is a dead letter. The indexes hold dead letters, and those that were put back and are
 *   not finished: a message that is answered is in none. Without replays the order of acceptance is that of the rows.
 * - `log`: one row a transaction, with all messages and marks that it brought, as `packed-work.ts` packs them; `at` is its time, `prefix` that of its
 *   deliveries' ids. What is in it has no row in `deliveries` until it leaves the log, see `message-log.ts`. The columns that every start reads come first.
 * - `probe`: 1 is room that is kept for marks in a full file, 2 what is written to see whether there is room for messages.
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

/** Every message changed the page of the counts, and entered the index of what is unfinished and left it. */
const VERSION_2 = `
  UPDATE meta SET
    accepted = accepted - (SELECT count(*) FROM deliveries),
    replayed = replayed - (SELECT coalesce(sum(replays), 0) FROM deliveries),
    answered = answered - (SELECT count(*) FROM deliveries WHERE status = 4),
    dead = dead - (SELECT coalesce(sum(replays + (status = 5)), 0) FROM deliveries);
  ALTER TABLE deliveries RENAME TO old;
  DROP INDEX unfinished;
  DROP INDEX letters;
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
    body_hash TEXT NOT NULL,
    agent TEXT NOT NULL,
    state TEXT,
    reply TEXT,
    body TEXT,
    about TEXT
  ) STRICT;
  INSERT INTO deliveries SELECT
    seq, position, status, attempts, crashes, replays, accepted_at, finished_at, died_at, id, key, lower(hex(body_hash)), agent,
    state, reply, body, about
  FROM old;
  DROP TABLE old;
  CREATE INDEX replayed ON deliveries (position) WHERE replays > 0 AND finished_at IS NULL;
  CREATE INDEX letters ON deliveries (died_at, seq) WHERE died_at IS NOT NULL;
`;

/** Each message was written to a page at its acceptance, and once more at its answer. */
const VERSION_3 = `
  CREATE TABLE log (
    row INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    prefix TEXT NOT NULL,
    appends BLOB NOT NULL,
    marks BLOB NOT NULL,
    keys TEXT NOT NULL,
    states TEXT NOT NULL,
    texts TEXT NOT NULL
  ) STRICT;
`;

export const JOURNAL_MIGRATIONS: readonly string[] = [VERSION_1, VERSION_2, VERSION_3];

/** A delivery's status as the file holds it. The numbers are in files: never change one. */
export const STATUS = { accepted: 0, dispatched: 1, retrying: 2, committed: 3, answered: 4, dead: 5 } as const;

/** What a mark in the log may say instead of a status: the delivery has a row of its own from here on, or was never acked. */
export const LEFT = { moved: 6, withdrawn: 7 } as const;
