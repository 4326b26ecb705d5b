import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import type { ScoredCase, ScorerSpec } from '../../src/protocol/scorers.ts';
import { readScorers } from '../../src/main/bench/scorer-specs.ts';
import { Scoring } from '../../src/main/bench/scoring.ts';
import { code, programOf } from '../../src/worker/scorers/code.ts';
import { jsonSchema } from '../../src/worker/scorers/json-schema.ts';
import { readVerdict } from '../../src/worker/scorers/judge.ts';
import { numberIn, numeric } from '../../src/worker/scorers/numeric.ts';
import scoreBatch from '../../src/worker/scorers/pool-entry.ts';
import { choice, exact, f1, includes, letterOf, regex } from '../../src/worker/scorers/text.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const scored = (output: string, expected?: unknown, rest: Partial<ScoredCase> = {}): ScoredCase => ({
  id: '1',
  input: 'q',
  output,
  ...(expected === undefined ? {} : { expected }),
  ...rest,
});

describe('text scorers', () => {
  it.each<[string, string, unknown, number]>([
    ['space around', ' Paris\n', 'Paris', 1],
    ['another case', 'paris', 'Paris', 0],
    ['one of several', 'b', ['a', 'b'], 1],
    ['a number', '42', 42, 1],
    ['an object in another order', '{"b":2,"a":1}', { a: 1, b: 2 }, 1],
    ['an object that is another', '{"a":1}', { a: 2 }, 0],
    ['no JSON', 'a', { a: 1 }, 0],
  ])('exact - judges %s', (_, output, expected, score) => {
    expect(exact(scored(output, expected)).score).toBe(score);
  });

  it('includes - gives the share of what it finds', () => {
    expect(includes(scored('red and blue', ['red', 'blue', 'green', 'grey']))).toEqual({
      score: 0.5,
      passed: false,
      detail: 'missing: green, grey',
    });
    expect(includes(scored('red', 'red')).score).toBe(1);
  });

  it('regex - takes the pattern of the option, else of the case', () => {
    expect(regex(scored('abc 123', 'x'), String.raw`\d{3}`).score).toBe(1);
    expect(regex(scored('ABC', '/^abc$/i')).score).toBe(1);
    expect(regex(scored('ABC', '^abc$')).score).toBe(0);
  });

  // Counted by hand: 2 x common / (words of the reply + words expected), articles and punctuation left out.
  it.each<[string, unknown, number]>([
    ['The cat sat on the mat.', 'cat sat mat', (2 * 3) / (4 + 3)],
    ['cat cat cat', 'cat', (2 * 1) / (3 + 1)],
    ['Paris, France', 'Paris', (2 * 1) / (2 + 1)],
    ['An apple!', 'the apple', 1],
    ['dog', 'cat', 0],
    ['', 'cat', 0],
    ['blue car', ['red house', 'blue bus'], (2 * 1) / (2 + 2)],
  ])('f1 - of %j against %j is %d', (output, expected, score) => {
    expect(f1(scored(output, expected)).score).toBeCloseTo(score, 12);
  });

  it.each<[string, string | undefined]>([
    ['B', 'B'],
    ['b) because', 'B'],
    ['(C)', 'C'],
    ['The answer is D.', 'D'],
    ['**Answer: A**', 'A'],
    ['I think it is option c', 'C'],
    ['A good question. The correct one must be (B).', 'B'],
    ['Both A and B look right. Answer: B', 'B'],
    ['who knows', undefined],
  ])('choice - finds in %j the letter %s', (output, letter) => {
    expect(letterOf(output)).toBe(letter);
  });

  it('choice - takes an index from 0', () => {
    expect(choice(scored('C', 2)).score).toBe(1);
    expect(choice(scored('B', 2))).toEqual({ score: 0, passed: false, detail: 'chose B' });
  });
});

describe('numeric', () => {
  it.each<[string, number | undefined]>([
    ['so the total is $1,234.50.', 1234.5],
    ['3 + 4 = 7', 7],
    ['work 1 2 3\n#### 18', 18],
    ['#### -5\nand 9 more', -5],
    ['about 1.5e3 items', 1500],
    ['from 10-5', 5],
    ['v2 of it', undefined],
    ['none', undefined],
    ['.5', 0.5],
  ])('the number in %j - is %d', (text, number) => {
    expect(numberIn(text)).toBe(number);
  });

  it('a tolerance - is absolute, and without one rounding alone is forgiven', () => {
    expect(numeric(scored('2.24', 2.2361), 0.01).score).toBe(1);
    expect(numeric(scored('2.2', 2.2361), 0.01)).toEqual({
      score: 0,
      passed: false,
      detail: 'found 2.2, expected 2.2361',
    });
    expect(numeric(scored('0.30000000000000004', 0.3)).score).toBe(1);
    expect(numeric(scored('0.3001', 0.3)).score).toBe(0);
    expect(numeric(scored('18', '#### 18')).score).toBe(1);
  });

  it('a case - cannot be judged when it expects no number', () => {
    expect(() => numeric(scored('1', 'none'))).toThrow('Expected `expected` to hold a number');
  });
});

describe('json-schema', () => {
  const schema = { type: 'object', required: ['a'], properties: { a: { type: 'integer' } } };

  it('a reply - passes when it, or its fenced block, fits', () => {
    expect(jsonSchema(scored('{"a":1}'), schema).score).toBe(1);
    expect(jsonSchema(scored('Here:\n```json\n{"a":1}\n```'), schema).score).toBe(1);
    expect(jsonSchema(scored('{"a":1}', schema)).score).toBe(1);
  });

  it('a reply - says what is wrong with it when it does not fit', () => {
    expect(jsonSchema(scored('{"a":"x"}'), schema)).toMatchObject({ score: 0, detail: 'data/a must be integer' });
    expect(jsonSchema(scored('no'), schema)).toMatchObject({ score: 0, detail: 'the reply is not JSON' });
  });
});

