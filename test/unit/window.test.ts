/** Holds the parts of the context window that need no model: what messages cost, how results are cut, what a summary covers. */
import type { ModelMessage } from 'ai';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Encoding, framingOf } from '../../src/protocol/encodings.ts';
import { UNKNOWN_MODEL, limitsOf } from '../../src/protocol/models.ts';
import { loadImage } from '../../src/main/tokens/images.ts';
import { promptBudget } from '../../src/worker/models/chain.ts';
import { promptOf } from '../../src/worker/models/prompt.ts';
import { countMessages, openEncoder } from '../../src/worker/tokenizer/index.ts';
import { keptFrom, sinceSummary, summaryMessage } from '../../src/worker/runtime/compaction.ts';
import { readBack } from '../../src/worker/runtime/conversation.ts';
import type { ReadOptions, StoredModelMessage } from '../../src/worker/sessions/store.ts';
import { type Counter, countMessage, counterOf, mostTokens } from '../../src/worker/runtime/measure.ts';
import { cutText, cutToolResults } from '../../src/worker/runtime/tool-results.ts';
import { fitWindow, promptTokens, wholePairs } from '../../src/worker/runtime/window.ts';
import { ThreadTokens } from '../../src/worker/tokens.ts';
import { assistant, call, realCounter, result, system, user } from '../support/window.ts';

let counter: Counter;
beforeAll(async () => {
  counter = await realCounter();
});

const lines = (...messages: ModelMessage[]): { message: ModelMessage }[] => messages.map((message) => ({ message }));

describe('what a message costs', () => {
  it.each<Encoding>(['o200k_base', 'cl100k_base'])('is the chat count of %s, whoever speaks', async (encoding) => {
    const ours = await realCounter(encoding);
    const encoder = openEncoder(await loadImage(encoding), encoding);
    const messages = [system('Be brief.'), user('Wie heißt die 日本語 Zeitung? 👩‍👩‍👧'), assistant('It is "The Times".')];
    const counted = messages.map(({ role, content }) => ({
      role,
      content: typeof content === 'string' ? content : '',
    }));
    const { counts, total } = countMessages(encoder, counted, framingOf(encoding));
    expect(await Promise.all(messages.map((message) => countMessage(message, ours)))).toEqual([...counts]);
    expect(await promptTokens(lines(...messages), ours)).toBe(total);
  });

  it('counts a call by its name and arguments, a result by its text, and an image at a price', async () => {
    const args = await counter.count('{"id":"c"}');
    const name = await counter.count('look');
    expect(await countMessage(call('c'), counter)).toBe(4 + 8 + name + args);
    expect(await countMessage(result('c', 'four words are here'), counter)).toBe(4 + 8 + 4);
    const image: ModelMessage = {
      role: 'user',
      content: [{ type: 'file', mediaType: 'image/png', data: `data:image/png;base64,${'x'.repeat(1e5)}` }],
    };
    expect(await countMessage(image, counter)).toBe(4 + 1_000);
  });

  it('counts a file by what the model is shown of it, which of a long address is its beginning', async () => {
    const data = `https://example.org/${'word/'.repeat(40_000)}`;
    const file: ModelMessage = { role: 'user', content: [{ type: 'file', mediaType: 'text/plain', data }] };
    const [shown] = promptOf('openai', [file]);
    const text = /"text":"(.*?)"/.exec(JSON.stringify(shown))?.[1] ?? '';
    expect(text).toMatch(/^\[file text\/plain https:\/\/example\.org\/.*…\]$/);
    expect(text.length).toBeLessThan(400);
    expect(await countMessage(file, counter)).toBe(4 + (await counter.count(text)));
  });

  it('is never more than is told without counting', async () => {
    for (const message of [user('日本語🙂'), assistant(''), call('c', '\u{1F600}'), result('c', 'ﷺ')]) {
      expect(await countMessage(message, counter)).toBeLessThanOrEqual(mostTokens({ message }, counter));
    }
  });

  it('is estimated, and kept by nobody, where the vocabulary is missing', async () => {
    let missing = 0;
    const estimate = counterOf(
      new ThreadTokens({}).of('openai:gpt-4o', undefined),
      'openai:gpt-4o',
      () => (missing += 1),
    );
    expect(estimate.encoding).toBe('o200k_base');
    expect(await estimate.count('a'.repeat(30))).toBe(10);
    await estimate.count('b');
    expect([estimate.encoding, missing]).toEqual([undefined, 1]);
  });
});

