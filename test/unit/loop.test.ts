/** Holds the pure parts of the loop: what a failed call leads to, and what providers' words mean. */
import { describe, expect, it } from 'vitest';
import { OrreryError } from '../../src/protocol/errors.ts';
import { chainFor, chainOf } from '../../src/worker/models/chain.ts';
import { modelError, toldSizes } from '../../src/worker/models/errors.ts';
import { modelAgent } from '../../src/worker/models/index.ts';
import { modelAgent as publicModelAgent } from '../../src/worker/agent.ts';
import { DEFAULT_RETRY, moveAfter } from '../../src/worker/runtime/retry.ts';
import { toolRun } from '../../src/worker/runtime/tool-run.ts';
import { agentContext } from '../support/agent-context.ts';

const unavailable = (retryAfterMs?: number): OrreryError =>
  new OrreryError('ORRERY_MODEL_UNAVAILABLE', 'gone', retryAfterMs === undefined ? {} : { retryAfterMs });

describe('moveAfter', () => {
  const failure = { error: unavailable(), tries: 1, hasOther: false, remainingMs: 100_000 };

  it('waits longer each time, and gives up after the last try', () => {
    const delays = [1, 2].map((tries) => moveAfter({ ...failure, tries }, DEFAULT_RETRY, 1));
    expect(delays).toEqual([
      { kind: 'retry', delayMs: 500 },
      { kind: 'retry', delayMs: 1_000 },
    ]);
    expect(moveAfter({ ...failure, tries: 3 }, DEFAULT_RETRY, 1)).toEqual({ kind: 'fail' });
    expect(moveAfter({ ...failure, tries: 3, hasOther: true }, DEFAULT_RETRY, 1)).toEqual({ kind: 'other' });
  });

  it('waits as long as the provider says, but not past the deadline and not longer than another model takes', () => {
    const error = unavailable(9_000);
    expect(moveAfter({ ...failure, error }, DEFAULT_RETRY, 0)).toEqual({ kind: 'retry', delayMs: 9_000 });
    expect(moveAfter({ ...failure, error, remainingMs: 9_000 }, DEFAULT_RETRY, 0)).toEqual({ kind: 'fail' });
    expect(moveAfter({ ...failure, error, hasOther: true }, DEFAULT_RETRY, 0)).toEqual({ kind: 'other' });
    expect(moveAfter({ ...failure, error: unavailable(31_000) }, DEFAULT_RETRY, 0)).toEqual({ kind: 'fail' });
  });

  it.each(['ORRERY_MODEL_FAILED', 'ORRERY_CONTEXT_TOO_LARGE', 'ORRERY_MODEL_KEY_MISSING'] as const)(
    '%s - goes to the next model at once',
    (code) => {
      const error = new OrreryError(code, 'no');
      expect(moveAfter({ ...failure, error, hasOther: true }, DEFAULT_RETRY, 0)).toEqual({ kind: 'other' });
      expect(moveAfter({ ...failure, error }, DEFAULT_RETRY, 0)).toEqual({ kind: 'fail' });
    },
  );

  it('what is no failure of the model ends the turn', () => {
    const error = new OrreryError('ORRERY_AGENT_FAILED', 'a bug');
    expect(moveAfter({ ...failure, error, hasOther: true }, DEFAULT_RETRY, 0)).toEqual({ kind: 'fail' });
  });
});