describe('judge', () => {
  it.each<[string, number]>([
    ['Fine.\nSCORE: 0.75', 0.75],
    ['Score: 4/5', 0.8],
    ['**Score:** 90%', 0.9],
    ['first SCORE: 0, then SCORE: 1', 1],
  ])('the score of %j - is %d', (verdict, score) => {
    expect(readVerdict(verdict).score).toBeCloseTo(score, 12);
  });

  it('a verdict - is refused when it has no score, or one beyond 1', () => {
    expect(() => readVerdict('good')).toThrow('gave no score');
    expect(() => readVerdict('SCORE: 7')).toThrow('from 0 to 1');
  });
});

const hasPython = ((): boolean => {
  try {
    execFileSync('python3', ['-c', 'pass']);
    return true;
  } catch {
    return false;
  }
})();

describe('code', () => {
  const metadata = { test: 'def check(f):\n    assert f(2) == 4\n', entryPoint: 'twice' };
  const input = 'def twice(n):\n';

  it('a program - is the fenced block, or the prompt with the reply behind it', () => {
    expect(programOf(scored('```python\ndef twice(n): return n\n```', undefined, { input, metadata }))).toBe(
      `def twice(n): return n\n\n\n${metadata.test}\n\ncheck(twice)\n`,
    );
    expect(programOf(scored('    return 2 * n\n', undefined, { input, metadata }))).toContain(
      `${input}    return 2 * n\n`,
    );
  });

  it.runIf(hasPython)('a program - passes when its tests do, and is judged when it fails or does not end', async () => {
    const run = (body: string): Promise<unknown> => code(scored(body, undefined, { input, metadata }), 5_000);
    expect(await run('    return 2 * n\n')).toEqual({ score: 1, passed: true });
    expect(await run('    return n\n')).toMatchObject({ score: 0, detail: 'AssertionError' });
    const endless = code(scored('    while True: pass\n', undefined, { input, metadata }), 300);
    expect(await endless).toMatchObject({ score: 0, detail: 'did not end within 300 ms' });
  });
});

describe('batches', () => {
  const specs: readonly ScorerSpec[] = [
    { kind: 'exact', name: 'exact' },
    { kind: 'numeric', name: 'numeric' },
  ];

  it('a scorer - costs its own score alone when it fails', async () => {
    const [outcome] = await scoreBatch({ specs, jobs: [scored('a', 'a')] });
    expect(outcome?.scores).toEqual({ exact: { score: 1, passed: true } });
    expect(outcome?.error).toMatchObject({ code: 'ORRERY_SCORER_FAILED' });
  });

  it('a case - gets no score when it expects nothing', async () => {
    expect(await scoreBatch({ specs, jobs: [scored('a')] })).toEqual([{ scores: {} }]);
  });

  it('a custom scorer - gives numbers, verdicts and details, and costs its case when it hangs or ends its thread', async () => {
    using directory = temporaryDirectory();
    const module = directory.write(
      's.mjs',
      `export const scorers = { own({ output }) {
        if (output === 'hang') for (;;);
        if (output === 'exit') process.exit(1);
        if (output === 'yes') return true;
        if (output === 'half') return 0.5;
        if (output === 'told') return { score: 1, detail: 'well' };
        return 'nothing';
      } };`,
    );
    const scoring = new Scoring({
      specs: [{ kind: 'custom', name: 'own', key: 'own' }],
      module: `file://${module}`,
      timeoutMs: 5_000,
      threads: 1,
    });
    const outputs = ['yes', 'hang', 'half', 'exit', 'told', 'other'];
    const outcomes = await scoring.score(outputs.map((output) => scored(output)));
    await scoring.close();
    expect(outcomes.map(({ scores }) => scores['own'])).toEqual([
      { score: 1, passed: true },
      undefined,
      { score: 0.5 },
      undefined,
      { score: 1, detail: 'well' },
      undefined,
    ]);
    expect(outcomes.map(({ error }) => error?.code)).toEqual([
      undefined,
      'ORRERY_SCORER_FAILED',
      undefined,
      'ORRERY_SCORER_FAILED',
      undefined,
      'ORRERY_SCORER_FAILED',
    ]);
  });
});

describe('names of scorers', () => {
  const readAll = (named: readonly string[], module?: unknown): readonly ScorerSpec[] =>
    readScorers(named, { module, fallback: 'exact', dir: '/' });

  it('scorers - are those named, else the module’s, else the fallback', () => {
    expect(readAll([])).toEqual([{ kind: 'exact', name: 'exact' }]);
    expect(readAll([], { mine: () => 1, near: 'numeric:0.1' })).toEqual([
      { kind: 'custom', name: 'mine', key: 'mine' },
      { kind: 'numeric', name: 'near', tolerance: 0.1 },
    ]);
    expect(readAll(['regex:a', 'regex:b', 'judge:critic'])).toEqual([
      { kind: 'regex', name: 'regex', pattern: 'a' },
      { kind: 'regex', name: 'regex:b', pattern: 'b' },
      { kind: 'judge', name: 'judge', agent: 'critic' },
    ]);
  });

  it.each<[string, string]>([
    ['exat', 'Expected --scorer to name a scorer, got "exat"'],
    ['judge', 'Expected --scorer judge:AGENT'],
    ['f1:x', 'without an argument'],
    ['numeric:x', 'a number of at least 0'],
    ['regex:(', 'a regular expression'],
    ['json-schema:no.json', 'Expected a JSON schema in /no.json'],
  ])('a name - is refused when it is %s', (name, message) => {
    expect(() => readAll([name])).toThrow(message);
  });
});
