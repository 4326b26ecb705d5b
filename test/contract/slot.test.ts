/** Holds both carriers of a slot, a pool thread and a child process, to one contract. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe } from 'vitest';
import { Pool, type Slot } from '../../src/main/pool/index.ts';
import type { TurnKey, TurnOutcome } from '../../src/protocol/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { ACTOR, type SlotUnderTest, slotContract } from './slot-contract.ts';

function under(make: (pool: Pool) => Slot): SlotUnderTest {
  const dir = temporaryDirectory();
  const gate = join(dir.path, 'gate');
  const outcomes = new Map<TurnKey, TurnOutcome>();
  const texts = new Map<TurnKey, string>();
  const seen: Pick<SlotUnderTest, 'ready' | 'ends' | 'states'> = { ready: [], ends: [], states: [] };
  const pool = new Pool({
    threads: 0,
    heartbeatMs: 20,
    turnTimeoutMs: 10_000,
    workerLog: { level: 'silent', pretty: false },
    log: pino({ enabled: false }),
    env: { ...process.env, SECRET: 'for nobody' },
    events: {
      ready: (slot) => seen.ready.push(slot.generation),
      exited: (_, end) => seen.ends.push(end),
      outcomes: (_, some) => {
        for (const outcome of some) outcomes.set(outcome.turn, outcome);
      },
      delta: (_, turn, text) => {
        test.deltas += 1;
        texts.set(turn, (texts.get(turn) ?? '') + text);
      },
      changed: (slot) => seen.states.push(slot.state.status),
    },
  });
  const test: SlotUnderTest = {
    ...seen,
    pool,
    slot: make(pool),
    outcomes,
    texts,
    deltas: 0,
    gate,
    open: () => writeFileSync(gate, ''),
    async [Symbol.asyncDispose]() {
      await pool.close();
      dir[Symbol.dispose]();
    },
  };
  return test;
}

const options = { label: 'actor', env: ACTOR.env };

describe('a slot on a thread', () => {
  slotContract('thread', () => under((pool) => pool.dedicated(options)));
});

describe('a slot in a process', () => {
  slotContract('process', () => under((pool) => pool.process(options)));
});
