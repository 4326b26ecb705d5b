/**
 * Loads a real supervisor process over every way in, kills its threads and the process itself at every step of a delivery, cuts off
 * clients, stalls the model and stops the disk; then asks the ledger, which lives in this process, whether a promise was broken.
 *
 * node test/chaos/chaos.ts [--messages 2000] [--kill-threads 20] [--kill-process 3] [--seed N] [--journal sqlite]
 *                          [--drops N] [--stalls N] [--model-errors N] [--disks N] [--kill-journal N] [--lanes 48] [--keep]
 */
import { join } from 'node:path';
import { flag, option } from '../../bench/lib/stats.ts';
import type { OrreryConfig } from '../../src/main/index.ts';
import { Injector } from './faults.ts';
import { Load } from './load.ts';
import { type Plan, planOf } from './plan.ts';
import { Random } from './random.ts';
import { report } from './report.ts';
import { Rig } from './rig.ts';
import { verify } from './verify.ts';

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
const MAX_STARTS = 3;
const FED = 5;

const CONFIG: OrreryConfig = {
  agents: {},
  workers: { threads: 2, maxHeapMb: 96, heartbeatMs: 50, heartbeatLookMs: 100, killAfterMs: 1_500 },
  // It is killed more often than any host should be: agents are not given up for that.
  restarts: { maxRestarts: 1_000_000, backoffMinMs: 10, backoffMaxMs: 50 },
  delivery: {
    journal,
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
  feed: () => load.budget.add(FED),
  say,
});

say(`seed ${seed}: ${messages} messages in ${plan.sessions.length} sessions, ${plan.phases.length} faults`);
if (!(await startAgain())) finish();
const load = new Load({ sessions: plan.sessions, lanes, ledger, client: (way) => rig.client(way) });
const loading = load.run();
if (!(await runPhases(plan))) finish();
await loading;
say('all messages have an outcome or were given up');
say('reading the sessions back');
await verify(rig, plan.sessions, { shutdownMs: SHUTDOWN_MS, random });
finish();

/** Prints what was found and ends the process: a run that came to nothing leaves clients that wait. */
function finish(): never {
  const holds = report({
    run: 'chaos',
    seed,
    repeat: `npm run chaos -- --messages ${messages} --kill-threads ${killThreads} --kill-process ${killProcess} --seed ${seed}`,
    directory: rig.directory,
    seconds: (performance.now() - began) / 1_000,
    faults: injector.figures,
    aborts: rig.aborts,
    ledger,
    violations: ledger.violations,
  });
  rig.close({ keep: !holds || flag('keep') });
  process.exit(holds ? 0 : 1);
}

/** Each fault has its share of the messages, and comes while a part of them is under way. False when no process comes back. */
async function runPhases({ phases }: Plan): Promise<boolean> {
  const share = messages / (phases.length + 1);
  for (const { fault, after } of phases) {
    const { aborts } = rig;
    const from = ledger.settled;
    load.budget.add(share);
    await progress(() => ledger.settled >= from + share * after);
    say(JSON.stringify(fault));
    try {
      await injector.inject(fault);
    } catch (error) {
      // The process may abort under it: verify() looks why.
      if (rig.aborts === aborts)
        ledger.processEnded(`a fault could not be done (${JSON.stringify(fault)}): ${String(error)}`);
    }
    if (!link.isUp && !(await startAgain())) return false;
  }
  load.budget.add(messages);
  return true;
}

/** False when no process comes up any more. */
async function startAgain(): Promise<boolean> {
  for (let tries = 0; tries < MAX_STARTS; tries++) {
    await link.start();
    if (link.isUp) return true;
  }
  ledger.processEnded(`${MAX_STARTS} processes in turn did not come up: see ${join(rig.directory, 'host.log')}`);
  return false;
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
