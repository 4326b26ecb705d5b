/** Mixes innocent turns on one thread with one that ends it, and looks who is answered, who is charged, and what it cost. */
import { rmSync, writeFileSync } from 'node:fs';
import { pino } from 'pino';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { AgentStatus } from '../../src/main/api.ts';
import type { OrreryConfig } from '../../src/main/config/input.ts';
import { type ResolvedAgent, resolveConfig } from '../../src/main/config/index.ts';
import { Pool } from '../../src/main/pool/index.ts';
import { QuarantineSlots } from '../../src/main/wiring/quarantine.ts';
import { temporaryDirectory } from '../support/temporary.ts';
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

const MAX_HEAP_MB = 48;
const AGENTS = { culprit: actor(), one: actor(), two: actor() };

function hostOf(config: Partial<OrreryConfig> = {}): Promise<HostUnderTest> {
  return startHost({
    agents: AGENTS,
    defaultAgent: 'one',
    ...config,
    workers: { threads: 1, ...SOON_KILLED, ...config.workers },
  });
}

function agentOf(host: HostUnderTest, name: string): AgentStatus {
  const status = host.status.agents.find((agent) => agent.name === name);
  if (!status) throw new Error(`There is no agent ${name}`);
  return status;
}

function stateOf(host: HostUnderTest, name: string): string | undefined {
  return agentOf(host, name).replicas[0]?.state.status;
}

/** As `host.outcome`, with a gate of its own. */
function gated(host: HostUnderTest, agent: string, content: string, session: string, gate: string): Promise<Outcome> {
  const metadata = { gate: host.path(gate), log: host.path('log') };
  const sent = host.send(agent, content, { namespace: `test:${session}`, metadata });
  return settled(sent.then(({ message }) => message.content));
}

async function begun(host: HostUnderTest, count: number): Promise<void> {
  await eventually(
    `${count} turns have begun`,
    () => host.lines().filter((line) => line.includes(' begin ')).length >= count,
  );
}

