/**
 * Makes `docs/images/bench-report.png`: it runs a suite of sums through three small programs that stand in for models, and takes a
 * picture of the report. Needs Chromium. `node scripts/report-image.ts`
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runBench } from '../src/main/index.ts';
import { launchBrowser } from '../test/support/gateway-browser.ts';

const IMAGE = resolve(import.meta.dirname, '../docs/images/bench-report.png');
const CASES = 240;
const KINDS = ['plus', 'minus', 'times', 'percent of'] as const;

/** Each is right as often as its skill at a kind of sum says, and takes its time; the same sum always comes out the same. */
const AGENTS = {
  quick: { ms: 8, fails: 0, skill: { plus: 0.9, minus: 0.75, times: 0.35, 'percent of': 0.25 } },
  steady: { ms: 30, fails: 0, skill: { plus: 0.98, minus: 0.93, times: 0.72, 'percent of': 0.6 } },
  thorough: { ms: 110, fails: 0.03, skill: { plus: 0.99, minus: 0.97, times: 0.95, 'percent of': 0.9 } },
} as const;

const PRICES = {
  quick: { inputPerMTok: 0.1, outputPerMTok: 0.4 },
  steady: { inputPerMTok: 0.5, outputPerMTok: 2 },
  thorough: { inputPerMTok: 3, outputPerMTok: 15 },
};

function moduleOf(name: keyof typeof AGENTS): string {
  const { ms, fails, skill } = AGENTS[name];
  return `
const skill = ${JSON.stringify(skill)};
const odds = (text) => {
  let state = 2166136261;
  for (const char of text) state = Math.imul(state ^ char.codePointAt(0), 16777619);
  return ((Math.imul(state ^ (state >>> 15), 2246822519) >>> 0) / 4294967296);
};
export default {
  async *respond(turn) {
    const text = turn.message.content;
    const [, a, kind, b] = /(\\d+) (plus|minus|times|percent of) (\\d+)/.exec(text);
    const [x, y] = [Number(a), Number(b)];
    const right = { plus: x + y, minus: x - y, times: x * y, 'percent of': (x * y) / 100 }[kind];
    await new Promise((resolve) => setTimeout(resolve, ${ms} * Math.exp(1.6 * (odds(text + 'time') - 0.4))));
    if (odds(text + '${name}fails') < ${fails}) throw new Error('The model refused the request');
    const value = odds(text + '${name}') < skill[kind] ? right : right + 1 + Math.round(odds(text) * 9);
    yield 'That makes ' + value + '.';
  },
};
`;
}

const folder = mkdtempSync(join(tmpdir(), 'orrery-image-'));
try {
  const cases = Array.from({ length: CASES }, (_, i) => {
    const kind = KINDS[i % KINDS.length] ?? 'plus';
    const [a, b] = [17 + ((i * 37) % 80), 3 + ((i * 53) % 90)];
    const expected = { plus: a + b, minus: a - b, times: a * b, 'percent of': (a * b) / 100 }[kind];
    const input = `How much is ${a} ${kind} ${b}? Answer in one short sentence.`;
    return { id: `sum-${i + 1}`, input, expected: String(expected), tags: [kind] };
  });
  const suite = join(folder, 'sums.jsonl');
  writeFileSync(suite, cases.map((one) => `${JSON.stringify(one)}\n`).join(''));
  const names = Object.keys(AGENTS) as (keyof typeof AGENTS)[];
  const agents = Object.fromEntries(
    names.map((name) => {
      writeFileSync(join(folder, `${name}.mjs`), moduleOf(name));
      return [name, { use: `./${name}.mjs` }];
    }),
  );
  const { report } = await runBench({
    suite,
    dir: folder,
    out: join(folder, 'run'),
    agents: names,
    config: { agents, bench: { prices: PRICES } },
    scorers: ['numeric'],
    concurrency: 4,
  });
  if (report === null) throw new Error('There is no report');
  const browser = await launchBrowser();
  const page = await browser.newPage({ viewport: { width: 1_200, height: 1_000 }, colorScheme: 'light' });
  await page.goto(pathToFileURL(report).href);
  await page.locator('.plot svg.drawing').nth(3).waitFor();
  await page.getByRole('button', { name: 'sum-3', exact: true }).click();
  const bottom = await page.evaluate<number>(
    `document.querySelector('tr.more').getBoundingClientRect().bottom + scrollY`,
  );
  const height = Math.ceil(bottom) + 20;
  await page.screenshot({ path: IMAGE, fullPage: true, clip: { x: 0, y: 0, width: 1_200, height } });
  await browser.close();
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 });
}
