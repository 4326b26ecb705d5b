/** Holds the report's data, its escaping and its JUnit XML to what they promise, over runs that were never run. */
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RunFigures } from '../../src/main/bench/report/figures.ts';
import { scoresUnder } from '../../src/main/bench/report/gate.ts';
import { escapeXml, makeJUnit } from '../../src/main/bench/report/junit.ts';
import { escapeText } from '../../src/main/bench/html.ts';
import { joinScripts, scriptJson } from '../../src/main/bench/report/page.ts';
import { openRun } from '../../src/main/bench/report/reading.ts';
import { readRows } from '../../src/main/bench/report/rows.ts';
import { summarize } from '../../src/main/bench/report/summary.ts';
import { passedOf } from '../../src/main/bench/report/verdict.ts';
import { makeReport } from '../../src/main/bench/report/write.ts';
import type { BenchResult, RunManifest } from '../../src/main/index.ts';
import { failed, madeResults, resultOf, scored, writeRun } from '../support/bench-run.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

let directory: TemporaryDirectory;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => directory[Symbol.dispose]());

function write(results: readonly BenchResult[], part: Partial<RunManifest> = {}, tail: string = ''): string {
  return writeRun(join(directory.path, 'run'), results, part, tail);
}

async function figuresOf(results: readonly BenchResult[], part: Partial<RunManifest> = {}): Promise<RunFigures> {
  return RunFigures.read(await openRun(write(results, part)));
}

