/** Holds `orrery bench` and `runBench` to what they promise, with real threads and real kills. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BenchOptions, type BenchReport, type BenchResult, runBench } from '../../src/main/index.ts';
import { run, start } from '../support/commands.ts';
import { fixture } from '../support/host.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

let directory: TemporaryDirectory;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => directory[Symbol.dispose]());

const jsonl = (...records: readonly unknown[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('');

function results(out = 'out'): BenchResult[] {
  const text = readFileSync(join(directory.path, out, 'results.jsonl'), 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as BenchResult);
}

/** These start many processes, or wait for threads to be given up; the machine may be busy. */
const SLOW_MS = 240_000;

const CONFIG = {
  agents: { worker: { use: fixture('bench-case') }, echo: { use: 'builtin:echo' } },
  workers: { threads: 2, killAfterMs: 5_000, maxHeapMb: 48 },
} as const;

function bench(records: readonly unknown[], options: Partial<BenchOptions> = {}): Promise<BenchReport> {
  const suite = directory.write('suite.jsonl', jsonl(...records));
  const out = join(directory.path, 'out');
  return runBench({ suite, out, agents: ['worker'], config: CONFIG, ...options });
}

const byId = (found: readonly BenchResult[]): Map<string, BenchResult> =>
  new Map(found.map((one) => [one.caseId, one]));

