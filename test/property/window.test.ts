/** Holds the context window to its promises, over conversations of every kind. */
import type { ModelMessage, ToolResultPart } from 'ai';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Counter, Line } from '../../src/worker/runtime/measure.ts';
import { type Fitted, fitWindow, promptTokens, wholePairs } from '../../src/worker/runtime/window.ts';
import { codeOf } from '../../src/protocol/errors.ts';
import { history, present, realCounter, system, text } from '../support/window.ts';
import { runs } from '../support/properties.ts';

let counter: Counter;
beforeAll(async () => {
  counter = await realCounter();
});

const fresh = (messages: readonly ModelMessage[]): Line[] => messages.map((message) => ({ message }));
const recount = (messages: readonly ModelMessage[]): Promise<number> => promptTokens(fresh(messages), counter);

interface Case {
  readonly budget: number;
  readonly share: number;
  readonly prompt: string;
  readonly isSession: boolean;
  readonly past: readonly ModelMessage[];
  readonly now: readonly ModelMessage[];
}

const cases: fc.Arbitrary<Case> = fc.record({
  budget: fc.integer({ min: 10, max: 1_500 }),
  share: fc.constantFrom(0.05, 0.25, 0.5, 1),
  prompt: text,
  isSession: fc.boolean(),
  past: history,
  now: present,
});

async function fit({ budget, share, prompt, isSession, past, now }: Case): Promise<Fitted | undefined> {
  try {
    return await fitWindow({
      budget,
      toolResultShare: share,
      pinned: fresh([system(prompt)]),
      history: fresh(past),
      isSession,
      present: fresh(now),
      counter,
    });
  } catch (error) {
    if (codeOf(error) !== 'ORRERY_CONTEXT_TOO_LARGE') throw error;
    return undefined;
  }
}

/** Runs a property over all conversations that fit at all; enough of them must. */
async function always(check: (fitted: Fitted, input: Case) => Promise<void> | void): Promise<void> {
  let fitting = 0;
  await fc.assert(
    fc.asyncProperty(cases, async (input) => {
      const fitted = await fit(input);
      if (!fitted) return;
      fitting += 1;
      await check(fitted, input);
    }),
    { numRuns: runs(300) },
  );
  expect(fitting).toBeGreaterThan(100);
}

const resultsOf = (messages: readonly ModelMessage[]): ToolResultPart[] =>
  messages.flatMap((m) => (m.role === 'tool' ? m.content.filter((p) => p.type === 'tool-result') : []));

/** The texts of an output, as a model reads them. */
function textOf({ output }: ToolResultPart): string {
  if (output.type === 'content') return output.value.map((part) => (part.type === 'text' ? part.text : '')).join('\n');
  return output.type === 'execution-denied' || typeof output.value !== 'string'
    ? JSON.stringify('value' in output ? output.value : '')
    : output.value;
}

describe('context window', () => {
  it('fits the budget, by a count of its own', () =>
    always(async ({ messages, tokens }, { budget }) => {
      const counted = await recount(messages);
      expect(counted).toBeLessThanOrEqual(budget);
      expect(tokens ?? counted).toBe(counted);
    }));

  it('keeps the system prompt, every message of the user that is to be answered, and the newest step', () =>
    always(({ messages }, { prompt, now }) => {
      expect(messages[0]).toEqual(system(prompt));
      const users = now.filter(({ role }) => role === 'user');
      expect(messages.filter((message) => users.includes(message))).toEqual(users);
      const newest = now.findLast(({ role }) => role === 'assistant');
      expect(newest === undefined || messages.includes(newest)).toBe(true);
    }));

  it('keeps calls and results together, each right behind its call', () =>
    always(({ messages }) => {
      for (let at = 0; at < messages.length; at++) {
        const { role, content } = messages[at]!;
        expect(role === 'tool' && !['assistant', 'tool'].includes(messages[at - 1]?.role ?? '')).toBe(false);
        const parts = role === 'assistant' && typeof content !== 'string' ? content : [];
        const calls = parts.flatMap((part) => (part.type === 'tool-call' ? [part.toolCallId] : []));
        if (role === 'tool') continue;
        let end = at + 1;
        while (messages[end]?.role === 'tool') end += 1;
        const results = resultsOf(messages.slice(at + 1, end)).map(({ toolCallId }) => toolCallId);
        expect(results.toSorted()).toEqual(calls.toSorted());
      }
    }));

  it('leaves out the oldest first and leaves no gap', () =>
    always(({ messages, dropped }, { isSession, past, now }) => {
      const whole = wholePairs(fresh([...past])).map(({ message }) => message);
      const kept = messages.slice(1, messages.indexOf(now[0]!));
      expect(kept.map(({ role }) => role)).toEqual(whole.slice(whole.length - kept.length).map(({ role }) => role));
      const begun = isSession || kept.length < whole.length ? kept[0]?.role : 'user';
      expect(begun ?? 'user').toBe('user');
      expect(dropped).toBe(1 + past.length + now.length - messages.length);
    }));

  it('changes nothing when nothing needs cutting', () =>
    always(async (_, drawn) => {
      // A session that is well-formed begins with the user; a caller's own history is taken as it is.
      const begin = drawn.isSession ? drawn.past.findIndex(({ role }) => role === 'user') : 0;
      const input = { ...drawn, past: begin < 0 ? [] : drawn.past.slice(begin) };
      const all = [system(input.prompt), ...wholePairs(fresh(input.past)).map((l) => l.message), ...input.now];
      const longest = Math.max(0, ...(await Promise.all(resultsOf(all).map((r) => counter.count(textOf(r))))));
      const budget = (await recount(all)) + Math.ceil(longest / input.share);
      const fitted = await fit({ ...input, budget });
      expect(fitted?.messages).toHaveLength(all.length);
      // Not equal ones: the very same, where no broken pair was mended.
      const same = all.filter((message) => input.past.includes(message) || input.now.includes(message));
      expect(fitted?.messages.filter((message) => same.includes(message))).toEqual(same);
      expect(fitted?.messages).toEqual(all);
      expect(fitted?.cut).toBe(0);
    }));

  it('cuts no result but those above their share, and says so', () =>
    always(async ({ messages }, { past, now, share, budget }) => {
      const before = new Map(resultsOf([...past, ...now]).map((part) => [part, textOf(part)]));
      const cut = resultsOf(messages).filter((part) => !before.has(part));
      for (const text of cut.map(textOf)) {
        expect(await counter.count(text)).toBeLessThanOrEqual(Math.max(1, Math.floor(budget * share)));
        // Where not even the note has room, nothing is left.
        const [, kept = ''] = /^([^]*?)(?:\n?\[cut: the rest of \d+ tokens is left out\])?$/.exec(text) ?? [];
        expect(text === '' || text.length > kept.length).toBe(true);
        expect([...before.values()].some((whole) => whole.startsWith(kept))).toBe(true);
      }
    }));

  it('leaves no half of a code point', () =>
    always(({ messages }) => {
      expect(JSON.stringify(messages)).not.toMatch(/\\ud[89a-f]/i);
      for (const part of resultsOf(messages)) expect(textOf(part).isWellFormed()).toBe(true);
    }));

  it('refuses only what cannot fit: the system prompt and the message', () =>
    fc.assert(
      fc.asyncProperty(cases, async (input) => {
        const alone = { ...input, now: input.now.slice(0, 1) };
        const least = await recount([system(input.prompt), ...alone.now]);
        expect((await fit(alone)) === undefined).toBe(least > input.budget);
      }),
    ));
});
