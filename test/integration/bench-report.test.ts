/** The report in headless Chromium, from runs of the real command; and what CI asks of the commands: exit codes, JUnit XML, Markdown. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type CompareReport,
  type WrittenReport,
  compareRuns,
  runBench,
  writeJUnit,
  writeReport,
} from '../../src/main/index.ts';
import { failed, madeResults, scored, writeRun } from '../support/bench-run.ts';
import { type Finished, run } from '../support/commands.ts';
import { launchBrowser } from '../support/gateway-browser.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

let directory: TemporaryDirectory;
let browser: Browser;
beforeAll(async () => {
  directory = temporaryDirectory();
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser.close();
  directory[Symbol.dispose]();
});

interface OpenPage extends AsyncDisposable {
  readonly page: Page;
  /** What the page asked the network for. */
  readonly requests: readonly string[];
  /** What the console and the policy complained of. */
  readonly complaints: readonly string[];
}

async function open(file: string, o: Parameters<Browser['newPage']>[0] = {}): Promise<OpenPage> {
  const page = await browser.newPage(o);
  page.setDefaultTimeout(20_000);
  const requests: string[] = [];
  const complaints: string[] = [];
  const url = pathToFileURL(file).href;
  page.on('request', (request) => {
    const asked = request.url();
    if (!asked.startsWith(url) && !asked.startsWith('data:')) requests.push(asked);
  });
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(url);
  return { page, requests, complaints, [Symbol.asyncDispose]: () => page.close() };
}

/** Drawings that have an extent, by their names. */
async function drawings(page: Page): Promise<readonly string[]> {
  await page.locator('.plot svg.drawing').first().waitFor();
  return page.evaluate(`[...document.querySelectorAll('.plot svg.drawing')]
    .filter((svg) => svg.getBBox().width > 100 && svg.getBBox().height > 100)
    .map((svg) => svg.getAttribute('aria-label').split(/[:,] /)[0])`);
}

const ids = (page: Page): Promise<string[]> => page.locator('.cases button.open').allTextContents();

