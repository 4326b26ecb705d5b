/** The agent under "Errors" in docs/agents.md behaves in a host as the page says. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startHost } from '../support/host.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test('docs/agents.md - an error with a retryable code is tried again, and the second attempt answers', async () => {
  const page = readFileSync(new URL('../../docs/agents.md', import.meta.url), 'utf8');
  const [, block = ''] = /^## Errors$[\s\S]*?^```ts\n([\s\S]*?)^```$/m.exec(page) ?? [];
  expect(block).toContain('ORRERY_MODEL_UNAVAILABLE');
  using dir = temporaryDirectory();
  const use = join(dir.path, 'busy.ts');
  // A checkout that was never built has no `orrery-host/agent` to import.
  const source = JSON.stringify(new URL('../../src/worker/agent.ts', import.meta.url).href);
  writeFileSync(use, block.replace("'orrery-host/agent'", source));
  await using host = await startHost({ agents: { busy: { use } } });
  const reply = await host.send('busy', 'hello');
  expect(reply.message.content).toBe('Now it worked.');
  expect(host.status.messages).toMatchObject({ answered: 1, dead: 0 });
});