describe('cutting a tool result', () => {
  const log = Array.from({ length: 200 }, (_, i) => `line ${i}: all is well`).join('\n');

  it('ends at a line’s end, near the limit, and says how long it was', async () => {
    const cut = await cutText(log, 100, counter);
    const [, last = '', note] = /([^\n]*)\n(\[cut: .*\])$/.exec(cut) ?? [];
    expect(log.split('\n')).toContain(last);
    expect(note).toBe(`[cut: the rest of ${await counter.count(log)} tokens is left out]`);
    expect(await counter.count(cut)).toBeLessThanOrEqual(100);
    expect(await counter.count(cut)).toBeGreaterThan(70);
  });

  it('ends between two code points where lines are long', async () => {
    const cut = await cutText('😀'.repeat(500), 60, counter);
    expect(cut.isWellFormed()).toBe(true);
    expect(cut).toMatch(/^(?:😀)+\n\[cut/u);
  });

  it('keeps the text of half a structure, errors as errors, and the line itself when it is short', async () => {
    const value = Array.from({ length: 300 }, (_, i) => ({ i }));
    const [json, error, short] = await Promise.all(
      [result('a', { type: 'json', value }), result('b', { type: 'error-text', value: log }), result('c', 'short')].map(
        async (message) => {
          const line = { message };
          const cut = await cutToolResults(line, 50, counter);
          return cut === line ? 'itself' : cut.message;
        },
      ),
    );
    expect(json).toMatchObject({
      content: [{ output: { type: 'text', value: expect.stringMatching(/^\[\{"i":0\},.*cut/s) } }],
    });
    expect(error).toMatchObject({ content: [{ output: { type: 'error-text' } }] });
    expect(short).toBe('itself');
  });
});

describe('fitWindow', () => {
  it('counts nothing when all of it fits plainly', async () => {
    const blind: Counter = { ...counter, count: () => Promise.reject(new Error('counted')) };
    const parts = { pinned: lines(system('s')), history: lines(user('a'), assistant('b')), present: lines(user('c')) };
    const fitted = await fitWindow({ ...parts, budget: 10_000, toolResultShare: 0.25, counter: blind });
    expect(fitted).toMatchObject({ tokens: undefined, dropped: 0, cut: 0 });
    expect(fitted.messages.map(({ content }) => content)).toEqual(['s', 'a', 'b', 'c']);
  });

  it('begins a stored session with the user, also when all of it has room, and keeps the rules before', async () => {
    const history = lines(system('rule'), assistant('lost'), call('x'), result('x', 'y'), user('a'), assistant('b'));
    const input = { pinned: lines(system('s')), history, present: lines(user('now')), toolResultShare: 1, counter };
    const fits = { ...input, budget: 10_000 };
    const fitted = await fitWindow({ ...fits, isSession: true });
    expect(fitted.messages.map(({ content }) => content)).toEqual(['s', 'rule', 'a', 'b', 'now']);
    expect(fitted).toMatchObject({ dropped: 3, isFull: false });
    expect((await fitWindow(fits)).messages).toHaveLength(8);
    expect(await fitWindow({ ...input, isSession: true, budget: 25 })).toMatchObject({ isFull: true });
  });

  it('is not full for want of the other half of a pair', async () => {
    const rest = { pinned: [], present: lines(user('now')), toolResultShare: 1, counter };
    const history = lines(result('x', 'lost'), user('word '.repeat(50)));
    const tight = await fitWindow({ ...rest, history, budget: 80 });
    expect(tight).toMatchObject({ dropped: 1, isFull: false, tokens: expect.any(Number) });
    expect(await fitWindow({ ...rest, history, budget: 40 })).toMatchObject({ dropped: 2, isFull: true });
  });

  it('takes counts that are known, and counts no more of the past than has room', async () => {
    let counted = 0;
    const counting: Counter = { ...counter, count: (text) => ((counted += 1), counter.count(text)) };
    const history = Array.from({ length: 1_000 }, (_, i) => ({ message: user(`message ${i}`), tokens: 50 }));
    const uncounted = Array.from({ length: 1_000 }, (_, i) => ({ message: user(`some more words ${i}`) }));
    const rest = { pinned: [], present: lines(user('now')), budget: 1_000, toolResultShare: 0.25, counter: counting };
    expect((await fitWindow({ ...rest, history })).messages).toHaveLength(20);
    expect(counted).toBe(1);
    const { messages } = await fitWindow({ ...rest, history: uncounted });
    // Each that is kept but the message itself, which was counted before, and the first that has no room.
    expect(counted).toBe(1 + messages.length);
  });

  it('shares the room among the results of the newest step when they are many', async () => {
    const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
    const calls = ids.flatMap((id) => {
      const { content } = call(id);
      return typeof content === 'string' ? [] : content.filter((part) => part.type === 'tool-call');
    });
    const step: ModelMessage[] = [
      { role: 'assistant', content: calls },
      ...ids.map((id) => result(id, 'word '.repeat(900))),
    ];
    const {
      messages,
      tokens = 0,
      cut,
    } = await fitWindow({
      pinned: lines(system('s')),
      history: lines(user('old'), assistant('older')),
      present: lines(user('now'), ...step),
      budget: 1_000,
      toolResultShare: 0.5,
      counter,
    });
    expect(cut).toBe(6);
    expect(messages).toHaveLength(11);
    expect(tokens).toBeLessThanOrEqual(1_000);
    expect(tokens).toBeGreaterThan(800);
  });

  it('is a clear error when the message alone is too long', async () => {
    const parts = { pinned: lines(system('s')), history: lines(user('a')), present: lines(user('word '.repeat(500))) };
    await expect(fitWindow({ ...parts, budget: 100, toolResultShare: 0.25, counter })).rejects.toMatchObject({
      code: 'ORRERY_CONTEXT_TOO_LARGE',
      retryable: false,
      details: { budget: 100 },
    });
  });
});

describe('wholePairs', () => {
  it('leaves out what has no partner and keeps the rest, also where ids come again', () => {
    const messages = [result('x', 'lost'), user('a'), call('x', 'I look'), user('b'), call('x'), result('x', 'found')];
    expect(wholePairs(lines(...messages)).map(({ message }) => message)).toEqual([
      user('a'),
      { role: 'assistant', content: [{ type: 'text', text: 'I look' }] },
      user('b'),
      call('x'),
      result('x', 'found'),
    ]);
  });
});

describe('summaries', () => {
  it('the newest one stands for what it covers, and what it leaves is kept', () => {
    const [one, two, three] = [user('one'), assistant('two'), user('three')];
    const first = summaryMessage('first', 0);
    const newest = summaryMessage('newest', 3);
    const after = user('after');
    const read = lines(user('gone'), one, first, two, three, newest, after);
    const { summary, lines: kept } = sinceSummary(read.slice(0));
    expect(summary?.message).toBe(newest);
    expect(kept.map(({ message }) => message)).toEqual([two, three, after]);
    expect(sinceSummary(lines(one, two))).toMatchObject({ summary: undefined, lines: [{}, {}] });
  });

  it('the newest one is met also behind much that was said since, but not at any price', () => {
    const stored = (message: ModelMessage): StoredModelMessage => ({
      message,
      tokens: 100,
      timestamp: 0,
      delivery: 'd',
    });
    const read = (since: number, compacts: boolean): number => {
      const all = [user('a'), summaryMessage('sum', 0), ...Array.from({ length: since }, () => assistant('b'))].map(
        stored,
      );
      const readSession = ({ maxTokens = 0 }: ReadOptions = {}): StoredModelMessage[] => all.slice(-maxTokens / 100);
      return readBack({ readSession }, 1_000, compacts).length;
    };
    expect(read(30, true)).toBe(32);
    expect(read(30, false)).toBe(10);
    expect(read(5, true)).toBe(7);
    expect(read(500, true)).toBe(10);
  });

  it('keeps the newest messages that have room, from the user on', async () => {
    const session = lines(user('a'), assistant('b'), user('c'), assistant('d'));
    expect(await keptFrom(session, 10, counter)).toBe(2);
    expect(await keptFrom(session, 15, counter)).toBe(2);
    expect(await keptFrom(session, 3, counter)).toBe(4);
  });
});

describe('models’ windows', () => {
  it.each([
    ['openai:gpt-5-mini', 400_000],
    ['openai:gpt-5-chat-latest', 128_000],
    ['ft:gpt-4o:me', 128_000],
    ['openai:gpt-4-turbo', 128_000],
    ['openai:gpt-4', 8_192],
    ['openai:o1-mini', 128_000],
    ['anthropic:claude-sonnet-4-5-20250929', 200_000],
    ['openai-compatible:llama3', UNKNOWN_MODEL.contextTokens],
    ['openai:gpt-4oo', UNKNOWN_MODEL.contextTokens],
  ])('%s takes %i tokens', (model, tokens) => {
    expect(limitsOf(model).contextTokens).toBe(tokens);
  });

  it('leave room for the answer, and more where tokens are estimates', () => {
    expect(promptBudget('openai:gpt-5', {}, undefined)).toBe(272_000);
    expect(promptBudget('openai:gpt-4o', {}, undefined)).toBe(128_000 - 16_384);
    expect(promptBudget('openai:gpt-4o', {}, 1_000)).toBe(127_000);
    expect(promptBudget('openai:gpt-4o', { reservedForOutput: 500 }, 1_000)).toBe(127_500);
    expect(promptBudget('anthropic:claude-sonnet-4-5', {}, undefined)).toBe(136_000 * 0.8);
    expect(promptBudget('anthropic:claude-sonnet-4-5', { maxTokens: 9_000 }, undefined)).toBe(6_000);
  });
});
