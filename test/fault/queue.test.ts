/** Ends threads while turns answer several messages: each of them is answered or dead once, in order, and committed once. */
import { describe, expect, test } from 'vitest';
import {
  BALANCED,
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
  test('queue - a turn that took a message is tried again, is offered it again, and answers both once', async () => {
    await using host = await startHost({ agents: { joins: JOINS } });
    const answers = [send(host, 'steer', 'crash one')];
    await logged(host, 'begin crash one');
    answers.push(send(host, 'steer', 'two'));
    await logged(host, 'took two', 2);
    answers.push(send(host, 'steer', 'three'));
    await logged(host, 'took three');
    host.open();
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 3 }, () => ({ text: 'crash one | two | three' })));
    expect(host.lines().filter((line) => line.startsWith('begin'))).toEqual(['begin crash one', 'begin crash one']);
    expect(await history(host)).toEqual(['crash one', 'two', 'three', 'crash one | two | three']);
    expect(balance(host.status)).toEqual(BALANCED);
    expect(host.status.messages).toMatchObject({ answered: 4, dead: 0, pending: 0 });
  });

  test('queue - a turn that dies for good leaves what it took to a turn of its own, with all its attempts', async () => {
    await using host = await startHost({ agents: { joins: JOINS } });
    const one = send(host, 'steer', 'die one');
    await logged(host, 'begin die one');
    const two = send(host, 'steer', 'two');
    expect(await one).toMatchObject({ code: 'ORRERY_WORKER_EXITED', error: { details: { attempts: 3 } } });
    expect(await two).toEqual({ text: 'two' });
    expect(host.lines().filter((line) => line === 'took two')).toHaveLength(3);
    expect((await host.supervisor.deadLetters.list()).map(({ inbound, reason }) => [inbound.id, reason])).toEqual([
      ['die one', 'poison'],
    ]);
    expect(balance(host.status)).toEqual(BALANCED);
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

  test('queue - a turn of several that spins is poison for each of them, and the session goes on', async () => {
    await using host = await startHost({
      agents: { joins: { ...actor(), isolation: 'dedicated' } },
    });
    const first = send(host, 'collect', 'hold one');
    await eventually('it runs', () => host.lines().length === 1);
    const spin = send(host, 'collect', 'spin now');
    const two = send(host, 'collect', 'two');
    const next = send(host, 'followup', 'say next');
    host.open();
    expect(await first).toEqual({ text: 'one 1' });
    // The act is the first word of what they said together.
    expect([await spin, await two]).toMatchObject([
      { code: 'ORRERY_WORKER_UNRESPONSIVE' },
      { code: 'ORRERY_WORKER_UNRESPONSIVE' },
    ]);
    expect(await next).toEqual({ text: 'next 1' });
    expect(host.status.messages).toMatchObject({ deadBy: { poison: 2 } });
    expect(balance(host.status)).toEqual(BALANCED);
  });
});