describe('orrery bench', () => {
  it('a suite - goes through two built-in agents, and every result is written', async () => {
    directory.write(
      'suite.jsonl',
      jsonl({ id: 'a', input: 'hello', expected: 'hello', tags: ['x'] }, { id: 'b', input: '2 + 2', expected: '4' }),
    );
    const args = ['bench', 'suite.jsonl', '--agent', 'echo', '--agent', 'eliza', '--out', 'out', '--repeats', '2'];
    const { code, stdout, stderr } = await run([...args, '--json'], { cwd: directory.path });
    expect([stderr, code]).toEqual(['', 0]);
    const report = JSON.parse(stdout) as BenchReport;
    expect(report.manifest).toMatchObject({ status: 'done', totals: { done: 8, errors: 0, skipped: 0 } });
    expect(report.agents[0]).toMatchObject({ agent: 'echo', done: 4, planned: 4, score: 0.5, cost: null });
    const found = results();
    expect(new Set(found.map(({ caseId, agent, repeat }) => `${agent} ${caseId} ${repeat}`)).size).toBe(8);
    expect(found.find(({ agent, caseId }) => agent === 'echo' && caseId === 'a')).toMatchObject({
      input: 'hello',
      output: 'hello',
      tags: ['x'],
      scores: { exact: { score: 1, passed: true } },
      score: 1,
      tokens: { input: 1, output: 1, exact: true },
    });
    expect(JSON.parse(readFileSync(join(directory.path, 'out/run.json'), 'utf8'))).toEqual(report.manifest);
  });

  it('what agents log - never stands in standard output', async () => {
    directory.write('talks.mjs', `export default { async *respond(turn) { turn.log.fatal('said'); yield 'a'; } };`);
    directory.write('orrery.config.json', JSON.stringify({ agents: { talks: { use: './talks.mjs' } } }));
    directory.write('suite.jsonl', jsonl({ input: 'a', expected: 'a' }));
    const args = ['bench', 'suite.jsonl', '--agent', 'talks', '--json'];
    const { code, stdout, stderr } = await run(args, { cwd: directory.path });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ agents: [{ score: 1 }] });
    expect(stderr).toContain('said');
  });

  it.each<[string, readonly string[], string]>([
    ['no suite', ['none.jsonl', '--agent', 'echo'], 'Expected a suite, and'],
    ['no agent', ['suite.jsonl'], 'Give --agent NAME. The agents are: eliza, echo'],
    ['an unknown agent', ['suite.jsonl', '--agent', 'ehco'], '"ehco"'],
    ['an unknown scorer', ['suite.jsonl', '--agent', 'echo', '--scorer', 'exat'], 'Did you mean "exact"?'],
    ['a number that is none', ['suite.jsonl', '--agent', 'echo', '--rpm', 'many'], 'Expected a number after --rpm'],
    ['a judge that is not there', ['suite.jsonl', '--agent', 'echo', '--scorer', 'judge:x'], 'name an agent'],
    ['code that is not allowed', ['suite.jsonl', '--agent', 'echo', '--scorer', 'code'], '--allow-code'],
    ['a cost without a price', ['suite.jsonl', '--agent', 'echo', '--max-cost', '1'], 'Expected a price for echo'],
    ['a resumption of nothing', ['suite.jsonl', '--agent', 'echo', '--resume'], 'Give --out DIR with --resume'],
    ['no case with the tag', ['suite.jsonl', '--agent', 'echo', '--tag', 'none'], 'has one of the tags none'],
  ])('wrong usage - is told and leaves nothing behind: %s', async (_, args, message) => {
    directory.write('suite.jsonl', jsonl({ input: 'a', expected: 'a' }));
    const { code, stderr } = await run(['bench', ...args], { cwd: directory.path });
    expect(stderr).toContain(message);
    expect(code).toBe(2);
    expect(readdirSync(directory.path)).toEqual(['suite.jsonl']);
  });

  it(
    'Ctrl-C - finishes what is under way, says how to go on, and the next start does the rest',
    { timeout: SLOW_MS },
    async () => {
      directory.write('orrery.config.json', JSON.stringify(CONFIG));
      directory.write(
        'suite.jsonl',
        jsonl(...Array.from({ length: 400 }, (_, i) => ({ input: `slow ${i}`, expected: `${i}` }))),
      );
      const args = ['bench', 'suite.jsonl', '--agent', 'worker', '--out', 'out', '--concurrency', '2'];
      await using running = start(args, { cwd: directory.path });
      await appeared(join(directory.path, 'out/results.jsonl'));
      running.child.kill('SIGINT');
      const first = await running.finished;
      expect(first.stdout).toContain(
        `Go on with: orrery ${args.slice(0, 4).join(' ')} --concurrency 2 --out ${directory.path}/out --resume`,
      );
      expect(first.code).toBe(1);
      expect(results().filter(({ error }) => error)).toEqual([]);
      const before = results().length;
      expect(before).toBeLessThan(400);
      const refused = await run(args, { cwd: directory.path });
      expect(refused.stderr).toContain('has a run already');
      const again = await run([...args, '--resume'], { cwd: directory.path });
      expect(again.code).toBe(0);
      expect(new Set(results().map(({ caseId }) => caseId)).size).toBe(400);
      expect(results()).toHaveLength(400);
    },
  );

  it('kill -9 - at random moments loses no case, doubles none and tears no line', { timeout: SLOW_MS }, async () => {
    const CASES = 1_500;
    directory.write(
      'suite.jsonl',
      jsonl(...Array.from({ length: CASES }, (_, i) => ({ id: `c${i}`, input: `${i}`, expected: `${i}` }))),
    );
    const args = [
      'bench',
      'suite.jsonl',
      '--agent',
      'echo',
      '--agent',
      'eliza',
      '--out',
      'out',
      '--resume',
      '--rpm',
      '60000',
    ];
    const file = join(directory.path, 'out/results.jsonl');
    for (let kills = 0; kills < 5; kills++) {
      await using running = start(args, { cwd: directory.path });
      const size = existsSync(file) ? readFileSync(file).length : 0;
      await Promise.race([appeared(file, size), running.finished]);
      await delay(Math.random() * 120);
      running.child.kill('SIGKILL');
      await running.finished;
    }
    const last = await run([...args, '--json'], { cwd: directory.path });
    expect(last.code).toBe(0);
    const found = results();
    expect(found).toHaveLength(2 * CASES);
    expect(new Set(found.map(({ caseId, agent }) => `${agent} ${caseId}`)).size).toBe(2 * CASES);
    expect(found.filter(({ error }) => error)).toEqual([]);
    expect((JSON.parse(last.stdout) as BenchReport).manifest.totals).toEqual({
      done: 2 * CASES,
      errors: 0,
      skipped: 0,
    });
  });
});

