import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveConfig } from '../../src/main/config/index.ts';
import { adaptConfig } from '../../src/main/bench/host.ts';
import { DoneSet, ResultsLedger, readResults } from '../../src/main/bench/ledger.ts';
import { type RunManifest, readManifest, redactConfig, writeManifest } from '../../src/main/bench/manifest.ts';
import { checkOptions } from '../../src/main/bench/options.ts';
import { costOf, priceOf } from '../../src/main/bench/prices.ts';
import { RateLimiter } from '../../src/main/bench/rate-limit.ts';
import { type BenchResult, cutText, meanOf } from '../../src/main/bench/results.ts';
import { checkResumable } from '../../src/main/bench/resume.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

let directory: TemporaryDirectory;
let file: string;
beforeEach(() => {
  directory = temporaryDirectory();
  file = `${directory.path}/results.jsonl`;
});
afterEach(() => directory[Symbol.dispose]());

function result(caseId: string, over: Partial<BenchResult> = {}): BenchResult {
  return {
    caseId,
    agent: 'a',
    repeat: 0,
    input: 'q',
    output: 'r',
    scores: {},
    score: null,
    tokens: { input: 1, output: 1, exact: true },
    cost: null,
    latencyMs: { queue: 0, firstToken: null, total: 1 },
    startedAt: '2026-01-01T00:00:00.000Z',
    ...over,
  };
}

async function ids(): Promise<string[]> {
  const found: string[] = [];
  for await (const batch of readResults(file)) found.push(...batch.map(({ caseId }) => caseId));
  return found;
}

async function append(...results: readonly BenchResult[]): Promise<void> {
  const ledger = await ResultsLedger.open(file);
  await ledger.append(results);
  await ledger.close();
}

describe('results ledger', () => {
  it('batches - stand in the order of their calls', async () => {
    const ledger = await ResultsLedger.open(file);
    const appends = Array.from({ length: 50 }, (_, i) => ledger.append([result(`${i}a`), result(`${i}b`)]));
    await Promise.all(appends);
    await ledger.close();
    expect(await ids()).toEqual(Array.from({ length: 50 }, (_, i) => [`${i}a`, `${i}b`]).flat());
  });

  it('a line that is torn anywhere - is cut off, and the next one stands on a line of its own', async () => {
    await append(result('one'), result('two'));
    const whole = readFileSync(file);
    const second = whole.indexOf('\n') + 1;
    for (let bytes = second + 1; bytes < whole.length; bytes += 17) {
      writeFileSync(file, whole.subarray(0, bytes));
      await append(result('three'));
      expect(await ids()).toEqual(['one', 'three']);
    }
  });

  it('a torn line - is cut off when it is longer than what is looked at at once, or the only one', async () => {
    writeFileSync(file, `${JSON.stringify(result('one'))}\n{"caseId":"${'x'.repeat(200_000)}`);
    await append(result('two'));
    expect(await ids()).toEqual(['one', 'two']);
    writeFileSync(file, '{"caseId":"x');
    await append(result('three'));
    expect(await ids()).toEqual(['three']);
  });

  it('a line that is no result - is told with its place', async () => {
    writeFileSync(file, `${JSON.stringify(result('one'))}\n{"oops":1}\n`);
    await expect(ids()).rejects.toThrow(`${file}:2: expected a result`);
  });
});

describe('what is done', () => {
  it('a result - counts once, and only for agents and repeats of the run', () => {
    const done = new DoneSet(['a', 'b'], 5);
    expect(done.add('x', 'b', 4)).toBe(true);
    expect(done.add('x', 'b', 4)).toBe(false);
    expect(done.add('x', 'c', 0)).toBe(false);
    expect(done.add('x', 'a', 5)).toBe(false);
    expect(done.has('x', 'b', 4)).toBe(true);
    expect(done.has('x', 'a', 4)).toBe(false);
    expect(done.has('y', 'b', 4)).toBe(false);
    expect(done.size).toBe(1);
  });
});

