/** Holds the comparison of runs to what it promises: what is matched, what is refused, and how it is written. */
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compareDirs } from '../../src/main/bench/report/compare.ts';
import { comparisonMarkdown, comparisonNotes, comparisonTable } from '../../src/main/bench/report/comparison-text.ts';
import type { BenchResult, RunManifest } from '../../src/main/index.ts';
import { failed, scored, writeRun } from '../support/bench-run.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';
import { runs } from '../support/properties.ts';

let directory: TemporaryDirectory;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => directory[Symbol.dispose]());

function write(id: string, results: readonly BenchResult[], part: Partial<RunManifest> = {}): string {
  return writeRun(join(directory.path, id), results, { id, ...part });
}

const many = (count: number, agent: string, score: (i: number) => number): BenchResult[] =>
  Array.from({ length: count }, (_, i) => scored(`c${i}`, agent, score(i)));

describe('compareRuns', () => {
  it('two runs - are matched by case and repeat, with what regressed and what was fixed', async () => {
    const before = write('before', [
      scored('a', 'x', 1),
      scored('b', 'x', 1),
      scored('c', 'x', 0),
      scored('d', 'x', 1),
      scored('gone', 'x', 1),
    ]);
    const after = write('after', [
      scored('a', 'x', 1),
      scored('b', 'x', 0),
      scored('c', 'x', 1),
      failed('d', 'x'),
      scored('new', 'x', 1),
      scored('newer', 'x', 1),
    ]);
    const { comparisons, warnings } = await compareDirs([before, after], {});
    expect(warnings).toEqual([]);
    expect(comparisons).toMatchObject([
      {
        inBoth: 4,
        onlyBefore: 1,
        onlyAfter: 2,
        regressed: 2,
        regressions: [
          { caseId: 'b', repeat: 0 },
          { caseId: 'd', repeat: 0 },
        ],
        fixed: 1,
        fixes: [{ caseId: 'c' }],
        before: { run: 'before', agent: 'x', score: 0.75, errors: 0, passed: 3 },
        after: { run: 'after', agent: 'x', score: 0.5, errors: 1, passed: 2 },
        difference: -0.25,
        test: { method: 'exact', pValue: 1 },
      },
    ]);
  });

  it('a change that is surer than chance - has a small p and an interval beside 0', async () => {
    const before = write(
      'before',
      many(200, 'x', (i) => (i % 2 === 0 ? 1 : 0)),
    );
    const after = write(
      'after',
      many(200, 'x', (i) => (i % 2 === 0 || i % 4 === 1 ? 1 : 0)),
    );
    const { comparisons } = await compareDirs([before, after], {});
    expect(comparisons[0]).toMatchObject({ difference: 0.25, onlySecond: 50, onlyFirst: 0 });
    expect(comparisons[0]?.test?.method).toBe('chi-squared');
    expect(comparisons[0]?.test?.pValue).toBeLessThan(0.001);
    expect(comparisons[0]?.interval?.low).toBeGreaterThan(0.15);
  });

  it('another suite or other scorers - are refused, and compared with force under a warning', async () => {
    const one = write(
      'one',
      many(4, 'x', () => 1),
    );
    const suite = { name: 'suite', path: 'x', sha256: 'b'.repeat(64), cases: 4 };
    const two = write(
      'two',
      many(4, 'x', () => 0),
      { suite, scorers: ['f1'] },
    );
    await expect(compareDirs([one, two], {})).rejects.toMatchObject({
      code: 'ORRERY_BENCH_CHANGED',
      message: expect.stringMatching(/suite of two .* scorers of one are "exact", those of two "f1"/) as string,
    });
    const { warnings, comparisons } = await compareDirs([one, two], { force: true });
    expect(warnings).toHaveLength(2);
    expect(comparisons[0]).toMatchObject({ inBoth: 4, regressed: 4 });
  });

  it('three runs - are each compared with the first, and the tests are adjusted together', async () => {
    const runs = [0, 10, 30].map((wrong) =>
      write(
        `run-${wrong}`,
        many(100, 'x', (i) => (i < wrong ? 0 : 1)),
      ),
    );
    const { comparisons } = await compareDirs(runs, { list: 3 });
    expect(comparisons.map(({ after, regressed }) => [after.run, regressed])).toEqual([
      ['run-10', 10],
      ['run-30', 30],
    ]);
    expect(comparisons[0]?.regressions).toHaveLength(3);
    // Holm: the larger of two p-values stays, the smaller doubles.
    expect(comparisons[0]?.adjusted).toBeCloseTo(comparisons[0]?.test?.pValue ?? 0, 12);
    expect(comparisons[1]?.adjusted).toBeCloseTo(2 * (comparisons[1]?.test?.pValue ?? 0), 12);
  });

  it('agents - are matched by name; two that are alone in their runs, too; none is told', async () => {
    const one = write(
      'one',
      many(3, 'old', () => 1),
    );
    const two = write(
      'two',
      many(3, 'new', () => 1),
    );
    const both = write('both', [...many(3, 'a', () => 1), ...many(3, 'b', () => 1)]);
    const { comparisons } = await compareDirs([one, two], {});
    expect(comparisons).toMatchObject([{ before: { agent: 'old' }, after: { agent: 'new' } }]);
    await expect(compareDirs([one, both], {})).rejects.toMatchObject({ code: 'ORRERY_BENCH_INVALID' });
    await expect(compareDirs([one], {})).rejects.toMatchObject({ code: 'ORRERY_BENCH_INVALID' });
  });

  it('a run that is not complete - is compared with a warning', async () => {
    const one = write(
      'one',
      many(3, 'x', () => 1),
    );
    const two = write(
      'two',
      many(2, 'x', () => 1),
      { status: 'interrupted' },
    );
    const { warnings } = await compareDirs([one, two], {});
    expect(warnings).toEqual(['The run two is not complete (interrupted).']);
  });
});

