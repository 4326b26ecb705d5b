/** Owns what is read back at the end of a run: sessions and counters over HTTP, and the files once the process has ended. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseSync } from 'node:sqlite';
import { loggedIn } from '../support/journal-file.ts';
import type { Status } from '../../src/main/index.ts';
import { type HistoryLine, type Ledger, namespaceOf } from './ledger.ts';
import type { PlannedSession } from './plan.ts';

/** Requests at once. */
const READERS = 16;
/** How long deliveries that nobody waits for may take, in milliseconds. */
const QUIET_MS = 60_000;
const LOOK_MS = 50;

/** Resolves to the host's own account once nothing is under way any more; the last one after a while. */
export async function quietAccount(url: string): Promise<Status['messages']> {
  const from = performance.now();
  for (;;) {
    const { messages } = (await (await fetch(`${url}/api/status`)).json()) as Status;
    if (messages.pending + messages.inIntake === 0 || performance.now() - from > QUIET_MS) return messages;
    await delay(LOOK_MS);
  }
}

/** Reads every session that is kept, by its number; one that holds nothing is empty. */
export async function readSessions(
  url: string,
  sessions: readonly PlannedSession[],
): Promise<ReadonlyMap<number, readonly HistoryLine[]>> {
  const histories = new Map<number, readonly HistoryLine[]>();
  const kept = sessions.filter((session) => session.kept)[Symbol.iterator]();
  const read = async (): Promise<void> => {
    for (const session of kept) histories.set(session.number, await readSession(url, session));
  };
  await Promise.all(Array.from({ length: READERS }, read));
  return histories;
}

async function readSession(url: string, session: PlannedSession): Promise<readonly HistoryLine[]> {
  const { agent, way } = session;
  const channel = way === 'keyed' || way === 'keyless' ? way : 'web';
  const response = await fetch(`${url}/api/sessions/${namespaceOf(session)}?agent=${agent}&channel=${channel}`);
  if (response.status === 404) return [];
  if (!response.ok) throw new Error(`Session ${session.number} could not be read: ${await response.text()}`);
  return ((await response.json()) as { messages: readonly HistoryLine[] }).messages;
}

/** Holds the equations of the account, and the metrics to it. */
export async function checkAccount(url: string, account: Status['messages'], ledger: Ledger): Promise<void> {
  const { received, rejected, inIntake, accepted, recovered, replayed, answered, dead, pending } = account;
  ledger.expectEqual('received = rejected + in intake + accepted', received, rejected + inIntake + accepted);
  ledger.expectEqual(
    'accepted + recovered + replayed = answered + dead + pending',
    accepted + recovered + replayed,
    answered + dead + pending,
  );
  ledger.expectEqual('pending at the end = 0', pending, 0);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const sum = (name: string): number =>
    metrics
      .split('\n')
      .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  for (const [key, count] of Object.entries({ accepted, recovered, replayed, answered, rejected })) {
    ledger.expectEqual(
      `orrery_messages_${key}_total = status.messages.${key}`,
      sum(`orrery_messages_${key}_total`),
      count,
    );
  }
  ledger.expectEqual('orrery_deliveries_dead_total = status.messages.dead', sum('orrery_deliveries_dead_total'), dead);
}

/** Compares the journal's file with the ledger, and looks whether both databases are whole. The process has ended. */
export function checkFiles(dataDir: string, ledger: Ledger): void {
  for (const name of ['sessions.db', 'journal.db']) {
    const file = join(dataDir, name);
    if (!existsSync(file)) continue;
    const database = new DatabaseSync(file, { readOnly: true });
    try {
      const check = database.prepare('PRAGMA integrity_check').get()?.['integrity_check'];
      ledger.expectEqual(`${name} is whole: ${String(check)}`, check === 'ok' ? 1 : 0, 1);
      if (name === 'journal.db') checkJournal(database, ledger);
    } finally {
      database.close();
    }
  }
}

function checkJournal(database: DatabaseSync, ledger: Ledger): void {
  const meta = database.prepare('SELECT * FROM meta').get();
  // The journal's counts are those of rows that are gone, and what the rows say.
  const rows = database
    .prepare(
      `SELECT count(*) AS accepted, sum(status = 4) AS answered, sum(replays + (status = 5)) AS dead,
         sum(finished_at IS NULL) AS unfinished FROM deliveries`,
    )
    .get();
  const logged = loggedIn(database);
  // A journal that was closed in order has all that is unfinished in rows of its own.
  const inLog: Readonly<Record<string, number>> = { accepted: logged.length, answered: logged.length };
  const total = (name: string): number => Number(meta?.[name]) + Number(rows?.[name]) + (inLog[name] ?? 0);
  const { messages, answered, dead } = ledger.figures();
  ledger.expectEqual('messages in the journal = messages with an outcome', total('accepted'), messages);
  const letters = database.prepare('SELECT key, state, crashes FROM deliveries WHERE died_at IS NOT NULL').all();
  // Steps after acceptance are written behind: a kill may take an answer with it that was sent. The next process runs the message
  // again, and where the disk then refuses to tell what was committed, it is given up.
  const anew = letters.filter(({ key, crashes }) => Number(crashes) > 0 && toldOf(key, ledger) === 'answered').length;
  // Or a death that was told: its client does not ask again, and hears nothing of the answer.
  const answers = database.prepare('SELECT key FROM deliveries WHERE status = 4 AND crashes > 0').all();
  const revived = answers.filter(({ key }) => toldOf(key, ledger) === 'dead');
  for (const { key } of revived) ledger.decidedAnew(idOf(key));
  const shift = anew - revived.length;
  ledger.expectEqual('answered in the journal = answered', total('answered') + shift, answered);
  ledger.expectEqual('dead in the journal = dead', total('dead') - shift, dead);
  const open = logged.filter(({ finishedAt }) => finishedAt === null).length;
  ledger.expectEqual('unfinished in the journal = 0', Number(rows?.['unfinished']) + open, 0);
  ledger.expectEqual('the journal was closed in order', Number(meta?.['clean']), 1);
  for (const { key, state, crashes } of letters) {
    const id = idOf(key);
    const { reason } = JSON.parse(String(state)) as { reason?: string };
    const told = toldOf(key, ledger);
    ledger.expectEqual(`the dead letter ${id} has a reason (${reason ?? 'none'})`, reason === undefined ? 0 : 1, 1);
    ledger.expectEqual(
      `the sender of the dead letter ${id} was told (${told ?? 'nothing'})`,
      told === 'dead' || (told === 'answered' && Number(crashes) > 0) ? 1 : 0,
      1,
    );
  }
}

/** The key ends with the message's own id. */
function idOf(key: unknown): string {
  return /s\d+-\d+$/.exec(String(key))?.[0] ?? String(key);
}

function toldOf(key: unknown, ledger: Ledger): string | undefined {
  return ledger.outcomeOf(idOf(key))?.status;
}