describe('manifest', () => {
  const manifest = {
    version: 1,
    suite: { sha256: 'x' },
    agents: ['a'],
    scorers: ['exact'],
    repeats: 1,
    seed: 0,
    options: { tags: [], sample: null, limit: null },
  } as unknown as RunManifest;

  it('the file - is replaced whole, and undefined when it is missing', async () => {
    const path = `${directory.path}/run.json`;
    expect(await readManifest(path)).toBeUndefined();
    await writeManifest(path, manifest);
    await writeManifest(path, { ...manifest, seed: 1 });
    expect(await readManifest(path)).toEqual({ ...manifest, seed: 1 });
    writeFileSync(path, '{"version":2}');
    await expect(readManifest(path)).rejects.toMatchObject({ code: 'ORRERY_BENCH_INVALID' });
  });

  it('a run - is not resumed when the suite or what is measured changed; all of it is named', () => {
    expect(() => checkResumable(manifest, manifest)).not.toThrow();
    const other = { ...manifest, suite: { ...manifest.suite, sha256: 'y' }, repeats: 2 };
    expect(() => checkResumable(manifest, other)).toThrow(
      'The run cannot be resumed as it was begun\n  the suite (sha256): it was "x", and is "y"\n  repeats: it was 1, and is 2',
    );
  });

  it('the configuration - has no secret in it', () => {
    const config = resolveConfig(
      {
        agents: {
          m: {
            model: 'openai-compatible:x',
            baseUrl: 'http://user:pass@127.0.0.1:1/v1',
            apiKey: '${MY_KEY}',
            system: 'say hunter22 and value-of-mine',
            env: ['MINE'],
          },
          unused: { use: 'builtin:echo' },
        },
        defaultAgent: 'm',
      },
      { dir: '/', env: { MY_KEY: 'sk-abcdef', MINE: 'value-of-mine' } },
    );
    const text = JSON.stringify(redactConfig(config, ['m'], { SOME_PASSWORD: 'hunter22' }));
    for (const secret of ['sk-abcdef', 'hunter22', 'value-of-mine', 'user:pass', 'unused']) {
      expect(text).not.toContain(secret);
    }
    expect(text).toContain('"env":["MINE"]');
    expect(text).toContain('[secret]@127.0.0.1');
  });
});

describe('configuration of a run', () => {
  const adapt = (input: unknown): ReturnType<typeof resolveConfig> =>
    resolveConfig(adaptConfig(input, { dataDir: '/run/data', turnTimeoutMs: 7 }), { dir: '/', env: {} });

  it('defaults - are a benchmark’s, and what is configured holds', () => {
    const agents = { a: { use: 'builtin:echo' }, b: { use: 'builtin:eliza' } };
    const plain = adapt({ agents, defaultAgent: 'b', channels: { web: { type: 'gateway' } }, routing: [] });
    expect(plain).toMatchObject({
      channels: {},
      dataDir: '/run/data',
      delivery: { journal: 'memory', maxAttempts: 1, turnTimeoutMs: 7 },
      sessions: { store: 'memory' },
      restarts: { maxRestarts: 1_000_000 },
    });
    const own = adapt({
      agents,
      delivery: { journal: 'sqlite', maxJournalBytes: 700_000, maxAttempts: 4 },
      sessions: { store: 'sqlite' },
      restarts: { maxRestarts: 2, backoffMinMs: 5_000 },
    });
    expect(own).toMatchObject({
      delivery: { journal: 'memory', maxAttempts: 4 },
      sessions: { store: 'sqlite' },
      restarts: { maxRestarts: 2, backoffMinMs: 5_000 },
    });
  });

  it('what is wrong in it - is told as everywhere', () => {
    expect(() => adapt({ agents: { a: { use: 'builtin:echo' } }, delivery: 5 })).toThrow(
      'delivery: expected an object',
    );
    expect(() => adapt(7)).toThrow('expected an object');
  });
});

describe('prices', () => {
  const config = resolveConfig(
    {
      agents: { e: { use: 'builtin:echo' }, m: { model: 'openai:gpt-x' } },
      defaultAgent: 'e',
      bench: { prices: { 'gpt-x': { inputPerMTok: 2, outputPerMTok: 8 } } },
    },
    { dir: '/', env: {} },
  );
  const { e, m } = config.agents;

  it('a price - is found by the agent, then by its model', () => {
    const { prices } = config.bench;
    expect(m && priceOf(m, prices)).toEqual({ name: 'gpt-x', price: prices['gpt-x'] });
    const own = { ...prices, m: { inputPerMTok: 1, outputPerMTok: 1 } };
    expect(m && priceOf(m, own)?.name).toBe('m');
    expect(e && priceOf(e, prices)).toBeUndefined();
  });

  it('a cost - counts what the provider counted, else the tokenizer’s', () => {
    const price = { inputPerMTok: 2, outputPerMTok: 8 };
    expect(costOf({ input: 1_000, output: 500, exact: true }, price)).toBeCloseTo(0.006, 12);
    const tokens = { input: 1, output: 1, exact: true, providerInput: 2_000, providerOutput: 1_000 };
    expect(costOf(tokens, price)).toBeCloseTo(0.012, 12);
    expect(costOf(tokens, undefined)).toBeNull();
  });
});

