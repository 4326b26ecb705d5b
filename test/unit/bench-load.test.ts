/** Holds the parts of `orrery bench --load` that need no server: figures, what is read of an answer, options. */
import { describe, expect, it } from 'vitest';
import { StreamReader, readError, readRetryAfter, readWhole } from '../../src/main/bench/load/completion.ts';
import { Durations } from '../../src/main/bench/load/histogram.ts';
import { type LoadOptions, checkLoadOptions, resolveTargets } from '../../src/main/bench/load/options.ts';
import { linearTicks, plot } from '../../src/main/bench/load/plot.ts';
import { readPrompts, sayer } from '../../src/main/bench/load/prompts.ts';
import { reasonsOf } from '../../src/main/bench/load/self.ts';
import { Series } from '../../src/main/bench/load/series.ts';
import { EventReader } from '../../src/main/bench/load/sse.ts';
import { Tally } from '../../src/main/bench/load/tally.ts';
import { checkMode, readLoadOptions } from '../../src/main/cli/bench-load.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const of = (...ms: readonly number[]): Durations => {
  const durations = new Durations();
  for (const one of ms) durations.record(one);
  return durations;
};
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

describe('durations', () => {
  it('percentiles - are exact to a thousandth', () => {
    const summary = of(...upTo(10_000)).summary();
    expect(summary).toMatchObject({ count: 10_000, min: 1, max: 10_000 });
    const wanted = { p50: 5_000, p75: 7_500, p90: 9_000, p95: 9_500, p99: 9_900, p999: 9_990, mean: 5_000.5 } as const;
    for (const [name, value] of Object.entries(wanted)) {
      expect(Math.abs((summary[name as keyof typeof wanted] ?? 0) / value - 1)).toBeLessThan(0.001);
    }
  });

  it('nothing - has no percentile', () => {
    const none = new Durations();
    expect(none.summary()).toMatchObject({ count: 0, min: null, mean: null, p50: null, p999: null, max: null });
    expect([none.percentile(50), none.curve()]).toEqual([null, []]);
  });

  it('one alone - is every percentile', () => {
    expect(of(12.345).summary()).toMatchObject({
      count: 1,
      min: 12.345,
      mean: 12.345,
      p50: 12.345,
      p999: 12.345,
      max: 12.345,
    });
  });

  it('what is too short or too long - counts as the shortest and the longest', () => {
    const { min, max, count } = of(0, -1, 1e9).summary();
    expect([min, max, count]).toEqual([0.001, 3_600_000, 3]);
  });

  it('corrected - adds one for each interval that it covers, as HdrHistogram does', () => {
    const corrected = new Durations();
    corrected.recordCorrected(1, 10);
    corrected.recordCorrected(35, 10);
    expect(corrected.count).toBe(4);
    expect(corrected.summary()).toMatchObject({ min: 1, max: 35, mean: (1 + 35 + 25 + 15) / 4 });
    const even = new Durations();
    even.recordCorrected(30, 10);
    expect(even.summary()).toMatchObject({ count: 3, min: 10, max: 30 });
  });

  it('sum - is as if all had been counted in one', () => {
    const sum = of(1, 2, 3);
    sum.add(of(500, 4));
    sum.add(new Durations());
    expect(sum.summary()).toMatchObject({ count: 5, min: 1, max: 500, p50: expect.closeTo(3, 2) });
  });

  it('curve - rises from the least to the most, and goes on until one is left', () => {
    const curve = of(...upTo(1_000)).curve();
    expect(curve[0]).toEqual([0, 1]);
    expect(curve.at(-1)).toEqual([100, 1_000]);
    expect(curve.every(([percent, ms], i) => i === 0 || (percent > curve[i - 1]![0] && ms >= curve[i - 1]![1]))).toBe(
      true,
    );
    // 1/1024 would be less than one of them.
    expect(curve.at(-2)?.[0]).toBeGreaterThan(99.85);
    expect(curve.length).toBeLessThan(60);
  });
});

describe('series', () => {
  it('spans - become wider instead of more, and nothing is lost', () => {
    const series = new Series(8);
    for (let at = 0; at < 100_000; at += 100) {
      series.arrived(at);
      series.answered(at, at + 50, 50);
      series.tokens(at + 50, 3);
    }
    series.failed(99_999);
    const spans = series.read();
    expect(spans.length).toBeLessThanOrEqual(8);
    expect(series.widthMs).toBe(16_000);
    const sum = (key: 'arrived' | 'answered' | 'tokens' | 'failed'): number =>
      spans.reduce((all, span) => all + span[key], 0);
    expect([sum('arrived'), sum('answered'), sum('tokens'), sum('failed')]).toEqual([1_000, 1_000, 3_000, 1]);
    expect(spans[1]).toMatchObject({ from: 16, arrived: 160, p50: expect.closeTo(50, 0), max: 50 });
  });

  it('an answer that comes later - counts where it came, its latency where it was asked for', () => {
    const series = new Series();
    series.arrived(0);
    series.answered(0, 1_100, 1_100);
    const spans = series.read();
    expect(spans[0]).toMatchObject({ arrived: 1, answered: 0, p50: 1_100 });
    expect(spans[4]).toMatchObject({ from: 1, arrived: 0, answered: 1, p50: null });
  });
});

