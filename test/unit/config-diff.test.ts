/** Compares configurations: what a running host takes over, and what needs a new process. */
import { expect, test } from 'vitest';
import { changesNothing, diffConfig, needsConnection, takenOver } from '../../src/main/config/diff.ts';
import type { OrreryConfig } from '../../src/main/config/input.ts';
import { resolveConfig } from '../../src/main/config/resolve.ts';
import type { ResolvedConfig } from '../../src/main/config/types.ts';

const NOTHING = { added: [], changed: [], removed: [] };
const SAME = { agents: NOTHING, channels: NOTHING, routing: false, defaultAgent: false, needsRestart: [] };

const BASE: OrreryConfig = {
  agents: { a: { use: 'builtin:echo' }, b: { model: 'openai:gpt-4o', system: 'one' } },
  defaultAgent: 'a',
  channels: {
    web: { type: 'gateway', port: 1 },
    irc: { type: 'irc', host: 'h', nick: 'n', allow: ['*'] },
  },
};

function resolved(over: Partial<OrreryConfig> = {}): ResolvedConfig {
  return resolveConfig({ ...BASE, ...over }, { dir: '/srv', env: {} });
}

test('diff - nothing differs between two readings of one configuration', () => {
  const diff = diffConfig(resolved(), resolved());
  expect(diff).toEqual(SAME);
  expect(changesNothing(diff)).toBe(true);
});

test.each<{ readonly what: string; readonly over: Partial<OrreryConfig>; readonly diff: object }>([
  {
    what: 'an agent that is added, one that is changed and one that is removed',
    over: {
      agents: { b: { model: 'openai:gpt-4o', system: 'two' }, c: { use: 'builtin:eliza' } },
      defaultAgent: 'b',
    },
    diff: { agents: { added: ['c'], changed: ['b'], removed: ['a'] }, defaultAgent: true },
  },
  {
    what: 'replicas, isolation and restart policy of an agent',
    over: { agents: { ...BASE.agents, a: { use: 'builtin:echo', replicas: 2 } } },
    diff: { agents: { ...NOTHING, changed: ['a'] } },
  },
  {
    what: 'channels',
    over: { channels: { web: { type: 'gateway', port: 2 }, more: { type: 'gateway', port: 3 } } },
    diff: { channels: { added: ['more'], changed: ['web'], removed: ['irc'] } },
  },
  {
    what: 'a default that is written out is no difference',
    over: { channels: { ...BASE.channels, web: { type: 'gateway', port: 1, host: '127.0.0.1' } } },
    diff: {},
  },
  {
    what: 'the rules, and their order',
    over: { routing: [{ rule: 'namespacePrefix' }] },
    diff: { routing: true },
  },
  {
    what: 'what needs a new process, by the paths of its keys',
    over: {
      workers: { threads: 7, maxHeapMb: 99 },
      delivery: { journal: 'memory' },
      sessions: { store: 'memory' },
      dataDir: 'elsewhere',
      log: { level: 'debug' },
      shutdown: { drainMs: 1 },
    },
    diff: {
      needsRestart: expect.arrayContaining([
        'workers.threads',
        'workers.maxHeapMb',
        'delivery.journal',
        'delivery.dedupeRetentionMs',
        'sessions.store',
        'dataDir',
        'log.level',
        'shutdown.drainMs',
      ]),
    },
  },
  {
    what: 'a key that was taken out',
    over: { restarts: {} },
    diff: {},
  },
])('diff - tells $what', ({ over, diff }) => {
  expect(diffConfig(resolved(), resolved(over))).toEqual({ ...SAME, ...diff });
});

test('diff - what comes and goes with a value is named in both directions', () => {
  const bounded = resolved({ delivery: { maxJournalBytes: 1_048_576 } });
  expect(diffConfig(resolved(), bounded).needsRestart).toEqual(['delivery.maxJournalBytes']);
  expect(diffConfig(bounded, resolved()).needsRestart).toEqual(['delivery.maxJournalBytes']);
});

test('diff - an agent and a queue mode of a channel need no new connection, everything else does', () => {
  const [web] = Object.values(resolved().channels);
  if (web?.type !== 'gateway') throw new Error('there is a gateway');
  expect(needsConnection(web, { ...web, agent: 'b', queue: { mode: 'collect', sessions: {} } })).toBe(false);
  expect(needsConnection(web, { ...web, token: 'x' })).toBe(true);
});

test('diff - what is in force afterwards is new where it is taken over, and old where it is not', () => {
  const before = resolved();
  const after = resolved({ workers: { threads: 7 }, routing: [{ rule: 'namespacePrefix' }] });
  const { agents, channels } = after;
  expect(takenOver(before, after, { agents, channels })).toEqual({ ...after, workers: before.workers });
});
