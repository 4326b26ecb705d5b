/** Owns a thread that writes each message, and each later state, in a transaction of its own: what a plain journal does. */
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

export type SingleRequest = readonly [seq: number, inbound: string] | readonly [seq: number];

const database = new DatabaseSync(workerData as string);
database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
database.exec('CREATE TABLE deliveries (seq INTEGER PRIMARY KEY, status INTEGER NOT NULL, inbound TEXT)');
const append = database.prepare('INSERT INTO deliveries VALUES (?, 0, ?)');
const finish = database.prepare('UPDATE deliveries SET status = 1, inbound = NULL WHERE seq = ?');

parentPort?.on('message', ([seq, inbound]: SingleRequest) => {
  if (inbound === undefined) {
    finish.run(seq);
    return;
  }
  append.run(seq, inbound);
  parentPort?.postMessage(seq);
});
