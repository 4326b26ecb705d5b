/** Owns the statements of the journal, prepared once a connection. What they are for is the file's affair. */
import type { DatabaseSync } from 'node:sqlite';
import { type Cell, Query as AnyQuery } from '../../../lib/query.ts';
import { STATUS } from './schema.ts';

export type { Cell } from '../../../lib/query.ts';
export type Row = readonly Cell[];
class Query extends AnyQuery<Cell> {}

/** As `packed.ts` unpacks it. */
const DELIVERY =
  'id, agent, key, status, attempts, state, body, accepted_at, crashes, replays, died_at, position, reply, about';
const FROM = `SELECT ${DELIVERY} FROM deliveries`;

export class Statements {
  readonly meta: Query;
  readonly setClean: Query;
  readonly fold: Query;
  readonly rows: Query;
  readonly last: Query;
  readonly raiseCrashes: Query;
  readonly append: Query;
  readonly known: Query;
  readonly step: Query;
  readonly answer: Query;
  readonly die: Query;
  readonly withdraw: Query;
  readonly delete: Query;
  readonly freeKey: Query;
  readonly takeKey: Query;
  readonly unfinished: Query;
  readonly find: Query;
  readonly letters: Query;
  readonly lettersAfter: Query;
  /** A letter, or one that was dropped, whose place is known still. */
  readonly letterPlace: Query;
  readonly letter: Query;
  readonly drop: Query;
  readonly replay: Query;
  readonly replayed: Query;
  readonly letterCount: Query;
  readonly oldest: Query;
  readonly surplusLetters: Query;
  /** Moves what the log has of a delivery to a row of its own. */
  readonly move: Query;
  readonly logHeads: Query;
  readonly logRow: Query;
  readonly logOldest: Query;
  readonly logAfter: Query;
  readonly logTime: Query;
  readonly logWrite: Query;
  readonly logDelete: Query;
  readonly reserve: Query;
  readonly release: Query;
  readonly fillProbe: Query;
  readonly emptyProbe: Query;