/** Texts that were made to break out of whatever they are put into. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc
    .array(
      fc.constantFrom(
        '</script>',
        '<script>alert(1)</script>',
        '<!--',
        '-->',
        ']]>',
        '<![CDATA[',
        '\u2028',
        '\u2029',
        '\0',
        '\u0007',
        '\uFFFE',
        '\uD800',
        '\uDC00',
        '$&',
        '$`',
        '{{data}}',
        '<!-- data -->',
        '"',
        "'",
        '&amp;',
        '\\',
        '\r\n',
        '\t',
      ),
      { maxLength: 8 },
    )
    .map((parts) => parts.join('')),
);

describe('a verdict', () => {
  it.each<[string, Partial<BenchResult>, boolean | undefined]>([
    ['all scorers passed', { scores: { a: { score: 1, passed: true }, b: { score: 0.6, passed: true } } }, true],
    ['one did not', { scores: { a: { score: 1, passed: true }, b: { score: 0, passed: false } } }, false],
    ['a score of 1 says nothing more', { scores: { a: { score: 1 } } }, true],
    ['a partial score says nothing more', { scores: { a: { score: 0.9 } } }, false],
    ['nothing judged it', { scores: {} }, undefined],
    ['an error', { scores: { a: { score: 1 } }, error: { code: 'X', message: '' } }, false],
  ])('a result - is judged when %s', (_, part, expected) => {
    expect(passedOf(resultOf({ caseId: 'a', agent: 'a', ...part }))).toBe(expected);
  });
});

describe('reading a run', () => {
  it('a line that a kill tore - is left out, and one in the middle is told with its place', async () => {
    const results = [scored('a', 'x', 1), scored('b', 'x', 0)];
    const torn = await RunFigures.read(await openRun(write(results, {}, '{"caseId":"c","agent":"x","outp')));
    expect(torn.cases.size).toBe(2);
    const dir = write(results, {}, `{"caseId":\n${JSON.stringify(scored('d', 'x', 1))}\n`);
    await expect(RunFigures.read(await openRun(dir))).rejects.toMatchObject({
      code: 'ORRERY_BENCH_INVALID',
      message: expect.stringContaining('results.jsonl:3') as string,
    });
  });

  it('a directory without a run - is told', async () => {
    await expect(openRun(directory.path)).rejects.toMatchObject({ code: 'ORRERY_BENCH_INVALID' });
  });

  it('a result that stands twice, or of an agent that is none of the run’s - counts once, or not', async () => {
    const results = [scored('a', 'x', 1), scored('a', 'x', 0), scored('a', 'other', 0)];
    const figures = await figuresOf(results, { agents: ['x'] });
    expect(summarize(figures).agents).toMatchObject([{ agent: 'x', results: 1, score: { value: 1 } }]);
  });
});

describe('the summary', () => {
  it('errors - have no score, count as not passed, and as 0 where agents are compared', async () => {
    const results = [
      ...['a', 'b', 'c', 'd'].map((id) => scored(id, 'steady', id === 'd' ? 0 : 1)),
      ...['a', 'b'].map((id) => scored(id, 'shaky', 1)),
      ...['c', 'd'].map((id) => failed(id, 'shaky')),
    ];
    const summary = summarize(await figuresOf(results));
    expect(summary.agents[1]).toMatchObject({
      agent: 'shaky',
      score: { value: 1 },
      gradedScore: 0.5,
      passed: 2,
      judged: 4,
      passRate: { value: 0.5 },
      errors: 2,
      errorCodes: { ORRERY_DEADLINE: 2 },
    });
    expect(summary.pairs).toMatchObject([
      { first: 'steady', second: 'shaky', cases: 4, onlyFirst: 1, onlySecond: 0, bothPassed: 2, difference: -0.25 },
    ]);
    expect(summary.pairs[0]?.test).toMatchObject({ method: 'exact', pValue: 1 });
  });

  it('repeats - are one case each: its mean, and what more than half of them are', async () => {
    const results = ['a', 'b'].flatMap((id) =>
      [0, 1, 2].flatMap((repeat) => [
        scored(id, 'x', repeat === 0 ? 1 : 0, { repeat }),
        scored(id, 'y', repeat === 0 ? 0 : 1, { repeat }),
      ]),
    );
    const { pairs, agents } = summarize(await figuresOf(results));
    expect(pairs).toMatchObject([{ cases: 2, onlyFirst: 0, onlySecond: 2 }]);
    expect(pairs[0]?.difference).toBeCloseTo(1 / 3, 12);
    expect(agents[0]?.passRate?.value).toBeCloseTo(1 / 3, 12);
  });

  it('latency - is of what was answered, in quantiles of type 7', async () => {
    const results = [10, 20, 30, 40].map((total, i) =>
      scored(`c${i}`, 'x', 1, { latencyMs: { queue: 0, firstToken: total / 2, total } }),
    );
    const slow = failed('e', 'x', { latencyMs: { queue: 0, firstToken: null, total: 9_999 } });
    const [agent] = summarize(await figuresOf([...results, slow])).agents;
    expect(agent?.latency).toMatchObject({ p50: 25, max: 40 });
    expect(agent?.latency?.p95).toBeCloseTo(38.5, 10);
    expect(agent?.firstToken?.p50).toBe(12.5);
  });

  it('a run without a score, one with errors alone, and one without results - have figures, and no comparison', async () => {
    const unscored = ['x', 'y'].map((agent) => resultOf({ caseId: 'a', agent }));
    for (const results of [unscored, ['x', 'y'].map((agent) => failed('a', agent)), []]) {
      const summary = summarize(await figuresOf(results, { agents: ['x', 'y'] }));
      expect(summary).toMatchObject({ pairs: [], agents: [{ score: null, passRate: null }, { score: null }] });
    }
  });

  it('many agents - are compared with the best one', async () => {
    const results = ['a', 'b', 'c'].flatMap((id) =>
      Array.from({ length: 12 }, (_, i) => scored(id, `agent-${i}`, i === 7 ? 1 : 0)),
    );
    const { pairing, pairs } = summarize(await figuresOf(results));
    expect(pairing).toBe('best');
    expect(pairs).toHaveLength(11);
    expect(new Set(pairs.map(({ second }) => second))).toEqual(new Set(['agent-7']));
  });

  it('a pause between two starts - is left out of the throughput, and every result is in it', async () => {
    const begin = Date.parse('2026-01-02T03:04:05.000Z');
    const hours = 3_600_000;
    const results = Array.from({ length: 40 }, (_, i) =>
      scored(`c${i}`, 'x', 1, {
        startedAt: new Date(begin + i * 100 + (i < 20 ? 0 : 5 * hours)).toISOString(),
        latencyMs: { queue: 0, firstToken: null, total: 250 },
      }),
    );
    const { throughput } = summarize(await figuresOf(results));
    expect(throughput?.pauses).toBe(1);
    expect(throughput?.totalMs).toBe(2 * (1_900 + 250));
    expect(throughput?.counts[0]?.reduce((sum, count) => sum + count, 0)).toBe(40);
  });

  it('tags - have a score each, the largest first', async () => {
    const results = madeResults([{ agent: 'x', right: 0.5, ms: 10 }], 30, { tags: ['even', 'odd'] });
    const { tags } = summarize(await figuresOf([...results, scored('extra', 'x', 1, { tags: ['odd', 'odd'] })]));
    expect(tags.map(({ tag, cases }) => [tag, cases])).toEqual([
      ['odd', 16],
      ['even', 15],
    ]);
  });
});

describe('the listed cases', () => {
  it('more cases than fit - errors come first, then those that differ, then those that failed', async () => {
    const results = [
      ...['x', 'y'].map((agent) => scored('1-right', agent, 1)),
      ...['x', 'y'].map((agent) => scored('2-wrong', agent, 0)),
      ...['x', 'y'].map((agent, i) => scored('3-differs', agent, i)),
      failed('4-error', 'x'),
      scored('4-error', 'y', 1),
    ];
    const figures = await figuresOf(results);
    const shown = async (maxCases: number): Promise<readonly string[]> =>
      (await readRows(figures, { maxCases })).rows.map(({ id }) => id);
    expect(await shown(1)).toEqual(['4-error']);
    expect(await shown(2)).toEqual(['3-differs', '4-error']);
    expect(await shown(3)).toEqual(['2-wrong', '3-differs', '4-error']);
    expect(await shown(4)).toHaveLength(4);
    expect(await readRows(figures, { maxCases: 2 })).toMatchObject({ total: 4 });
  });

  it('long texts - are cut, with what is missing told, and harder once the page is full', async () => {
    const results = Array.from({ length: 10 }, (_, i) => scored(`c${i}`, 'x', 1, { output: 'x'.repeat(900) }));
    const figures = await figuresOf(results);
    const { rows, cut } = await readRows(figures, { outputChars: 500, maxText: 2_000 });
    const lengths = rows.map(({ results }) => results[0]?.output.length);
    expect(lengths[0]).toBe(500);
    expect(rows[0]?.results[0]?.cut).toBe(400);
    expect(lengths.at(-1)).toBe(200);
    expect(cut).toBe(10);
  });

  it('ids with numbers - stand in the order of the numbers', async () => {
    const figures = await figuresOf(['c10', 'c2', 'c1'].map((id) => scored(id, 'x', 1)));
    expect((await readRows(figures)).rows.map(({ id }) => id)).toEqual(['c1', 'c2', 'c10']);
  });
});

describe('escaping', () => {
  it('JSON in a script element - holds no sign that could end it, and is the same value', () => {
    fc.assert(
      fc.property(fc.dictionary(hostile, fc.array(hostile)), (value) => {
        const text = scriptJson(value);
        expect(text).not.toMatch(/[<>&\u2028\u2029]/);
        expect(text.isWellFormed()).toBe(true);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('a text of HTML - holds no markup', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(escapeText(text)).not.toMatch(/[<>"'\0]|&(?!amp;|lt;|gt;|quot;|#39;)/);
      }),
    );
  });

  it('a text of XML - has only characters of XML 1.0, and no markup', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        for (const escaped of [escapeXml(text), escapeXml(text, '\n')]) {
          expect(escaped).not.toMatch(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u);
          expect(escaped).not.toMatch(/[<>"']|&(?!#\d+;)/);
        }
      }),
    );
    expect(escapeXml('a\nb\t"c" \0')).toBe('a&#10;b&#9;&#34;c&#34; \uFFFD');
  });

  it('a page of hostile texts - has as many script elements as one of harmless ones', async () => {
    const texts = ['</script><script>alert(1)</script>', '<!--<script>', '$&$`', '{{script}}', '<!-- script -->'];
    const dir = write(
      texts.map((text, i) =>
        scored(text, 'x', 0, { input: text, output: text, expected: text, tags: [`${text}${i}`] }),
      ),
      { suite: { name: texts.join(' '), path: 'x', sha256: 'a'.repeat(64), cases: 5 } },
    );
    const { file } = await makeReport(dir, {});
    const html = readFileSync(file, 'utf8');
    expect(html.match(/<script/g)).toHaveLength(2);
    expect(html.match(/<\/script/g)).toHaveLength(2);
    expect(html).not.toContain('alert(1)<');
    expect(html).toContain("default-src 'none'");
    expect(html).not.toMatch(/https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  });

  it('the page’s modules - become one script without imports and exports', () => {
    const joined = joinScripts([
      `export function a() {}\nexport const b = 'export const';\n`,
      `import { a, b } from './a.js';\nimport {\n  c,\n} from './c.js';\nexport class D {}\n`,
    ]);
    expect(joined).not.toMatch(/^(import|export)\b/m);
    expect(joined).toContain('function a() {}');
    expect(joined).toContain("const b = 'export const';");
    expect(joined).toContain('class D {}');
  });
});

describe('the report’s file', () => {
  it('a report - is written whole, and again over the one before', async () => {
    const dir = write([scored('a', 'x', 1)]);
    const first = await makeReport(dir, {});
    expect(readFileSync(first.file, 'utf8')).toMatch(/<\/html>\n$/);
    expect(first).toMatchObject({ casesShown: 1, summary: { cases: 1, results: 1 } });
    await expect(makeReport(dir, { outputChars: 0 })).resolves.toMatchObject({ file: first.file });
  });

  it('a report that cannot be written - leaves nothing half-written', async () => {
    const dir = write([scored('a', 'x', 1)]);
    mkdirSync(join(dir, 'report.html/taken'), { recursive: true });
    await expect(makeReport(dir, {})).rejects.toThrow(/report\.html/);
    expect(readdirSync(dir).toSorted((a, b) => (a < b ? -1 : 1))).toEqual(['report.html', 'results.jsonl', 'run.json']);
  });

  it('the configuration and paths of the machine - are not in it', async () => {
    const agents = {
      x: { source: { kind: 'module', path: '/home/somebody/agents/mine.ts' }, hint: 'only-in-the-config' },
    };
    const dir = write([scored('a', 'x', 1)], { config: { agents } });
    const html = readFileSync((await makeReport(dir, {})).file, 'utf8');
    expect(html).toContain('mine.ts');
    expect(html).not.toMatch(/only-in-the-config|somebody\/agents/);
    expect(html).not.toContain('/somewhere/suite.jsonl');
    expect(html).not.toContain(directory.path);
  });
});

describe('JUnit XML', () => {
  it('a run - is a suite for each agent and a test for each case and repeat, counted', async () => {
    const dir = write([
      scored('a', 'x', 1),
      scored('a', 'x', 0, { repeat: 1, output: 'no & <never>', expected: ['yes'] }),
      failed('b', 'x'),
      resultOf({ caseId: 'c', agent: 'y' }),
    ]);
    const file = join(directory.path, 'deep/junit.xml');
    await makeJUnit(dir, file);
    const xml = readFileSync(file, 'utf8');
    expect(xml).toMatch(
      /^<\?xml version="1.0" encoding="UTF-8"\?>\n<testsuites name="suite" tests="4" failures="1" errors="1"/,
    );
    expect(xml).toContain('<testsuite name="x" tests="3" failures="1" errors="1" time="0.300" skipped="0"');
    expect(xml).toContain('<testsuite name="y" tests="1" failures="0" errors="0" time="0.100" skipped="1"');
    expect(xml).toContain('<testcase name="a" classname="suite.x" time="0.100"/>');
    expect(xml).toContain('<testcase name="a #2" classname="suite.x" time="0.100">');
    expect(xml).toContain('<failure message="score 0 (exact 0)" type="score">');
    expect(xml).toContain('no &#38; &#60;never&#62;');
    expect(xml).toContain('<error message="The turn took too long" type="ORRERY_DEADLINE">');
    expect(xml).toContain('<skipped message=');
  });
});

describe('--fail-under', () => {
  it('a threshold - holds for what has errors as 0, and an agent without a score misses any', () => {
    const agents = [
      { agent: 'good', gradedScore: 0.9, errors: 0 },
      { agent: 'just', gradedScore: 0.8, errors: 0 },
      { agent: 'near', gradedScore: 0.79999, errors: 0 },
      { agent: 'shaky', gradedScore: 0.5, errors: 1 },
      { agent: 'mute', gradedScore: null, errors: 0 },
    ];
    expect(scoresUnder(agents, 0.8)).toEqual([
      'near has a score of 0.7999, and at least 0.8 is asked for',
      'shaky has a score of 0.5000 (1 error counts as 0), and at least 0.8 is asked for',
      'mute has no score, and at least 0.8 is asked for',
    ]);
    expect(scoresUnder(agents.slice(0, 2), 0.8)).toEqual([]);
  });
});
