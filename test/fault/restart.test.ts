/** Runs the restart policies on real threads: failing starts, ends of every kind, intensity, escalation, and restarts by hand. */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { AgentStatus } from '../../src/main/api.ts';
import type { AgentConfig } from '../../src/main/config/input.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';
import {
  BALANCED,
  SOON_KILLED,
  type HostUnderTest,
  actor,
  balance,
  eventually,
  fixture,
  startHost,
} from '../support/host.ts';

let files: TemporaryDirectory;

beforeEach(() => {
  files = temporaryDirectory();
  vi.stubEnv('LIFECYCLE_DIR', files.path);
});

afterEach(() => {
  vi.unstubAllEnvs();
  files[Symbol.dispose]();
});

function lifecycle(rest: AgentConfig = {}): AgentConfig {
  return { use: fixture('lifecycle'), env: ['LIFECYCLE_DIR'], ...rest };
}

function failStarts(agent: string, times: number): void {
  writeFileSync(`${files.path}/${agent}.failures`, String(times));
}

function agentOf(host: HostUnderTest, name: string): AgentStatus {
  const status = host.status.agents.find((agent) => agent.name === name);
  if (!status) throw new Error(`There is no agent ${name}`);
  return status;
}

function statesOf(host: HostUnderTest, name: string): readonly string[] {
  return agentOf(host, name).replicas.map(({ state }) => state.status);
}

