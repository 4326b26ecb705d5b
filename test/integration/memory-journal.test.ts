import { expect, test } from 'vitest';
import { pino } from 'pino';
import { actor, startHost } from '../support/host.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const WARN = 40;

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly file?: string;
}

test('journal in memory - says at each start what it does not keep, and names a file that it leaves alone', async () => {
  using dir = temporaryDirectory();
  const warned = async (journal: 'memory' | 'sqlite'): Promise<readonly Line[]> => {
    const lines: Line[] = [];
    const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Line) });
    await using host = await startHost(
      { agents: { actor: actor() }, dataDir: dir.path, delivery: { journal } },
      { log },
    );
    expect(await host.ask('actor', 'say hello')).toContain('hello');
    return lines.filter(({ level }) => level === WARN);
  };
  const kept = /in memory: what is accepted is lost/;
  expect(await warned('memory')).toMatchObject([{ msg: expect.stringMatching(kept) }]);
  expect(await warned('sqlite')).toEqual([]);
  const [first, second, ...others] = await warned('memory');
  expect(first?.msg).toMatch(kept);
  expect(second).toMatchObject({
    msg: expect.stringContaining('not read'),
    file: expect.stringMatching(/journal\.db$/),
  });
  expect(others).toEqual([]);
});