  constructor(database: DatabaseSync) {
    const query = (sql: string): Query => new Query(database, sql);
    this.meta = query('SELECT clean, accepted, replayed, answered, dead FROM meta');
    this.setClean = query('UPDATE meta SET clean = ?');
    this.fold = query(
      'UPDATE meta SET accepted = accepted + ?, replayed = replayed + ?, answered = answered + ?, dead = dead + ?',
    );
    this.rows = query('SELECT seq, key, status, replays, position, finished_at FROM deliveries');
    this.last = query(
      `SELECT max(coalesce((SELECT max(seq) FROM deliveries), 0),
                  coalesce((SELECT max(position) FROM deliveries WHERE replays > 0 AND finished_at IS NULL), 0))`,
    );
    this.raiseCrashes = query('UPDATE deliveries SET crashes = crashes + 1 WHERE finished_at IS NULL');

    this.append = query(
      `INSERT INTO deliveries VALUES
       (?1, ?1, ${STATUS.accepted}, 0, 0, 0, ?2, NULL, NULL, ?3, ?4, ?5, ?6, NULL, NULL, ?7, ?8) ON CONFLICT DO NOTHING`,
    );
    this.known = query(
      `SELECT seq, id, agent, status, finished_at, died_at, body_hash, state, reply, replays FROM deliveries
       WHERE seq = ? AND key = ?`,
    );
    // What is finished stays as it is: a step that is written a second time finds nothing to do.
    this.step = query(
      'UPDATE deliveries SET status = ?2, attempts = ?3, state = ?4, reply = ?5 WHERE seq = ?1 AND finished_at IS NULL',
    );
    this.answer = query(
      `UPDATE deliveries SET status = ${STATUS.answered}, attempts = ?2, state = ?3, reply = ?4, finished_at = ?5, body = NULL, about = NULL
       WHERE seq = ?1 AND finished_at IS NULL`,
    );
    this.die = query(
      `UPDATE deliveries SET status = ${STATUS.dead}, attempts = ?2, state = ?3, reply = NULL, finished_at = ?4, died_at = ?4
       WHERE seq = ?1 AND finished_at IS NULL`,
    );
    this.withdraw = query(
      `DELETE FROM deliveries WHERE seq = ? AND status = ${STATUS.accepted} AND replays = 0 RETURNING key`,
    );
    this.delete = query('DELETE FROM deliveries WHERE seq = ?');
    this.freeKey = query('UPDATE deliveries SET key = NULL WHERE seq = ?');
    this.takeKey = query('UPDATE deliveries SET key = ?2 WHERE seq = ?1');

    // Both halves are in order already, and are merged.
    this.unfinished = query(
      `SELECT ${DELIVERY}, seq AS place FROM deliveries WHERE replays = 0 AND finished_at IS NULL AND seq > ?1 AND seq <= ?2
       UNION ALL
       SELECT ${DELIVERY}, position FROM deliveries WHERE replays > 0 AND finished_at IS NULL AND position > ?1 AND position <= ?2
       ORDER BY place`,
    );
    this.find = query(`${FROM} WHERE seq = ?1 AND (finished_at IS NULL OR finished_at > ?2)`);
    this.letters = query(`${FROM} WHERE died_at IS NOT NULL ORDER BY died_at DESC, seq DESC LIMIT ?`);
    this.lettersAfter = query(
      `${FROM} WHERE died_at IS NOT NULL
       AND (died_at, seq) < ((SELECT finished_at FROM deliveries WHERE seq = ?1 AND id = ?2), ?1)
       ORDER BY died_at DESC, seq DESC LIMIT ?3`,
    );
    this.letterPlace = query(`SELECT seq FROM deliveries WHERE seq = ? AND id = ? AND status = ${STATUS.dead}`);
    this.letter = query(`${FROM} WHERE seq = ? AND id = ? AND died_at IS NOT NULL`);
    this.drop = query(
      'UPDATE deliveries SET died_at = NULL, body = NULL, about = NULL WHERE seq = ? AND id = ? AND died_at IS NOT NULL',
    );
    this.replay = query(
      `UPDATE deliveries SET status = ${STATUS.accepted}, attempts = 0, crashes = 0, replays = replays + 1, position = ?3,
         accepted_at = ?4, finished_at = NULL, died_at = NULL, state = NULL, reply = NULL
       WHERE seq = ?1 AND id = ?2 AND died_at IS NOT NULL RETURNING ${DELIVERY}`,
    );
    this.replayed = query(`${FROM} WHERE seq = ? AND id = ? AND position = ? AND replays > 0`);
    this.letterCount = query('SELECT count(*) FROM deliveries WHERE died_at IS NOT NULL');

    this.oldest = query(
      'SELECT seq, accepted_at, finished_at, died_at, key, status, replays FROM deliveries WHERE seq > ? ORDER BY seq LIMIT ?',
    );
    this.surplusLetters = query(
      'SELECT seq, id FROM deliveries WHERE died_at IS NOT NULL ORDER BY died_at, seq LIMIT ?',
    );
    this.move = query(
      'INSERT INTO deliveries VALUES (?1, ?1, ?2, ?3, 0, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)',
    );
    this.logHeads = query('SELECT row, at, appends, marks, keys FROM log ORDER BY row');
    const log = 'SELECT row, at, prefix, appends, marks, keys, states, texts FROM log';
    this.logRow = query(`${log} WHERE row = ?`);
    this.logAfter = query(`${log} WHERE row > ? ORDER BY row LIMIT 1`);
    this.logOldest = query('SELECT row, at, appends, keys FROM log ORDER BY row LIMIT 1');
    this.logTime = query('SELECT at FROM log WHERE row = ?');
    this.logWrite = query('INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
    this.logDelete = query('DELETE FROM log WHERE row = ?');

    this.reserve = query('INSERT OR IGNORE INTO probe VALUES (1, zeroblob(?))');
    this.release = query('DELETE FROM probe WHERE n = 1');
    this.fillProbe = query('INSERT OR REPLACE INTO probe VALUES (2, zeroblob(?))');
    this.emptyProbe = query('DELETE FROM probe WHERE n = 2');
  }
}
