/** Holds what the configuration says of models' windows to what the models have. */
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../src/main/config/index.ts';

const resolve = (agent: object): unknown => resolveConfig({ agents: { a: agent } }, { dir: '/srv/bots', env: {} });

describe('a reserve for the answer', () => {
  it.each([
    [{ model: 'openai:x', context: { reservedForOutput: 40_000 } }, /reservedForOutput: .*32768 tokens.*40000/],
    [{ model: 'openai:gpt-4', maxOutputTokens: 8_192 }, /maxOutputTokens: .*8192 tokens.*8192/],
    [{ model: 'openai:gpt-5', fallback: ['openai:gpt-4'], maxOutputTokens: 9_000 }, /smallest model \(8192 tokens\)/],
  ])('is refused with both numbers when it leaves nothing of a model’s window - %j', (agent, message) => {
    expect(() => resolve(agent)).toThrow(message);
  });

  it.each([
    { model: 'openai:x', context: { maxTokens: 100_000, reservedForOutput: 40_000 } },
    { model: 'openai:gpt-4', maxOutputTokens: 8_191 },
  ])('is taken when something is left - %j', (agent) => {
    expect(() => resolve(agent)).not.toThrow();
  });
});
