/** Holds the parts of model agents that need no server: addresses, prompts, and what a failure means. */
import { describe, expect, it } from 'vitest';
import type { ModelMessage, ToolSet } from 'ai';
import type { ChatMessage } from '../../src/protocol/messages.ts';
import { modelError, retryAfter } from '../../src/worker/models/errors.ts';
import { messagesOf, promptOf } from '../../src/worker/models/prompt.ts';
import { modelMessageOf } from '../../src/worker/sessions/convert.ts';
import { withToolNames } from '../../src/worker/models/tool-step.ts';
import { modelAddress } from '../../src/worker/models/providers.ts';

const user = (text: string): unknown => ({ role: 'user', content: [{ type: 'text', text }] });

describe('modelAddress', () => {
  it('keeps colons of the model’s own name', () => {
    expect(modelAddress({ model: 'openai-compatible:llama3:8b', baseUrl: 'http://127.0.0.1:1/v1' })).toEqual({
      provider: 'openai-compatible',
      id: 'llama3:8b',
      model: 'openai-compatible:llama3:8b',
      baseUrl: 'http://127.0.0.1:1/v1',
    });
  });

  it.each([
    ['no provider', { model: 'gpt-5' }, /Expected `model` to be one of/],
    ['an unknown provider', { model: 'acme:gpt-5' }, /got "acme:gpt-5"/],
    ['a name of Object', { model: 'constructor:x' }, /Expected `model`/],
    ['no model', { model: 'openai:' }, /Expected `model`/],
    ['no base URL where there is no default', { model: 'openai-compatible:m' }, /Expected a `baseUrl`/],
    ['a base URL that is none', { model: 'openai:m', baseUrl: 'localhost:1234' }, /http or https URL/],
  ])('is a configuration error when there is %s', (_, spec, message) => {
    expect(() => modelAddress(spec)).toThrow(expect.objectContaining({ code: 'ORRERY_CONFIG_INVALID' }));
    expect(() => modelAddress(spec)).toThrow(message);
  });
});

/** A conversation as the loop hands it over. */
function said(system: string | undefined, history: readonly ChatMessage[], message: ChatMessage): ModelMessage[] {
  const front: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }];
  return [...front, ...history, message].map(modelMessageOf);
}

describe('promptOf', () => {
  const history: ChatMessage[] = [
    { role: 'user', content: 'a' },
    { role: 'system', content: 'rule' },
    { role: 'assistant', content: '' },
    { role: 'tool', content: '21 degrees' },
  ];

  it('keeps the order, leaves out empty messages and shows tool results as text', () => {
    expect(promptOf('openai', said('sys', history, { role: 'user', content: 'b' }))).toEqual([
      { role: 'system', content: 'sys' },
      user('a'),
      { role: 'system', content: 'rule' },
      user('Tool result:\n21 degrees'),
      user('b'),
    ]);
  });

  it('moves system messages to the front for Anthropic', () => {
    expect(promptOf('anthropic', said('sys', history, { role: 'user', content: 'b' })).map(({ role }) => role)).toEqual(
      ['system', 'system', 'user', 'user', 'user'],
    );
  });

  it('leaves out what says nothing but blanks, for calls with tools, too', () => {
    const blank: ModelMessage[] = [
      { role: 'system', content: ' ' },
      { role: 'user', content: '   ' },
      { role: 'assistant', content: ' \n' },
      { role: 'assistant', content: [{ type: 'text', text: '\n' }] },
      { role: 'user', content: [{ type: 'text', text: '\t' }] },
    ];
    expect(promptOf('anthropic', blank)).toEqual([]);
    expect(messagesOf('anthropic', blank)).toEqual([]);
    const call = { type: 'tool-call', toolCallId: 'c', toolName: 'look', input: {} } as const;
    const step: ModelMessage = { role: 'assistant', content: [{ type: 'text', text: ' \n' }, call] };
    expect(messagesOf('anthropic', [step])).toEqual([{ role: 'assistant', content: [call] }]);
  });

  it('takes text parts in their order in place of the content', () => {
    const parts = [
      { type: 'text', text: 'before' },
      { type: 'image', url: 'https://example.org/a.png', mediaType: 'image/png' },
      { type: 'text', text: 'after' },
    ] as const;
    expect(promptOf('openai', said(undefined, [], { role: 'user', content: 'before after', parts }))).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'before' },
          { type: 'file', mediaType: 'image/png', data: { type: 'url', url: new URL('https://example.org/a.png') } },
          { type: 'text', text: 'after' },
        ],
      },
    ]);
  });

  it('only names what a provider cannot fetch or read', () => {
    const parts = [
      { type: 'file', url: 'https://example.org/a.zip', name: 'a.zip', mediaType: 'application/zip' },
      { type: 'file', url: `data:text/plain;base64,${'A'.repeat(10_000)}`, name: 'a.txt' },
      { type: 'image', url: 'file:///etc/passwd' },
    ] as const;
    expect(promptOf('openai', said(undefined, [], { role: 'user', content: 'see', parts }))).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'see' },
          { type: 'text', text: '[file a.zip application/zip https://example.org/a.zip]' },
          { type: 'text', text: '[file a.txt]' },
          { type: 'text', text: '[image image file:///etc/passwd]' },
        ],
      },
    ]);
  });
});

