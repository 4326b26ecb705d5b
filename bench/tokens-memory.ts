/**
 * Measures memory and start: what RSS an extra worker with the encoder takes over an empty one, before work and after 100
 * MB of distinct text, beside the peers; and the CPU time from nothing to a first count with the image on disk.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { loadImage } from '../src/main/tokens/images.ts';
import { openEncoder } from '../src/worker/tokenizer/encoder.ts';
import { flag, median, printJson, printTable } from './lib/stats.ts';
import { loadPeer } from './tokens-peers.ts';

const ROUNDS = flag('short') ? 3 : 11;
const SUBJECTS = ['empty', 'orrery', 'gpt-tokenizer', 'ai-tokenizer', 'tiktoken'] as const;
type Subject = (typeof SUBJECTS)[number];
/** Rounds that also count the distinct text, which takes most of the time. */
const WORK_ROUNDS = flag('short') ? 1 : 3;
const TEXT_MB = flag('short') ? 5 : 100;
/** Workers in a process; the first one is not counted, since it also brings what all share. */
const WORKERS = 4;
const SETTLE_MS = 300;
const page = Buffer.alloc(1_000_000);

const child = process.argv.indexOf('--child');
if (!isMainThread) await work();
else if (child >= 0) process.send!(await measure(process.argv[child + 1]!));
else await compare();

async function work(): Promise<void> {
  const { subject, image } = workerData as { subject: Subject; image: SharedArrayBuffer };
  const count = await counterOf(subject, image);
  parentPort!.on('message', (megabytes: number) => {
    for (let i = 0; i < megabytes; i++) count(distinctText(i));
    parentPort!.postMessage('done');
  });
  parentPort!.postMessage('ready');
}

async function counterOf(subject: Subject, image: SharedArrayBuffer): Promise<(text: string) => number> {
  if (subject === 'empty') return (text) => text.length;
  if (subject === 'orrery') {
    const encoder = openEncoder(image);
    return (text) => encoder.count(text);
  }
  const peer = await loadPeer(subject, 'o200k_base');
  return (text) => peer.count(text);
}

/** A megabyte of words that no other has, made without garbage of its own. */
function distinctText(seed: number): string {
  let state = seed * 7_919 + 1;
  for (let at = 0; at < page.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    page[at] = state >>> 24 < 40 ? 0x20 : 0x61 + ((state >>> 16) % 26);
  }
  return page.toString('latin1');
}

async function measure(subject: string): Promise<Record<string, number>> {
  if (subject === 'start') {
    // What the process's own start left to do in other threads is not the encoder's.
    await setTimeout(SETTLE_MS);
    const before = process.cpuUsage();
    const image = await loadImage('o200k_base');
    const loaded = process.cpuUsage(before);
    // Too short for the kernel's clock of a thread: wall time of work that waits for nothing.
    const opening = performance.now();
    openEncoder(image).count('hello world');
    const openMs = performance.now() - opening;
    return { loadMs: (loaded.user + loaded.system) / 1_000, openMs };
  }
  const image = await loadImage('o200k_base');
  const workers: Worker[] = [];
  const rss: number[] = [];
  for (let i = 0; i < WORKERS; i++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { subject, image } });
    await once(worker, 'message');
    workers.push(worker);
    rss.push(process.memoryUsage.rss());
  }
  const before = (rss.at(-1)! - rss[0]!) / (WORKERS - 1);
  if (!process.argv.includes('--work')) return { before: before / 2 ** 20 };
  const start = process.memoryUsage.rss();
  const readings: number[] = [];
  for (const part of [TEXT_MB / 2, TEXT_MB / 2]) {
    workers[0]!.postMessage(part);
    await once(workers[0]!, 'message');
    readings.push((process.memoryUsage.rss() - start) / 2 ** 20);
  }
  return { before: before / 2 ** 20, afterHalf: readings[0]!, afterAll: readings[1]! };
}

async function ask(subject: string, ...more: string[]): Promise<Record<string, number>> {
  const child = fork(import.meta.filename, [...process.argv.slice(2), ...more, '--child', subject]);
  const [answer] = (await once(child, 'message')) as [Record<string, number>];
  child.kill();
  return answer;
}

async function compare(): Promise<void> {
  const found = new Map<string, Record<string, number>[]>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const subject of ['start', ...SUBJECTS]) {
      const answers = found.get(subject) ?? [];
      answers.push(await ask(subject));
      found.set(subject, answers);
    }
  }
  const worked = new Map<string, Record<string, number>[]>([
    ['empty', []],
    ['orrery', []],
  ]);
  for (let round = 0; round < WORK_ROUNDS; round++) {
    for (const [subject, answers] of worked) answers.push(await ask(subject, '--work'));
  }
  const of = (subject: string, key: string): number => median(found.get(subject)!.map((answer) => answer[key]!));
  const empty = of('empty', 'before');
  const results = SUBJECTS.map((subject) => ({
    subject,
    mib: of(subject, 'before'),
    overEmpty: of(subject, 'before') - empty,
  }));
  printTable(
    ['an extra worker, before work', 'RSS MiB', 'over an empty one'],
    results.map(({ subject, mib, overEmpty }) => [subject, mib.toFixed(1), overEmpty.toFixed(1)]),
  );
  const after = (subject: string, key: string): number => median(worked.get(subject)!.map((answer) => answer[key]!));
  const grown = (key: string): number => after('orrery', key) - after('empty', key);
  const afterHalf = grown('afterHalf');
  const afterAll = grown('afterAll');
  const loadMs = of('start', 'loadMs');
  const openMs = of('start', 'openMs');
  console.log(
    `orrery, one worker over an empty one: ${afterHalf.toFixed(1)} MiB grown after ${TEXT_MB / 2} MB of distinct text, ${afterAll.toFixed(1)} after ${TEXT_MB} MB`,
  );
  console.log(
    `orrery: ${loadMs.toFixed(1)} ms of CPU to load the image once a process, ${openMs.toFixed(1)} ms to open an encoder on it and count`,
  );
  printJson('tokens-memory', {
    rounds: ROUNDS,
    results,
    afterHalfMiB: afterHalf,
    afterAllMiB: afterAll,
    loadMs,
    openMs,
  });
}
