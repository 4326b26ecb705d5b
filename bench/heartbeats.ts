/**
 * Do connections live under fire? Discord's heartbeat, asked for every second, and an IRC server's PING every second, while every slot runs
 * CPU-bound turns and contexts of 1 MB are counted; beside it the same adapters under the same load in a host of one thread. The servers are
 * in this process, which does nothing else: what is late here was late there.
 *
 * node bench/heartbeats.ts [--seconds 125] [--single-seconds 40] [--threads 2] [--turn 1000]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DiscordServer, TOKEN } from '../test/support/discord/server.ts';
import { IrcServer } from '../test/support/irc/server.ts';
import { start } from './lib/process.ts';
import { flag, option, percentile, printJson, printTable, printTarget, rounded } from './lib/stats.ts';
import { calibrate } from './responsiveness/burn.ts';

const SHORT = flag('short');
const SECONDS = option('seconds', SHORT ? 10 : 125);
const SINGLE_SECONDS = option('single-seconds', SHORT ? 10 : 40);
const THREADS = option('threads', 2);
/** CPU time of one turn, in milliseconds. */
const TURN_MS = option('turn', 1000);
const INTERVAL_MS = 1000;
const LIMIT_MS = 250;

const KINDS = { orrery: 'Orrery', single: 'single-thread host' } as const;
type Kind = keyof typeof KINDS;

interface Figures {
  readonly beats: number;
  /** Milliseconds after its time, for each heartbeat but the first of a connection. */
  readonly late: readonly number[];
  readonly acks: number;
  readonly connections: number;
  readonly pongs: readonly number[];
  readonly work: { readonly turns: number; readonly contexts: number };
  readonly seconds: number;
}

async function measure(kind: Kind, units: number, seconds: number): Promise<Figures> {
  await using discord = await DiscordServer.start({ heartbeatMs: INTERVAL_MS });
  await using irc = await IrcServer.start({ pingMs: INTERVAL_MS });
  const args = [kind, String(THREADS), String(units), discord.apiUrl, TOKEN, String(irc.port)];
  const host = await start(new URL('./heartbeats/host.ts', import.meta.url), args);
  try {
    const began = performance.now();
    await sleep(seconds * 1000);
    const work = await host.ask<Figures['work']>('work');
    return {
      beats: discord.gateway.beats.flat().length,
      late: discord.gateway.gaps().map((gap) => Math.max(0, gap - INTERVAL_MS)),
      acks: discord.gateway.acks,
      connections: discord.gateway.beats.length,
      pongs: [...irc.pongs],
      work,
      seconds: (performance.now() - began) / 1000,
    };
  } finally {
    await host.stop();
  }
}

const units = calibrate(TURN_MS);
const results = new Map<Kind, Figures>([
  ['orrery', await measure('orrery', units, SECONDS)],
  ['single', await measure('single', units, SINGLE_SECONDS)],
]);

const ms = (values: readonly number[], share: number): string => percentile(values, share).toFixed(1);
console.log(`${THREADS} threads, turns of ${TURN_MS} ms of CPU, contexts of 1 MB counted beside them; lateness in ms:`);
printTable(
  [
    '',
    'beats',
    'p50 late',
    'p99 late',
    'max late',
    'connections',
    'PINGs',
    'p99 answer',
    'max answer',
    'turns/s',
    'MB counted/s',
  ],
  [...results].map(([kind, f]) => [
    KINDS[kind],
    String(f.beats),
    ms(f.late, 0.5),
    ms(f.late, 0.99),
    ms(f.late, 1),
    String(f.connections),
    String(f.pongs.length),
    ms(f.pongs, 0.99),
    ms(f.pongs, 1),
    (f.work.turns / f.seconds).toFixed(1),
    (f.work.contexts / f.seconds).toFixed(1),
  ]),
);

const ours = results.get('orrery');
if (!ours) throw new Error('Orrery was not measured');
console.log();
const needed = SHORT ? Math.floor(SECONDS * 0.8) : 120;
printTarget(`at least ${needed} heartbeats`, String(ours.beats), ours.beats >= needed);
printTarget(
  `every heartbeat at most ${LIMIT_MS} ms late`,
  `${ms(ours.late, 1)} ms at most`,
  percentile(ours.late, 1) <= LIMIT_MS,
);
printTarget(
  `every PING answered within ${LIMIT_MS} ms`,
  `${ms(ours.pongs, 1)} ms at most`,
  percentile(ours.pongs, 1) <= LIMIT_MS,
);
printTarget('one connection throughout', String(ours.connections), ours.connections === 1);
printJson('heartbeats', {
  threads: THREADS,
  turnMs: TURN_MS,
  intervalMs: INTERVAL_MS,
  results: [...results].map(([kind, f]) => ({
    name: KINDS[kind],
    seconds: rounded(f.seconds, 0),
    beats: f.beats,
    acks: f.acks,
    connections: f.connections,
    lateP50Ms: rounded(percentile(f.late, 0.5)),
    lateP99Ms: rounded(percentile(f.late, 0.99)),
    lateMaxMs: rounded(percentile(f.late, 1)),
    pings: f.pongs.length,
    pongP99Ms: rounded(percentile(f.pongs, 0.99)),
    pongMaxMs: rounded(percentile(f.pongs, 1)),
    turns: f.work.turns,
    contexts: f.work.contexts,
  })),
});
