/** Owns conversations for tests of the context window, and a counter on the real vocabulary. */
import type { ModelMessage, ToolResultPart } from 'ai';
import * as fc from 'fast-check';
import { loadImage } from '../../src/main/tokens/images.ts';
import type { Encoding } from '../../src/protocol/encodings.ts';
import { type Counter, counterOf } from '../../src/worker/runtime/measure.ts';
import { ThreadTokens } from '../../src/worker/tokens.ts';

export async function realCounter(encoding: Encoding = 'o200k_base'): Promise<Counter> {
  const tokens = new ThreadTokens({ [encoding]: await loadImage(encoding) });
  const model = encoding === 'cl100k_base' ? 'openai:gpt-4' : 'openai:gpt-4o';
  return counterOf(tokens.of(model, undefined), model, () => {
    throw new Error('The vocabulary is missing');
  });
}

export const user = (content: string): ModelMessage => ({ role: 'user', content });
export const assistant = (content: string): ModelMessage => ({ role: 'assistant', content });
export const system = (content: string): ModelMessage => ({ role: 'system', content });

export function call(id: string, text = ''): ModelMessage {
  const said = text === '' ? [] : [{ type: 'text' as const, text }];
  return {
    role: 'assistant',
    content: [...said, { type: 'tool-call', toolCallId: id, toolName: 'look', input: { id } }],
  };
}

export function result(id: string, output: ToolResultPart['output'] | string): ModelMessage {
  return {
    role: 'tool',
    content: [
      {
        type: 'tool-result',
        toolCallId: id,
        toolName: 'look',
        output: typeof output === 'string' ? { type: 'text', value: output } : output,
      },
    ],
  };
}

/** Texts of words, lines, emoji, CJK and combining marks; never with half of a surrogate pair. */
export const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc
    .array(fc.constantFrom('word ', 'line\n', 'Fuß', '日本語', '👩‍👩‍👧', '\r\n', '12345 '), { maxLength: 80 })
    .map((parts) => parts.join('')),
);

const output: fc.Arbitrary<ToolResultPart['output']> = fc.oneof(
  text.map((value) => ({ type: 'text' as const, value })),
  text.map((value) => ({ type: 'error-text' as const, value })),
  fc.array(text, { maxLength: 4 }).map((value) => ({ type: 'json' as const, value })),
  fc
    .array(text, { maxLength: 3 })
    .map((texts) => ({ type: 'content' as const, value: texts.map((t) => ({ type: 'text' as const, text: t })) })),
);

/** A step with tools: a message with calls, and each result in a message of its own or all in one. Ids are used again. */
const toolStep: fc.Arbitrary<ModelMessage[]> = fc
  .tuple(text, fc.array(output, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([said, outputs, together]) => {
    const ids = outputs.map((_, i) => `call-${i}`);
    const results = outputs.map((out, i) => result(ids[i] ?? '', out));
    const parts = results.flatMap((message) => (message.role === 'tool' ? message.content : []));
    const calls = ids.map((id) => ({
      type: 'tool-call' as const,
      toolCallId: id,
      toolName: 'look',
      input: { said: id },
    }));
    const head: ModelMessage[] = [{ role: 'assistant', content: [{ type: 'text', text: `${said}.` }, ...calls] }];
    const answers: ModelMessage[] = together ? [{ role: 'tool', content: parts }] : results;
    return head.concat(answers);
  });

/** What a session holds; where its beginning is cut off, pairs may be broken. */
export const history: fc.Arbitrary<ModelMessage[]> = fc
  .tuple(
    fc.array(
      fc.oneof(
        text.map((t) => [user(t)]),
        text.map((t) => [assistant(t)]),
        toolStep,
      ),
      { maxLength: 12 },
    ),
    fc.nat(3),
  )
  .map(([blocks, cut]) => blocks.flat().slice(cut));

/** The turn's own: its message, its steps so far, and what was steered into it. */
export const present: fc.Arbitrary<ModelMessage[]> = fc
  .tuple(
    text,
    fc.array(
      fc.oneof(
        toolStep,
        text.map((t) => [user(t)]),
      ),
      { maxLength: 3 },
    ),
  )
  .map(([first, rest]) => [user(first)].concat(...rest));
