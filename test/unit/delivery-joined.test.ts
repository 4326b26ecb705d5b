/** What messages that share a turn are on the worker's side and on the way there: one message, one commit, the names of the answered. */
import { MessageChannel } from 'node:worker_threads';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { queueModes } from '../../src/main/wiring/queue-modes.ts';
import {
  type JoinedMessage,
  SLOT_WORDS,
  type TurnOutcome,
  type TurnRequest,
  packOutcome,
  packTurns,
  unpackOutcomes,
  unpackTurns,
} from '../../src/protocol/index.ts';
import { AgentHost } from '../../src/worker/agent-host.ts';
import type { AgentDefinition } from '../../src/worker/agent.ts';
import { DeltaSender } from '../../src/worker/deltas.ts';
import { joinMessages } from '../../src/worker/join-messages.ts';
import type { LoopTurn } from '../../src/worker/runtime/loop-turn.ts';
import { ThreadSessions } from '../../src/worker/thread-sessions.ts';
import { ThreadTokens } from '../../src/worker/tokens.ts';
import { SharedWords } from '../../src/worker/words.ts';
import { tick } from '../support/delivery.ts';

const log = pino({ enabled: false });
const TIMEOUT_MS = 10_000;

function request(turn: number, content: string, joined: readonly string[] = []): TurnRequest {
  const others = joined.map(said);
  return {
    turn,
    id: content,
    runtime: 'a',
    session: 'web:alice',
    attempt: 1,
    timeoutMs: TIMEOUT_MS,
    stream: false,
    message: { role: 'user', content },
    ...(others.length === 0 ? {} : { joined: others }),
  };
}

function said(content: string): JoinedMessage {
  return { id: content, message: { role: 'user', content } };
}

/** An agent host with one agent, whose turns wait until they are let go and then take what was offered. */
class HostUnderTest {
  readonly ports: MessageChannel = new MessageChannel();
  readonly host: AgentHost;
  readonly seen: string[] = [];
  readonly outcomes: TurnOutcome[] = [];
  #gate = Promise.withResolvers<void>();

  constructor() {
    this.host = new AgentHost({
      sessions: new ThreadSessions({ store: 'memory' }, log),
      deltas: new DeltaSender(this.ports.port1),
      log,
      tokens: new ThreadTokens({}),
      load: () => Promise.resolve(this.#agent()),
      words: new SharedWords(new SharedArrayBuffer(SLOT_WORDS * 4)),
      turnTimeoutMs: TIMEOUT_MS,
    });
  }

  async start(): Promise<void> {
    const source = { kind: 'builtin', name: 'test' } as const;
    const [started] = await this.host.startAgents([{ runtime: 'a', agent: 'a', source, env: {}, number: 1 }]);
    if (!started?.ok) throw new Error('the agent did not start');
  }

  async dispatch(...turns: readonly TurnRequest[]): Promise<void> {
    this.outcomes.push(...unpackOutcomes(await this.host.dispatch(packTurns(turns, TIMEOUT_MS))));
  }

  /** Lets running turns go, and waits for an outcome. */
  async finish(): Promise<void> {
    this.#gate.resolve();
    this.#gate = Promise.withResolvers();
    this.outcomes.push(...unpackOutcomes(await this.host.collect()));
  }

  async history(): Promise<readonly string[]> {
    return (await this.host.history('a', 'web:alice')).map(({ content }) => content);
  }

  #agent(): AgentDefinition {
    const wait = (): Promise<void> => this.#gate.promise;
    const see = (text: string): number => this.seen.push(text);
    return {
      async *respond(turn) {
        see(turn.message.content);
        if (turn.message.content.startsWith('block')) {
          const until = performance.now() + 40;
          while (performance.now() < until);
          yield 'blocked';
          return;
        }
        await wait();
        const taken = (turn as LoopTurn).takeSteered().map(({ content }) => content);
        yield [turn.message.content, ...taken].join('|');
      },
    };
  }
}

let opened: HostUnderTest | undefined;

async function start(): Promise<HostUnderTest> {
  opened = new HostUnderTest();
  await opened.start();
  return opened;
}

afterEach(() => {
  opened?.ports.port1.close();
  opened = undefined;
});

function texts(outcomes: readonly TurnOutcome[]): readonly unknown[] {
  return outcomes.map((outcome) => ('reply' in outcome ? [outcome.reply.message.content, outcome.answers] : outcome));
}