describe('a report of the real command', () => {
  const out = (): string => join(directory.path, 'real');
  let ran: Finished | undefined;

  beforeAll(async () => {
    const lines = [
      { id: 'same', input: 'hello there', expected: 'hello there', tags: ['easy'] },
      { id: 'other', input: 'hello you', expected: 'good day', tags: ['easy', 'polite'] },
      { id: 'sum', input: '2 + 2', expected: '4', tags: ['sums'] },
      { id: 'markup', input: '<img src=x onerror="document.title=1"></script><b>bold</b>', expected: '</script>' },
    ];
    directory.write('suite.jsonl', lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const args = [
      'bench',
      'suite.jsonl',
      '--agent',
      'echo',
      '--agent',
      'eliza',
      '--out',
      'real',
      '--scorer',
      'includes',
    ];
    ran = await run(args, { cwd: directory.path });
  });

  it('the command - says where the report is', () => {
    expect([ran?.stderr, ran?.code]).toEqual(['', 0]);
    expect(ran?.stdout).toContain(`Report: ${join(out(), 'report.html')}`);
  });

  it('a page - asks for nothing, complains of nothing, and draws its plots', async () => {
    await using opened = await open(join(out(), 'report.html'));
    const { page, requests, complaints } = opened;
    expect(await drawings(page)).toEqual(['Latency', 'Score against tokens a result', 'Throughput', 'Score by tag']);
    expect(await page.title()).toBe('suite: echo, eliza');
    expect(await page.locator('.leaderboard tbody tr').count()).toBe(2);
    expect(await page.locator('#pairs').textContent()).toContain('exact binomial');
    expect(await page.locator('#run').textContent()).toContain('includes');
    expect([requests, complaints]).toEqual([[], []]);
  });

  it('a case - opens to the replies side by side, in which markup stays text and words are marked', async () => {
    await using opened = await open(join(out(), 'report.html'));
    const { page, complaints } = opened;
    await page.getByRole('button', { name: 'markup' }).click();
    const cards = page.locator('.side-by-side .card');
    expect(await cards.count()).toBe(2);
    expect(await cards.first().locator('pre').textContent()).toContain(
      '<img src=x onerror="document.title=1"></script>',
    );
    expect(await page.locator('main img, main b').count()).toBe(0);
    await page.getByRole('button', { name: 'same' }).click();
    const marks = page.locator('.card').filter({ hasText: 'echo' }).locator('mark.same');
    expect(await marks.allTextContents()).toEqual(expect.arrayContaining(['hello', 'there']));
    expect(page.url()).toContain('#case=same');
    await page.getByRole('button', { name: 'same' }).click();
    expect(await page.locator('.cases tr.more').count()).toBe(1);
    expect(await page.title()).toBe('suite: echo, eliza');
    expect(complaints).toEqual([]);
  });

  it('filters - leave what they say: by text, by result of an agent, by tag, by difference', async () => {
    await using opened = await open(join(out(), 'report.html'));
    const { page } = opened;
    const count = page.locator('.count');
    await page.getByLabel('Search', { exact: true }).fill('HELLO');
    await count.getByText('2 of 4 cases').waitFor();
    expect(await ids(page)).toEqual(['other', 'same']);
    await page.getByLabel('Search', { exact: true }).fill('nothing has this');
    await page.getByText('No case fits.').waitFor();
    await page.getByLabel('Search', { exact: true }).fill('');
    await count.getByText('4 cases', { exact: true }).waitFor();
    await page.getByLabel('Agent', { exact: true }).selectOption('echo');
    await page.getByLabel('Result', { exact: true }).selectOption('passed');
    expect(await ids(page)).toEqual(['markup', 'same']);
    await page.getByLabel('Result', { exact: true }).selectOption('agents differ');
    expect(await ids(page)).not.toContain('sum');
    await page.getByLabel('Result', { exact: true }).selectOption('any result');
    await page.getByLabel('Tag', { exact: true }).selectOption('polite');
    expect(await ids(page)).toEqual(['other']);
  });

  it('heads - sort the leaderboard and the cases, and say so', async () => {
    await using opened = await open(join(out(), 'report.html'));
    const { page } = opened;
    const board = page.locator('.leaderboard');
    const first = (): Promise<string | null> => board.locator('tbody tr').first().locator('strong').textContent();
    expect(await first()).toBe('echo');
    await board.getByRole('button', { name: 'Agent' }).click();
    await board.getByRole('button', { name: 'Agent' }).click();
    expect(await first()).toBe('eliza');
    expect(await board.locator('th').first().getAttribute('aria-sort')).toBe('descending');
    await page.locator('.cases').getByRole('button', { name: 'echo' }).click();
    expect((await ids(page)).slice(0, 2).toSorted((a, b) => (a < b ? -1 : 1))).toEqual(['markup', 'same']);
    await page.locator('.cases').getByRole('button', { name: 'Case', exact: true }).click();
    expect(await ids(page)).toEqual(['markup', 'other', 'same', 'sum']);
  });

  it('a mark of a plot - tells its figures to whoever points at it, or goes by keyboard', async () => {
    await using opened = await open(join(out(), 'report.html'));
    const { page } = opened;
    const dot = page.getByRole('img', { name: /^echo: median/ });
    await dot.focus();
    expect(await page.locator('#tip').textContent()).toMatch(/^echo: median .* ?ms$/);
    await page.keyboard.press('Escape');
    expect(await page.locator('#tip').isHidden()).toBe(true);
    await page.locator('.plot', { hasText: 'Latency' }).getByText('As a table').click();
    await page.locator('.plot').getByRole('columnheader', { name: 'Longest' }).waitFor();
  });

  it('a narrow window, and both schemes - do not let the page run over its edge', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await using opened = await open(`${out()}/report.html`, { colorScheme, viewport: { width: 360, height: 700 } });
      const { page } = opened;
      await drawings(page);
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
      const [ground, text] = await page.evaluate<[string, string]>(
        '[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]',
      );
      const isDark = Number(/\d+/.exec(ground)?.[0]) < Number(/\d+/.exec(text)?.[0]);
      expect(isDark).toBe(colorScheme === 'dark');
    }
  });

  it('a report - is made afresh from the directory, and says what it holds', async () => {
    const { code, stdout } = await run(['bench', 'report', 'real', '--json', '--junit', 'real.xml'], {
      cwd: directory.path,
    });
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as WrittenReport;
    expect(report).toMatchObject({
      file: join(out(), 'report.html'),
      casesShown: 4,
      summary: { cases: 4, results: 8 },
    });
    expect(readFileSync(join(directory.path, 'real.xml'), 'utf8')).toContain('<testsuites name="suite" tests="8"');
  });

  it('scores under the threshold - are told by name with exit code 1, and nonsense with 2', async () => {
    const under = await run(['bench', 'report', 'real', '--fail-under', '0.9'], { cwd: directory.path });
    expect(under.code).toBe(1);
    expect(under.stderr).toContain('orrery: echo has a score of 0.5000, and at least 0.9 is asked for');
    expect(under.stdout).toContain('Report: ');
    const above = await run(['bench', 'report', 'real', '--fail-under', '0'], { cwd: directory.path });
    expect(above.code).toBe(0);
    const wrong = await run(['bench', 'report', 'real', '--fail-under', '80'], { cwd: directory.path });
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('Expected a score from 0 to 1')]);
    const stray = await run(['bench', 'report', 'real', '--rpm', '5'], { cwd: directory.path });
    expect([stray.code, stray.stderr]).toEqual([2, expect.stringContaining('Expected no --rpm with bench report')]);
    const none = await run(['bench', 'report', 'nowhere'], { cwd: directory.path });
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('has no run.json')]);
  });
});

