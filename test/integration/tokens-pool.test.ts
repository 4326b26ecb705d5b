import { truncateSync } from 'node:fs';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { loadImage, readOrBuild } from '../../src/main/tokens/images.ts';
import { TokenPool, type TokenPoolOptions } from '../../src/main/tokens/index.ts';
import { JOB_UNITS } from '../../src/main/tokens/requests.ts';
import { TokenThreads } from '../../src/main/tokens/threads.ts';
import { type Encoder, openEncoder } from '../../src/worker/tokenizer/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';

let encoder: Encoder;
beforeAll(async () => {
  encoder = openEncoder(await loadImage('o200k_base'));
});

function openPool(options: TokenPoolOptions = { threads: 2 }): TokenPool {
  const pool = new TokenPool(options);
  onTestFinished(() => pool.close());
  return pool;
}

const dying = new URL('../fixtures/tokens-dying-entry.ts', import.meta.url).href;
const long = 'Orrery counts tokens, 也数中文。 Всё и сразу!\n'.repeat(20_000);

test('token pool - counts equal the encoder for many short texts and for split long ones', async () => {
  const pool = openPool();
  const texts = Array.from({ length: 500 }, (_, i) => `message ${i} `.repeat(i % 7));
  const [short, whole] = await Promise.all([pool.count(texts), pool.count(['a', long, ''])]);
  expect([...short.counts]).toEqual(texts.map((text) => encoder.count(text)));
  expect(short.total).toBe(texts.reduce((sum, text) => sum + encoder.count(text), 0));
  expect(whole).toEqual({
    counts: Uint32Array.of(1, encoder.count(long), 0),
    total: encoder.count(long) + 1,
    exact: true,
  });
});

test('token pool - requests of one tick travel as one message', async () => {
  const threads = new TokenThreads(1);
  onTestFinished(() => threads.close());
  let checks = 0;
  // A job is asked whether it is still wanted when it is taken: all of a tick are taken before the first is answered.
  const seen: number[] = [];
  const jobs = Array.from({ length: 100 }, async (_, i) => {
    await threads.submit<'count'>({ kind: 'count', encoding: 'o200k_base', texts: [`text ${i}`] }, () => {
      checks++;
      return false;
    });
    seen.push(checks);
  });
  await Promise.all(jobs);
  expect(seen).toEqual(Array.from({ length: 100 }, () => 100));
});

test('token pool - work whose thread ended is tried once more, alone, so that a neighbour survives', async () => {
  const threads = new TokenThreads(1, dying);
  onTestFinished(() => threads.close());
  const submit = (text: string): Promise<Uint32Array> =>
    threads.submit<'count'>({ kind: 'count', encoding: 'o200k_base', texts: [text] }, () => false);
  const [before, deadly, after] = await Promise.allSettled([submit('before'), submit('die'), submit('after')]);
  expect([before, after]).toEqual([
    { status: 'fulfilled', value: Uint32Array.of(6) },
    { status: 'fulfilled', value: Uint32Array.of(5) },
  ]);
  expect(deadly).toMatchObject({ status: 'rejected', reason: { code: 'ORRERY_WORKER_EXITED', retryable: true } });
  expect(await submit('and on')).toEqual(Uint32Array.of(6));
});

/** Submits jobs to a pool of one thread, and tells how many it was given before it could answer. */
async function givenAhead(jobs: readonly string[]): Promise<number> {
  await loadImage('o200k_base');
  const threads = new TokenThreads(1, dying);
  onTestFinished(() => threads.close());
  let given = 0;
  const done = jobs.map((text) =>
    threads.submit<'count'>({ kind: 'count', encoding: 'o200k_base', texts: [text] }, () => {
      given++;
      return false;
    }),
  );
  // Runs after all promises that are due, and before any message of a thread.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  const ahead = given;
  expect(await Promise.all(done)).toEqual(jobs.map((text) => Uint32Array.of(text.length)));
  return ahead;
}

test('token pool - a thread is given one batch ahead, so that it need not wait for the main thread', async () => {
  const full = 'x'.repeat(JOB_UNITS);
  expect(await givenAhead([full, full, full])).toBe(2);
});

test('token pool - nothing is given ahead behind a batch that takes long', async () => {
  expect(await givenAhead(['x'.repeat(2 * JOB_UNITS + 1), 'short'])).toBe(1);
});

test('token pool - work that was given ahead survives the thread that ended before its turn', async () => {
  const threads = new TokenThreads(1, dying);
  onTestFinished(() => threads.close());
  const submit = (...texts: string[]): Promise<Uint32Array> =>
    threads.submit<'count'>({ kind: 'count', encoding: 'o200k_base', texts }, () => false);
  const filler = 'x'.repeat(JOB_UNITS);
  const jobs = [submit('die', filler), submit('ahead', filler), submit('die', filler), submit('behind')];
  expect(await Promise.allSettled(jobs)).toMatchObject([
    { status: 'rejected', reason: { code: 'ORRERY_WORKER_EXITED' } },
    { status: 'fulfilled', value: Uint32Array.of(5, JOB_UNITS) },
    { status: 'rejected', reason: { code: 'ORRERY_WORKER_EXITED' } },
    { status: 'fulfilled', value: Uint32Array.of(6) },
  ]);
});

