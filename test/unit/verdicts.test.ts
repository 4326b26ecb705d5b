/** What a turn that ended its slot means for its agent, and what an answer in quarantine does. */
import { pino } from 'pino';
import { beforeEach, expect, test } from 'vitest';
import type { Replica } from '../../src/main/wiring/replica.ts';
import { Verdicts, type VerdictsOptions } from '../../src/main/wiring/verdicts.ts';
import { type AgentState, OrreryError } from '../../src/protocol/index.ts';

const MAX_RESTARTS = 3;
const SPUN = new OrreryError('ORRERY_WORKER_UNRESPONSIVE', 'spun');

/** What was done, in order. */
let told: string[];
let replica: Replica;
let verdicts: Verdicts;
/** Turns that left its slot alive. */
let survived: number;
let stopped: PromiseWithResolvers<void>;
const slot = { number: 7, label: 'shared-7', dedicated: false, state: { status: 'ready' } };

beforeEach(() => {
  told = [];
  survived = 5;
  stopped = Promise.withResolvers();
  const stopAgents = ([runtime]: readonly string[]): Promise<void> => {
    told.push(`stop ${runtime}`);
    return stopped.promise;
  };
  const tracker = {
    ended: () => {
      told.push('failure');
      return { type: 'restart', delayMs: 0 };
    },
  };
  const on = { ...slot, remote: { host: { stopAgents } } };
  const state: AgentState = { status: 'idle' };
  replica = { runtime: 'a', state, slot: on, tracker, poisons: 0, survivedThen: 0 } as unknown as Replica;
  const tell =
    (what: string) =>
    ({ runtime }: Replica) =>
      told.push(`${what} ${runtime}`);
  const engine = {
    roster: {
      survived: () => survived,
      waiting: (runtime: string) => told.push(`waiting ${runtime}`),
      apart: (runtime: string) => told.push(`apart ${runtime}`),
    },
    quarantine: { release: (runtime: string) => told.push(`release ${runtime}`) },
  };
  verdicts = new Verdicts({
    config: { workers: {}, restarts: { maxRestarts: MAX_RESTARTS }, shutdown: { drainMs: 10 } },
    pool: { slots: [slot] },
    engine,
    log: pino({ enabled: false }),
    random: () => 0,
    find: (runtime: string) => (runtime === 'a' ? replica : undefined),
    escalate: tell('escalate'),
    stopped: tell('stopped'),
    again: tell('again'),
  } as unknown as VerdictsOptions);
});

/** Turns that are poison, one after another; returns what was done for them. */
function poisons(count: number): readonly string[] {
  const before = told.length;
  for (let i = 0; i < count; i++) verdicts.guilty('a', SPUN, true);
  return told.slice(before);
}

test('verdicts - an agent is stopped and runs apart from its second poison on, and is given up beyond its restarts', () => {
  expect(poisons(1)).toEqual(['failure']);
  expect(replica.state.status).toBe('idle');
  expect(poisons(1)).toEqual(['failure', 'stop a', 'apart a']);
  expect(replica.state.status).toBe('quarantined');
  // There it harms nobody.
  expect(poisons(1)).toEqual(['failure']);
  expect(replica.state.status).toBe('quarantined');
  expect(poisons(1)).toEqual(['failure', 'escalate a']);
});

test('verdicts - turns between that left the slot alive begin the count anew', () => {
  for (let i = 0; i < 2 * MAX_RESTARTS; i++) {
    expect(poisons(1)).toEqual(['failure']);
    survived += 1;
  }
  expect(replica.state.status).toBe('idle');
  expect(poisons(2).at(-1)).toBe('apart a');
});

test('verdicts - a turn that crashed and is tried again is a failure and no poison', () => {
  for (let i = 0; i < 2 * MAX_RESTARTS; i++) verdicts.guilty('a', SPUN, false);
  expect(replica.state.status).toBe('idle');
  expect(replica.poisons).toBe(0);
});

test('verdicts - an agent that answers there is placed and started again, in this order, and begins anew', () => {
  poisons(2);
  told = [];
  verdicts.innocent('a');
  expect(told).toEqual(['waiting a', 'release a', 'again a']);
  expect(replica.poisons).toBe(0);
  replica.state = { status: 'idle' };
  told = [];
  verdicts.innocent('a');
  expect(told).toEqual([]);
});

test('verdicts - its stop is under way until it has ended', async () => {
  poisons(2);
  const { leaving } = replica;
  expect(leaving).toBeDefined();
  stopped.resolve();
  await leaving;
  expect(replica.leaving).toBeUndefined();
});

test.each<AgentState['status']>(['escalated', 'stopped'])('verdicts - one that is %s is not charged', (status) => {
  replica.state = { status } as AgentState;
  expect(poisons(5)).toEqual([]);
  expect(replica.state.status).toBe(status);
});

test('verdicts - nothing follows of anything once the host stops', () => {
  poisons(2);
  verdicts.close();
  told = [];
  poisons(5);
  verdicts.innocent('a');
  expect(told).toEqual([]);
  expect(replica.state.status).toBe('quarantined');
});

test('verdicts - an end that nobody was found for speaks against its slot until one is explained', () => {
  const [on] = [slot] as unknown as Parameters<Verdicts['isUnexplained']>[0][];
  if (!on) throw new Error('there is no slot');
  expect(verdicts.isUnexplained(on)).toBe(false);
  verdicts.unexplained(6);
  expect(verdicts.isUnexplained(on)).toBe(false);
  verdicts.unexplained(7);
  expect(verdicts.isUnexplained(on)).toBe(true);
  verdicts.explained(on, true);
  expect(verdicts.isUnexplained(on)).toBe(false);
});