describe('a tool that there is not', () => {
  it('is called by a name that providers take back', () => {
    const step: ModelMessage = {
      role: 'assistant',
      content: ['no such tool', 'x'.repeat(99), '', 'my.own'].map((toolName) => ({
        type: 'tool-call',
        toolCallId: 'c',
        toolName,
        input: {},
      })),
    };
    const { content } = withToolNames(step, { 'my.own': {} as ToolSet[string] });
    expect(content).toMatchObject([
      { toolName: 'no_such_tool' },
      { toolName: 'x'.repeat(64) },
      { toolName: 'unknown' },
      { toolName: 'my.own' },
    ]);
  });
});

describe('retryAfter', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');

  it.each([
    [{ 'retry-after': '7' }, 7000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after-ms': '1500', 'retry-after': '7' }, 1500],
    [{ 'retry-after': 'Thu, 01 Jan 2026 00:01:00 GMT' }, 60_000],
    [{ 'retry-after': 'Wed, 31 Dec 2025 00:01:00 GMT' }, 0],
    [{ 'retry-after': 'soon' }, undefined],
    [{}, undefined],
    [undefined, undefined],
  ])('reads %j as %s ms', (headers, expected) => {
    expect(retryAfter(headers, now)).toBe(expected);
  });
});

describe('modelError', () => {
  it.each([400, 401, 403, 404, 413, 422])('%i - is final', (statusCode) => {
    expect(modelError('openai:m', Object.assign(new Error('no'), { statusCode })).code).toBe('ORRERY_MODEL_FAILED');
  });

  it.each([408, 409, 429, 500, 502, 503, 529])('%i - may pass', (statusCode) => {
    expect(modelError('openai:m', Object.assign(new Error('no'), { statusCode })).code).toBe(
      'ORRERY_MODEL_UNAVAILABLE',
    );
  });

  it('a limit that no waiting lifts is final when the provider says so', () => {
    const error = Object.assign(new Error('insufficient_quota'), { statusCode: 429, isRetryable: false });
    expect(modelError('openai:m', error).code).toBe('ORRERY_MODEL_FAILED');
  });

  it('a defect is not taken for a lost connection', () => {
    expect(modelError('openai:m', new TypeError('x is not a function')).code).toBe('ORRERY_MODEL_FAILED');
    expect(modelError('openai:m', new TypeError('terminated')).code).toBe('ORRERY_MODEL_UNAVAILABLE');
  });

  it('names the socket’s error when the answer was under way', () => {
    const cause = Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' });
    const error = modelError('openai:m', Object.assign(new Error('Failed to process', { cause }), { statusCode: 200 }));
    expect(error).toMatchObject({ code: 'ORRERY_MODEL_UNAVAILABLE', message: 'openai:m: other side closed' });
  });

  it('takes anything that is thrown', () => {
    const circle: { cause?: unknown } = {};
    circle.cause = circle;
    for (const thrown of [undefined, null, 'text', 7, circle, { message: 'plain' }]) {
      expect(modelError('openai:m', thrown).code).toBe('ORRERY_MODEL_FAILED');
    }
  });
});