describe('events', () => {
  it('data - is found however the text is cut', () => {
    const text = ': comment\r\ndata: {"a":1}\r\n\r\nevent: x\ndata: one\ndata:two\n\ndata: [DONE]\n\n';
    for (let size = 1; size <= text.length; size++) {
      const reader = new EventReader();
      const found: string[] = [];
      for (let at = 0; at < text.length; at += size) found.push(...reader.push(text.slice(at, at + size)));
      expect(found).toEqual(['{"a":1}', 'one\ntwo', '[DONE]']);
    }
  });

  it('a line without end - is refused', () => {
    expect(() => new EventReader().push('x'.repeat(5 * 1024 * 1024))).toThrow('longer than');
  });
});

describe('answers', () => {
  const event = (delta: object, rest: object = {}): string =>
    `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: null }], ...rest })}\n\n`;

  it('stream - tells the first text, the gaps and the usage', () => {
    const reader = new StreamReader();
    reader.push(event({ role: 'assistant', content: '' }), 5);
    reader.push(event({ content: 'a' }), 10);
    reader.push(event({ content: 'b' }) + event({ content: 'c' }), 25);
    reader.push('data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":3}}\n\ndata: [DONE]\n\n', 30);
    expect(reader.end(31)).toEqual({
      ok: true,
      firstAt: 10,
      endedAt: 31,
      gaps: [15, 0],
      inputTokens: 4,
      outputTokens: 3,
      text: 'abc',
    });
  });

  it('stream - is a failure when it ends early, carries an error or is no JSON', () => {
    const early = new StreamReader();
    early.push(event({ content: 'a' }), 1);
    expect(early.end(2)).toMatchObject({ kind: 'answer', code: 'cut_short' });
    const failed = new StreamReader();
    failed.push('data: {"error":{"message":"the agent failed","code":"ORRERY_AGENT_FAILED"}}\n\ndata: [DONE]\n\n', 1);
    expect(failed.end(2)).toEqual({ kind: 'answer', code: 'ORRERY_AGENT_FAILED', message: 'the agent failed' });
    const broken = new StreamReader();
    broken.push('data: {\n\n', 1);
    expect(broken.end(2)).toMatchObject({ kind: 'answer', code: 'bad_event' });
  });

  it('whole - tells text and usage, and is a failure without text', () => {
    expect(readWhole('{"choices":[{"message":{"content":"hi"}}],"usage":{"completion_tokens":1}}', 7)).toMatchObject({
      ok: true,
      firstAt: null,
      endedAt: 7,
      text: 'hi',
      inputTokens: null,
      outputTokens: 1,
    });
    expect(readWhole('{"choices":[]}', 7)).toMatchObject({ kind: 'answer', code: 'no_content' });
    expect(readWhole('<html>', 7)).toMatchObject({
      kind: 'answer',
      code: 'no_json',
      message: expect.stringContaining('<html>'),
    });
  });

  it('error - is read in any form', () => {
    expect(readError('{"error":{"message":"slow down","code":"rate"}}')).toEqual({
      code: 'rate',
      message: 'slow down',
    });
    expect(readError('{"error":{"message":"m","type":"t","code":null}}')).toEqual({ code: 't', message: 'm' });
    expect(readError('{"error":"plain"}')).toEqual({ message: 'plain' });
    expect(readError(`not  json\n${'x'.repeat(500)}`).message).toMatch(/^not json x+\.\.\.$/);
  });

  it('Retry-After - is seconds or a date', () => {
    expect(readRetryAfter('2')).toBe(2_000);
    expect(readRetryAfter('Thu, 01 Jan 1970 00:00:10 GMT', 4_000)).toBe(6_000);
    expect(readRetryAfter('Thu, 01 Jan 1970 00:00:10 GMT', 40_000)).toBe(0);
    expect([undefined, '', 'soon'].map((header) => readRetryAfter(header))).toEqual([undefined, undefined, undefined]);
  });
});