/** Resolves once a file has more bytes than it had. */
async function appeared(path: string, size = 0): Promise<void> {
  while (!existsSync(path) || readFileSync(path).length <= size) await delay(5);
}

describe('runBench', () => {
  it(
    'crashing, hanging, spinning, heap-filling and failing cases - cost only themselves',
    { timeout: SLOW_MS },
    async () => {
      // A full heap takes as long as the machine likes: it may meet the heartbeat first.
      const bad = {
        exit: 'EXITED',
        spin: 'UNRESPONSIVE',
        heap: /OUT_OF_MEMORY|UNRESPONSIVE/,
        hang: 'DEADLINE',
        fail: 'AGENT_FAILED',
      };
      const acts = Object.keys(bad);
      const records = Array.from({ length: 60 }, (_, i) =>
        i % 12 === 6
          ? { id: acts[(i - 6) / 12], input: `${acts[(i - 6) / 12]} now`, expected: 'x' }
          : { input: `slow ${i}`, expected: `${i}` },
      );
      const report = await bench(records, { agents: ['worker', 'echo'], turnTimeoutMs: 4_000, concurrency: 8 });
      expect(report.manifest).toMatchObject({ status: 'done', totals: { done: 120, errors: 5, skipped: 0 } });
      const found = results();
      expect(found).toHaveLength(120);
      const errors = byId(found.filter(({ error }) => error));
      expect(new Set(errors.keys())).toEqual(new Set(acts));
      for (const [act, code] of Object.entries(bad)) {
        expect(errors.get(act)).toMatchObject({ agent: 'worker', score: null, output: '' });
        expect(errors.get(act)?.error?.code).toMatch(code);
      }
      expect(found.filter(({ agent, score }) => agent === 'worker' && score === 1)).toHaveLength(55);
    },
  );

  it('a conversation - has one session, and another case never sees it', async () => {
    const user = (content: string): unknown => ({ role: 'user', content });
    await bench([
      { id: 'two', messages: [user('say one'), user('history two')], expected: 'say one|one|two' },
      { id: 'own', input: 'history x', expected: '|x' },
      {
        id: 'told',
        messages: [user('say a'), { role: 'assistant', content: 'b' }, user('history c')],
        expected: 'say a|b|c',
      },
    ]);
    expect(
      results()
        .map(({ caseId, output, score }) => [caseId, output, score])
        .toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    ).toEqual([
      ['own', '|x', 1],
      ['told', 'say a|b|c', 1],
      ['two', 'say one|one|two', 1],
    ]);
  });

  it('a first text - is timed when the agent is no built-in one', async () => {
    await bench([{ input: 'slow yes', expected: 'yes' }], { agents: ['worker', 'echo'] });
    const [worker, echo] = results().toSorted((a, b) => (a.agent > b.agent ? -1 : 1));
    expect(worker?.latencyMs.firstToken).toBeGreaterThan(15);
    expect(worker?.latencyMs.total).toBeGreaterThanOrEqual(worker?.latencyMs.firstToken ?? Infinity);
    expect(echo?.latencyMs.firstToken).toBeNull();
  });

  it('a judge - grades with another agent, and its failure is the case’s', async () => {
    directory.write(
      'critic.mjs',
      `export default { async *respond(turn) {
        if (!turn.message.content.includes('<reference>\\nyes\\n</reference>')) throw new Error('no reference');
        yield turn.message.content.includes('<reply>\\nyes\\n</reply>') ? 'Right.\\nSCORE: 0.9' : 'SCORE: 0.1';
      } };`,
    );
    const config = { agents: { ...CONFIG.agents, critic: { use: join(directory.path, 'critic.mjs') } } };
    await bench(
      [
        { id: 'good', input: 'say yes', expected: 'yes' },
        { id: 'bad', input: 'say no', expected: 'yes' },
        { id: 'open', input: 'say no' },
      ],
      { config, scorers: ['exact', 'judge:critic'] },
    );
    const found = byId(results());
    expect(found.get('good')).toMatchObject({ scores: { exact: { score: 1 }, judge: { score: 0.9 } }, score: 0.95 });
    expect(found.get('bad')).toMatchObject({ scores: { exact: { score: 0 }, judge: { score: 0.1 } }, score: 0.05 });
    expect(found.get('open')).toMatchObject({ score: null, error: { code: 'ORRERY_SCORER_FAILED' } });
  });

  it('a changed suite - is refused, and run with force', async () => {
    await bench([{ id: 'a', input: 'say a', expected: 'a' }]);
    const changed = [
      { id: 'a', input: 'say a', expected: 'a' },
      { id: 'b', input: 'say b', expected: 'b' },
    ];
    await expect(bench(changed, { resume: true })).rejects.toMatchObject({ code: 'ORRERY_BENCH_CHANGED' });
    const report = await bench(changed, { resume: true, force: true });
    expect(report.manifest.totals.done).toBe(2);
    expect(results().map(({ caseId }) => caseId)).toEqual(['a', 'b']);
  });

  it('a cost - ends the run at its bound, and what was asked is counted', async () => {
    const records = Array.from({ length: 50 }, (_, i) => ({ input: `say word${i}`, expected: `word${i}` }));
    const prices = { worker: { inputPerMTok: 1e6, outputPerMTok: 1e6 } };
    const report = await bench(records, { config: { ...CONFIG, bench: { prices } }, maxCost: 20, concurrency: 1 });
    expect(report.manifest.status).toBe('cost-limit');
    const found = results();
    expect(found.length).toBeGreaterThan(1);
    expect(found.length).toBeLessThan(50);
    const spent = found.reduce((sum, { cost }) => sum + (cost ?? 0), 0);
    expect(spent).toBeGreaterThanOrEqual(20);
    expect(report.manifest.totals).toEqual({ done: found.length, errors: 0, skipped: 50 - found.length });
    expect(found[0]?.cost).toBe((found[0]?.tokens.input ?? 0) + (found[0]?.tokens.output ?? 0));
  });

  it('a directory - takes one run at a time', async () => {
    const records = Array.from({ length: 30 }, (_, i) => ({ input: `slow ${i}`, expected: `${i}` }));
    const first = bench(records, { concurrency: 1 });
    await appeared(join(directory.path, 'out/run.json'));
    await expect(bench(records, { resume: true })).rejects.toMatchObject({ code: 'ORRERY_DATA_DIR_IN_USE' });
    expect((await first).manifest.status).toBe('done');
  });

  it('cases under way - are never more than asked for, of one agent and of all', async () => {
    directory.write(
      'counts.mjs',
      `let now = 0; export default { async *respond() {
        now += 1;
        const most = now;
        await new Promise((resolve) => setTimeout(resolve, 10));
        yield String(Math.max(most, now));
        now -= 1;
      } };`,
    );
    const use = join(directory.path, 'counts.mjs');
    const config = { agents: { a: { use } }, workers: { threads: 1 } };
    await bench(
      Array.from({ length: 40 }, () => ({ input: 'x' })),
      { config, agents: ['a'], concurrency: 3 },
    );
    expect(Math.max(...results().map(({ output }) => Number(output)))).toBe(3);
    const total = { config, agents: ['a'], concurrency: 9, concurrencyTotal: 2, out: join(directory.path, 'total') };
    await bench(
      Array.from({ length: 40 }, () => ({ input: 'x' })),
      total,
    );
    expect(Math.max(...results('total').map(({ output }) => Number(output)))).toBe(2);
  });
});
