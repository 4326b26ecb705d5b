/** Steers and interrupts agents with a model: in real threads, with a real provider against a server that speaks its protocol. */
import { LLMock } from '@copilotkit/aimock';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { DeliveredReply, QueueMode } from '../../src/protocol/index.ts';
import { BALANCED, type HostUnderTest, balance, eventually, fixture, startHost } from '../support/host.ts';

const mock = new LLMock({ port: 0 });
beforeAll(async () => {
  await mock.start();
  vi.stubEnv('MODEL_URL', `${mock.url}/v1`);
});
afterAll(() => mock.stop());
afterEach(() => {
  mock.reset();
});

function begin(): Promise<HostUnderTest> {
  return startHost({
    agents: { helper: { use: fixture('held-tool'), env: ['MODEL_URL'] } },
    // Loading what tools need blocks a thread as long as the machine likes.
    workers: { threads: 1 },
  });
}

function send(host: HostUnderTest, queue: QueueMode, text: string): Promise<DeliveredReply> {
  return host.send('helper', text, { id: text, queue });
}

async function holds(host: HostUnderTest): Promise<void> {
  await eventually('the tool holds', () => host.lines().includes('holds'));
}

async function history(host: HostUnderTest): Promise<readonly string[]> {
  return (await host.supervisor.sessions.read('helper', 'test:alice')).map(
    ({ role, content }) => `${role}: ${content}`,
  );
}

/** What a request said to the model, message by message. */
function prompt(index: number): readonly string[] {
  const request = mock.getRequests()[index];
  if (!request) throw new Error(`The model was asked less than ${index + 1} times`);
  const { messages } = request.body as { messages: { role: string; content: unknown }[] };
  return messages.map(
    ({ role, content }) => `${role}: ${typeof content === 'string' ? content : JSON.stringify(content)}`,
  );
}

describe('a model agent', () => {
  test('steer - the model hears of the message before its next step, behind the result of its tool, and answers both', async () => {
    await using host = await begin();
    const toolCalls = [{ name: 'hold', arguments: '{}' }];
    mock.on({ predicate: () => mock.getRequests().length === 0 }, { content: 'I look.', toolCalls });
    mock.onMessage('in French', { content: 'Voilà.' });
    const first = send(host, 'steer', 'find it');
    await holds(host);
    const second = send(host, 'steer', 'and say it in French');
    await eventually('both are under way', () => host.status.messages.pending === 2);
    // A call to the only thread: when it is answered, the offer before it has arrived.
    await host.supervisor.sessions.list('helper');
    host.open();
    const replies = await Promise.all([first, second]);
    expect(replies.map(({ message }) => message.content)).toEqual(['I look.\n\nVoilà.', 'I look.\n\nVoilà.']);
    expect(replies[1]?.by).toBe(replies[0]?.id);
    expect(mock.getRequests()).toHaveLength(2);
    expect(prompt(1).map((line) => line.split(':')[0])).toEqual(['user', 'assistant', 'tool', 'user']);
    expect(prompt(1).at(-1)).toBe('user: and say it in French');
    expect(await history(host)).toEqual([
      'user: find it',
      'assistant: I look.',
      'tool: held',
      'user: and say it in French',
      'assistant: Voilà.',
    ]);
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('steer - a message that does not fit beside what the turn has done gets its own turn, and that one says so', async () => {
    await using host = await begin();
    const toolCalls = [{ name: 'hold', arguments: '{}' }];
    mock.on({ predicate: () => mock.getRequests().length === 0 }, { content: 'I look.', toolCalls });
    mock.onMessage('find it', { content: 'Found.' });
    const first = send(host, 'steer', 'find it');
    await holds(host);
    const long = host.send('helper', 'word '.repeat(200_000), { id: 'long', queue: 'steer' });
    const failed = Promise.allSettled([long]);
    await eventually('both are under way', () => host.status.messages.pending === 2);
    await host.supervisor.sessions.list('helper');
    host.open();
    expect((await first).message.content).toBe('I look.\n\nFound.');
    expect(await failed).toMatchObject([{ status: 'rejected', reason: { code: 'ORRERY_CONTEXT_TOO_LARGE' } }]);
    expect(await history(host)).toEqual(['user: find it', 'assistant: I look.', 'tool: held', 'assistant: Found.']);
  });

  test('steer - what comes during the last step is the next turn', async () => {
    await using host = await begin();
    mock.onMessage('one', { content: 'First.' }, { latency: 50, chunkSize: 3 });
    mock.onMessage('two', { content: 'Second.' });
    const one = send(host, 'steer', 'one');
    await eventually('the model is asked', () => mock.getRequests().length === 1);
    const two = send(host, 'steer', 'two');
    expect((await one).message.content).toBe('First.');
    expect((await two).message.content).toBe('Second.');
    expect(prompt(1)).toEqual(['user: one', 'assistant: First.', 'user: two']);
  });

  test('interrupt - the tool that runs is aborted, and the model is asked once more, with both messages', async () => {
    await using host = await begin();
    const toolCalls = [{ name: 'hold', arguments: '{}' }];
    mock.on({ predicate: () => mock.getRequests().length === 0 }, { content: 'I look.', toolCalls });
    mock.onMessage('never mind', { content: 'As you like.' });
    const first = send(host, 'interrupt', 'find it');
    await holds(host);
    const second = send(host, 'interrupt', 'never mind');
    expect((await Promise.all([first, second])).map(({ message }) => message.content)).toEqual([
      'As you like.',
      'As you like.',
    ]);
    expect(prompt(1)).toEqual(['user: find it', 'user: never mind']);
    expect(await history(host)).toEqual(['user: find it', 'user: never mind', 'assistant: As you like.']);
    expect(balance(host.status)).toEqual(BALANCED);
  });
});