describe('a prompt that is too long', () => {
  const answered = (statusCode: number, message: string, responseBody = ''): OrreryError =>
    modelError('m', Object.assign(new Error(message), { statusCode, responseBody }));

  it.each([
    [
      'OpenAI',
      400,
      "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    ],
    [
      'OpenAI GPT-5',
      400,
      'Input tokens exceed the configured limit of 272,000 tokens. Your messages resulted in 297,006 tokens.',
    ],
    ['Anthropic', 400, 'prompt is too long: 208310 tokens > 200000 maximum'],
    ['Anthropic with output', 400, 'input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000'],
    ['llama.cpp', 400, 'the request exceeds the available context size, try increasing it'],
    ['a proxy', 413, 'Request too large'],
  ])('is known by the words of %s', (_, status, message) => {
    expect(answered(status, message).code).toBe('ORRERY_CONTEXT_TOO_LARGE');
  });

  it('is known by its code in the body and in an event of a stream', () => {
    expect(answered(400, 'Bad', '{"error":{"code":"context_length_exceeded"}}').code).toBe('ORRERY_CONTEXT_TOO_LARGE');
    const event = { type: 'error', error: { code: 'context_length_exceeded', message: 'Too much' } };
    expect(modelError('m', event).code).toBe('ORRERY_CONTEXT_TOO_LARGE');
  });

  it('is nothing else that has to do with tokens', () => {
    expect(answered(429, 'Rate limit: too many tokens per minute').code).toBe('ORRERY_MODEL_UNAVAILABLE');
    expect(answered(500, 'context window').code).toBe('ORRERY_MODEL_UNAVAILABLE');
    expect(answered(400, 'max_tokens must be positive').code).toBe('ORRERY_MODEL_FAILED');
    expect(modelError('m', new TypeError('context size is undefined')).code).toBe('ORRERY_MODEL_FAILED');
  });

  it.each([
    [
      'maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens',
      { limit: 8192, used: 9000 },
    ],
    ['the configured limit of 272,000 tokens. Your messages resulted in 297,006', { limit: 272_000, used: 297_006 }],
    ['prompt is too long: 208310 tokens > 200000 maximum', { limit: 200_000, used: 208_310 }],
    ['error 400: nothing of the kind', undefined],
  ])('tells its sizes: %s', (message, sizes) => {
    expect(toldSizes(message)).toEqual(sizes);
  });
});

describe('the models of an agent', () => {
  const other = { model: 'openai-compatible:d', baseUrl: 'http://127.0.0.1:2/v1' };
  const chain = chainOf({ model: 'openai:a' }, ['openai:b', 'anthropic:c', other]);

  it('are asked in their order, behind the one that a message asks for', () => {
    expect(chainFor(chain, undefined)).toBe(chain);
    expect(chainFor(chain, 'anthropic:c').map(({ name }) => name)).toEqual([
      'anthropic:c',
      'openai:a',
      'openai:b',
      'openai-compatible:d',
    ]);
    expect(() => chainFor(chain, 'openai:other')).toThrow(expect.objectContaining({ code: 'ORRERY_BAD_REQUEST' }));
  });
});

describe('modelAgent', () => {
  it.each([
    ['a model that is none', { model: 'gpt-4o' }],
    ['a fallback that is none', { model: 'openai:a', fallback: ['b'] }],
    ['no step', { model: 'openai:a', maxSteps: 0 }],
    ['a reserve that leaves nothing', { model: 'openai:a', context: { maxTokens: 10, reservedForOutput: 10 } }],
    ['a reserve of the model’s whole window', { model: 'openai:gpt-4', context: { reservedForOutput: 8_192 } }],
    [
      'a reserve of a fallback’s whole window',
      { model: 'openai:gpt-5', fallback: ['openai:gpt-4'], maxOutputTokens: 9_000 },
    ],
    ['a share of nothing', { model: 'openai:a', context: { toolResultShare: 0 } }],
    ['a tool that nobody runs', { model: 'openai:a', tools: { look: { inputSchema: {} } } }],
  ])('is a configuration error with %s', (_, options) => {
    expect(() => modelAgent(options as Parameters<typeof modelAgent>[0])).toThrow(
      expect.objectContaining({ code: 'ORRERY_CONFIG_INVALID' }),
    );
  });

  it('starts without the key of a fallback, and never without its first model’s', async () => {
    const first = { model: 'openai-compatible:a', baseUrl: 'http://127.0.0.1:1/v1' };
    await modelAgent({ ...first, fallback: ['openai:b'] }).start?.(agentContext());
    const keyless = modelAgent({ model: 'openai:b', fallback: [first] });
    await expect(keyless.start?.(agentContext())).rejects.toMatchObject({ code: 'ORRERY_MODEL_KEY_MISSING' });
  });

  it('is told of at the start when a module makes it', async () => {
    const lazy = publicModelAgent({ model: 'gpt-4o' });
    await expect(lazy.start?.(agentContext())).rejects.toMatchObject({ code: 'ORRERY_CONFIG_INVALID' });
  });

  it('a tool that was called by nobody has no call', () => {
    expect(() => toolRun({})).toThrow(expect.objectContaining({ code: 'ORRERY_AGENT_FAILED' }));
  });
});
