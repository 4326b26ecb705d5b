/** Ends threads while turns answer several messages: each of them is answered or dead once, in order, and committed once. */
import { describe, expect, test } from 'vitest';
import {
  BALANCED,
  SOON_KILLED,
  type HostUnderTest,
  type Outcome,
  actor,
  balance,
  eventually,
  fixture,
  settled,
  startHost,
} from '../support/host.ts';
import type { QueueMode } from '../../src/protocol/index.ts';

const JOINS = { use: fixture('joins') };

function send(host: HostUnderTest, queue: QueueMode, text: string): Promise<Outcome> {
  return settled(host.send('joins', text, { id: text, queue }).then(({ message }) => message.content));
}

async function logged(host: HostUnderTest, line: string, times = 1): Promise<void> {
  await eventually(
    `the log has "${line}" ${times} times`,
    () => host.lines().filter((l) => l === line).length >= times,
  );
}

async function history(host: HostUnderTest): Promise<unknown> {
  return JSON.parse((await host.send('joins', 'history', { id: 'history' })).message.content);
}

describe('a thread that ends between an offer and the outcome', () => {
  test('queue - a turn that took a message and ended its thread is taken apart: each is answered alone, uncounted, in order', async () => {
    await using host = await startHost({ agents: { joins: JOINS }, delivery: { maxAttempts: 1 } });
    // It ends its thread whenever it takes something: alone neither of them does.
    const answers = [send(host, 'steer', 'die one')];
    await logged(host, 'begin die one');
    answers.push(send(host, 'steer', 'two'));
    await logged(host, 'begin die one', 2);
    answers.push(send(host, 'steer', 'three'));
    host.open();
    expect(await Promise.all(answers)).toEqual([{ text: 'die one' }, { text: 'two' }, { text: 'three' }]);
    expect(host.lines().filter((line) => line.startsWith('took'))).toEqual(['took two']);
    expect(await history(host)).toEqual(['die one', 'die one', 'two', 'two', 'three', 'three']);
    expect(balance(host.status)).toEqual(BALANCED);
    expect(host.status).toMatchObject({
      messages: { answered: 4, dead: 0, pending: 0 },
      quarantine: { waiting: 0, runs: 2, innocent: 2, poison: 0 },
    });
  });

  test('queue - a neighbour takes the thread along: the turn, what joined it and what it took are there again, uncounted', async () => {
    await using host = await startHost({
      agents: { joins: JOINS, actor: actor() },
      workers: { threads: 1 },
      // The neighbour does it once, and nobody has an attempt to lose.
      delivery: { maxAttempts: 1 },
    });
    const answers = [send(host, 'interrupt', 'loop one')];
    await logged(host, 'begin loop one');
    answers.push(send(host, 'interrupt', 'two'));
    await logged(host, 'begin loop one+two');
    answers.push(send(host, 'steer', 'three'));
    await logged(host, 'took three');
    const neighbour = host.outcome('actor', 'exit 3', 'bob');
    expect(await neighbour).toMatchObject({ code: 'ORRERY_WORKER_EXITED', error: { details: { agent: 'actor' } } });
    await logged(host, 'took three', 2);
    host.open();
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 3 }, () => ({ text: 'loop one+two | three' })));
    expect(host.status.messages).toMatchObject({ answered: 3, dead: 1, deadBy: { poison: 1 } });
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('queue - of a turn of several that spins only the one that does it is poison, and the session goes on', async () => {
    await using host = await startHost({
      agents: { joins: { ...actor(), isolation: 'dedicated' } },
      workers: SOON_KILLED,
    });
    const first = send(host, 'collect', 'hold one');
    await eventually('it runs', () => host.lines().length === 1);
    const spin = send(host, 'collect', 'spin now');
    const two = send(host, 'collect', 'say two');
    const next = send(host, 'followup', 'say next');
    host.open();
    expect(await first).toEqual({ text: 'one 1' });
    // The act is the first word of what they said together.
    expect(await spin).toMatchObject({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    expect([await two, await next]).toEqual([{ text: 'two 1' }, { text: 'next 1' }]);
    expect(host.status.messages).toMatchObject({ deadBy: { poison: 1 } });
    expect(balance(host.status)).toEqual(BALANCED);
  });
});
