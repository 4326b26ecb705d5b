/** Holds `orrery bench --load` to what it promises, as a process of its own against servers that answer, are full, or are not there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LoadReport, type ModelServer, type ModelServerOptions, startModelServer } from '../../src/main/index.ts';
import { type Finished, run, start } from '../support/commands.ts';
import { launchBrowser } from '../support/gateway-browser.ts';
import { ServedDir } from '../support/served.ts';
import { tlsFront } from '../support/tls-front.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

let directory: TemporaryDirectory;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => directory[Symbol.dispose]());

const QUICK: ModelServerOptions = { ttftMs: 5, tokensPerSecond: 2_000, tokens: 12 };

function load(server: Pick<ModelServer, 'url'>, ...args: readonly string[]): Promise<Finished> {
  return run(['bench', '--load', '--url', server.url, ...args], { cwd: directory.path });
}

function reportOf({ stdout, stderr, code }: Finished, wanted = 0): LoadReport {
  expect([stderr, code]).toEqual(['', wanted]);
  return JSON.parse(stdout) as LoadReport;
}

/** Resolves once the server was asked so often. */
async function asked(server: ModelServer, times: number): Promise<void> {
  while (server.stats().requests < times) await delay(10);
}

describe('orrery bench --load', () => {
  it('https - is asked when the authority of its certificate is trusted, and else says what to do', async () => {
    await using server = await startModelServer(QUICK);
    await using front = await tlsFront(server);
    const args = ['bench', '--load', '--url', front.url, '--requests', '10', '--concurrency', '2', '--json'];
    const [trusted, unknown] = await Promise.all([
      run(args, { cwd: directory.path, env: { NODE_EXTRA_CA_CERTS: front.authority } }),
      run(args, { cwd: directory.path }),
    ]);
    expect(reportOf(trusted).targets[0]).toMatchObject({ answered: 10, failed: 0, tokens: { output: 10 * 12 } });
    expect(server.stats().requests).toBe(10);
    expect(unknown.code).toBe(1);
    expect((JSON.parse(unknown.stdout) as LoadReport).targets[0]).toMatchObject({
      answered: 0,
      failures: [
        {
          kind: 'connection',
          code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
          message: expect.stringContaining('name the file with it in NODE_EXTRA_CA_CERTS'),
        },
      ],
    });
  });

  it('streams - are timed from the first text to the last, and their tokens are the provider’s', async () => {
    await using server = await startModelServer(QUICK);
    const report = reportOf(await load(server, '--requests', '40', '--concurrency', '4', '--json'));
    expect(report).toMatchObject({
      version: 1,
      status: 'done',
      mode: 'closed',
      options: { concurrency: 4, requests: 40, rate: null, durationMs: null, stream: true },
      driver: { loopDelayMs: { p99: expect.any(Number) }, cpuShare: expect.any(Number) },
      ratios: [],
    });
    expect(report.dir).toBeUndefined();
    const [target] = report.targets;
    expect(target).toMatchObject({
      name: new URL(server.url).host,
      model: 'orrery',
      sent: 40,
      answered: 40,
      failed: 0,
      failures: [],
      tokens: { output: 40 * 12, byProvider: 40, byTokenizer: 0, uncounted: 0 },
      latencyMs: { corrected: null, uncorrected: { count: 40 } },
      firstTextMs: { corrected: null, uncorrected: { count: 40 } },
      gapMs: { count: 40 * 11 },
      perTokenMs: { count: 40 },
      latenessMs: { count: 0 },
    });
    const { uncorrected } = target!.latencyMs;
    expect(target!.firstTextMs.uncorrected.min).toBeGreaterThanOrEqual(5);
    expect(uncorrected.min).toBeGreaterThanOrEqual(5 + 11 / 2);
    expect(target!.series.spans.reduce((sum, { answered }) => sum + answered, 0)).toBe(40);
    expect(target!.curve.uncorrected.at(-1)).toEqual([100, uncorrected.max]);
    expect(server.stats()).toMatchObject({ requests: 40, answered: 40, left: 0 });
  });

  it('an open loop - sends what is due, and is corrected', async () => {
    await using server = await startModelServer(QUICK);
    const args = ['--rate', '50', '--arrivals', 'constant', '--duration', '1', '--warmup', '0.2', '--no-stream'];
    const report = reportOf(await load(server, ...args, '--json'));
    const [target] = report.targets;
    expect(report).toMatchObject({ mode: 'open', options: { rate: 50, arrivals: 'constant', maxInFlight: 1_000 } });
    expect(target).toMatchObject({ sent: 50, answered: 50, unsent: 0, seconds: 1, gapMs: { count: 0 } });
    expect(target!.latencyMs.corrected!.count).toBe(50);
    expect(target!.latencyMs.corrected!.min).toBeGreaterThanOrEqual(target!.latencyMs.uncorrected.min!);
    expect(target!.firstTextMs.uncorrected.count).toBe(0);
    expect(target!.latenessMs.count).toBe(50);
    expect(server.stats().requests).toBe(60);
  });

  it.each(['--stream', '--no-stream'])(
    'a real Orrery - is driven, with what its agents say counted exactly: %s',
    async (how) => {
      await using served = new ServedDir({ agents: { echo: { use: 'builtin:echo' } }, defaultAgent: 'echo' });
      await served.start();
      const args = ['--requests', '30', '--prompt', 'one two three', '--sessions', '3', '--model', 'echo', how];
      const report = reportOf(await load({ url: served.url }, ...args, '--json'));
      expect(report.targets[0]).toMatchObject({ model: 'echo', sent: 30, answered: 30 });
      const { tokens } = report.targets[0]!;
      expect(tokens.byProvider + tokens.byTokenizer).toBe(30);
      expect(tokens.output).toBe(90);
      const { body } = await served.call('GET', '/api/sessions/load-0?agent=echo');
      expect((body as { messages: unknown[] }).messages).toHaveLength(20);
    },
  );

  it('an Orrery with the model behind it - is compared with the model itself', async () => {
    await using server = await startModelServer(QUICK);
    await using served = new ServedDir({
      agents: { practice: { model: 'openai-compatible:practice', baseUrl: server.url } },
      defaultAgent: 'practice',
    });
    await served.start();
    const args = ['--target', `direct=${server.url}`, '--target', `orrery=${served.url}`, '--model', 'practice'];
    const finished = await run(['bench', '--load', ...args, '--requests', '20', '--json'], { cwd: directory.path });
    const report = reportOf(finished);
    expect(report.options.rounds).toBe(4);
    expect(
      report.targets.map(({ name, answered, tokens }) => [name, answered, tokens.output, tokens.byProvider]),
    ).toEqual([
      ['direct', 20, 240, 20],
      ['orrery', 20, 240, 20],
    ]);
    expect(report.ratios).toMatchObject([{ target: 'orrery', of: 'direct', latencyP50: expect.any(Number) }]);
    expect(report.ratios[0]!.latencyP50).toBeGreaterThan(0);
  });

  it('an Orrery with the model in Anthropic’s form behind it - tells the same tokens', async () => {
    await using server = await startModelServer(QUICK);
    await using served = new ServedDir({
      agents: { claude: { model: 'anthropic:claude-practice', baseUrl: server.url, apiKey: 'none' } },
      defaultAgent: 'claude',
    });
    await served.start();
    const report = reportOf(await load({ url: served.url }, '--requests', '6', '--model', 'claude', '--json'));
    expect(report.targets[0]).toMatchObject({ answered: 6, failed: 0, tokens: { output: 72, byProvider: 6 } });
  });

  it('a full server - has its 429 counted by code, with what Retry-After asked for', async () => {
    await using server = await startModelServer({ ...QUICK, ttftMs: 50, maxConcurrency: 1, retryAfterSeconds: 2 });
    const finished = await load(server, '--requests', '60', '--concurrency', '6');
    expect([finished.code, finished.stderr]).toEqual([0, '']);
    expect(finished.stdout).toMatch(/http 429 rate_limit_exceeded\s+At most 1 requests are answered at once/);
    expect(finished.stdout).toMatch(/told Retry-After +\d+/);
    const { answered, turnedAway } = server.stats();
    expect(answered + turnedAway).toBe(60);
    expect(turnedAway).toBeGreaterThan(0);
    expect(finished.stdout).toMatch(new RegExp(`answered +${answered}\n`));
    expect(finished.stdout).toContain(`${turnedAway} of 60 requests failed`);
  });

  it('a slow server - has its requests given up in time', async () => {
    await using server = await startModelServer({ ttftMs: 60_000 });
    const report = reportOf(await load(server, '--requests', '3', '--timeout', '0.2', '--json'), 1);
    expect(report).toMatchObject({ status: 'failed', targets: [{ failures: [{ kind: 'timeout', count: 3 }] }] });
  });

  it('Ctrl-C - ends arrivals, awaits what is under way, and prints what there is', async () => {
    await using server = await startModelServer({ ...QUICK, ttftMs: 100 });
    const args = ['bench', '--load', '--url', server.url, '--duration', '600', '--concurrency', '3', '--json'];
    await using running = start(args, { cwd: directory.path });
    await asked(server, 9);
    running.child.kill('SIGINT');
    const { code, stdout, stderr } = await running.finished;
    expect(stderr).toContain('Nothing new is sent');
    const report = JSON.parse(stdout) as LoadReport;
    expect([code, report.status]).toEqual([1, 'interrupted']);
    const { sent, answered, failed } = report.targets[0]!;
    expect(answered).toBe(sent);
    expect(answered).toBeGreaterThanOrEqual(9);
    expect(failed).toBe(0);
    expect(server.stats().left).toBe(0);
  });

  it('nobody there - is told soon, with exit code 1', async () => {
    const server = await startModelServer();
    const { url } = server;
    await server.close();
    const { code, stdout } = await load({ url }, '--duration', '600');
    expect(code).toBe(1);
    expect(stdout).toContain('connection ECONNREFUSED');
    expect(stdout).toContain('nothing was answered');
  });

  it.each<[string, readonly string[], string]>([
    ['both loops', ['--load', '--rate', '1', '--concurrency', '1'], 'Expected either `rate` or `concurrency`'],
    ['an option of the other kind', ['--load', '--agent', 'a'], 'Expected no --agent with --load'],
    ['an option without --load', ['--rate', '1'], 'Expected --load with --rate'],
    ['no suite and no --load', [], 'Expected a suite, got nothing'],
    ['a suite that is not there', ['none.jsonl', '--load'], 'is no file'],
    ['a key that is not set', ['--load', '--api-key-env', 'NO_SUCH_KEY'], 'Expected the variable NO_SUCH_KEY'],
  ])('wrong usage - is told with exit code 2: %s', async (_, args, message) => {
    const { code, stderr } = await run(['bench', ...args], { cwd: directory.path });
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });

  it('load.html - draws its plots with no script, no network and nothing to complain of', async () => {
    await using server = await startModelServer({ ...QUICK, errorRate: 0.2, errorStatus: 500 });
    directory.write('s.jsonl', '{"input":"a"}\n{"input":"b"}\n');
    const args = [
      '--target',
      `<b>one</b>=${server.url}`,
      '--target',
      `two=${server.url}`,
      '--rate',
      '100',
      '--duration',
      '2',
    ];
    const finished = await run(['bench', 's.jsonl', '--load', ...args, '--out', 'out'], { cwd: directory.path });
    expect([finished.stderr, finished.code]).toEqual(['', 0]);
    const written = JSON.parse(readFileSync(join(directory.path, 'out/load.json'), 'utf8')) as LoadReport;
    expect(written).toMatchObject({ status: 'done', options: { prompts: 2, suite: 's.jsonl' } });
    await using open = new AsyncDisposableStack();
    const browser = open.adopt(await launchBrowser(), (one) => one.close());
    const url = pathToFileURL(join(directory.path, 'out/load.html')).href;
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await browser.newPage({ colorScheme });
      const wrong: string[] = [];
      page.on('console', (message) => wrong.push(message.text()));
      page.on('pageerror', (error) => wrong.push(error.message));
      page.on('request', (request) => {
        if (request.url() !== url && !request.url().startsWith('data:')) wrong.push(request.url());
      });
      await page.goto(url);
      expect(await page.locator('figure > svg').count()).toBe(3);
      for (const figure of await page.locator('figure').all()) {
        const lines = figure.locator('> svg path.line');
        expect(await lines.count()).toBeGreaterThanOrEqual(4);
        const box = await lines.first().boundingBox();
        expect(box!.width).toBeGreaterThan(100);
      }
      // The style's hash is the one that the policy allows.
      const stroke = "getComputedStyle(document.querySelector('figure > svg path.line')).stroke";
      expect(await page.evaluate<string>(stroke)).toMatch(/^rgb/);
      expect(await page.getByText('<b>one</b>', { exact: true }).count()).toBeGreaterThan(0);
      expect(await page.getByText('http 500').count()).toBeGreaterThan(0);
      expect(await page.locator('script').count()).toBe(0);
      expect(wrong).toEqual([]);
      await page.close();
    }
  });
});
