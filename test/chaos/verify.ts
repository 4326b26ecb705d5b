/** Owns the end of a run: what is asked and read back, the stop in order, and the look at what is left of the process. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Held, leftOver, processesOfSession, unexpectedFiles } from './leftovers.ts';
import type { PlannedSession } from './plan.ts';
import { LEFT_FILE } from './protocol.ts';
import type { Random } from './random.ts';
import { checkAccount, checkFiles, quietAccount, readSessions } from './readback.ts';
import type { Rig } from './rig.ts';

/** Answers that are asked for once more at the end. */
const ASKED_AGAIN = 200;

export interface VerifyOptions {
  /** The shutdown deadline, in milliseconds. */
  readonly shutdownMs: number;
  /** Picks the answers that are asked for once more; absent where they are not kept for so long. */
  readonly random?: Random;
}

/** Reads everything back, stops the host, and has the ledger judge it all. */
export async function verify(
  rig: Rig,
  sessions: readonly PlannedSession[],
  { shutdownMs, random }: VerifyOptions,
): Promise<void> {
  const { link, ledger } = rig;
  const url = await link.url;
  if (random) await askAgain(rig, sessions, random);
  const account = await quietAccount(url);
  await checkAccount(url, account, ledger);
  const histories = await readSessions(url, sessions);
  const { code, signal, ms } = await link.stop();
  if (code !== 0) ledger.processEnded(`an idle host stopped with ${signal ?? `exit code ${code}`}`);
  if (ms > shutdownMs) ledger.processEnded(`it took ${ms} ms to stop`);
  for (const end of rig.unexpectedEnds) ledger.processEnded(end);
  ledger.expectEqual('aborts of the process = aborts over a full heap', rig.aborts, rig.heapAborts);
  // Before the files are opened here, which brings others with it.
  checkLeft(rig);
  checkFiles(rig.dataDir, ledger);
  ledger.judge(histories);
}

/** A message whose answer is stored gets that one, and no turn is run for it. */
async function askAgain(rig: Rig, sessions: readonly PlannedSession[], random: Random): Promise<void> {
  const { ledger } = rig;
  for (let i = 0; i < ASKED_AGAIN; i++) {
    const session = random.pick(sessions.slice(-Math.max(20, Math.floor(sessions.length / 4))));
    const message = random.pick(session.messages);
    if (session.way === 'socket' || ledger.outcomeOf(message.id)?.status !== 'answered') continue;
    const client = rig.client(session.way);
    await client.open();
    const result = await client.ask(session, message);
    if (result.kind === 'answered') ledger.answered(message.id, result.text, result.namespace);
    else ledger.processEnded(`${message.id} was answered, and asked for again it is ${JSON.stringify(result)}`);
  }
}

/** Nothing of it may be left: no thread, handle, file, child or process. */
function checkLeft({ directory, dataDir, link, ledger }: Rig): void {
  const file = join(directory, LEFT_FILE);
  const text = existsSync(file) ? readFileSync(file, 'utf8') : 'null';
  const left = JSON.parse(text) as { before: Held; after: Held; workers: number } | null;
  if (!left) return ledger.processEnded('the process did not come to its own end');
  for (const what of leftOver(left.before, left.after)) ledger.leftOver(what);
  if (left.workers > 0) ledger.leftOver(`${left.workers} worker threads`);
  for (const pid of link.pids) for (const process of processesOfSession(pid)) ledger.leftOver(`process ${process}`);
  for (const name of unexpectedFiles(dataDir)) ledger.leftOver(`file ${name} in the data directory`);
}
