import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { createSupervisor } from '../../src/main/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const COMPUTES = fileURLToPath(new URL('../fixtures/agents/computes.ts', import.meta.url));

test('a slot - keeps its heartbeat under many turns that each compute for a while, and loses none of them', async () => {
  using directory = temporaryDirectory();
  await using host = await createSupervisor({
    dataDir: directory.path,
    agents: { worker: { use: COMPUTES } },
    workers: { threads: 1, killAfterMs: 2000 },
    delivery: { maxAttempts: 1 },
  });
  await host.start();
  // Twice the kill's time in one batch: without a turn of the loop in between, the slot would look dead.
  const turns = Array.from({ length: 80 }, (_, i) =>
    host.inject({
      id: `m${i}`,
      channel: 'test',
      namespace: `test:${i}`,
      message: { role: 'user', content: '50' },
      metadata: {},
      receivedAt: 0,
    }),
  );
  const replies = await Promise.all(turns);
  expect(replies.map((reply) => reply.message.content)).toEqual(turns.map(() => 'done'));
  expect(host.status().slots.map(({ restarts }) => restarts)).toEqual([0]);
});
