/** Runs `examples/custom-agent` by the command of its README, against a real HTTP server that speaks its model's protocol. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LLMock } from '@copilotkit/aimock';
import { expect, it, onTestFinished } from 'vitest';
import { ORDERS, refund } from '../../examples/custom-agent/orders.ts';
import { run } from '../support/commands.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

it('examples/custom-agent - looks an order up, pays it back and goes on from there, by its README’s command', async () => {
  const readme = readFileSync(`${ROOT}examples/custom-agent/README.md`, 'utf8');
  const [, args = ''] = /^npm run -s orrery -- (chat .*)$/m.exec(readme) ?? [];
  const mock = new LLMock({ port: 0 });
  await mock.start();
  onTestFinished(() => mock.stop());
  const call = (name: string): { toolCalls: { name: string; arguments: string }[] } => ({
    toolCalls: [{ name, arguments: '{"order":"a-17"}' }],
  });
  mock.on({ userMessage: 'Where is A-17', hasToolResult: false }, call('order'));
  mock.on({ userMessage: 'Where is A-17', toolResultContains: 'telescope' }, call('refund'));
  mock.on(
    { userMessage: 'Where is A-17', toolResultContains: 'amount' },
    { content: 'It was lost; 240 are on their way.' },
  );
  mock.onMessage('Thank you', { content: 'Clear skies!' });
  using directory = temporaryDirectory();
  const { code, stdout, stderr } = await run([...args.split(' '), '--data-dir', directory.path], {
    cwd: ROOT,
    env: { MODEL_URL: `${mock.url}/v1` },
    input: 'Where is A-17? I want my money back if it is lost.\nThank you\n',
  });
  expect(stderr).toBe('');
  expect(stdout).toContain('It was lost; 240 are on their way.');
  expect(stdout).toContain('Clear skies!');
  expect(code).toBe(0);
  const bodies = mock.getRequests().map(({ body }) => JSON.stringify(body));
  expect(bodies).toHaveLength(4);
  expect(bodies[0]).toContain('Answer in English');
  expect(bodies[3]).toContain('telescope');
}, 30_000);

it('examples/custom-agent - pays a refund once under one key', () => {
  const [telescope, chart] = [...ORDERS.values()];
  if (!telescope || !chart) throw new Error('The shop has no orders');
  expect(refund('d1:1:0', telescope)).toBe(refund('d1:1:0', telescope));
  expect(() => refund('d1:1:0', chart)).toThrow('another order');
});