describe('a run', () => {
  const config = { agents: { echo: { use: 'builtin:echo' } } } as const;

  it('that misses its threshold - has its results, its report and JUnit XML, and exit code 1', async () => {
    directory.write('low.jsonl', '{"input":"a","expected":"b"}\n');
    const args = ['bench', 'low.jsonl', '--agent', 'echo', '--out', 'low', '--junit', 'low.xml', '--fail-under', '0.5'];
    const { code, stderr } = await run(args, { cwd: directory.path });
    expect([code, stderr]).toEqual([1, 'orrery: echo has a score of 0.0000, and at least 0.5 is asked for\n']);
    expect(existsSync(join(directory.path, 'low/report.html'))).toBe(true);
    expect(readFileSync(join(directory.path, 'low.xml'), 'utf8')).toContain('failures="1"');
  });

  it('whose report cannot be written - is done all the same, and says so', async () => {
    const suite = directory.write('fine.jsonl', '{"input":"a","expected":"a"}\n');
    const out = join(directory.path, 'fine');
    mkdirSync(join(out, 'report.html/taken'), { recursive: true });
    const report = await runBench({ suite, out, agents: ['echo'], config });
    expect(report).toMatchObject({ manifest: { status: 'done' }, report: null });
    expect(report.reportError).toContain('report.html');
  });

  it('that wants no report - writes none; one that was interrupted has one', async () => {
    const suite = directory.write('some.jsonl', '{"input":"a","expected":"a"}\n');
    const none = await runBench({ suite, out: join(directory.path, 'none'), agents: ['echo'], config, report: false });
    expect(none.report).toBeNull();
    expect(existsSync(join(directory.path, 'none/report.html'))).toBe(false);
    const stopped = AbortSignal.abort();
    const out = join(directory.path, 'stopped');
    const cut = await runBench({ suite, out, agents: ['echo'], config, signal: stopped });
    expect(cut.manifest.status).toBe('interrupted');
    await using opened = await open(cut.report ?? '');
    await opened.page.getByText('0 of 1 results are there').waitFor();
    expect(opened.complaints).toEqual([]);
  });
});

describe('ten thousand cases', () => {
  it(
    'a page of them - holds a bounded number of rows, and filters, sorts and pages over all',
    { timeout: 180_000 },
    async () => {
      const agents = [
        { agent: 'small', right: 0.6, ms: 300, fails: 0.01, price: 0.0002 },
        { agent: 'large', right: 0.8, ms: 900, price: 0.003 },
      ];
      const results = madeResults(agents, 10_000, { tags: ['a', 'b', 'c', 'd'] });
      const dir = writeRun(join(directory.path, 'large'), results);
      const { file, casesShown } = await writeReport(dir, { outputChars: 500 });
      expect(casesShown).toBe(10_000);
      await using opened = await open(file);
      const { page, requests, complaints } = opened;
      const rows = page.locator('.cases tbody tr');
      await page.locator('.count').getByText('10,000 cases', { exact: true }).waitFor();
      expect(await rows.count()).toBe(50);
      expect(await page.evaluate('document.querySelectorAll("*").length')).toBeLessThan(5_000);
      const errors = results.filter(({ error }) => error).length;
      await page.getByLabel('Result', { exact: true }).selectOption('an error');
      await page.locator('.count').getByText(`${errors} of 10,000 cases`).waitFor();
      expect(await rows.count()).toBe(Math.min(50, errors));
      await page.getByLabel('Result', { exact: true }).selectOption('any result');
      await page.getByLabel('Tag', { exact: true }).selectOption('c');
      await page.locator('.count').getByText('2,500 of 10,000 cases').waitFor();
      await page.getByRole('button', { name: 'Last', exact: true }).click();
      await page.getByText('Page 50 of 50').waitFor();
      expect((await ids(page)).at(-1)).toBe('case-9999');
      await page.getByLabel('Search', { exact: true }).fill('case-777');
      await page
        .locator('.count')
        .getByText(/^\d+ of 10,000 cases$/)
        .waitFor();
      const found = results.filter(
        ({ agent, caseId, tags }) => agent === 'small' && caseId.includes('case-777') && tags?.[0] === 'c',
      );
      await page.locator('.count').getByText(`${found.length} of 10,000 cases`).waitFor();
      expect(await ids(page)).toEqual(found.map(({ caseId }) => caseId));
      expect([requests, complaints]).toEqual([[], []]);
    },
  );
});

