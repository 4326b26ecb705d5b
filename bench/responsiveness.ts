/**
 * Does the main thread stay free while every slot computes? Event-loop delay of Orrery's main thread, sampled every
 * millisecond, and the answers to a WebSocket client that pings every 100 ms, beside a main thread with plain worker
 * threads and a single-thread host that run the same turns. A control process that has only a timer runs at the same time
 * as each of them, and tells what the machine itself does to a timer under that load.
 *
 * node bench/responsiveness.ts [--seconds 60] [--threads 2] [--turn 200]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, start } from './lib/process.ts';
import { option, percentile, printJson, printTable, printTarget, rounded } from './lib/stats.ts';
import { calibrate } from './responsiveness/burn.ts';
import type { LoopDelayFigures } from './responsiveness/loop-delay.ts';

const SECONDS = option('seconds', 60);
const THREADS = option('threads', 2);
/** CPU time of one turn, in milliseconds. */
const TURN_MS = option('turn', 200);
const WARM_MS = 2_000;

const KINDS = {
  orrery: 'Orrery',
  threads: 'plain worker threads',
  single: 'single-thread host',
} as const;
type Kind = keyof typeof KINDS;

interface Figures {
  readonly main: LoopDelayFigures & { readonly turns: number; readonly lost: number };
  readonly control: LoopDelayFigures;
  readonly pings: { readonly sent: number; readonly latencies: readonly number[] };
}

const module = (name: string): URL => new URL(`./responsiveness/${name}.ts`, import.meta.url);

async function measure(kind: Kind, control: Child, client: Child, units: number): Promise<Figures> {
  const host = await start(module('host'), [kind, String(THREADS), String(units)]);
  try {
    const url = await host.ask<string>('url');
    await sleep(WARM_MS);
    await Promise.all([host.ask('begin'), control.ask('begin')]);
    const pings = await client.ask<Figures['pings']>('ping', { url, seconds: SECONDS });
    const main = await host.ask<Figures['main']>('end');
    return { main, control: await control.ask<LoopDelayFigures>('end'), pings };
  } finally {
    await host.stop();
  }
}

const units = calibrate(TURN_MS);
const control = await start(module('control'));
const client = await start(module('client'));
const results = new Map<Kind, Figures>();
for (const kind of Object.keys(KINDS) as Kind[]) results.set(kind, await measure(kind, control, client, units));
await Promise.all([control.stop(), client.stop()]);

const ms = (value: number | undefined): string => (value ?? Number.NaN).toFixed(2);
console.log(`Event-loop delay in ms over ${SECONDS} s each, ${THREADS} threads, turns of ${TURN_MS} ms of CPU:`);
printTable(
  ['main thread of', 'p50', 'p99', 'max', 'turns/s'],
  [...results].flatMap(([kind, { main, control }]) => [
    [KINDS[kind], ms(main.p50), ms(main.p99), ms(main.max), (main.turns / SECONDS).toFixed(1)],
    ['  control beside it', ms(control.p50), ms(control.p99), ms(control.max), ''],
  ]),
);
console.log('\nA ping every 100 ms over WebSocket, latency in ms:');
printTable(
  ['server', 'sent', 'answered', 'p50', 'p99', 'max'],
  [...results].map(([kind, { pings }]) => [
    KINDS[kind],
    String(pings.sent),
    String(pings.latencies.length),
    ms(percentile(pings.latencies, 0.5)),
    ms(percentile(pings.latencies, 0.99)),
    ms(percentile(pings.latencies, 1)),
  ]),
);

const ours = results.get('orrery');
if (!ours) throw new Error('Orrery was not measured');
const within = (value: number, limit: number, beside: number): boolean => value <= Math.max(limit, 2 * beside);
console.log();
printTarget(
  'p99 at most 10 ms, or 2 x the control',
  `${ms(ours.main.p99)} ms, control ${ms(ours.control.p99)} ms`,
  within(ours.main.p99, 10, ours.control.p99),
);
printTarget(
  'max at most 100 ms, or 2 x the control',
  `${ms(ours.main.max)} ms, control ${ms(ours.control.max)} ms`,
  within(ours.main.max, 100, ours.control.max),
);
printTarget(
  'every ping answered',
  `${ours.pings.latencies.length} of ${ours.pings.sent}`,
  ours.pings.latencies.length === ours.pings.sent,
);
printTarget('no turn lost', `${ours.main.lost} of ${ours.main.turns + ours.main.lost}`, ours.main.lost === 0);
const figures = (delay: LoopDelayFigures): object => ({
  p50Ms: rounded(delay.p50),
  p99Ms: rounded(delay.p99),
  maxMs: rounded(delay.max),
});
printJson('responsiveness', {
  seconds: SECONDS,
  threads: THREADS,
  turnMs: TURN_MS,
  results: [...results].map(([kind, { main, control, pings }]) => ({
    name: KINDS[kind],
    main: figures(main),
    turns: main.turns,
    lost: main.lost,
    control: figures(control),
    pings: pings.sent,
    pongs: pings.latencies.length,
    pongP50Ms: rounded(percentile(pings.latencies, 0.5)),
    pongP99Ms: rounded(percentile(pings.latencies, 0.99)),
    pongMaxMs: rounded(percentile(pings.latencies, 1)),
  })),
});
