/**
 * What does the gateway cost? `/v1/chat/completions`, streamed and not, through Orrery with a `model:` agent, beside a bare
 * fastify + AI SDK handler in one process and clustered to the same cores. Model, contestants and load run in processes of
 * their own; contestants alternate, figures are medians of rounds. The model answers at once, so that what is left is what
 * the contestants themselves cost.
 *
 * node bench/gateway.ts [--rounds 7] [--seconds 3] [--cores 2] [--chunks 32]
 */
import { type Child, start } from './lib/process.ts';
import { median, option, percentile, printJson, printTable, printTarget, rounded } from './lib/stats.ts';
import type { LoadFigures, LoadOptions } from './gateway/load.ts';

const ROUNDS = option('rounds', 7);
const SECONDS = option('seconds', 3);
const CORES = option('cores', 2);
const CHUNKS = option('chunks', 32);
const CONCURRENCY = [16, 64];
const KINDS = {
  bare: 'fastify + AI SDK, one process',
  cluster: `fastify + AI SDK, ${CORES} processes`,
  orrery: `Orrery, ${CORES} threads`,
} as const;
type Kind = keyof typeof KINDS;

interface Contestant {
  readonly kind: Kind;
  readonly child: Child;
  readonly url: string;
}

interface Round {
  readonly perSecond: number;
  readonly perCpuSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly firstP50: number;
}

const module = (name: string): URL => new URL(`./gateway/${name}.ts`, import.meta.url);

async function round({ child, url }: Contestant, load: Child, concurrency: number, stream: boolean): Promise<Round> {
  const before = await child.ask<number>('cpu');
  const options: LoadOptions = { url, concurrency, stream, seconds: SECONDS };
  const { requests, seconds, latencies, firstBytes } = await load.ask<LoadFigures>('load', options);
  const cpu = (await child.ask<number>('cpu')) - before;
  return {
    perSecond: requests / seconds,
    perCpuSecond: requests / cpu,
    p50: median(latencies),
    p99: percentile(latencies, 0.99),
    firstP50: median(firstBytes),
  };
}

const model = await start(module('model-server'), [String(CHUNKS)]);
const load = await start(module('load'), [String(CHUNKS)]);
const modelUrl = await model.ask<string>('url');
const contestants: Contestant[] = [];
for (const kind of Object.keys(KINDS) as Kind[]) {
  const child = await start(module('contestant'), [kind, String(CORES), modelUrl]);
  contestants.push({ kind, child, url: await child.ask<string>('url') });
}

const figures: Record<string, unknown>[] = [];
const targets: [what: string, measured: string, holds: boolean][] = [];
for (const stream of [true, false]) {
  for (const contestant of contestants) await round(contestant, load, 16, stream);
  for (const concurrency of CONCURRENCY) {
    const results = new Map<Kind, Round[]>(contestants.map(({ kind }) => [kind, []]));
    for (let i = 0; i < ROUNDS; i++) {
      for (const contestant of contestants) {
        results.get(contestant.kind)?.push(await round(contestant, load, concurrency, stream));
      }
    }
    report(results, concurrency, stream);
  }
}
console.log();
for (const [what, measured, holds] of targets) printTarget(what, measured, holds);
printJson('gateway', { cores: CORES, chunks: CHUNKS, rounds: ROUNDS, seconds: SECONDS, results: figures });
await Promise.all([...contestants.map(({ child }) => child.stop()), model.stop(), load.stop()]);

function report(results: ReadonlyMap<Kind, readonly Round[]>, concurrency: number, stream: boolean): void {
  const of = (kind: Kind, key: keyof Round): number => median((results.get(kind) ?? []).map((r) => r[key]));
  const beside = (kind: Kind, key: keyof Round): number => of(kind, key) / of('bare', key);
  const mode = stream ? `streamed in ${CHUNKS} deltas` : 'not streamed';
  console.log(`\n${mode}, ${concurrency} under way, medians of ${ROUNDS} rounds of ${SECONDS} s:`);
  printTable(
    ['contestant', 'req/s', 'x bare', 'p50 ms', 'x bare', 'p99 ms', 'first ms', 'req/CPU-s', 'x bare'],
    [...results.keys()].map((kind) => [
      KINDS[kind],
      of(kind, 'perSecond').toFixed(0),
      beside(kind, 'perSecond').toFixed(2),
      of(kind, 'p50').toFixed(1),
      beside(kind, 'p50').toFixed(2),
      of(kind, 'p99').toFixed(1),
      of(kind, 'firstP50').toFixed(1),
      of(kind, 'perCpuSecond').toFixed(0),
      beside(kind, 'perCpuSecond').toFixed(2),
    ]),
  );
  for (const kind of results.keys()) {
    figures.push({
      name: KINDS[kind],
      stream,
      concurrency,
      perSecond: rounded(of(kind, 'perSecond'), 0),
      ofBare: rounded(beside(kind, 'perSecond')),
      p50Ms: rounded(of(kind, 'p50')),
      p50OfBare: rounded(beside(kind, 'p50')),
      p99Ms: rounded(of(kind, 'p99')),
      firstP50Ms: rounded(of(kind, 'firstP50')),
      perCpuSecond: rounded(of(kind, 'perCpuSecond'), 0),
    });
  }
  const [speed, p50] = [beside('orrery', 'perSecond'), beside('orrery', 'p50')];
  const where = `${stream ? 'streamed' : 'not streamed'}, ${concurrency} under way`;
  targets.push([`${where}: throughput at least the bare handler's`, `${speed.toFixed(2)} x`, speed >= 1]);
  targets.push([`${where}: p50 at most 1.3 x the bare handler's`, `${p50.toFixed(2)} x`, p50 <= 1.3]);
}