test('token pool - each encoding and model counts with its own vocabulary', async () => {
  const pool = openPool();
  const text = 'Les œufs d’été, नमस्ते';
  const cl100k = openEncoder(await loadImage('cl100k_base'));
  expect((await pool.count([text], { encoding: 'cl100k_base' })).total).toBe(cl100k.count(text));
  expect((await pool.count([text], { model: 'gpt-4' })).total).toBe(cl100k.count(text));
  expect(await pool.count([text], { model: 'claude-opus-4' })).toMatchObject({
    total: encoder.count(text),
    exact: false,
  });
  expect((await pool.count(['<|start|>'], { encoding: 'o200k_harmony', special: 'all' })).total).toBe(1);
});

test('token pool - encodes, truncates and counts chats', async () => {
  const pool = openPool();
  expect(await pool.encode('hello 😀 world')).toEqual(encoder.encode('hello 😀 world'));
  expect(await pool.truncate('hello 😀 world', 2)).toEqual({ text: 'hello 😀', tokens: 2, cut: true });
  expect(await pool.truncate('hello', 2)).toEqual({ text: 'hello', tokens: 1, cut: false });
  const picture = { type: 'image_url', text: undefined, uncloneable: () => {} };
  const chat = [{ role: 'user', content: [{ type: 'text', text: 'hi' }, picture as { type: string }] }];
  expect(await pool.countMessages(chat)).toEqual({ counts: Uint32Array.of(5), total: 8, exact: false });
});

test('token pool - files are read on the workers, whatever their size and bytes', async () => {
  using directory = temporaryDirectory();
  const folder = directory.path;
  const pool = openPool();
  const files = {
    'long.txt': long,
    'letters.txt': 'é'.repeat(700_000),
    'empty.txt': '',
    'mark.txt': '\ufeffa',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  await writeFile(join(folder, 'broken.bin'), Buffer.of(0x61, 0xff, 0x62));
  const names = [...Object.keys(files), 'broken.bin'];
  const counted = await pool.countFiles(names.map((name) => join(folder, name)));
  const expected = [...Object.values(files), 'a\ufffdb'].map((text) => encoder.count(text));
  expect(counted.files.map(({ tokens }) => tokens)).toEqual(expected);
  expect(counted.files.map(({ bytes }) => bytes)).toEqual([
    ...Object.values(files).map((text) => Buffer.byteLength(text)),
    3,
  ]);
  await expect(pool.countFiles([join(folder, 'nothing')])).rejects.toMatchObject({ code: 'ORRERY_TOKENS_BAD_INPUT' });
});

test('token pool - a signal ends a request with its reason, and the pool goes on', async () => {
  const pool = openPool({ threads: 1 });
  const reason = new Error('no longer wanted');
  const controller = new AbortController();
  const counting = pool.count([long.repeat(10)], { signal: controller.signal });
  controller.abort(reason);
  await expect(counting).rejects.toBe(reason);
  await expect(pool.count(['x'], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect((await pool.count(['hello world'])).total).toBe(2);
});

test('token pool - one request more than its bound is refused, and later ones are taken again', async () => {
  const pool = openPool({ threads: 1, maxQueue: 2 });
  const first = [pool.count(['a']), pool.count(['b'])];
  await expect(pool.count(['c'])).rejects.toMatchObject({ code: 'ORRERY_TOKENS_QUEUE_FULL', retryable: true });
  await Promise.all(first);
  expect((await pool.count(['c'])).total).toBe(1);
});

test('token pool - closing finishes what was accepted and refuses what comes after', async () => {
  const pool = new TokenPool({ threads: 2 });
  const counting = pool.count([long]);
  const closing = pool.close();
  await expect(pool.count(['x'])).rejects.toMatchObject({ code: 'ORRERY_TOKENS_CLOSED' });
  expect((await counting).total).toBe(encoder.count(long));
  await closing;
  await pool.close();
});

test('token pool - input that cannot be counted is refused by name', async () => {
  const pool = openPool();
  const wrong: Promise<unknown>[] = [
    pool.count(['x'], { encoding: 'p50k_base' }),
    pool.count(['x'], { encoding: '__proto__' }),
    pool.count(['x'], { model: '' }),
    pool.count(JSON.parse('[1]') as string[]),
    pool.count(JSON.parse('"x"') as string[]),
    pool.encode('x', { model: 'claude-opus-4' }),
    pool.truncate('x', -1),
    pool.count(['x'], { special: ['<|nothing|>'] }),
    pool.countMessages([{ content: 'x' } as { role: string; content: string }]),
  ];
  for (const result of await Promise.allSettled(wrong)) {
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ORRERY_TOKENS_BAD_INPUT' } });
  }
  expect(() => new TokenPool({ threads: 0 })).toThrow(expect.objectContaining({ code: 'ORRERY_TOKENS_BAD_INPUT' }));
});

test('images - a missing or damaged image is built once more and written whole', { timeout: 120_000 }, async () => {
  using directory = temporaryDirectory();
  const folder = join(directory.path, 'vocab');
  const built = await readOrBuild('cl100k_base', folder);
  expect(await readdir(folder)).toEqual(['cl100k_base.img']);
  const path = join(folder, 'cl100k_base.img');
  expect((await readFile(path)).equals(new Uint8Array(built))).toBe(true);
  truncateSync(path, 1_000);
  const again = await readOrBuild('cl100k_base', folder);
  expect(openEncoder(again).count('hello world')).toBe(2);
  expect(again.byteLength).toBe(built.byteLength);
});

test('images - one image serves every caller of a process', async () => {
  const [a, b] = await Promise.all([loadImage('o200k_base'), loadImage('o200k_harmony')]);
  expect(a).toBe(b);
});
