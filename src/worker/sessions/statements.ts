/** Owns the statements of the session database, prepared once a connection. What they are for is the store's affair. */
import type { DatabaseSync } from 'node:sqlite';
import { Query as AnyQuery } from '../../lib/query.ts';

type Column = string | number | null;
export type Row = readonly Column[];
class Query extends AnyQuery<Column> {}

/** The keys of a session's messages from place ?2 to before ?3; see the schema. */
const WITHIN = 'BETWEEN (?1 << 32) + ?2 AND (?1 << 32) + ?3 - 1';
const PLACE = '(id & 4294967295)';
const SESSION = 'id, version, first, next';

export class Statements {
  readonly savepoint: Query;
  readonly rollbackTo: Query;
  readonly release: Query;
  readonly nextEpoch: Query;
  readonly own: Query;
  readonly isOwner: Query;
  readonly session: Query;
  readonly sessionsOf: Query;
  readonly sessionsBelow: Query;
  readonly addSession: Query;
  readonly moveSession: Query;
  readonly clearSession: Query;
  readonly setFirst: Query;
  readonly messages: Query;
  readonly addMessage: Query;
  readonly deleteMessages: Query;
  readonly commit: Query;
  readonly commitOf: Query;
  readonly indexed: Query;
  readonly setIndexed: Query;
  readonly bodies: Query;
  readonly addWords: Query;
  readonly deleteWords: Query;
  readonly find: Query;
  readonly message: Query;
  readonly swept: Query;
  readonly setSwept: Query;
  readonly oldestCommits: Query;
  readonly deleteCommits: Query;
  readonly sessionsAfter: Query;
  readonly deleteSession: Query;
  readonly times: Query;

  constructor(database: DatabaseSync) {
    const query = (sql: string): Query => new Query(database, sql);
    this.savepoint = query('SAVEPOINT one');
    this.rollbackTo = query('ROLLBACK TO one');
    this.release = query('RELEASE one');
    this.nextEpoch = query("UPDATE meta SET value = value + 1 WHERE key = 'epoch' RETURNING value");
    this.own = query(
      'INSERT INTO owners (runtime, epoch) VALUES (?, ?) ON CONFLICT (runtime) DO UPDATE SET epoch = excluded.epoch',
    );
    this.isOwner = query('SELECT 1 FROM owners WHERE epoch = ?');

    this.session = query(`SELECT ${SESSION} FROM sessions WHERE agent = ? AND namespace = ?`);
    this.sessionsOf = query(
      'SELECT namespace FROM sessions WHERE agent = ? AND next > first ORDER BY namespace LIMIT ?',
    );
    // A colon and the character after it: everything that begins with the prefix as whole segments, by the index.
    this.sessionsBelow = query(
      `SELECT namespace FROM sessions WHERE agent = ?1 AND next > first
       AND (namespace = ?2 OR (namespace >= ?2 || ':' AND namespace < ?2 || ';')) ORDER BY namespace LIMIT ?3`,
    );
    this.addSession = query(
      `INSERT INTO sessions (agent, namespace, version, first, next, indexed, changed_at) VALUES (?, ?, 1, 0, ?, 0, ?)
       ON CONFLICT DO NOTHING RETURNING ${SESSION}`,
    );
    this.moveSession = query(
      `UPDATE sessions SET version = version + 1, next = next + ?, changed_at = ?
       WHERE agent = ? AND namespace = ? AND version = ? RETURNING ${SESSION}`,
    );
    this.clearSession = query(
      `UPDATE sessions SET version = version + 1, first = next, indexed = next, changed_at = ? WHERE id = ?`,
    );
    this.setFirst = query('UPDATE sessions SET first = ?2, indexed = max(indexed, ?2) WHERE id = ?1');

    this.messages = query(
      `SELECT ${PLACE}, body, tokens, encoding, at, delivery FROM messages WHERE id ${WITHIN} ORDER BY id DESC LIMIT ?4`,
    );
    this.addMessage = query('INSERT INTO messages VALUES ((?1 << 32) + ?2, ?3, ?4, ?5, ?6, ?7, ?8)');
    this.deleteMessages = query(`DELETE FROM messages WHERE id ${WITHIN}`);

    this.commit = query(
      'INSERT INTO commits (delivery, at, reply, joined) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id',
    );
    this.commitOf = query(
      `SELECT coalesce(c.reply, (SELECT turn.reply FROM commits AS turn WHERE turn.id = c.joined))
       FROM commits AS c WHERE c.delivery = ?`,
    );

    this.indexed = query('SELECT id, indexed FROM sessions WHERE agent = ? AND namespace = ?');
    this.setIndexed = query('UPDATE sessions SET indexed = ?2 WHERE id = ?1');
    this.bodies = query(`SELECT ${PLACE}, body FROM messages WHERE id ${WITHIN} ORDER BY id LIMIT ?4`);
    this.addWords = query('INSERT INTO search (rowid, words) VALUES ((?1 << 32) + ?2, ?3)');
    this.deleteWords = query(`DELETE FROM search WHERE rowid ${WITHIN}`);
    this.find = query(
      `SELECT rowid & 4294967295 FROM search WHERE search MATCH ?4 AND rowid ${WITHIN} ORDER BY rowid DESC LIMIT ?5`,
    );
    this.message = query(
      `SELECT ${PLACE}, body, tokens, encoding, at, delivery FROM messages WHERE id = (?1 << 32) + ?2`,
    );

    this.swept = query("SELECT value FROM meta WHERE key = 'swept'");
    this.setSwept = query("UPDATE meta SET value = ? WHERE key = 'swept'");
    this.oldestCommits = query('SELECT id, at FROM commits ORDER BY id LIMIT ?');
    this.deleteCommits = query('DELETE FROM commits WHERE id <= ?');
    this.sessionsAfter = query(`SELECT ${SESSION}, changed_at FROM sessions WHERE id > ? ORDER BY id LIMIT ?`);
    this.deleteSession = query('DELETE FROM sessions WHERE id = ? AND version = ? AND next = first');
    this.times = query(`SELECT ${PLACE}, at FROM messages WHERE id ${WITHIN} ORDER BY id LIMIT ?4`);
  }
}