describe('the comparison in words', () => {
  it('a table and its notes - tell the change and the cases that regressed', async () => {
    const one = write(
      'one',
      many(40, 'x', () => 1),
    );
    const two = write(
      'two',
      many(39, 'x', (i) => (i < 30 ? 0 : 1)),
    );
    const report = await compareDirs([one, two], { list: 2 });
    const { heads, rows } = comparisonTable(report);
    expect(rows[0]).toHaveLength(heads.length);
    expect(rows[0]?.slice(0, 4)).toEqual(['x', 'two', '39', '1.0000 > 0.2308']);
    expect(rows[0]?.[8]).toBe('<0.001');
    expect(comparisonNotes(report)).toEqual([
      'x: left out, because one run alone has them: 1 of one, 0 of two.',
      'x: no longer passed in two: c0, c1 and 28 more',
    ]);
  });

  it('Markdown - is a table, the cases that changed, and what the figures are', async () => {
    const one = write(
      'one',
      many(40, 'x', () => 1),
    );
    const two = write(
      'two',
      many(40, 'x', (i) => (i < 30 ? 0 : 1)),
    );
    const text = comparisonMarkdown(await compareDirs([one, two], { list: 2 }));
    expect(text).toContain('### suite: `two` against `one`');
    expect(text).toMatch(
      /\| x \| `two` \| 40 \| 1\.0000 → 0\.2500 \| \*\*-0\.7500 \[.*\]\*\* \| 40 → 10 \| 30 \| 0 \| <0\.001 \|/,
    );
    expect(text).toContain('<details><summary>x: 30 regressed</summary>');
    expect(text).toContain('- and 28 more');
    expect(text).toContain('chi-squared with continuity correction');
  });

  it('Markdown of hostile names - keeps its rows, and holds no markup of theirs', async () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 });
    const wild = fc.constantFrom(
      'a|b',
      '`x`',
      '<img src=x>',
      '[a](b)',
      '**b**',
      'line\nbreak',
      '\u001b[31m',
      '@all',
      '``',
      '`',
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(name, wild), fc.oneof(name, wild), async (agent, caseId) => {
        const one = write('one', [scored(caseId, agent, 1)]);
        const two = write('two', [scored(caseId, agent, 0)]);
        const lines = comparisonMarkdown(await compareDirs([one, two], {})).split('\n');
        const rows = lines.filter((line) => line.startsWith('| '));
        expect(rows).toHaveLength(2);
        expect(rows[1]?.match(/(?<!\\)\|/g)).toHaveLength(10);
        const text = lines.join('\n').replaceAll(/(`+).*?\1/g, '');
        expect(text).not.toMatch(/<(?!\/?(?:details|summary)>|0\.001)/);
        expect(text).not.toContain('\u001b');
      }),
      { numRuns: runs(40) },
    );
  });
});
