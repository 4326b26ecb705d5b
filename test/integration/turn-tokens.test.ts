import { get_encoding } from 'tiktoken';
import { expect, test } from 'vitest';
import { createSupervisor } from '../../src/main/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test('turn.tokens - counts exactly on the agent’s own thread when the agent asks, encodes and decodes back', async () => {
  const agents = { counter: { use: new URL('../fixtures/agents/counts.ts', import.meta.url).pathname } };
  using directory = temporaryDirectory();
  await using host = await createSupervisor({ agents, dataDir: directory.path, workers: { threads: 1 } });
  await host.start();
  const content = `Sphinx of black quartz, judge my vow. ${'日本語 '.repeat(40_000)}`;
  const { message } = await host.inject({
    id: 'm1',
    channel: 'test',
    namespace: 'test:a',
    message: { role: 'user', content },
    metadata: {},
    receivedAt: 0,
  });
  const oracle = get_encoding('o200k_base');
  expect(JSON.parse(message.content)).toEqual({
    count: oracle.encode_ordinary(content).length,
    exact: true,
    same: true,
  });
  oracle.free();
});
