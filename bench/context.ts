/**
 * What does a long past cost a turn? Sessions of 10, 1,000 and 100,000 messages of about 100 tokens on SQLite, turns of a model
 * agent on each: load, fit the window, ask, count what is new, commit. CPU time of the thread alone; the model is a local server
 * in a process of its own that answers at once. In a window that ten messages fill, the past must cost nothing; in one of
 * 128,000 tokens it costs what more of it is sent. Beside both what counting the whole session anew with gpt-tokenizer takes.
 *
 * node bench/context.ts [--turns 200] [--rounds 5] [--most 100000]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { loadImage } from '../src/main/tokens/images.ts';
import { AgentRuntime } from '../src/worker/agent-runtime.ts';
import { modelAgent } from '../src/worker/models/index.ts';
import { SqliteSessionStore } from '../src/worker/sessions/sqlite.ts';
import type { NewMessage, SessionStore } from '../src/worker/sessions/store.ts';
import { openEncoder } from '../src/worker/tokenizer/index.ts';
import { ThreadTokens } from '../src/worker/tokens.ts';
import { start } from './lib/process.ts';
import { median, option, printJson, printTable, printTarget, rounded } from './lib/stats.ts';
import { loadPeer } from './tokens-peers.ts';

const TURNS = option('turns', 200);
const ROUNDS = option('rounds', 5);
const SIZES = [10, 1_000, option('most', 100_000)];
/** A window whose prompt ten messages fill, and one of a large model; the answer's share is none of it. */
const WINDOWS = { 'ten messages': 1_150, '128,000 tokens': 128_000 } as const;
const MODEL = 'openai-compatible:gpt-4o';
const WORDS = ['the', 'switchboard', 'of', 'a', 'town', 'joins', 'lines', 'by', 'hand', 'and', 'people', 'wait'];

const text = (n: number): string =>
  Array.from({ length: 95 }, (_, i) => WORDS[(n * 7 + i * 5) % WORDS.length]).join(' ');
const message = (n: number): NewMessage['message'] => ({ role: n % 2 === 0 ? 'user' : 'assistant', content: text(n) });

const dir = mkdtempSync(join(tmpdir(), 'orrery-bench-'));
const server = await start(new URL('./gateway/model-server.ts', import.meta.url), ['32']);
const baseUrl = await server.ask<string>('url');
const image = await loadImage('o200k_base');
const encoder = openEncoder(image);
const tokens = new ThreadTokens({ o200k_base: image });
let deliveries = 0;

/** Fills a session with counted messages, as its turns would have. */
function fill(store: SessionStore, epoch: number, agent: string, namespace: string, size: number): void {
  for (let at = 0; at < size; at += 1_000) {
    const session = { agent, namespace };
    const messages = Array.from({ length: Math.min(1_000, size - at) }, (_, i) => ({
      message: message(at + i),
      tokens: 4 + encoder.count(text(at + i)),
    }));
    store.commit({
      session,
      deliveries: [`fill-${(deliveries += 1)}`],
      version: store.load(session).version,
      epoch,
      messages,
      encoding: 'o200k_base',
      reply: { message: { role: 'assistant', content: '' }, usage: { inputTokens: 0, outputTokens: 0 }, steps: 0 },
    });
  }
}

interface Subject {
  readonly size: number;
  run(n: number): Promise<void>;
}

/** CPU milliseconds of each of some turns: the clock of a thread is too coarse for one. */
async function cpuMs(times: number, work: (n: number) => Promise<void> | void): Promise<number> {
  const before = process.threadCpuUsage();
  for (let n = 0; n < times; n++) await work(n);
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000 / times;
}

/** An agent of one window, and its sessions. Every turn makes a session longer: the short one is many, so that it stays short. */
async function subjects(store: SessionStore, name: string, maxTokens: number): Promise<Subject[]> {
  const spec = {
    model: MODEL,
    baseUrl,
    system: 'Answer in plain words.',
    context: { maxTokens, reservedForOutput: 0 },
  };
  const [epoch = 0] = store.own([name]);
  const source = { kind: 'model' as const, spec };
  const runtime = new AgentRuntime(
    { runtime: name, agent: name, source, env: {}, number: 1 },
    epoch,
    modelAgent(spec),
    store,
    pino({ level: 'silent' }),
    tokens,
  );
  await runtime.start();
  return SIZES.map((size) => {
    const copies = size < 1_000 ? TURNS : 1;
    for (let i = 0; i < copies; i++) fill(store, epoch, name, `bench:${size}:${i}`, size);
    return {
      size,
      async run(n) {
        const turn = runtime.open({
          turn: n,
          id: `turn-${(deliveries += 1)}`,
          runtime: name,
          session: `bench:${size}:${n % copies}`,
          attempt: 1,
          timeoutMs: 60_000,
          stream: false,
          message: { role: 'user', content: 'And what came after that?' },
        });
        await runtime.run(turn);
      },
    };
  });
}

const recounts = new Map<number, number>();
const peer = await loadPeer('gpt-tokenizer', 'o200k_base');
for (const size of SIZES) {
  const texts = Array.from({ length: size }, (_, i) => text(i));
  const recount = (): void => {
    for (const said of texts) peer.count(said);
  };
  recount();
  recounts.set(size, await cpuMs(Math.ceil(2_000 / size), recount));
}

const figures: Record<string, unknown>[] = [];
const targets: [what: string, measured: string, holds: boolean][] = [];
for (const [window, maxTokens] of Object.entries(WINDOWS)) {
  const store = new SqliteSessionStore({ file: join(dir, `${maxTokens}.db`) });
  const contestants = await subjects(store, `window-${maxTokens}`, maxTokens);
  const rounds = new Map<number, number[]>(SIZES.map((size) => [size, []]));
  const perRound = Math.ceil(TURNS / ROUNDS);
  for (const subject of contestants) await cpuMs(perRound, (n) => subject.run(n));
  for (let round = 0; round < ROUNDS; round++) {
    for (const subject of contestants) {
      const mean = await cpuMs(perRound, (n) => subject.run(round * perRound + n));
      rounds.get(subject.size)?.push(mean);
    }
  }
  const ms = (size: number): number => median(rounds.get(size) ?? []);
  const [least = 0] = SIZES;
  console.log(`\na window of ${window}, medians of ${ROUNDS} rounds of ${perRound} turns:`);
  printTable(
    ['messages stored', 'CPU ms a turn', 'x of 10', 'recount ms', 'x of the turn'],
    SIZES.map((size) => [
      size.toLocaleString('en'),
      ms(size).toFixed(3),
      (ms(size) / ms(least)).toFixed(2),
      (recounts.get(size) ?? 0).toFixed(2),
      ((recounts.get(size) ?? 0) / ms(size)).toFixed(2),
    ]),
  );
  for (const size of SIZES) {
    const recountMs = rounded(recounts.get(size) ?? 0);
    figures.push({
      window: maxTokens,
      messages: size,
      turnCpuMs: rounded(ms(size), 3),
      ofTen: rounded(ms(size) / ms(least)),
      recountMs,
    });
  }
  const most = SIZES.at(-1) ?? 0;
  const share = ms(most) / ms(least);
  if (maxTokens === WINDOWS['ten messages']) {
    targets.push([
      `${most.toLocaleString('en')} messages at most 2 x the turn at 10`,
      `${share.toFixed(2)} x`,
      share <= 2,
    ]);
  }
  store.close();
}
console.log();
for (const [what, measured, holds] of targets) printTarget(what, measured, holds);
printJson('context', { turns: TURNS, rounds: ROUNDS, results: figures });
await server.stop();
rmSync(dir, { recursive: true, force: true });
