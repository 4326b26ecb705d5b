/**
 * Measures counting and encoding on one thread, cold and warm, beside gpt-tokenizer, ai-tokenizer and tiktoken (WASM). All
 * run interleaved in one process; times are thread CPU, figures are medians. Cold: merge caches are emptied before a run.
 * `--corpus NAME` takes one corpus only.
 */
import { median, printJson, printTable } from './lib/stats.ts';
import { corpora } from './tokens-corpora.ts';
import { type Peer, loadPeers } from './tokens-peers.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 11);
const SAMPLE_MS = 120;
const encodingName = 'o200k_base';

type Mode = 'count' | 'encode';

function run(peer: Peer, mode: Mode, texts: readonly string[]): number {
  let tokens = 0;
  if (mode === 'count') for (const text of texts) tokens += peer.count(text);
  else for (const text of texts) tokens += peer.encode(text).length;
  return tokens;
}

function cpuMicros(): number {
  const usage = process.threadCpuUsage();
  return usage.user + usage.system;
}

/** Linux tells a thread's CPU time in steps of milliseconds, so a sample repeats the run until it is long against them. */
function repeatsFor(peer: Peer, mode: Mode, heat: string, texts: readonly string[]): number {
  const start = performance.now();
  let times = 0;
  while (performance.now() - start < SAMPLE_MS) {
    if (heat === 'cold') peer.clear();
    run(peer, mode, texts);
    times++;
  }
  return times;
}

const peers = await loadPeers(encodingName);
const oracle = peers.find((peer) => peer.name === 'tiktoken')!;
const results: Record<string, unknown>[] = [];
const rows: string[][] = [];
const only = process.argv[process.argv.indexOf('--corpus') + 1];
const named = process.argv.includes('--corpus');
for (const corpus of corpora().filter(({ name }) => !named || name === only)) {
  const expected = run(oracle, 'count', corpus.texts);
  for (const mode of ['count', 'encode'] as const) {
    for (const heat of ['cold', 'warm'] as const) {
      const micros = new Map(peers.map((peer) => [peer, [] as number[]]));
      const repeats = new Map(peers.map((peer) => [peer, repeatsFor(peer, mode, heat, corpus.texts)]));
      for (let round = 0; round < ROUNDS; round++) {
        // A peer's turn moves each round, so that nobody always runs behind the same neighbour.
        for (let i = 0; i < peers.length; i++) {
          const peer = peers[(i + round) % peers.length]!;
          const times = repeats.get(peer)!;
          const before = cpuMicros();
          for (let k = 0; k < times; k++) {
            if (heat === 'cold') peer.clear();
            run(peer, mode, corpus.texts);
          }
          micros.get(peer)!.push((cpuMicros() - before) / times);
        }
      }
      const rates = peers.map((peer) => corpus.bytes / median(micros.get(peer)!));
      const [ours, ...others] = rates;
      rows.push([
        `${corpus.name}, ${mode}, ${heat}`,
        ...rates.map((rate) => rate.toFixed(1)),
        ...others.map((rate) => `x ${(ours! / rate).toFixed(2)}`),
      ]);
      const mbPerS = Object.fromEntries(peers.map(({ name }, i) => [name, rates[i]]));
      const off = Object.fromEntries(peers.map((peer) => [peer.name, run(peer, mode, corpus.texts) - expected]));
      results.push({ corpus: corpus.name, bytes: corpus.bytes, mode, heat, mbPerS, off });
    }
  }
}
const others = peers.slice(1).map(({ name }) => name);
printTable(
  ['MB/s of UTF-8, and how many times a peer', ...peers.map(({ name }) => name), ...others.map((name) => `x ${name}`)],
  rows,
);
printJson('tokens', { encoding: encodingName, rounds: ROUNDS, results });
