import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type TurnRequest, packTurns, unpackTurns } from '../../src/protocol/index.ts';

const TIMEOUT_MS = 1_000;
const PART = { type: 'text', text: 'more' } as const;

const text = fc.string();
const message = fc.oneof(
  fc.record({ role: fc.constant('user' as const), content: text }),
  fc.record({ role: fc.constant('user' as const), content: text, parts: fc.constant([PART]) }),
);
const name = fc.oneof(text, fc.constantFrom('__proto__', 'constructor', 'caseId'));
const turns = fc.array(
  fc.record(
    {
      turn: fc.nat(),
      id: text,
      runtime: text,
      session: text,
      attempt: fc.integer({ min: 1, max: 3 }),
      timeoutMs: fc.constantFrom(TIMEOUT_MS, 7),
      stream: fc.boolean(),
      message,
      joined: fc.array(fc.record({ id: text, message }), { minLength: 1 }),
      metadata: fc.array(fc.tuple(name, text), { minLength: 1 }).map((pairs) => Object.fromEntries(pairs)),
      context: fc.record({ mode: fc.constantFrom('replace', 'append'), messages: fc.array(message) }),
    },
    { requiredKeys: ['turn', 'id', 'runtime', 'session', 'attempt', 'timeoutMs', 'stream', 'message'] },
  ),
);

/** What the other side of a port makes of turns. */
const arrived = (sent: readonly TurnRequest[]): readonly TurnRequest[] =>
  unpackTurns(structuredClone(packTurns(sent, TIMEOUT_MS)), TIMEOUT_MS);

describe('turns on the wire', () => {
  it('turns - arrive as they were, whatever they bring', () => {
    fc.assert(
      fc.property(turns, (sent) => {
        expect(arrived(sent)).toEqual(sent);
      }),
    );
  });

  it('metadata - without a name is none', () => {
    const plain: TurnRequest = {
      turn: 1,
      id: 'a',
      runtime: 'r',
      session: 's',
      attempt: 1,
      timeoutMs: TIMEOUT_MS,
      stream: false,
      message: { role: 'user', content: 'hello' },
    };
    expect(arrived([{ ...plain, metadata: {} }, plain])).toStrictEqual([plain, plain]);
  });
});
