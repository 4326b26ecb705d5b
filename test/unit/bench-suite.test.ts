import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type SuiteCase, caseOf, formatOf } from '../../src/main/bench/cases.ts';
import { randomOf, select, selectedSize } from '../../src/main/bench/selection.ts';
import { type CaseBatch, type Suite, openSuite } from '../../src/main/bench/suite.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

let directory: TemporaryDirectory;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => directory[Symbol.dispose]());

function open(path: string, tags: readonly string[] = [], most?: number): Promise<Suite> {
  const spool = `${directory.path}/spool.jsonl`;
  return openSuite(path, { spool, tags, ...(most === undefined ? {} : { most }) });
}

async function all(batches: AsyncIterable<CaseBatch>): Promise<SuiteCase[]> {
  const all: SuiteCase[] = [];
  for await (const { cases } of batches) all.push(...cases);
  return all;
}

const read = async (path: string): Promise<SuiteCase[]> => all((await open(path)).read());
const jsonl = (...records: readonly unknown[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('');

describe('suites of JSONL', () => {
  it('a record - becomes a case when it has an input', async () => {
    const path = directory.write(
      's.jsonl',
      jsonl({ id: 7, input: 'a', expected: 1, tags: ['t'], metadata: { k: [1] } }),
    );
    expect(await read(path)).toEqual([
      { id: '7', turns: ['a'], context: [], expected: 1, tags: ['t'], metadata: { k: [1] } },
    ]);
  });

  it('ids - are the numbers of the records when there are none', async () => {
    const path = directory.write('s.jsonl', `\u{FEFF}{"input":"a"}\r\n\n{"input":"ä"}`);
    expect((await read(path)).map(({ id, turns }) => [id, turns[0]])).toEqual([
      ['1', 'a'],
      ['2', 'ä'],
    ]);
  });

  it('lines - are read alike whether or not a chunk of the file ends within them, with a mark at any of them', async () => {
    const texts = Array.from({ length: 700 }, (_, i) => 'äöü€😀'.repeat(i % 40) + i);
    const lines = texts.map((input, i) => `${i % 3 === 0 ? '\u{FEFF}' : ''}${JSON.stringify({ input })}`);
    const path = directory.write('s.jsonl', lines.join('\n'));
    const cases = await read(path);
    expect(cases.map(({ turns }) => turns[0])).toEqual(texts);
    expect(cases.map(({ id }) => id)).toEqual(texts.map((_, i) => String(i + 1)));
  });

  it('a line that is no UTF-8 - is named, wherever in the file it stands', async () => {
    const good = `${JSON.stringify({ input: 'ä'.repeat(100) })}\n`;
    for (const before of [0, 3, 400]) {
      const path = join(directory.path, `s${before}.jsonl`);
      writeFileSync(path, Buffer.concat([Buffer.from(good.repeat(before)), Buffer.of(0xff, 10), Buffer.from(good)]));
      await expect(open(path)).rejects.toThrow(`${path}:${before + 1}: expected UTF-8`);
    }
  });

  it('messages - are turns after the last scripted reply, and context up to it', async () => {
    const message = (role: string, content: string): unknown => ({ role, content });
    const path = directory.write(
      's.jsonl',
      jsonl(
        { messages: [message('user', 'a'), message('user', 'b')] },
        { messages: [message('system', 's'), message('user', 'a'), message('assistant', 'r'), message('user', 'b')] },
      ),
    );
    const [first, second] = await read(path);
    expect(first).toMatchObject({ turns: ['a', 'b'], context: [] });
    expect(second).toMatchObject({ turns: ['b'], context: [{ content: 's' }, { content: 'a' }, { content: 'r' }] });
  });

  it('lines - are read whole when they are longer than what is read at once', async () => {
    const long = 'ü'.repeat(100_000);
    const path = directory.write('s.jsonl', jsonl({ input: long }, { input: 'b' }));
    expect((await read(path)).map(({ turns }) => turns[0])).toEqual([long, 'b']);
  });

  it.each<[string, string, string]>([
    ['no JSON', '{"input":"a"}\n{oops}\n', ':2: expected one JSON object a line'],
    ['no object', '[1]\n', ':1: expected an object, got [1]'],
    ['an unknown key', '{"input":"a","expcted":1}\n', ':1: expected only id, input'],
    ['input and messages', '{"input":"a","messages":[]}\n', 'got both'],
    ['a wrong role', '{"messages":[{"role":"me","content":""}]}\n', '`messages[0].role` to be "system", "user"'],
    ['a reply at the end', '{"messages":[{"role":"assistant","content":"x"}]}\n', 'a message of the user at the end'],
    ['an id twice', '{"id":"a","input":"x"}\n{"id":"a","input":"y"}\n', ':2: expected ids that differ, got "a"'],
    ['no keys that are known', '{"text":"a"}\n', 'or the keys of GSM8K, HumanEval or MMLU; got text'],
    ['no cases', '\n', 'with at least one case'],
    ['tags that are no list', '{"input":"a","tags":"t"}\n', 'expected `tags` to be a list of texts, got "t"'],
  ])('an error - names the place when there is %s', async (_, text, message) => {
    const path = directory.write('s.jsonl', text);
    await expect(open(path)).rejects.toMatchObject({
      code: 'ORRERY_BENCH_INVALID',
      message: expect.stringContaining(message) as string,
    });
  });

  it('a file - is refused when it is missing, or of no kind that is read', async () => {
    await expect(open('/no/such.jsonl')).rejects.toThrow('is no file');
    await expect(open(directory.write('s.txt', 'x'))).rejects.toThrow('Expected a suite that ends in .jsonl');
  });
});

describe('suites as they are published', () => {
  it('GSM8K - expects what stands after the marks', async () => {
    const path = directory.write('g.jsonl', jsonl({ question: 'How many?', answer: 'Two and two.\n#### 1,004' }));
    const suite = await open(path);
    expect(suite).toMatchObject({ format: 'gsm8k', defaultScorer: 'numeric' });
    expect(await all(suite.read())).toEqual([
      { id: '1', turns: ['How many?'], context: [], expected: '1,004', metadata: { solution: 'Two and two.' } },
    ]);
  });

  it('HumanEval - keeps the tests for the scorer', () => {
    const record = {
      task_id: 'T/0',
      prompt: 'def f():\n',
      test: 'def check(c): pass',
      entry_point: 'f',
      canonical_solution: 'x',
    };
    expect(formatOf(record, 'here')).toBe('humaneval');
    expect(caseOf(record, 'humaneval', 'here', 1)).toEqual({
      id: 'T/0',
      turns: ['def f():\n'],
      context: [],
      metadata: { test: 'def check(c): pass', entryPoint: 'f' },
    });
  });

  it.each<[string, unknown]>([
    ['an index', 1],
    ['a letter', 'B'],
  ])('MMLU - writes the choices under letters when the answer is %s', (_, answer) => {
    const record = { question: 'Which?', choices: ['x', 'y'], answer, subject: 'logic' };
    expect(formatOf(record, 'here')).toBe('mmlu');
    expect(caseOf(record, 'mmlu', 'here', 3)).toEqual({
      id: '3',
      turns: ['Which?\n\nA. x\nB. y\n\nAnswer with the letter alone.'],
      context: [],
      expected: 'B',
      tags: ['logic'],
    });
  });

  it('MMLU - is refused when the answer is none of the choices', () => {
    const record = { question: 'Which?', choices: ['x', 'y'], answer: 2 };
    expect(() => caseOf(record, 'mmlu', 'f:1', 1)).toThrow(
      'f:1: expected `answer` to be a letter or an index of 2 choices, got 2',
    );
  });

  it('MMLU - is read when its CSV has no line of heads, and when it has one', async () => {
    const row = '"What, then?",a,b,c,d,C\n';
    const bare = await open(directory.write('bare.csv', row));
    const headed = await open(directory.write('headed.csv', `question,A,B,C,D,answer\n${row}`));
    expect(bare.format).toBe('mmlu');
    const [one] = await all(bare.read());
    expect(one).toMatchObject({
      expected: 'C',
      turns: [expect.stringContaining('What, then?\n\nA. a\nB. b') as string],
    });
    expect(await all(headed.read())).toEqual(await all(bare.read()));
  });
});

describe('examples/bench', () => {
  const path = (name: string): string => fileURLToPath(new URL(`../../examples/bench/${name}`, import.meta.url));

  it.each<[string, string, number]>([
    ['questions.jsonl', 'orrery', 3],
    ['gsm8k.jsonl', 'gsm8k', 2],
    ['humaneval.jsonl', 'humaneval', 2],
    ['mmlu.jsonl', 'mmlu', 2],
    ['mmlu.csv', 'mmlu', 2],
    ['words.ts', 'orrery', 4],
  ])('%s - is read as %s', async (name, format, size) => {
    expect(await open(path(name))).toMatchObject({ format, size });
  });
});

describe('suites of CSV', () => {
  it('columns - become keys, tags and metadata', async () => {
    const path = directory.write(
      's.csv',
      'id,input,expected,tags,metadata.level\nx,"two\nlines",7,a; b,hard\ny,z,,,\n',
    );
    expect(await read(path)).toEqual([
      { id: 'x', turns: ['two\nlines'], context: [], expected: '7', tags: ['a', 'b'], metadata: { level: 'hard' } },
      { id: 'y', turns: ['z'], context: [], expected: '' },
    ]);
  });

  it('an error - says so when a line has other columns', async () => {
    const path = directory.write('s.csv', 'id,input\na,b,c\n');
    await expect(open(path)).rejects.toThrow('expected CSV with as many columns in each line');
  });
});

describe('suites of a module', () => {
  const source = (cases: string): string =>
    `export const cases = ${cases};\nexport const scorers = { own: () => 1 };\n`;

  it.each<[string, string]>([
    ['a list', `[{ input: 'a' }, { input: 'b' }]`],
    ['a generator', `(function* () { yield { input: 'a' }; yield { input: 'b' }; })()`],
    ['an async function', `async () => [{ input: 'a' }, { input: 'b' }]`],
    ['an async generator function', `async function* () { yield { input: 'a' }; yield { input: 'b' }; }`],
  ])('cases - are read twice when they are %s', async (_, cases) => {
    const suite = await open(directory.write('s.mjs', source(cases)));
    expect(suite.size).toBe(2);
    expect(Object.keys(suite.module?.scorers ?? {})).toEqual(['own']);
    for (let i = 0; i < 2; i++) expect((await all(suite.read())).map(({ turns }) => turns[0])).toEqual(['a', 'b']);
  });

  it('cases - are taken up to the bound when they have no end', async () => {
    const endless = `(function* () { for (let i = 0; ; i++) yield { input: String(i) }; })()`;
    expect((await open(directory.write('s.mjs', source(endless)), [], 5)).size).toBe(5);
  });

  it('sha256 - changes when the cases do, though the module does not', async () => {
    directory.write('data.json', '["a"]');
    const module = `import { readFileSync } from 'node:fs';
      export const cases = () => JSON.parse(readFileSync(new URL('./data.json', import.meta.url), 'utf8')).map((input) => ({ input }));`;
    const path = directory.write('s.mjs', module);
    const { sha256 } = await open(path);
    expect((await open(path)).sha256).toBe(sha256);
    directory.write('data.json', '["b"]');
    expect((await open(path)).sha256).not.toBe(sha256);
  });

  it('an error - says what is missing when there are no cases', async () => {
    await expect(open(directory.write('s.mjs', 'export const x = 1;'))).rejects.toThrow(
      'expected `export const cases`',
    );
    await expect(open(directory.write('t.mjs', 'throw new Error("broken");'))).rejects.toThrow('did not load: broken');
  });
});

describe('selection', () => {
  async function suiteOf(count: number, tags: readonly string[] = []): Promise<Suite> {
    const records = Array.from({ length: count }, (_, i) => ({
      id: `${i}`,
      input: 'x',
      tags: i % 2 === 0 ? ['even'] : ['odd'],
    }));
    return open(directory.write('many.jsonl', jsonl(...records)), tags);
  }
  const ids = async (suite: Suite, o: object): Promise<string[]> =>
    (await all(select(suite, { tags: [], seed: 0, ...o }))).map(({ id }) => id);

  it('all cases - are taken when nothing is asked for', async () => {
    expect(await ids(await suiteOf(500), {})).toEqual(Array.from({ length: 500 }, (_, i) => `${i}`));
  });

  it('tags and limit - take the first with a tag', async () => {
    const suite = await suiteOf(100, ['odd']);
    expect(suite.tagged).toBe(50);
    expect(await ids(suite, { tags: ['odd'], limit: 3 })).toEqual(['1', '3', '5']);
    expect(selectedSize(suite, { tags: ['odd'], seed: 0, limit: 3 })).toBe(3);
  });

  it('a sample - has its size, keeps the order, and follows from the seed', async () => {
    const suite = await suiteOf(1_000);
    const drawn = await ids(suite, { sample: 100, seed: 5 });
    expect(drawn).toHaveLength(100);
    expect(new Set(drawn).size).toBe(100);
    expect(drawn.map(Number)).toEqual(drawn.map(Number).toSorted((a, b) => a - b));
    expect(await ids(suite, { sample: 100, seed: 5 })).toEqual(drawn);
    expect(await ids(suite, { sample: 100, seed: 6 })).not.toEqual(drawn);
    expect(Number(drawn.at(-1))).toBeGreaterThan(800);
  });

  it('a sample - is everything when it is larger than the suite', async () => {
    expect(await ids(await suiteOf(10), { sample: 50 })).toHaveLength(10);
  });

  it('the numbers of a seed - are spread evenly', () => {
    const random = randomOf(1);
    const values = Array.from({ length: 10_000 }, random);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    expect(values.reduce((sum, value) => sum + value, 0) / values.length).toBeCloseTo(0.5, 1);
  });
});
