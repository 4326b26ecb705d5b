/** A thread that commits one turn after another for as long as it is told, into the store that it is told. */
import { DatabaseSync } from 'node:sqlite';
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { MemorySessionStore } from '../../src/worker/sessions/memory.ts';
import { SqliteSessionStore } from '../../src/worker/sessions/sqlite.ts';
import type { Commit, SessionStore } from '../../src/worker/sessions/store.ts';

export interface CommitterOptions {
  readonly kind: 'sqlite' | 'memory' | 'bare';
  readonly file: string;
  readonly synchronous: 'normal' | 'full';
  readonly seconds: number;
  /** Tells threads apart. */
  readonly thread: number;
  readonly sessions: number;
  /** Turns that end in one moment, each in a session of its own. */
  readonly together: number;
  readonly gate?: SharedArrayBuffer;
}

export interface CommitterFigures {
  readonly turns: number;
  readonly seconds: number;
  /** Milliseconds of each turn, or of the turns that ended together: load, commit. */
  readonly latencies: Float64Array;
}

/** Characters of a question, and of its answer. */
const CHARS = 400;

const { kind, file, synchronous, seconds, thread, sessions, together, gate } = workerData as CommitterOptions;

/** Runs one turn's share of the store, or that of some turns: what an agent host does around one that reads its last messages. */
function sessionTurns(store: SessionStore): (n: number) => unknown {
  const [epoch = 0] = store.own([`bench#${thread}`]);
  const commitOf = (n: number): Commit => {
    const session = { agent: 'bench', namespace: `bench:${thread}:${n % sessions}` };
    const loaded = store.load(session);
    loaded.read({ maxMessages: 20 });
    const id = `delivery-${thread}-${n}`;
    if (store.commitOf(id)) throw new Error(`${id} was committed before`);
    const answer = text(n + 1);
    return {
      session,
      deliveries: [id],
      version: loaded.version,
      epoch,
      messages: [
        { message: { role: 'user', content: text(n) }, tokens: 90 },
        { message: { role: 'assistant', content: answer }, tokens: 90 },
      ],
      encoding: 'o200k_base',
      reply: {
        message: { role: 'assistant', content: answer },
        usage: { inputTokens: 90, outputTokens: 90 },
        steps: 1,
      },
    };
  };
  if (together === 1) return (n) => store.commit(commitOf(n));
  const soon = (commit: Commit): unknown => store.commitSoon?.(commit) ?? store.commit(commit);
  return (n) => Promise.all(Array.from({ length: together }, (_, i) => soon(commitOf(n + i))));
}

/** The least that any store in SQLite can do: one row in one transaction. */
function bareTurns(): (n: number) => unknown {
  const database = new DatabaseSync(file, { timeout: 10_000 });
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous};
    CREATE TABLE IF NOT EXISTS turns (id INTEGER PRIMARY KEY, body TEXT NOT NULL)`);
  const insert = database.prepare('INSERT INTO turns (body) VALUES (?)');
  return (n) => {
    insert.run(text(n) + text(n + 1));
  };
}

function text(n: number): string {
  return `${n} `.padEnd(CHARS, 'the quick brown fox jumps over the lazy dog ');
}

function turns(): (n: number) => unknown {
  if (kind === 'bare') return bareTurns();
  if (kind === 'memory') return sessionTurns(new MemorySessionStore());
  return sessionTurns(new SqliteSessionStore({ file, synchronous, ...(gate && { gate }) }));
}

const turn = turns();
parentPort?.postMessage('ready');
if (parentPort) await once(parentPort, 'message');
const latencies: number[] = [];
const began = performance.now();
const end = began + seconds * 1000;
for (let now = began; now < end;) {
  const ended = turn(latencies.length * together);
  if (ended instanceof Promise) await ended;
  const after = performance.now();
  latencies.push(after - now);
  now = after;
}
const figures: CommitterFigures = {
  turns: latencies.length * together,
  seconds: (performance.now() - began) / 1000,
  latencies: Float64Array.from(latencies),
};
parentPort?.postMessage(figures);
