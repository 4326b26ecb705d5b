/** Runs agents that take their thread or their process down, alone there and beside others, and looks at everybody else. */
import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../src/protocol/index.ts';
import {
  BALANCED,
  SOON_KILLED,
  type HostUnderTest,
  Witness,
  actor,
  balance,
  eventually,
  startHost,
} from '../support/host.ts';

interface Fault {
  readonly act: string;
  readonly code: ErrorCode;
  /** Attempts until the message is given up: one that held its thread, or filled its heap, alone is not tried again. */
  readonly attempts: number;
  /** The dying thread can say whose code it was. */
  readonly blamed: boolean;
}

const FAULTS: readonly Fault[] = [
  { act: 'spin', code: 'ORRERY_WORKER_UNRESPONSIVE', attempts: 1, blamed: false },
  { act: 'throw', code: 'ORRERY_WORKER_EXITED', attempts: 3, blamed: true },
  { act: 'reject', code: 'ORRERY_WORKER_EXITED', attempts: 3, blamed: true },
  { act: 'exit 3', code: 'ORRERY_WORKER_EXITED', attempts: 3, blamed: true },
  { act: 'heap', code: 'ORRERY_WORKER_OUT_OF_MEMORY', attempts: 1, blamed: false },
];

/** What a thread would take the whole host down with, or live on with for ever. */
const PROCESS_FAULTS: readonly Fault[] = [
  { act: 'huge', code: 'ORRERY_WORKER_OUT_OF_MEMORY', attempts: 1, blamed: false },
  { act: 'endless', code: 'ORRERY_WORKER_EXITED', attempts: 3, blamed: false },
  { act: 'abort', code: 'ORRERY_WORKER_EXITED', attempts: 3, blamed: false },
  { act: 'block', code: 'ORRERY_WORKER_UNRESPONSIVE', attempts: 1, blamed: false },
  { act: 'program', code: 'ORRERY_WORKER_UNRESPONSIVE', attempts: 1, blamed: false },
  { act: 'scribble', code: 'ORRERY_WORKER_EXITED', attempts: 3, blamed: false },
  { act: 'unlink', code: 'ORRERY_WORKER_EXITED', attempts: 3, blamed: false },
];

const MAX_HEAP_MB = 48;

type Isolation = 'shared' | 'dedicated' | 'process';

/** On two threads the first and third agent share one; a culprit of its own leaves the neighbour alone. */
function hostOf(isolation: Isolation, code: ErrorCode): Promise<HostUnderTest> {
  const culprit = isolation === 'shared' ? actor() : actor({ isolation, limits: { maxHeapMb: MAX_HEAP_MB } });
  const shared = { culprit, other: actor(), neighbour: actor() };
  return startHost({
    agents: isolation === 'shared' ? shared : { other: actor(), culprit },
    defaultAgent: 'other',
    workers: {
      // Only a loop without end is to meet the heartbeat; a full heap takes as long as the machine likes.
      ...(code === 'ORRERY_WORKER_UNRESPONSIVE' ? SOON_KILLED : {}),
      ...(isolation === 'shared' ? { maxHeapMb: MAX_HEAP_MB } : {}),
    },
  });
}

function slotOf(
  host: HostUnderTest,
  agent: string,
): { readonly slot: string; readonly generation: number; readonly restarts: number } {
  const label = host.status.agents.find(({ name }) => name === agent)?.replicas[0]?.slot;
  const slot = host.status.slots.find((s) => s.slot === label);
  if (!slot) throw new Error(`Agent ${agent} has no slot`);
  return { slot: slot.slot, generation: slot.state.generation, restarts: slot.restarts };
}

const CASES: readonly (readonly [Isolation, readonly Fault[]])[] = [
  ['dedicated', FAULTS],
  ['shared', FAULTS],
  ['process', [...FAULTS, ...PROCESS_FAULTS]],
];

describe.each(CASES)('an agent on a %s slot', (isolation, faults) => {
  test.each(faults)('faults - $act is contained', async ({ act, code, attempts }) => {
    await using host = await hostOf(isolation, code);
    const before = { culprit: slotOf(host, 'culprit'), other: slotOf(host, 'other') };
    expect(before.culprit.slot).not.toBe(before.other.slot);
    const witness = new Witness(host, 'other');

    const guilty = host.outcome('culprit', act, 'guilty');
    const second = host.outcome('culprit', 'say second', 'guilty');
    const third = host.outcome('culprit', 'say third', 'guilty');

    // The sender hears a code, and whose fault it was; the session goes on in its order.
    expect(await guilty).toMatchObject({ code, error: { details: { agent: 'culprit', attempts } } });
    expect(await second).toEqual({ text: 'second 1' });
    expect(await third).toEqual({ text: 'third 1' });
    expect(host.lines().filter((line) => line.startsWith('test:guilty') && line.includes('begin'))).toEqual([
      ...Array.from({ length: attempts }, (_, i) => `test:guilty ${i + 1} begin ${act}`),
      'test:guilty 1 begin say second',
      'test:guilty 1 begin say third',
    ]);

    // The slot was replaced once: further attempts were made where they harm nobody. The other one never.
    const after = { culprit: slotOf(host, 'culprit'), other: slotOf(host, 'other') };
    expect(after.culprit.generation).toBe(before.culprit.generation + 1);
    expect(after.culprit.restarts).toBe(1);
    expect(host.status.quarantine).toMatchObject({ waiting: 0, runs: attempts - 1, poison: attempts > 1 ? 1 : 0 });
    expect(after.other).toEqual(before.other);
    expect(await witness.stop()).toBeGreaterThan(0);

    const [letter] = await host.supervisor.deadLetters.list();
    expect(letter).toMatchObject({ agent: 'culprit', reason: 'poison', attempts, error: { code } });
    expect(balance(host.status)).toEqual(BALANCED);
    expect(host.status.messages).toMatchObject({ dead: 1, pending: 0, deadBy: { poison: 1 } });
  });
});