describe('tally', () => {
  const settle = (tally: Tally, status: number, code: string): void =>
    tally.settled(
      { ok: false, endedAt: 1, kind: 'http', status, code, message: `said ${code}` },
      { intended: 0, sent: 0, isMeasured: true, isOpen: false },
    );

  it('failures - are told apart, and not without end', () => {
    const tally = new Tally({ isOpen: false });
    tally.begin(0);
    for (let i = 0; i < 500; i++) settle(tally, 500, `code-${i % 400}`);
    tally.end(2);
    const { failures, failed } = tally.read();
    expect(failed).toBe(500);
    expect(failures).toHaveLength(101);
    expect(failures[0]).toMatchObject({ kind: 'http', message: 'further failures', count: 300 });
    expect(failures.reduce((sum, { count }) => sum + count, 0)).toBe(500);
  });

  it('tokens - are the provider’s, else counted, else told to be uncounted', async () => {
    const tally = new Tally({
      isOpen: false,
      countTokens: (text) => Promise.resolve(text === 'long' ? undefined : text.length),
    });
    tally.begin(0);
    const answer = (outputTokens: number | null, text: string): void =>
      tally.settled(
        { ok: true, firstAt: 10, endedAt: 50, gaps: [], inputTokens: 7, outputTokens, text },
        { intended: 0, sent: 0, isMeasured: true, isOpen: false },
      );
    answer(5, 'abcde');
    answer(0, 'abc');
    answer(null, 'ab');
    answer(null, 'long');
    await tally.counted();
    tally.end(1_000);
    const { tokens, perTokenMs } = tally.read();
    expect(tokens).toEqual({ input: 28, output: 10, byProvider: 1, byTokenizer: 2, uncounted: 1, outputPerSecond: 10 });
    // 40 ms for 4, 2 and 1 tokens after the first.
    expect(perTokenMs).toMatchObject({ count: 3, min: 10, max: 40 });
  });
});

describe('options', () => {
  it.each<[string, LoadOptions, string]>([
    ['an unknown one', { rates: 1 } as unknown as LoadOptions, 'There is no option `rates`; did you mean `rate`?'],
    ['a rate of 0', { rate: 0 }, 'Expected `rate` to be a number of arrivals a second above 0'],
    ['a share of a request', { requests: 1.5 }, 'Expected `requests` to be a whole number of at least 1, got 1.5'],
    [
      'unknown arrivals',
      { rate: 1, arrivals: 'bursts' as 'poisson' },
      'Expected `arrivals` to be "poisson" or "constant", got "bursts"',
    ],
    ['both loops', { rate: 1, concurrency: 2 }, 'Expected either `rate` or `concurrency`, got both'],
    [
      'an interval in an open loop',
      { rate: 1, expectedIntervalMs: 5 },
      'Expected either `rate` or `expectedIntervalMs`',
    ],
    ['arrivals in a closed loop', { arrivals: 'constant' }, 'Expected `rate` with `arrivals`'],
    ['two kinds of prompts', { prompt: 'a', suite: 'b.jsonl' }, 'Expected either `prompt` or `suite`'],
    ['a time that no timer takes', { timeoutMs: 2 ** 31 }, 'Expected `timeoutMs` to be a number of milliseconds'],
  ])('%s - is told what was expected', (_, options, message) => {
    expect(() => checkLoadOptions(options)).toThrow(
      expect.objectContaining({ code: 'ORRERY_BENCH_INVALID', message: expect.stringContaining(message) }),
    );
  });

  it('targets - take a server, a base or the whole endpoint', () => {
    const endpoint = (url: string): string => resolveTargets([{ url }])[0]?.url.href ?? '';
    expect(endpoint('http://127.0.0.1:1')).toBe('http://127.0.0.1:1/v1/chat/completions');
    expect(endpoint('http://127.0.0.1:1/v1/')).toBe('http://127.0.0.1:1/v1/chat/completions');
    expect(endpoint('https://h/api/v3/chat/completions')).toBe('https://h/api/v3/chat/completions');
    expect(resolveTargets()[0]).toMatchObject({ name: '127.0.0.1:8790', model: 'orrery' });
    expect(() => endpoint('ftp://h')).toThrow('Expected a URL such as');
    expect(() => endpoint('h:80')).toThrow('Expected a URL such as');
    expect(() => endpoint('http://me:secret@h')).toThrow('without name and password');
    expect(() => resolveTargets([{ url: 'http://a' }, { url: 'http://a' }])).toThrow('names that differ');
  });

  it('command - reads seconds, and targets with their models and keys', () => {
    process.env['LOAD_TEST_KEY'] = 'k';
    expect(
      readLoadOptions(undefined, {
        load: true,
        target: ['a=http://h/v1?x=y', 'b=http://i/v1'],
        model: ['m', 'n'],
        apiKeyEnv: ['LOAD_TEST_KEY'],
        duration: '1.5',
        rate: '20',
        stream: false,
      }),
    ).toEqual({
      targets: [
        { name: 'a', url: 'http://h/v1?x=y', model: 'm', apiKey: 'k' },
        { name: 'b', url: 'http://i/v1', model: 'n', apiKey: 'k' },
      ],
      durationMs: 1_500,
      rate: 20,
      stream: false,
    });
    delete process.env['LOAD_TEST_KEY'];
  });

  it.each([
    ['a target without a name', { target: ['http://h'] }, 'Expected NAME=URL after --target'],
    ['a variable that is not set', { apiKeyEnv: ['LOAD_TEST_NONE'] }, 'Expected the variable LOAD_TEST_NONE'],
    [
      'models that do not fit',
      { url: ['http://a', 'http://b', 'http://c'], model: ['m', 'n'] },
      'once for each of 3 targets',
    ],
    ['a number that is none', { rate: 'fast' }, 'Expected a number after --rate, got "fast"'],
    ['no time at all', { duration: '0' }, 'Expected seconds from 0.001 to 2147483 after --duration, got "0"'],
    ['a time that no timer takes', { timeout: '1e9' }, 'Expected seconds from 0.001'],
  ])('command - tells what is wrong with %s', (_, options, message) => {
    expect(() => readLoadOptions(undefined, options)).toThrow(message);
  });

  it('command - refuses what the chosen way of benching would ignore', () => {
    expect(() => checkMode({ maxInFlight: '3' })).toThrow('Expected --load with --max-in-flight');
    expect(() => checkMode({ load: true, agent: ['a'] })).toThrow('Expected no --agent with --load');
    expect(() => checkMode({ load: true, rate: '3', seed: '1', out: 'x' })).not.toThrow();
    expect(() => checkMode({ agent: ['a'], seed: '1' })).not.toThrow();
  });
});