describe('a turn that ends its thread among innocent ones', () => {
  test.each([
    { act: 'spin', code: 'ORRERY_WORKER_UNRESPONSIVE' },
    { act: 'orphan', code: 'ORRERY_WORKER_EXITED' },
  ])(
    'poison - $act is one dead letter; all others are answered in their first attempt, and nobody else is charged',
    async ({ act, code }) => {
      await using host = await hostOf({ delivery: { maxAttempts: 1 } });
      const innocent = ['one', 'two', 'culprit'].flatMap((agent) =>
        [1, 2].map((i) => host.outcome(agent, 'hold', `${agent}-${i}`)),
      );
      await begun(host, 6);
      const guilty = host.outcome('culprit', act, 'guilty');
      expect(await guilty).toMatchObject({ code, error: { details: { agent: 'culprit' } } });
      host.open();
      expect(await Promise.all(innocent)).toEqual(innocent.map(() => ({ text: 'held 1' })));
      expect(host.status.messages).toMatchObject({ answered: 6, dead: 1, deadBy: { poison: 1 }, pending: 0 });
      expect(host.status.quarantine).toMatchObject({ poison: 1, waiting: 0 });
      expect(agentOf(host, 'culprit').restarts).toBe(1);
      expect([agentOf(host, 'one').restarts, agentOf(host, 'two').restarts]).toEqual([0, 0]);
      // The thread that they share died of it once; the other death was the trial's.
      expect(host.status.slots.find(({ slot }) => slot === 'shared-0')?.restarts).toBe(1);
      expect(balance(host.status)).toEqual(BALANCED);
    },
  );

  test('poison - one that is not the last to begin is found too, and those that are tried before it keep their conversation', async () => {
    await using host = await hostOf();
    expect(await host.ask('one', 'say before', 'talk')).toBe('before 1');
    const guilty = gated(host, 'culprit', 'later', 'guilty', 'fuse');
    await begun(host, 2);
    const innocent = [host.outcome('one', 'hold', 'talk'), host.outcome('two', 'hold', 'other')];
    await begun(host, 4);
    host.open('fuse');
    await eventually('the thread was killed', () => host.status.quarantine.waiting > 0);
    host.open();
    expect(await Promise.all(innocent)).toEqual([{ text: 'held 1' }, { text: 'held 1' }]);
    expect(await guilty).toMatchObject({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    // What was committed in quarantine is there for the replica in its slot.
    expect(JSON.parse(await host.ask('one', 'history', 'talk'))).toEqual(['say before', 'before 1', 'hold', 'held 1']);
    expect(host.status.quarantine).toEqual({ waiting: 0, runs: 4, innocent: 2, poison: 1 });
    expect(agentOf(host, 'one').restarts + agentOf(host, 'two').restarts).toBe(0);
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test.each(['shared', 'dedicated', 'process'] as const)(
    'poison - a turn that had committed when its thread ended is answered, and its agent charged: %s',
    async (isolation) => {
      await using host = await hostOf({
        agents: { late: { use: fixture('after-commit'), isolation } },
        defaultAgent: 'late',
        delivery: { maxAttempts: 1 },
      });
      // No thread is up that could look while its own comes back.
      expect(await host.ask('late', 'spin')).toBe('spin 1');
      expect(await host.ask('late', 'exit')).toBe('exit 2');
      expect(await host.ask('late', 'done')).toBe('done 3');
      expect(host.status.messages).toMatchObject({ answered: 3, dead: 0, pending: 0 });
      expect(agentOf(host, 'late').restarts).toBe(2);
      expect(host.status.quarantine).toMatchObject({ waiting: 0, poison: 0 });
      expect(balance(host.status)).toEqual(BALANCED);
    },
  );

  test.each(['dedicated', 'process'] as const)(
    'poison - turns of one agent on a %s slot are told apart, in a slot of that kind',
    async (isolation) => {
      await using host = await hostOf({
        agents: { culprit: actor({ isolation }), one: actor() },
        delivery: { maxAttempts: 1 },
      });
      const innocent = [1, 2].map((i) => host.outcome('culprit', 'hold', `held-${i}`));
      await begun(host, 2);
      const act = isolation === 'process' ? 'abort' : 'spin';
      const guilty = host.outcome('culprit', act, 'guilty');
      // Listed while it is there.
      const slot = await eventually('there is a slot for trials', () =>
        host.status.slots.find((other) => other.slot.startsWith('quarantine')),
      );
      expect(slot.isolation).toBe(isolation === 'process' ? 'process' : 'shared');
      expect(await guilty).toMatchObject({ error: { details: { agent: 'culprit' } } });
      host.open();
      expect(await Promise.all(innocent)).toEqual([{ text: 'held 1' }, { text: 'held 1' }]);
      expect(host.status.messages).toMatchObject({ deadBy: { poison: 1 } });
    },
  );
});

describe('a stop', () => {
  test.each(['sqlite', 'memory'] as const)(
    'quarantine - leaves to the next start whom it takes the slot from, and gives nobody up for that: sessions in %s',
    async (store) => {
      await using host = await hostOf({ delivery: { maxAttempts: 1 }, sessions: { store } });
      const guilty = gated(host, 'culprit', 'later', 'guilty', 'fuse');
      await begun(host, 1);
      const held = [host.outcome('one', 'hold', 'a'), host.outcome('two', 'hold', 'b')];
      await begun(host, 3);
      host.open('fuse');
      await eventually('one of them is tried', () => host.status.quarantine.runs > 0);
      await host.supervisor.close();
      for (const outcome of [guilty, ...held]) expect(await outcome).toMatchObject({ code: 'ORRERY_INTERRUPTED' });
      expect(host.status.messages).toMatchObject({ dead: 0, pending: 3 });
      expect(balance(host.status)).toEqual(BALANCED);
    },
  );
});

describe('an agent that ends its thread with whatever it is told', () => {
  test('poison - is quarantined, then stopped: its mailbox answers at once, and its neighbours are never charged', async () => {
    // Too slowly for the intensity: it is the row of them that counts.
    await using host = await hostOf({ restarts: { maxRestarts: 3, periodMs: 1 }, workers: { killAfterMs: 1_000 } });
    const seen = new Set<string | undefined>();
    const ends: (string | undefined)[] = [];
    for (let i = 0; i < 8; i++) {
      const [outcome] = await Promise.all([
        host.outcome('culprit', 'spin', `s${i}`),
        host.outcome('one', `say ${i}`, `s${i}`),
      ]);
      seen.add(stateOf(host, 'culprit'));
      ends.push('code' in outcome ? outcome.code : undefined);
    }
    expect(ends).toEqual([
      ...Array.from({ length: 4 }, () => 'ORRERY_WORKER_UNRESPONSIVE'),
      ...Array.from({ length: 4 }, () => 'ORRERY_AGENT_ESCALATED'),
    ]);
    expect(seen).toContain('quarantined');
    expect(stateOf(host, 'culprit')).toBe('escalated');
    // From the second on it was apart from its neighbours.
    expect(host.status.slots.find(({ slot }) => slot === 'shared-0')?.restarts).toBe(2);
    expect([agentOf(host, 'one').restarts, agentOf(host, 'two').restarts]).toEqual([0, 0]);
    expect(host.status.messages).toMatchObject({ answered: 8, deadBy: { poison: 4, 'agent-stopped': 4 } });
    expect(balance(host.status)).toEqual(BALANCED);
    // A person may start it again.
    await host.supervisor.agents.restart('culprit');
    expect(await host.ask('culprit', 'say again')).toBe('again 1');
  });

  test('poison - a quarantined agent that answers there is back in its slot', async () => {
    await using host = await hostOf({ workers: { killAfterMs: 1_000 } });
    for (const session of ['a', 'b']) await host.outcome('culprit', 'spin', session);
    expect(stateOf(host, 'culprit')).toBe('quarantined');
    expect(await host.ask('culprit', 'say hello', 'c')).toBe('hello 1');
    await eventually('it runs again', () => stateOf(host, 'culprit') === 'idle');
    expect(await host.ask('culprit', 'say hello', 'd')).toBe('hello 1');
    expect(host.status.quarantine.runs).toBe(1);
  });
});

describe('a thread that ends of no turn', () => {
  afterEach(() => vi.unstubAllEnvs());

  test('poison - its agents are divided until the one that does it is alone, and only that one is charged', async () => {
    using files = temporaryDirectory();
    const bomb = `${files.path}/bomb`;
    vi.stubEnv('BOMB', bomb);
    await using host = await hostOf({
      agents: { one: actor(), two: actor(), bomb: { use: fixture('time-bomb'), env: ['BOMB'] }, four: actor() },
      workers: { killAfterMs: 1_000 },
      restarts: { maxRestarts: 1 },
    });
    writeFileSync(bomb, '');
    await eventually('it is given up', () => stateOf(host, 'bomb') === 'escalated');
    const others = ['one', 'two', 'four'];
    expect(await Promise.all(others.map((name) => host.ask(name, 'say well')))).toEqual(others.map(() => 'well 1'));
    expect(others.map((name) => agentOf(host, name).restarts)).toEqual([0, 0, 0]);
    expect(host.status.messages).toMatchObject({ dead: 0 });
    rmSync(bomb);
  });
});

describe('the slot for trials', () => {
  /** A pool with nothing but the slots for trials of one dedicated agent. */
  function trialSlots(): { readonly slots: QuarantineSlots; readonly pool: Pool } & Disposable {
    const dir = temporaryDirectory();
    const config = resolveConfig({ agents: AGENTS, defaultAgent: 'one', dataDir: dir.path }, { dir: dir.path });
    const log = pino({ enabled: false });
    let slots: QuarantineSlots | undefined;
    const pool = new Pool({
      threads: 0,
      heartbeatMs: 250,
      turnTimeoutMs: 1_000,
      workerLog: { level: 'silent', pretty: false },
      events: {
        ready: () => slots?.ready(),
        exited: (_, end) => slots?.exited(end),
        outcomes: () => undefined,
        delta: () => undefined,
        changed: () => undefined,
      },
      log,
      env: process.env,
    });
    const shared = config.agents['one'] as ResolvedAgent;
    const agent: ResolvedAgent = { ...shared, isolation: 'dedicated', limits: { maxHeapMb: MAX_HEAP_MB } };
    slots = new QuarantineSlots({ pool, log, maxHeapMb: undefined, find: () => ({ agent, number: 1 }), idleMs: 1 });
    return { slots, pool, [Symbol.dispose]: () => dir[Symbol.dispose]() };
  }

  test('quarantine - has a thread while it is asked for, and none when nobody was tried for a while', async () => {
    using parts = trialSlots();
    const { slots, pool } = parts;
    const opened = async (): Promise<number | undefined> => {
      const { host, runtime } = await slots.open({ runtime: 'one', place: 'thread' });
      expect(runtime).toBe('one#quarantine');
      expect(pool.slots.map(({ number }) => number)).toEqual([host.number]);
      const thread = pool.slots[0]?.thread;
      // The one of the agent's own slot: with less an innocent turn might die here.
      expect(thread?.resourceLimits?.maxOldGenerationSizeMb).toBe(MAX_HEAP_MB);
      return thread?.threadId;
    };
    const first = await opened();
    // Asked for again while it is up, it is the same thread.
    expect(await opened()).toBe(first);
    slots.rest();
    await eventually('its thread has ended', () => pool.slots[0]?.state.status === 'exited');
    expect(await opened()).not.toBe(first);
    slots.close();
    await pool.close();
  });

  test('quarantine - that does not come up because the host stops is told as that, and not as its end', async () => {
    using parts = trialSlots();
    const { slots, pool } = parts;
    const opened = slots.open({ runtime: 'one', place: 'thread' });
    opened.catch(() => undefined);
    await eventually('it is coming up', () => pool.slots[0]?.state.status === 'starting');
    slots.close();
    await pool.close();
    await expect(opened).rejects.toMatchObject({ code: 'ORRERY_DRAINING' });
  });
});
