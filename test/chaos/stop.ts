/**
 * Stops a supervisor in order while a thousand turns are under way on four agents: it must end within its deadline, with the exit code
 * that says whether anything was cut off, and the next start must do what was.
 *
 * node test/chaos/stop.ts [--turns 1000] [--min-ms 100] [--max-ms 30000] [--timeout-ms 25000] [--seed N] [--short] [--keep]
 *
 * `--short`: 200 turns of up to 6 s and a deadline of 4 s.
 */
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { flag, option, printJson, printTable, printTarget } from '../../bench/lib/stats.ts';
import type { OrreryConfig, Status } from '../../src/main/index.ts';
import { Load } from './load.ts';
import { AGENT_NAMES, type PlannedSession, WAYS } from './plan.ts';
import { Random } from './random.ts';
import { Rig } from './rig.ts';
import { verify } from './verify.ts';

const SHORT = flag('short');
const TURNS = option('turns', SHORT ? 200 : 1_000);
const MIN_MS = option('min-ms', 100);
const MAX_MS = option('max-ms', SHORT ? 6_000 : 30_000);
const TIMEOUT_MS = option('timeout-ms', SHORT ? 4_000 : 25_000);
const SEED = option('seed', 1);

/** What a process takes to end beyond its deadline, before its own watchdog ends it. */
const WATCHDOG_MS = 1_500;
const LOOK_MS = 20;
const GATHER_MS = 60_000;

const CONFIG: OrreryConfig = {
  agents: {},
  workers: { threads: 2 },
  delivery: { turnTimeoutMs: 120_000, retryMinMs: 10, retryMaxMs: 200 },
  shutdown: { timeoutMs: TIMEOUT_MS },
  log: { level: 'info', pretty: false },
};

const random = new Random(SEED);
const rig = await Rig.open({ config: CONFIG });
const { link, ledger } = rig;
const sessions = Array.from({ length: TURNS }, (_, number) => sessionOf(number));
await link.start();
const load = new Load({ sessions, lanes: TURNS, ledger, client: (way) => rig.client(way) });
load.budget.add(TURNS);
const loading = load.run();
const underWay = await untilUnderWay();
await release();

ledger.excuseBegins();
const { code, signal, ms } = await link.stop();
const answeredBefore = ledger.figures().answered;
const left = unfinished();
ledger.expectEqual(
  `exit code ${signal ?? code}, with ${left} deliveries left to the next start`,
  code ?? -1,
  left > 0 ? 1 : 0,
);
if (ms > TIMEOUT_MS + WATCHDOG_MS) ledger.processEnded(`it took ${ms} ms to stop`);

await link.start();
await release();
await loading;
ledger.excuseEnds();
await verify(rig, sessions, { shutdownMs: TIMEOUT_MS, random });
finish();

/** One turn of a session of its own, most of them short: as long again is as likely as half. */
function sessionOf(number: number): PlannedSession {
  const workMs = Math.round(MIN_MS * (MAX_MS / MIN_MS) ** random.next());
  // The built-in echo takes no time.
  const agents = AGENT_NAMES.filter((name) => name !== 'echo');
  const agent = agents[number % agents.length] ?? 'count';
  const way = WAYS[number % WAYS.length] ?? 'chat';
  return { number, agent, way, window: 1, kept: true, messages: [{ id: `s${number}-1`, act: 'held', workMs }] };
}

/** From now on the turns do what they take their time for: until all are under way, none of them does. */
async function release(): Promise<void> {
  rig.model.release();
  await link.ask('release', {});
}

/** Resolves once all turns are under way, to how many those are. */
async function untilUnderWay(): Promise<number> {
  const url = await link.url;
  const from = performance.now();
  for (;;) {
    const { messages, slots } = (await (await fetch(`${url}/api/status`)).json()) as Status;
    const running = slots.reduce((sum, slot) => sum + slot.running, 0);
    if (running >= TURNS) return running;
    if (performance.now() - from > GATHER_MS) {
      throw new Error(`Of ${messages.accepted} messages that were taken in, ${running} are under way`);
    }
    await delay(LOOK_MS);
  }
}

function unfinished(): number {
  const database = new DatabaseSync(join(rig.dataDir, 'journal.db'), { readOnly: true });
  try {
    return Number(database.prepare('SELECT count(*) AS n FROM deliveries WHERE finished_at IS NULL').get()?.['n']);
  } finally {
    database.close();
  }
}

function finish(): never {
  const { violations } = ledger;
  const figures = ledger.figures();
  printTable(
    ['what', 'count'],
    [
      ['messages', String(figures.messages)],
      ['turns under way at the signal', String(underWay)],
      ['answered before the process ended', String(answeredBefore)],
      ['left to the next start', String(left)],
      ['from the signal to the exit, ms', String(ms)],
      ['deadline, ms', String(TIMEOUT_MS)],
      ['exit code', String(code)],
      ['answered in all', String(figures.answered)],
      ['dead', String(figures.dead)],
      ['violations', String(violations.length)],
    ],
  );
  const holds = violations.length === 0 && figures.dead === 0;
  printTarget(
    'ends within its deadline, with its exit code, and nothing is left undone',
    `${ms} ms, exit ${code}`,
    holds,
  );
  for (const { kind, what, id } of violations.slice(0, 20)) {
    console.log(`${kind}: ${what}`);
    if (id !== undefined) for (const line of ledger.storyOf(id)) console.log(`  ${line}`);
  }
  printJson('stop', { seed: SEED, holds, turns: TURNS, underWay, answeredBefore, left, ms, code, ...figures });
  const keep = !holds || flag('keep');
  if (keep) console.log(`Seed ${SEED}. The run's files: ${rig.directory}`);
  rig.close({ keep });
  process.exit(holds ? 0 : 1);
}
