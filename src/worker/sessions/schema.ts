/** Owns the tables of the session database and how they came about. A script that was released is never changed: the next one is appended. */

/** SQLite's `application_id` of the file: "OrrS". */
export const SESSIONS_APPLICATION_ID = 0x4f727253;

/**
 * - `owners`: the newest start of each runtime; a commit under an epoch that is not there is refused.
 * - `sessions`: messages of the places from `first` to before `next` are kept, and those before `indexed` can be searched. A
 *   cleared session stays as an empty row for a while, so that its version goes on. Ids are never used twice.
 * - `messages`: only ever inserted and deleted. The key is the session's id, then the place in it: 32 bits each. So a session
 *   lies in one piece, the newest messages are found without a second index, and the search knows a session by a range.
 * - `commits`: what each delivery committed. A delivery that was joined to another's turn names that one's record.
 * - `search`: the words alone (`contentless`): the messages are not stored twice.
 */
const VERSION_1 = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO meta VALUES ('epoch', 0), ('swept', 0);
  CREATE TABLE owners (runtime TEXT PRIMARY KEY, epoch INTEGER NOT NULL UNIQUE) STRICT;
  CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    agent TEXT NOT NULL,
    namespace TEXT NOT NULL,
    version INTEGER NOT NULL,
    first INTEGER NOT NULL,
    next INTEGER NOT NULL,
    indexed INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    UNIQUE (agent, namespace)
  ) STRICT;
  CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    role TEXT NOT NULL,
    body TEXT NOT NULL,
    tokens INTEGER,
    encoding TEXT,
    at INTEGER NOT NULL,
    delivery TEXT NOT NULL
  ) STRICT;
  CREATE TABLE commits (
    id INTEGER PRIMARY KEY,
    delivery TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    reply TEXT,
    joined INTEGER
  ) STRICT;
  CREATE VIRTUAL TABLE search USING fts5(
    words, content = '', contentless_delete = 1, detail = full, tokenize = 'unicode61 remove_diacritics 0'
  );
`;

export const SESSION_MIGRATIONS: readonly string[] = [VERSION_1];
