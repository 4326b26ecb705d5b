/** Runs turns on real threads: deadlines, cancels, text deltas, sessions, environments, bounds. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { BALANCED, SOON_KILLED, actor, balance, eventually, settled, startHost } from '../support/host.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('the deadline of a turn', () => {
  test.each(['listen', 'deaf'])(
    'turn - an agent that goes on (%s) gets its sender a deadline error, and its session goes on',
    async (act) => {
      await using host = await startHost({ agents: { actor: actor() }, delivery: { turnTimeoutMs: 150 } });
      const late = host.outcome('actor', act);
      const next = host.outcome('actor', 'say next');
      expect(await late).toMatchObject({ code: 'ORRERY_TURN_DEADLINE' });
      expect(await next).toEqual({ text: 'next 1' });
      // Not tried again: it would take as long the next time.
      expect(host.lines().filter((line) => line.includes(`begin ${act}`))).toHaveLength(1);
      expect(host.status.messages.deadBy).toEqual({ 'agent-error': 1 });
      expect(await host.ask('actor', 'history')).toBe('["say next","next 1"]');
    },
  );

  test('turn - its signal aborts at the deadline', async () => {
    await using host = await startHost({ agents: { actor: actor() }, delivery: { turnTimeoutMs: 150 } });
    expect(await host.outcome('actor', 'listen')).toMatchObject({ code: 'ORRERY_TURN_DEADLINE' });
    await eventually('the agent heard', () => host.lines().some((line) => line.endsWith('aborted')));
  });
});

describe('cancel', () => {
  test.each(['listen', 'deaf'])('turn - a running one (%s) ends at once, and its session goes on', async (act) => {
    await using host = await startHost({ agents: { actor: actor() } });
    const controller = new AbortController();
    const message = host.message('actor', act);
    const running = settled(
      host.supervisor.inject(message, { signal: controller.signal }).then((reply) => reply.message.content),
    );
    await eventually('it runs', () => host.lines().length === 1);
    controller.abort();
    expect(await running).toMatchObject({ code: 'ORRERY_CANCELLED' });
    expect(await host.outcome('actor', 'say next')).toEqual({ text: 'next 1' });
    expect(host.status.messages).toMatchObject({ dead: 1, deadBy: { cancelled: 1 }, pending: 0 });
  });

  test('turn - one whose thread another one blocks is cancelled when that thread is replaced', async () => {
    await using host = await startHost({ agents: { actor: actor() }, workers: { threads: 1, ...SOON_KILLED } });
    const spin = host.outcome('actor', 'spin', 'alice');
    await eventually('it spins', () => host.lines().length === 1);
    const controller = new AbortController();
    const waiting = settled(
      host.supervisor
        .inject(host.message('actor', 'say hello', { namespace: 'test:bob' }), { signal: controller.signal })
        .then((reply) => reply.message.content),
    );
    await eventually('it is with the slot', () => host.status.messages.pending === 2);
    controller.abort();
    expect(await waiting).toMatchObject({ code: 'ORRERY_CANCELLED' });
    expect(await spin).toMatchObject({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    expect(host.lines()).toHaveLength(1);
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('turn - a signal that aborted before refuses the message', async () => {
    await using host = await startHost({ agents: { actor: actor() } });
    const signal = AbortSignal.abort(new Error('changed my mind'));
    await expect(host.supervisor.inject(host.message('actor', 'say x'), { signal })).rejects.toThrow('changed my mind');
    expect(host.status.messages.received).toBe(0);
  });
});

describe('text deltas', () => {
  test('turn - thousands of them, under a listener that blocks the main thread, joined are the reply', async () => {
    await using host = await startHost({ agents: { actor: actor() } });
    const heard: string[][] = [[], [], []];
    const replies = await Promise.all(
      heard.map((texts, i) =>
        host.supervisor.inject(host.message('actor', `pieces ${5_000 + i}`, { namespace: `test:s${i}` }), {
          onDelta: (text) => {
            texts.push(text);
            const until = performance.now() + 1;
            while (performance.now() < until && texts.length < 100);
          },
        }),
      ),
    );
    for (const [i, { message }] of replies.entries()) {
      const expected = Array.from({ length: 5_000 + i }, (_, n) => `${n},`).join('');
      expect(message.content).toBe(expected);
      expect(heard[i]?.join('')).toBe(expected);
      // They came as they were said, and not only with the reply.
      expect(heard[i]?.length).toBeGreaterThan(1);
    }
  });

  test('turn - text comes while the turn still runs', async () => {
    await using host = await startHost({ agents: { actor: actor() } });
    const first = Promise.withResolvers<string>();
    const running = host.supervisor.inject(host.message('actor', 'tell'), { onDelta: first.resolve });
    expect(await first.promise).toBe('told');
    host.open();
    expect((await running).message.content).toBe('told all');
  });

  test.each(['flaky', 'crash'])('turn - text of a failed attempt (%s) is no part of the reply', async (act) => {
    await using host = await startHost({ agents: { actor: actor() } });
    const heard: string[] = [];
    const reply = await host.supervisor.inject(host.message('actor', `${act} 3`), {
      onDelta: (text) => heard.push(text),
    });
    expect(reply.message.content).toBe('attempt 3.');
    expect(heard.at(-1)).toBe('attempt 3.');
    expect(await host.ask('actor', 'history')).toBe(JSON.stringify([`${act} 3`, 'attempt 3.']));
  });
});

describe('sessions and retries', () => {
  test('turn - a session remembers, sessions do not mix, and a failed turn leaves nothing', async () => {
    await using host = await startHost({ agents: { actor: actor() } });
    await host.ask('actor', 'say one', 'alice');
    await host.ask('actor', 'say other', 'bob');
    await host.outcome('actor', 'fail on purpose', 'alice');
    expect(await host.ask('actor', 'history', 'alice')).toBe('["say one","one 1"]');
    expect(await host.ask('actor', 'history', 'bob')).toBe('["say other","other 1"]');
  });

  test('turn - a context that replaces the history is used, and no session is kept', async () => {
    await using host = await startHost({ agents: { actor: actor() } });
    await host.ask('actor', 'say one');
    const context = { mode: 'replace', messages: [{ role: 'user', content: 'before' }] } as const;
    expect((await host.send('actor', 'history', { context })).message.content).toBe('["before"]');
    const added = { mode: 'append', messages: [{ role: 'system', content: 'by the way' }] } as const;
    expect((await host.send('actor', 'history', { context: added })).message.content).toBe(
      '["say one","one 1","by the way"]',
    );
    expect(await host.ask('actor', 'history')).toContain('by the way');
  });

  test('turn - while one session is blocked, hundreds of others are answered', async () => {
    await using host = await startHost({ agents: { actor: actor() } });
    const blocked = host.outcome('actor', 'hold', 'blocked');
    const behind = host.outcome('actor', 'say behind', 'blocked');
    const others = await Promise.all(Array.from({ length: 300 }, (_, i) => host.ask('actor', `say ${i}`, `s${i}`)));
    expect(others).toEqual(Array.from({ length: 300 }, (_, i) => `${i} 1`));
    host.open();
    expect(await blocked).toEqual({ text: 'held 1' });
    expect(await behind).toEqual({ text: 'behind 1' });
  });

  test('turn - the turns of a session run in order on real threads, through retries and deaths of their slot', async () => {
    await using host = await startHost({
      agents: { actor: actor({ replicas: 2 }) },
      delivery: { maxAttempts: 10 },
      restarts: { maxRestarts: 100 },
    });
    const texts = (session: string): readonly string[] =>
      Array.from({ length: 8 }, (_, i) =>
        i === 2 ? 'flaky 2' : i === 4 && session === 's0' ? 'crash 2' : `say ${session}-${i}`,
      );
    const sessions = Array.from({ length: 6 }, (_, i) => `s${i}`);
    const outcomes = await Promise.all(
      sessions.flatMap((session) => texts(session).map((text) => host.outcome('actor', text, session))),
    );
    expect(outcomes.filter((outcome) => 'error' in outcome)).toEqual([]);
    for (const session of sessions) {
      const lines = host.lines().filter((line) => line.startsWith(`test:${session} `));
      const begun = lines.flatMap((line) => / begin (.*)$/.exec(line)?.[1] ?? []);
      // Some ran twice where their slot died; never one before another that came earlier.
      expect(begun.filter((text, i) => text !== begun[i - 1])).toEqual(texts(session));
    }
    expect(balance(host.status)).toEqual(BALANCED);
  });
});

describe('the search of a session', () => {
  test.each(['sqlite', 'memory'] as const)(
    'turn - an agent finds what was said long ago in its own session by its words, kept in %s',
    async (store) => {
      await using host = await startHost({ agents: { actor: actor() }, sessions: { store } });
      await host.ask('actor', 'say the Café is closed', 'alice');
      await host.ask('actor', 'say the cafe of Bob', 'bob');
      for (let i = 0; i < 3; i++) await host.ask('actor', `say filler ${i}`, 'alice');
      expect(await host.ask('actor', 'find "closed* cafe', 'alice')).toBe(
        'assistant the Café is closed 1; user say the Café is closed',
      );
      expect(await host.ask('actor', 'find nowhere', 'alice')).toBe('');
    },
  );
});

describe('intake on a running host', () => {
  test('intake - mailbox and host have their bounds, and each says when to come back', async () => {
    await using host = await startHost({ agents: { actor: actor() }, delivery: { mailboxSize: 2, maxPending: 3 } });
    const held = ['a', 'a', 'b'].map((session) => host.outcome('actor', 'hold', session));
    const full = await host.outcome('actor', 'say x', 'a');
    const shed = await host.outcome('actor', 'say x', 'c');
    expect(full).toMatchObject({ code: 'ORRERY_MAILBOX_FULL', error: { retryAfterMs: expect.any(Number) } });
    expect(shed).toMatchObject({ code: 'ORRERY_OVERLOADED', error: { retryAfterMs: expect.any(Number) } });
    expect(host.supervisor.readiness()).toEqual({ ready: false, reasons: [expect.stringMatching(/^saturated: /)] });
    host.open();
    await Promise.all(held);
    expect(host.supervisor.readiness()).toEqual({ ready: true, reasons: [] });
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('intake - the same id gives the stored answer without another turn; another body is a conflict', async () => {
    await using host = await startHost({ agents: { actor: actor() } });
    const first = await host.send('actor', 'say hello', { id: 'x' });
    expect(await host.send('actor', 'say hello', { id: 'x' })).toEqual(first);
    await expect(host.send('actor', 'say other', { id: 'x' })).rejects.toMatchObject({ code: 'ORRERY_ID_CONFLICT' });
    expect(host.lines().filter((line) => line.includes('begin'))).toHaveLength(1);
    const held = host.send('actor', 'hold', { id: 'y' });
    await expect(host.send('actor', 'hold', { id: 'y' })).rejects.toMatchObject({ code: 'ORRERY_DUPLICATE_IN_FLIGHT' });
    host.open();
    await held;
    await host.outcome('actor', 'fail on purpose');
    const failed = { id: 'z' };
    await expect(host.send('actor', 'fail again', failed)).rejects.toMatchObject({ code: 'ORRERY_AGENT_FAILED' });
    await expect(host.send('actor', 'fail again', failed)).rejects.toMatchObject({ code: 'ORRERY_AGENT_FAILED' });
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('intake - what cannot cross a thread fails alone, and its neighbours in the batch are answered', async () => {
    await using host = await startHost({ agents: { actor: actor() } });
    const body = { role: 'user', content: 'say bad', parts: [{ type: 'text', text: 'x', more: 'y' }] } as const;
    const smuggled = { ...body, toJSON: () => 'a function' };
    const outcomes = await Promise.all([
      host.outcome('actor', 'say one', 's1'),
      settled(host.send('actor', '', { namespace: 'test:s2', message: smuggled }).then((r) => r.message.content)),
      host.outcome('actor', 'say three', 's3'),
    ]);
    expect(outcomes[0]).toEqual({ text: 'one 1' });
    expect(outcomes[2]).toEqual({ text: 'three 1' });
    // Either it is refused for what it holds, or what cannot cross is left behind; never is it silent.
    expect(outcomes[1]).toSatisfy((o: object) => 'text' in o || ('code' in o && o.code === 'ORRERY_UNCLONEABLE'));
    expect(host.status.messages.pending).toBe(0);
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('intake - before the start, and for an agent that is not there, the sender hears why', async () => {
    await using host = await startHost({ agents: { actor: actor() } }, { start: false });
    expect(await host.outcome('actor', 'say x')).toMatchObject({ code: 'ORRERY_STARTING' });
    await host.supervisor.start();
    expect(await host.outcome('nobody', 'say x')).toMatchObject({ code: 'ORRERY_AGENT_UNKNOWN' });
    expect(host.status.messages.rejectedBy).toEqual({ ORRERY_STARTING: 1, ORRERY_AGENT_UNKNOWN: 1 });
  });
});

describe('environments', () => {
  test('agent host - a listed variable reaches its agent, and nothing else of the process does', async () => {
    vi.stubEnv('LISTED', 'for the agent');
    vi.stubEnv('SECRET', 'for nobody');
    vi.stubEnv('TZ', 'Europe/Vienna');
    await using host = await startHost({
      agents: {
        shared: actor({ env: ['LISTED'] }),
        alone: actor({ env: ['LISTED'], isolation: 'dedicated' }),
        other: actor(),
      },
    });
    const env = async (agent: string, name: string): Promise<unknown> =>
      JSON.parse(await host.ask(agent, `env ${name}`));
    expect(await env('shared', 'LISTED')).toEqual({ ctx: 'for the agent', process: null });
    expect(await env('alone', 'LISTED')).toEqual({ ctx: 'for the agent', process: 'for the agent' });
    for (const agent of ['shared', 'alone', 'other']) {
      expect(await env(agent, 'SECRET')).toEqual({ ctx: null, process: null });
      expect(await env(agent, 'PATH')).toEqual({ ctx: null, process: null });
      expect(await env(agent, 'TZ')).toEqual({ ctx: null, process: 'Europe/Vienna' });
    }
    expect(await env('other', 'LISTED')).toEqual({ ctx: null, process: null });
  });
});

describe('replicas', () => {
  test('placement - sessions are spread over replicas, and each stays with its own', async () => {
    await using host = await startHost({ agents: { actor: actor({ replicas: 3 }) } });
    const agents = host.status.agents[0]?.replicas.map(({ runtime, slot }) => `${runtime} ${slot}`);
    expect(agents).toEqual(['actor shared-0', 'actor#2 shared-1', 'actor#3 shared-0']);
    const ask = (i: number): Promise<string> => host.ask('actor', `say ${i}`, `s${i}`);
    for (let round = 0; round < 2; round++) await Promise.all(Array.from({ length: 30 }, (_, i) => ask(i)));
    // The session's history is complete only where it always was.
    const histories = await Promise.all(Array.from({ length: 30 }, (_, i) => host.ask('actor', 'history', `s${i}`)));
    expect(histories.map((text) => (JSON.parse(text) as unknown[]).length)).toEqual(
      Array.from({ length: 30 }, () => 4),
    );
  });
});

test('turn - work on one slot never delays the other', async () => {
  await using host = await startHost({ agents: { busy: actor(), free: actor() } });
  const work = host.outcome('busy', 'work 400');
  await eventually('it works', () => host.lines().length === 1);
  // Asked and answered while the other slot has not come back to its loop.
  expect(await host.outcome('free', 'say hello')).toEqual({ text: 'hello 1' });
  expect(host.lines()).not.toContain('test:alice 1 end work 400');
  expect(await work).toEqual({ text: 'worked' });
});