describe('an agent host', () => {
  test('joined - messages are one to the agent and one by one in the session, and the outcome names them', async () => {
    const h = await start();
    await h.dispatch(request(1, 'one', ['two', 'three']));
    await h.finish();
    expect(h.seen).toEqual(['one\n\ntwo\n\nthree']);
    expect(texts(h.outcomes)).toEqual([['one\n\ntwo\n\nthree', ['two', 'three']]]);
    expect(await h.history()).toEqual(['one', 'two', 'three', 'one\n\ntwo\n\nthree']);
  });

  test('joined - each of them has the commit: whichever comes again gets its reply, and nobody else is answered by that', async () => {
    const h = await start();
    await h.dispatch(request(1, 'one', ['two']));
    await h.finish();
    // The outcome was lost, and more came since.
    await h.dispatch(request(2, 'one', ['two', 'three']));
    await h.dispatch(request(3, 'two', ['three']));
    expect(texts(h.outcomes).slice(1)).toEqual([
      ['one\n\ntwo', undefined],
      ['one\n\ntwo', undefined],
    ]);
    expect(h.seen).toHaveLength(1);
    expect(await h.history()).toHaveLength(3);
  });

  test('joined - a turn that would be joined by one that has a commit answers its own alone', async () => {
    const h = await start();
    await h.dispatch(request(1, 'two'));
    await h.finish();
    await h.dispatch(request(2, 'one', ['two', 'three']));
    await h.finish();
    expect(h.seen).toEqual(['two', 'one']);
    expect(texts(h.outcomes)).toEqual([
      ['two', undefined],
      ['one', undefined],
    ]);
  });

  test('steered - the turn takes what was offered and not taken back, in order; the session keeps it', async () => {
    const h = await start();
    await h.dispatch(request(1, 'one'));
    await h.host.steer(1, [said('two'), said('three')]);
    await h.host.steer(1, [said('four')]);
    expect(await h.host.unsteer(1, ['three', 'unknown'])).toEqual(['three']);
    await h.finish();
    expect(texts(h.outcomes)).toEqual([['one|two|four', ['two', 'four']]]);
    expect(await h.history()).toEqual(['one', 'two', 'four', 'one|two|four']);
    // It has ended: nobody takes it, and there is nothing to take back.
    await h.host.steer(1, [said('five')]);
    expect(await h.host.unsteer(1, ['five'])).toEqual([]);
  });

  test('steered - one that has a commit is not offered, nor what came behind it', async () => {
    const h = await start();
    await h.dispatch(request(1, 'old'));
    await h.finish();
    await h.dispatch(request(2, 'one'));
    await h.host.steer(2, [said('two'), said('old'), said('three')]);
    await h.finish();
    expect(texts(h.outcomes).at(-1)).toEqual(['one|two', ['two']]);
  });

  test('steered - a turn that was received and not begun keeps what it is offered', async () => {
    const h = await start();
    // The first takes longer than the loop may go without turning: the second is held.
    const busy = { ...request(1, 'block'), session: 'web:bob' };
    const dispatched = h.dispatch(busy, request(2, 'one'));
    expect(h.seen).toEqual(['block']);
    await h.host.steer(2, [said('two'), said('three')]);
    expect(await h.host.unsteer(2, ['two'])).toEqual(['two']);
    await dispatched;
    await tick();
    expect(h.seen).toEqual(['block', 'one']);
    await h.finish();
    expect(texts(h.outcomes)).toEqual([
      ['blocked', undefined],
      ['one|three', ['three']],
    ]);
  });
});

describe('the way of what shares a turn', () => {
  test('wire - joined messages and the names of the answered arrive as they were', () => {
    const turns = [request(1, 'one', ['two', 'three']), request(2, 'alone')];
    expect(unpackTurns(packTurns(turns, TIMEOUT_MS), TIMEOUT_MS)).toEqual(turns);
    const message = { role: 'assistant', content: 'yes' } as const;
    const outcomes: TurnOutcome[] = [
      { turn: 1, reply: { message, usage: { inputTokens: 1, outputTokens: 2 }, steps: 3 }, answers: ['two', 'three'] },
      { turn: 2, reply: { message, usage: { inputTokens: 0, outputTokens: 0 }, steps: 0 }, answers: ['four'] },
      { turn: 3, reply: { message, usage: { inputTokens: 1, outputTokens: 2 }, steps: 3 } },
    ];
    const wire: Parameters<typeof packOutcome>[1] = [];
    for (const outcome of outcomes) packOutcome(outcome, wire);
    expect(unpackOutcomes(structuredClone(wire))).toEqual(outcomes);
  });

  test('message - texts stand in their order with a blank line between, and images at the place of their message', () => {
    const image = { type: 'image', url: 'https://example.org/a.png' } as const;
    const text = { type: 'text', text: 'a caption' } as const;
    expect(
      joinMessages([
        { role: 'user', content: 'one' },
        { role: 'user', content: '' },
        { role: 'user', content: 'two' },
      ]),
    ).toEqual({ role: 'user', content: 'one\n\ntwo' });
    expect(
      joinMessages([
        { role: 'user', content: 'look' },
        { role: 'user', content: 'a caption', parts: [image, text] },
        { role: 'user', content: '', parts: [image] },
        { role: 'user', content: 'well?', parts: [] },
      ]),
    ).toEqual({
      role: 'user',
      content: 'look\n\na caption\n\nwell?',
      parts: [{ type: 'text', text: 'look' }, image, text, image, { type: 'text', text: 'well?' }],
    });
  });

  test("mode - an exact session wins over patterns, the longer pattern over the shorter, any of them over the channel's", () => {
    const modeOf = queueModes({
      mode: 'followup',
      sessions: {
        'web:*': 'collect',
        'web:support:*': 'interrupt',
        'web:support:vip': 'steer',
        'web:support:v*': 'collect',
      },
    });
    expect(['web:support:vip', 'web:support:vera', 'web:support:bob', 'web:x', 'irc:x'].map(modeOf)).toEqual([
      'steer',
      'collect',
      'interrupt',
      'collect',
      'followup',
    ]);
    expect(queueModes({ mode: 'steer', sessions: {} })('anything')).toBe('steer');
  });
});