describe('prompts', () => {
  it('a suite - gives each case up to its first turn, one after another', async () => {
    using dir = temporaryDirectory();
    const messages = [
      { role: 'system', content: 'be short' },
      { role: 'user', content: 'one' },
      { role: 'user', content: 'two' },
    ];
    const suite = dir.write('s.jsonl', `${JSON.stringify({ input: 'a' })}\n${JSON.stringify({ messages })}\n`);
    const prompts = await readPrompts({ suite });
    expect(prompts).toEqual([[{ role: 'user', content: 'a' }], messages.slice(0, 2)]);
    const [target] = resolveTargets([{ model: 'm' }]);
    const say = sayer(target!, prompts, { stream: true, sessions: 2, maxTokens: 9 });
    const said = [0, 1, 2].map((n) => say(n));
    expect(said.map(({ headers }) => headers?.['x-orrery-session'])).toEqual(['load-0', 'load-1', 'load-0']);
    expect(JSON.parse(said[2]!.body.toString())).toEqual({
      model: 'm',
      messages: [{ role: 'user', content: 'a' }],
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 9,
    });
  });
});

describe('the driver of itself', () => {
  it('saturation - is told with its reasons', () => {
    const late = of(...upTo(100)).summary();
    expect(reasonsOf(1, 0.2, [])).toEqual([]);
    expect(reasonsOf(11, 0.2, [])).toEqual([expect.stringContaining('event loop was 11 ms late')]);
    expect(reasonsOf(1, 0.95, [late])).toEqual([
      expect.stringContaining('requests left'),
      expect.stringContaining('busy 95 %'),
    ]);
  });
});

describe('plots', () => {
  it('ticks - are round and reach the most', () => {
    expect(linearTicks(97).map(({ at }) => at)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(linearTicks(0).map(({ at }) => at)).toHaveLength(2);
    expect(linearTicks(0.003).at(-1)?.at).toBeCloseTo(0.003, 6);
    for (const most of [1, 9.99, 1_234, 7e8]) expect(linearTicks(most).at(-1)?.at).toBeGreaterThanOrEqual(most);
  });

  it('names - stay text', () => {
    const lines = [
      {
        label: '<b>&',
        colour: 0,
        style: 'solid',
        points: [
          [0, 1],
          [1, null],
          [2, 3],
        ],
      },
    ] as const;
    const svg = plot({ title: '"t"', x: 'x', y: 'y', lines, from: 0, to: 2, ticks: [] });
    expect(svg).toContain('&lt;b&gt;&amp;');
    expect(svg).not.toContain('<b>');
    // A gap begins the line anew.
    expect(svg.match(/ d="(M[^"]+)"/)?.[1]?.match(/M/g)).toHaveLength(2);
  });
});
