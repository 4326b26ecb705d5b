/** What becomes of an error that an agent throws: which code it goes out with, and with which time to come back. */
import { describe, expect, test } from 'vitest';
import { OrreryError, codeOf } from '../../src/protocol/index.ts';
import type { AgentDefinition } from '../../src/worker/agent.ts';
import { runTurn } from '../../src/worker/run-turn.ts';
import { AgentTurn } from '../../src/worker/turn.ts';
import { agentContext } from '../support/agent-context.ts';

/** Runs an agent that throws this, and returns what its turn fails with. */
async function failure(thrown: unknown): Promise<unknown> {
  const agent: AgentDefinition = { respond: () => Promise.reject(thrown) };
  const request = {
    turn: 1,
    id: 'd1',
    runtime: 'a',
    session: 'test:alice',
    attempt: 1,
    timeoutMs: 1_000,
    stream: false,
    message: { role: 'user', content: 'hi' },
  } as const;
  const turn = new AgentTurn({ ...agentContext(), search: () => [] }, request);
  return runTurn(agent, turn).then(
    () => expect.unreachable('the turn did not fail'),
    (error: unknown) => error,
  );
}

describe("an agent's error", () => {
  test('turn - a plain error keeps its registered code and its time to come back', async () => {
    const busy = Object.assign(new Error('busy'), { code: 'ORRERY_MODEL_UNAVAILABLE', retryAfterMs: 50 });
    const error = await failure(busy);
    expect(error).toBeInstanceOf(OrreryError);
    expect(error).toMatchObject({
      code: 'ORRERY_MODEL_UNAVAILABLE',
      retryable: true,
      retryAfterMs: 50,
      message: 'Agent a failed: Error: busy',
      details: { agent: 'a' },
      cause: busy,
    });
  });

  test.each([undefined, -1, Number.NaN, Infinity, '50'])('turn - %s is no time to come back', async (retryAfterMs) => {
    const thrown = Object.assign(new Error('busy'), { code: 'ORRERY_MODEL_UNAVAILABLE', retryAfterMs });
    const error = await failure(thrown);
    expect(error).toMatchObject({ code: 'ORRERY_MODEL_UNAVAILABLE', retryAfterMs: undefined });
  });

  test('turn - a code that is not registered, as of a file or a socket, is the failure of the agent', async () => {
    const thrown = Object.assign(new Error('no such file'), { code: 'ENOENT', retryAfterMs: 50 });
    const error = await failure(thrown);
    expect(error).toMatchObject({ code: 'ORRERY_AGENT_FAILED', retryAfterMs: undefined, cause: thrown });
  });

  test("turn - an error of the host's own class goes out as it is", async () => {
    const thrown = new OrreryError('ORRERY_MODEL_FAILED', 'refused', { hint: 'pay the bill' });
    expect(await failure(thrown)).toBe(thrown);
  });

  test.each(['ORRERY_SUPERSEDED', 'ORRERY_SLOT_NOT_READY'] as const)(
    'turn - %s, which would run the turn again without an end, is not for an agent to say',
    async (code) => {
      expect(codeOf(await failure(Object.assign(new Error('ha'), { code })))).toBe('ORRERY_AGENT_FAILED');
      expect(codeOf(await failure(new OrreryError(code, 'ha')))).toBe('ORRERY_AGENT_FAILED');
    },
  );
});
