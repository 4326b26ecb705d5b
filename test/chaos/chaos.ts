/**
 * Loads a real supervisor process over every way in, kills its threads and the process itself at every step of a delivery, cuts off
 * clients, stalls the model and stops the disk; then asks the ledger, which lives in this process, whether a promise was broken.
 *
 * node test/chaos/chaos.ts [--messages 2000] [--kill-threads 20] [--kill-process 3] [--seed N] [--journal sqlite]
 *                          [--drops N] [--stalls N] [--model-errors N] [--disks N] [--kill-journal N] [--lanes 48] [--keep]
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { flag, option } from '../../bench/lib/stats.ts';
import type { OrreryConfig } from '../../src/main/index.ts';
import { Injector } from './faults.ts';
import { type Held, leftOver, processesOfSession, unexpectedFiles } from './leftovers.ts';
import { Load } from './load.ts';
import { type PlannedSession, type Plan, planOf } from './plan.ts';
import { LEFT_FILE } from './protocol.ts';
import { Random } from './random.ts';
import { checkAccount, checkFiles, quietAccount, readSessions } from './readback.ts';
import { report } from './report.ts';
import { Rig } from './rig.ts';

const seed = option('seed', Math.floor(Math.random() * 1e9));
const messages = option('messages', 2_000);
const killThreads = option('kill-threads', 20);
const killProcess = option('kill-process', 3);
const kills = killThreads + killProcess;
const lanes = option('lanes', 48);
const journal = process.argv.includes('memory') ? 'memory' : 'sqlite';

const SHUTDOWN_MS = 15_000;
/** How long the load may stand still before a fault is done anyway, in milliseconds. */
const STILL_MS = 5_000;
const LOOK_MS = 10;
/** Answers that are asked for once more at the end. */
const ASKED_AGAIN = 200;

const CONFIG: OrreryConfig = {
  agents: {},
  workers: { threads: 2, maxHeapMb: 96, heartbeatMs: 50, heartbeatLookMs: 100, killAfterMs: 1_500 },
  // It is killed more often than any host should be: agents are not given up for that.
  restarts: { maxRestarts: 1_000_000, backoffMinMs: 10, backoffMaxMs: 50 },
  delivery: {
    journal: journal as 'memory',
    turnTimeoutMs: 30_000,
    retryMinMs: 10,
    retryMaxMs: 200,
    dedupeRetentionMs: 3_600_000,
    replyRetentionMs: 3_600_000,
    maxDeadLetters: 100_000,
  },
  shutdown: { timeoutMs: SHUTDOWN_MS },
  log: { level: 'info', pretty: false },
};

const plan = planOf({
  seed,
  messages,
  killThreads,
  killProcess,
  drops: option('drops', Math.max(2, Math.round(kills / 4))),
  stalls: option('stalls', Math.max(1, Math.round(kills / 20))),
  modelErrors: option('model-errors', Math.max(1, Math.round(kills / 20))),
  disks: option('disks', Math.max(1, Math.round(kills / 20))),
  journalThreads: option('kill-journal', journal === 'sqlite' ? Math.max(1, Math.round(kills / 20)) : 0),
});

const began = performance.now();
const random = new Random(seed + 1);
const rig = await Rig.open({ config: CONFIG, hit: (hit) => injector.hit(hit) });
const { ledger, link } = rig;
const say = (what: string): void => console.error(`${((performance.now() - began) / 1_000).toFixed(1)} s  ${what}`);
const injector = new Injector({
  link,
  ledger,
  model: rig.model,
  drop: (share) => rig.drop(share, () => random.next()),
  say,
});

say(`seed ${seed}: ${messages} messages in ${plan.sessions.length} sessions, ${plan.phases.length} faults`);
await link.start();
const load = new Load({ sessions: plan.sessions, lanes, ledger, client: (way) => rig.client(way) });
const loading = load.run();
await runPhases(plan);
await loading;
say('all messages have an outcome or were given up');
await verify(plan.sessions);
const holds = report({
  run: 'chaos',
  seed,
  repeat: `npm run chaos -- --messages ${messages} --kill-threads ${killThreads} --kill-process ${killProcess} --seed ${seed}`,
  directory: rig.directory,
  seconds: (performance.now() - began) / 1_000,
  faults: injector.figures,
  ledger,
  violations: ledger.violations,
});
rig.close({ keep: !holds || flag('keep') });
process.exitCode = holds ? 0 : 1;

/** Each fault has its share of the messages, and comes while a part of them is under way. */
async function runPhases({ phases }: Plan): Promise<void> {
  const share = messages / (phases.length + 1);
  for (const { fault, after } of phases) {
    const from = ledger.settled;
    load.budget.add(share);
    await progress(() => ledger.settled >= from + share * after);
    say(JSON.stringify(fault));
    try {
      await injector.inject(fault);
    } catch (error) {
      ledger.processEnded(`a fault could not be done (${JSON.stringify(fault)}): ${String(error)}`);
    }
    if (!link.isUp) await link.start();
  }
  load.budget.add(messages);
}

/** Resolves when it holds, or when nothing has moved for a while. */
async function progress(holds: () => boolean): Promise<void> {
  let settled = ledger.settled;
  let at = performance.now();
  while (!holds() && !load.isDone && performance.now() - at < STILL_MS) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    if (ledger.settled === settled) continue;
    settled = ledger.settled;
    at = performance.now();
  }
}

async function verify(sessions: readonly PlannedSession[]): Promise<void> {
  const url = await link.url;
  await askAgain(sessions);
  const account = await quietAccount(url);
  await checkAccount(url, account, ledger);
  say('reading the sessions back');
  const histories = await readSessions(url, sessions);
  const { code, signal, ms } = await link.stop();
  if (code !== 0) ledger.processEnded(`an idle host stopped with ${signal ?? `exit code ${code}`}`);
  if (ms > SHUTDOWN_MS) ledger.processEnded(`it took ${ms} ms to stop`);
  for (const end of rig.unexpectedEnds) ledger.processEnded(end);
  // Before the files are opened here, which brings others with it.
  checkLeft();
  checkFiles(rig.dataDir, ledger);
  ledger.judge(histories);
}

/** A message whose answer is stored gets that one, and no turn is run for it. */
async function askAgain(sessions: readonly PlannedSession[]): Promise<void> {
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

function checkLeft(): void {
  const file = join(rig.directory, LEFT_FILE);
  const text = existsSync(file) ? readFileSync(file, 'utf8') : 'null';
  const left = JSON.parse(text) as { before: Held; after: Held; workers: number } | null;
  if (!left) return ledger.processEnded('the process did not come to its own end');
  for (const what of leftOver(left.before, left.after)) ledger.leftOver(what);
  if (left.workers > 0) ledger.leftOver(`${left.workers} worker threads`);
  for (const pid of link.pids) for (const process of processesOfSession(pid)) ledger.leftOver(`process ${process}`);
  for (const name of unexpectedFiles(rig.dataDir)) ledger.leftOver(`file ${name} in the data directory`);
}