describe('an agent that fails to start', () => {
  test('restart - it is started again in place, and its mailbox waits', async () => {
    failStarts('late', 3);
    await using host = await startHost({ agents: { late: lifecycle(), well: actor() } });
    expect(await host.outcome('late', 'hello')).toEqual({ text: 'late: hello' });
    expect(agentOf(host, 'late').restarts).toBe(3);
    expect(host.status.slots.map(({ restarts }) => restarts)).toEqual([0, 0]);
    expect(await host.outcome('well', 'say well')).toEqual({ text: 'well 1' });
  });

  test('restart - past the intensity it is escalated, answers at once, and the process stays up', async () => {
    failStarts('bad', 1_000);
    await using host = await startHost({ agents: { bad: lifecycle(), well: actor() }, restarts: { maxRestarts: 3 } });
    const waiting = ['one', 'two'].map((text) => host.outcome('bad', text));
    const escalated = {
      code: 'ORRERY_AGENT_ESCALATED',
      error: {
        message: 'Agent bad failed more than 3 times in 60 s: Agent bad failed to start: start 4 of bad fails',
        details: { agent: 'bad' },
        cause: { code: 'ORRERY_AGENT_START' },
      },
    };
    expect(await Promise.all(waiting)).toMatchObject([escalated, escalated]);
    expect(await host.outcome('bad', 'later', 'bob')).toMatchObject(escalated);
    expect(statesOf(host, 'bad')).toEqual(['escalated']);
    expect(await host.outcome('well', 'say well')).toEqual({ text: 'well 1' });
    expect(host.status.state).toBe('running');
    expect(host.status.messages.deadBy).toEqual({ 'agent-stopped': 3 });
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('restart - by hand after the escalation works, and forgets the past', async () => {
    failStarts('bad', 3);
    await using host = await startHost({ agents: { bad: lifecycle(), well: actor() }, restarts: { maxRestarts: 1 } });
    await eventually('it is escalated', () => statesOf(host, 'bad')[0] === 'escalated');
    // The third start fails too, and the fourth is within the new count.
    await expect(host.supervisor.agents.restart('bad')).rejects.toMatchObject({ code: 'ORRERY_AGENT_START' });
    expect(await host.outcome('bad', 'hello')).toEqual({ text: 'bad: hello' });
    expect(statesOf(host, 'bad')).toEqual(['idle']);
  });

  test.each(['shared', 'dedicated'] as const)(
    'restart - a %s agent whose module does not load is escalated at once',
    async (isolation) => {
      await using host = await startHost({
        agents: { broken: { use: fixture('broken'), isolation }, well: actor() },
        defaultAgent: 'well',
      });
      const failed = await host.outcome('broken', 'hello');
      expect(failed).toMatchObject({
        code: 'ORRERY_AGENT_ESCALATED',
        error: { message: expect.stringContaining('cannot start'), cause: { code: 'ORRERY_AGENT_LOAD' } },
      });
      expect(await host.outcome('well', 'say well')).toEqual({ text: 'well 1' });
      await expect(host.supervisor.agents.restart('broken')).rejects.toMatchObject({ code: 'ORRERY_AGENT_LOAD' });
      expect(statesOf(host, 'broken')).toEqual(['escalated']);
    },
  );

  test('restart - one that spins in its start is escalated, and its slot then serves the others', async () => {
    await using host = await startHost({
      agents: { well: actor(), spins: { use: fixture('spins-at-start'), isolation: 'dedicated' } },
      workers: SOON_KILLED,
      restarts: { maxRestarts: 1 },
    });
    expect(await host.outcome('spins', 'hello')).toMatchObject({
      code: 'ORRERY_AGENT_ESCALATED',
      error: { cause: { code: 'ORRERY_WORKER_UNRESPONSIVE' } },
    });
    expect(await host.outcome('well', 'say well')).toEqual({ text: 'well 1' });
  });
});

describe.each(['shared', 'dedicated'] as const)('restart policies of a %s agent', (isolation) => {
  const exit = (host: HostUnderTest, code: number) =>
    host.send('agent', 'exit', { metadata: { code: String(code) } }).then(
      () => undefined,
      (error: unknown) => error,
    );

  test.each([
    { restart: 'permanent', code: 0 },
    { restart: 'permanent', code: 3 },
    { restart: 'transient', code: 3 },
  ] as const)('restart - $restart is started again after exit $code', async ({ restart, code }) => {
    await using host = await startHost({
      agents: { well: actor(), agent: lifecycle({ restart, isolation }) },
      delivery: { maxAttempts: 2 },
    });
    expect(await exit(host, code)).toMatchObject({ code: 'ORRERY_WORKER_EXITED', details: { agent: 'agent' } });
    expect(await host.outcome('agent', 'hello')).toEqual({ text: 'agent: hello' });
    expect(agentOf(host, 'agent').restarts).toBe(2);
  });

  test.each([
    { restart: 'transient', code: 0 },
    { restart: 'temporary', code: 0 },
    { restart: 'temporary', code: 3 },
  ] as const)('restart - $restart stays stopped after exit $code', async ({ restart, code }) => {
    await using host = await startHost({ agents: { well: actor(), agent: lifecycle({ restart, isolation }) } });
    expect(await exit(host, code)).toMatchObject({ code: 'ORRERY_AGENT_STOPPED', details: { agent: 'agent' } });
    expect(await host.outcome('agent', 'hello')).toMatchObject({ code: 'ORRERY_AGENT_STOPPED' });
    expect(statesOf(host, 'agent')).toEqual(['stopped']);
    expect(await host.outcome('well', 'say well')).toEqual({ text: 'well 1' });
    // A person may start it again.
    await host.supervisor.agents.restart('agent');
    expect(await host.outcome('agent', 'again')).toEqual({ text: 'agent: again' });
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('restart - an agent that takes its thread down too often is escalated and its slot serves the others', async () => {
    await using host = await startHost({
      agents: { agent: actor({ isolation }), well: actor(), neighbour: actor() },
      restarts: { maxRestarts: 2 },
      delivery: { maxAttempts: 10 },
    });
    expect(await host.outcome('agent', 'exit 3')).toMatchObject({ code: 'ORRERY_AGENT_ESCALATED' });
    expect(statesOf(host, 'agent')).toEqual(['escalated']);
    expect(await host.outcome('neighbour', 'say hello')).toEqual({ text: 'hello 1' });
    await host.supervisor.agents.restart('agent');
    expect(await host.outcome('agent', 'say hello')).toEqual({ text: 'hello 1' });
    expect(balance(host.status)).toEqual(BALANCED);
  });
});

describe.each(['shared', 'dedicated'] as const)('restarts by hand of a %s agent', (isolation) => {
  test('restart - turns under way end where they run, and what comes meanwhile need not wait for them', async () => {
    await using host = await startHost({ agents: { busy: actor({ isolation }), neighbour: actor() } });
    const held = [1, 2].map((i) => host.outcome('busy', 'hold', `s${i}`));
    await eventually('they are under way', () => host.lines().length === 2);
    expect(statesOf(host, 'busy')).toEqual(['busy']);
    await host.supervisor.agents.restart('busy');
    expect(await host.outcome('busy', 'say later')).toEqual({ text: 'later 1' });
    // The neighbour is none the wiser.
    expect(await host.outcome('neighbour', 'say hello')).toEqual({ text: 'hello 1' });
    host.open();
    expect(await Promise.all(held)).toEqual([{ text: 'held 1' }, { text: 'held 1' }]);
    expect(host.lines().filter((line) => line.includes('begin hold'))).toHaveLength(2);
    expect(host.status.messages).toMatchObject({ answered: 4, dead: 0, pending: 0 });
  });

  test('restart - every replica is started before the one before it stops, and two calls at once both end', async () => {
    await using host = await startHost({ agents: { agent: lifecycle({ isolation, replicas: 2 }), well: actor() } });
    await Promise.all([host.supervisor.agents.restart('agent'), host.supervisor.agents.restart('agent')]);
    expect(statesOf(host, 'agent')).toEqual(['idle', 'idle']);
    for (const runtime of ['agent', 'agent#2']) {
      const lines = await eventually('the earlier ones stopped', () => {
        const all = lifecycleOf(runtime);
        return all.filter((line) => line === 'stopped').length === 2 && all;
      });
      // The second call may have begun after the first one had read the module: it gets a start of its own.
      expect(lines.slice(0, 2)).toEqual(['start', 'start']);
      expect(lines.filter((line) => line === 'start')).toHaveLength(3);
      expect(lines.filter((line) => line === 'stop')).toHaveLength(2);
    }
    const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => host.ask('agent', 'x', `s${i}`)));
    expect(new Set(replies)).toEqual(new Set(['agent: x', 'agent#2: x']));
  });

  function lifecycleOf(runtime: string): readonly string[] {
    const lines = readFileSync(`${files.path}/lifecycle`, 'utf8').split('\n').filter(Boolean);
    return lines.map((line) => line.split(' ')).flatMap(([what = '', who]) => (who === runtime ? [what] : []));
  }
});

describe('replicas', () => {
  test('restart - when one replica is given up, its sessions go on with the other', async () => {
    await using host = await startHost({
      agents: { agent: actor({ isolation: 'dedicated', replicas: 2, restart: 'temporary' }), well: actor() },
    });
    const stopped = await host.outcome('agent', 'exit 3', 'culprit');
    // The message itself goes to the other replica, and takes that one down too; then nobody is left.
    expect(stopped).toMatchObject({ code: 'ORRERY_AGENT_STOPPED' });
    expect(statesOf(host, 'agent')).toEqual(['stopped', 'stopped']);
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('restart - the sessions of a replica that ends are answered by the one that is left', async () => {
    await using host = await startHost({
      agents: {
        agent: actor({ isolation: 'dedicated', replicas: 2, restart: 'temporary' }),
        well: actor(),
      },
      delivery: { maxAttempts: 1 },
    });
    expect(await host.outcome('agent', 'exit 3', 'culprit')).toMatchObject({ code: 'ORRERY_WORKER_EXITED' });
    expect(statesOf(host, 'agent').toSorted()).toEqual(['idle', 'stopped']);
    const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => host.ask('agent', `say ${i}`, `s${i}`)));
    expect(replies).toEqual(Array.from({ length: 20 }, (_, i) => `${i} 1`));
    expect(balance(host.status)).toEqual(BALANCED);
  });
});