describe('rate limiter', () => {
  it('requests - start at most so many in any minute, evenly', () => {
    const limiter = new RateLimiter({ rpm: 60 });
    let now = 10_000;
    const starts: number[] = [];
    for (let i = 0; i < 200; i++) {
      now += limiter.waitMs(now);
      limiter.take(now);
      starts.push(now);
    }
    const spans = starts.slice(60).map((start, i) => start - (starts[i] ?? 0));
    expect(spans).toHaveLength(140);
    expect(Math.min(...spans)).toBeGreaterThanOrEqual(60_000);
  });

  it('requests - are not saved up when none came for a while', () => {
    const limiter = new RateLimiter({ rpm: 60 });
    limiter.take(0);
    expect(limiter.waitMs(600_000)).toBe(0);
    limiter.take(600_000);
    expect(limiter.waitMs(600_000)).toBe(1_000);
  });

  it('tokens - come to the limit over minutes, though each case takes more than was thought', () => {
    const limiter = new RateLimiter({ tpm: 6_000 });
    let now = 0;
    let taken = 0;
    while (now < 600_000) {
      const wait = limiter.waitMs(now);
      if (wait > 0) {
        now += wait;
        continue;
      }
      limiter.settle(limiter.take(now), 500);
      taken += 500;
      now += 10;
    }
    // Ten minutes' worth, half a minute's that was there at the start, and one case that was under way.
    expect(taken).toBeLessThanOrEqual(6_000 * 10.5 + 500);
    expect(taken).toBeGreaterThan(6_000 * 9);
  });

  it('a case that is larger than half of the minute’s tokens - is asked all the same', () => {
    const limiter = new RateLimiter({ tpm: 100 });
    limiter.settle(limiter.take(0), 10_000);
    const wait = limiter.waitMs(0);
    expect(wait).toBeGreaterThan(0);
    // The debt is paid first: 10,000 tokens at 100 a minute.
    expect(wait).toBeLessThanOrEqual(100 * 60_000 + 1);
    expect(limiter.waitMs(wait)).toBe(0);
  });

  it('no limit - never waits', () => {
    const limiter = new RateLimiter({});
    limiter.settle(limiter.take(0), 1_000_000);
    expect(limiter.waitMs(0)).toBe(0);
  });
});

describe('options', () => {
  it.each<[Record<string, unknown>, string]>([
    [{ concurency: 3 }, 'There is no option `concurency`; did you mean `concurrency`?'],
    [{ concurrency: 0 }, 'Expected `concurrency` to be a whole number of at least 1, got 0'],
    [{ rpm: 1.5 }, 'Expected `rpm` to be a whole number'],
    [{ agents: 'echo' }, 'Expected `agents` to be a list of agents, got "echo"'],
    [{ maxCost: -1 }, 'an amount in US dollars above 0'],
    [{ resume: true }, 'Expected `out`, the directory of the run, with `resume`'],
    [{ suite: '' }, 'Expected `suite` to be the path of a suite, got ""'],
  ])('%j - is refused', (option, message) => {
    expect(() => checkOptions({ suite: 's.jsonl', ...option })).toThrow(message);
  });
});

describe('results', () => {
  it('a score - is the mean, and null when there is none', () => {
    expect(meanOf({ a: { score: 1 }, b: { score: 0.5 } })).toBe(0.75);
    expect(meanOf({})).toBeNull();
  });

  it('a text - is not cut in the middle of a character', () => {
    expect(cutText('ab', 2)).toBe('ab');
    expect(cutText('a😀b', 2)).toBe('a');
    expect(cutText('a😀b', 3)).toBe('a😀');
  });
});