describe('the neighbours on a shared slot', () => {
  test.each(FAULTS.filter(({ blamed }) => blamed))(
    'faults - turns under way are answered, uncounted, when a neighbour is to blame for $act',
    async ({ act, code }) => {
      await using host = await hostOf('shared', code);
      const held = [1, 2, 3].map((i) => host.outcome('neighbour', 'hold', `held-${i}`));
      await eventually('they are under way', () => host.lines().length === 3);
      const guilty = await host.outcome('culprit', act, 'guilty');
      expect(guilty).toMatchObject({ code, error: { details: { agent: 'culprit' } } });
      host.open();
      // Begun again after each death, and still in their first attempt.
      expect(await Promise.all(held)).toEqual([{ text: 'held 1' }, { text: 'held 1' }, { text: 'held 1' }]);
      expect(host.status.agents.find(({ name }) => name === 'neighbour')?.restarts).toBe(0);
      expect(balance(host.status)).toEqual(BALANCED);
    },
  );

  test.each(FAULTS.filter(({ blamed }) => !blamed))(
    'faults - turns that were not begun are answered, uncounted, when the thread dies of $act',
    async ({ act, code }) => {
      await using host = await hostOf('shared', code);
      const guilty = host.outcome('culprit', act, 'guilty');
      await eventually('the culprit has the thread', () => host.lines().length === 1);
      const waiting = [1, 2, 3].map((i) => host.outcome('neighbour', `say ${i}`, `waiting-${i}`));
      expect(await Promise.all(waiting)).toEqual([{ text: '1 1' }, { text: '2 1' }, { text: '3 1' }]);
      expect(await guilty).toMatchObject({ code, error: { details: { agent: 'culprit' } } });
      expect(host.status.agents.find(({ name }) => name === 'neighbour')?.restarts).toBe(0);
      expect(balance(host.status)).toEqual(BALANCED);
    },
  );

  test('faults - a turn that was under way beside a spinning one is tried again and answered', async () => {
    await using host = await hostOf('shared', 'ORRERY_WORKER_UNRESPONSIVE');
    const held = host.outcome('neighbour', 'hold', 'held');
    await eventually('it is under way', () => host.lines().length === 1);
    const guilty = host.outcome('culprit', 'spin', 'guilty');
    await eventually('the thread was killed once', () => slotOf(host, 'culprit').restarts > 0);
    host.open();
    expect(await held).toMatchObject({ text: expect.stringMatching(/^held \d$/) });
    expect(await guilty).toMatchObject({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    expect(balance(host.status)).toEqual(BALANCED);
  });
});

describe('agents that fail without harm to their thread', () => {
  test('faults - an agent that fails every time gives a typed error each time and is not restarted', async () => {
    await using host = await startHost({ agents: { bad: actor() } });
    for (let i = 0; i < 12; i++) {
      const failed = await host.outcome('bad', `fail no ${i}`);
      expect(failed).toMatchObject({
        code: 'ORRERY_AGENT_FAILED',
        error: {
          message: `Agent bad failed: Error: no ${i}`,
          details: { agent: 'bad' },
          cause: { message: `no ${i}` },
        },
      });
    }
    expect(host.status.agents[0]).toMatchObject({ restarts: 0, replicas: [{ state: { status: 'idle' } }] });
    expect(host.status.slots.map(({ restarts }) => restarts)).toEqual([0, 0]);
    expect(host.status.messages.deadBy).toEqual({ 'agent-error': 12 });
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test.each(['uncloneable', 'symbol'])('faults - a reply that is no text (%s) fails its own turn only', async (act) => {
    await using host = await startHost({ agents: { bad: actor() } });
    const [failed, next] = await Promise.all([host.outcome('bad', act), host.outcome('bad', 'say next')]);
    expect(failed).toMatchObject({ code: 'ORRERY_AGENT_BAD_REPLY' });
    expect(next).toEqual({ text: 'next 1' });
    expect(host.status.slots.map(({ restarts }) => restarts)).toEqual([0, 0]);
  });
});