describe('orrery bench compare', () => {
  const lines = (count: number, score: (i: number) => number): ReturnType<typeof scored>[] =>
    Array.from({ length: count }, (_, i) => scored(`c${i}`, 'x', score(i)));

  it('two runs - are a table, JSON or Markdown, with an exit code by score and by regressions', async () => {
    writeRun(
      join(directory.path, 'before'),
      lines(30, () => 1),
      { id: 'before' },
    );
    writeRun(
      join(directory.path, 'after'),
      lines(30, (i) => (i < 3 ? 0 : 1)),
      { id: 'after' },
    );
    const compare = (...more: readonly string[]): ReturnType<typeof run> =>
      run(['bench', 'compare', 'before', 'after', ...more], { cwd: directory.path });
    const table = await compare();
    expect(table.code).toBe(0);
    expect(table.stdout).toMatch(/^AGENT +RUN +CASES/);
    expect(table.stdout).toContain('no longer passed in after: c0, c1, c2');
    const json = await compare('--json');
    expect((JSON.parse(json.stdout) as CompareReport).comparisons).toMatchObject([{ regressed: 3, inBoth: 30 }]);
    expect((await compare('--markdown')).stdout).toContain('### suite: `after` against `before`');
    expect((await compare('--max-regressions', '3', '--fail-under', '0.9')).code).toBe(0);
    const worse = await compare('--max-regressions', '2', '--fail-under', '0.95');
    expect([worse.code, worse.stderr]).toEqual([
      1,
      'orrery: x has a score of 0.9000, and at least 0.95 is asked for\n' +
        'orrery: x no longer passes 3 cases in after, and at most 2 are allowed\n',
    ]);
  });

  it('runs of two suites - are refused with exit code 2, and compared with --force', async () => {
    writeRun(
      join(directory.path, 'one'),
      lines(2, () => 1),
      { id: 'one' },
    );
    const suite = { name: 'other', path: 'x', sha256: 'c'.repeat(64), cases: 2 };
    writeRun(
      join(directory.path, 'two'),
      lines(2, () => 1),
      { id: 'two', suite },
    );
    const args = ['bench', 'compare', 'one', 'two'];
    const refused = await run(args, { cwd: directory.path });
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('--force')]);
    const forced = await run([...args, '--force'], { cwd: directory.path });
    expect(forced.code).toBe(0);
    expect(forced.stdout).toContain('Warning: The suite of two is another one');
    await expect(compareRuns([join(directory.path, 'one'), join(directory.path, 'two')])).rejects.toMatchObject({
      code: 'ORRERY_BENCH_CHANGED',
    });
  });
});

describe('JUnit XML', () => {
  it('hostile outputs - leave it well-formed, and they are read back as they were', async () => {
    const output = `</failure>]]>&"'<!--\n\ttab`;
    const dir = writeRun(join(directory.path, 'hostile'), [
      scored('a<b>&"c', 'x', 0, { output: `${output}\u0000\u0007\uD800` }),
      failed('b', 'x', { error: { code: 'ORRERY_X', message: 'a\u0000"<b>' } }),
    ]);
    const file = join(directory.path, 'hostile.xml');
    await writeJUnit(dir, file);
    const page = await browser.newPage();
    const found = await page.evaluate(`(() => {
      const xml = new DOMParser().parseFromString(${JSON.stringify(readFileSync(file, 'utf8'))}, 'application/xml');
      return {
        problem: xml.querySelector('parsererror')?.textContent ?? null,
        name: xml.querySelector('testcase').getAttribute('name'),
        text: xml.querySelector('failure').textContent,
        cases: xml.querySelectorAll('testcase').length,
      };
    })()`);
    expect(found).toMatchObject({ problem: null, name: 'a<b>&"c', cases: 2 });
    expect((found as { text: string }).text).toContain(output);
    await page.close();
  });
});
