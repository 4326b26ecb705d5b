/** Holds the model to practise on to what it promises of its replies: exact tokens, times, and chance that follows from a seed. */
import { Command } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { MODEL_DEFAULTS, resolveModelOptions } from '../../src/main/bench/model/options.ts';
import { planReply } from '../../src/main/bench/model/plan.ts';
import { registerBenchModel } from '../../src/main/cli/bench-model.ts';
import { TokenPool } from '../../src/main/tokens/index.ts';

const pool = new TokenPool({ threads: 1 });
afterAll(() => pool.close());

describe('replies', () => {
  it.each(['o200k_base', 'cl100k_base'] as const)('tokens - are as many as asked for, by %s', async (encoding) => {
    const texts = Array.from({ length: 200 }, (_, n) =>
      planReply(n, undefined, { ...MODEL_DEFAULTS, tokens: 1 + n * 7 }).pieces.join(''),
    );
    const { counts } = await pool.count(texts, { encoding });
    expect([...counts]).toEqual(texts.map((_, n) => 1 + n * 7));
  });

  it('times - are the first token’s and then the pace’s', () => {
    const { due } = planReply(0, undefined, { ...MODEL_DEFAULTS, ttftMs: 100, tokensPerSecond: 20, tokens: 4 });
    expect([...due]).toEqual([100, 150, 200, 250]);
  });

  it('jitter - changes each wait by its share at most', () => {
    const options = { ...MODEL_DEFAULTS, ttftMs: 100, tokensPerSecond: 10, tokens: 1_000, jitter: 0.25 };
    const { due } = planReply(3, undefined, options);
    const waits = [...due].map((at, i) => at - (due[i - 1] ?? 0));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(75 - 1e-6);
    expect(Math.max(...waits)).toBeLessThanOrEqual(125 + 1e-6);
    expect(new Set(waits.map((wait) => Math.round(wait))).size).toBeGreaterThan(20);
  });

  it('seed - gives the nth request the same, and another seed another', () => {
    const options = { ...MODEL_DEFAULTS, jitter: 0.5, errorRate: 0.5 };
    expect(planReply(5, undefined, options)).toEqual(planReply(5, undefined, options));
    expect(planReply(5, undefined, options)).not.toEqual(planReply(6, undefined, options));
    expect(planReply(5, undefined, options)).not.toEqual(planReply(5, undefined, { ...options, seed: 1 }));
  });

  it('failures - are drawn at their rate', () => {
    const fails = (errorRate: number): number =>
      Array.from({ length: 5_000 }, (_, n) => planReply(n, 1, { ...MODEL_DEFAULTS, errorRate }).fails).filter(Boolean)
        .length;
    expect([fails(0), fails(1)]).toEqual([0, 5_000]);
    expect(fails(0.1) / 5_000).toBeCloseTo(0.1, 1);
  });

  it('a bound of the request - cuts the reply', () => {
    expect(planReply(0, 3, MODEL_DEFAULTS)).toMatchObject({ isCut: true, pieces: { length: 3 } });
    expect(planReply(0, 64, MODEL_DEFAULTS)).toMatchObject({ isCut: false, pieces: { length: 64 } });
  });
});

describe('options', () => {
  it.each<[object, string]>([
    [{ ttft: 1 }, 'There is no option `ttft`; did you mean `ttftMs`?'],
    [{ tokens: 0 }, 'Expected `tokens` to be a whole number of tokens from 1 to 100000, got 0'],
    [{ jitter: 1.1 }, 'Expected `jitter` to be a number from 0 to 1, got 1.1'],
    [{ errorStatus: 200 }, 'Expected `errorStatus` to be a status from 400 to 599, got 200'],
    [{ tokensPerSecond: Number.NaN }, 'Expected `tokensPerSecond`'],
    [{ port: 70_000 }, 'Expected `port` to be a port'],
  ])('%j - is told what was expected', (options, message) => {
    expect(() => resolveModelOptions(options)).toThrow(message);
  });

  it.each([
    ['--ttft', '-3', 'a number of milliseconds from 0 to 3600000, got -3'],
    ['--tps', '0', 'a number of tokens a second from 0.01 to 1000000, got 0'],
    ['--tokens', '1.5', 'a whole number of tokens from 1 to 100000, got 1.5'],
    ['--jitter', '2', 'a number from 0 to 1, got 2'],
    ['--error-rate', '-1', 'a number from 0 to 1, got -1'],
    ['--error-status', '200', 'a status from 400 to 599, got 200'],
    ['--retry-after', '0.5', 'a whole number of seconds from 0 to 86400, got 0.5'],
    ['--max-concurrency', '0', 'a whole number of at least 1, got 0'],
    ['--seed', '-1', 'a whole number of at least 0, got -1'],
    ['--port', '70000', 'a port from 0 to 65535, got 70000'],
    ['--host', '', 'an address, got ""'],
    ['--name', '', 'the name of a model, got ""'],
  ])('%s %s - is told by the name that it has on the command line', async (option, value, expected) => {
    const bench = new Command().option('--seed <n>').option('--json');
    registerBenchModel(bench);
    await expect(bench.parseAsync(['model', option, value], { from: 'user' })).rejects.toMatchObject({
      code: 'ORRERY_BENCH_INVALID',
      message: `Expected ${option} to be ${expected}`,
    });
  });
});
