import { describe, expect, test } from 'vitest';
import type { RouteMatch, RouteRule } from '../../src/main/config/types.ts';
import { agentNames, compileRoutes, type RouteResult } from '../../src/main/routing/index.ts';
import type { InboundMessage } from '../../src/protocol/index.ts';
import { inbound } from '../support/channels.ts';

const AGENTS = agentNames(new Set(['eliza', 'Atlas', 'helper', 'discord']));

function route(rules: readonly RouteRule[], over: Partial<InboundMessage>, defaultAgent = 'eliza'): RouteResult {
  return compileRoutes(rules)(inbound({ channel: 'web', namespace: 'web:alice', ...over }), {
    agents: AGENTS,
    defaultAgent,
  });
}

describe('no rules', () => {
  test('routing - the metadata key "agent" is matched without regard to case', () => {
    expect(route([], { metadata: { agent: 'aTLAS' } })).toEqual({ agent: 'Atlas' });
  });

  test('routing - an agent of the channel name answers when the key is absent', () => {
    expect(route([], { channel: 'discord' })).toEqual({ agent: 'discord' });
    expect(route([], { channel: 'DISCORD' })).toEqual({ agent: 'discord' });
  });

  test('routing - the default agent answers when no such agent exists', () => {
    expect(route([], { metadata: { agent: 'nobody' } })).toEqual({ agent: 'eliza' });
    expect(route([], {})).toEqual({ agent: 'eliza' });
    // The key is there: the channel's name is not asked.
    expect(route([], { channel: 'discord', metadata: { agent: '' } })).toEqual({ agent: 'eliza' });
  });

  test('routing - names of object members are no agents and no metadata', () => {
    expect(route([], { metadata: { agent: 'constructor' } })).toEqual({ agent: 'eliza' });
    expect(route([{ rule: 'metadataKey', key: 'toString' }], {})).toEqual({ agent: 'eliza' });
    expect(route([{ match: { metadata: { toString: '*' } }, agent: 'helper' }], {})).toEqual({ agent: 'eliza' });
  });
});

describe('an agent that the caller names outright', () => {
  test('routing - it goes before every rule', () => {
    expect(route([{ rule: 'static', agent: 'helper' }], { agent: 'Atlas' })).toEqual({ agent: 'Atlas' });
  });

  test('routing - one that does not exist is unknown, never the default', () => {
    expect(route([], { agent: 'nobody' })).toEqual({ rejected: 'ORRERY_AGENT_UNKNOWN' });
    expect(route([], { agent: 'atlas' })).toEqual({ rejected: 'ORRERY_AGENT_UNKNOWN' });
    expect(route([], { agent: '' })).toEqual({ rejected: 'ORRERY_AGENT_UNKNOWN' });
  });
});

describe('no target', () => {
  test.each<readonly RouteRule[]>([
    [],
    [{ rule: 'static', agent: 'gone' }],
    [{ rule: 'namespacePrefix' }],
    [{ match: { channel: 'web' }, agent: 'gone' }],
  ])('routing - unroutable without a default agent under %j', (...rules) => {
    expect(route(rules, {}, 'gone')).toEqual({ rejected: 'ORRERY_UNROUTABLE' });
  });

  test('routing - a rule or binding whose agent is not there gives way to the default agent', () => {
    expect(route([{ rule: 'static', agent: 'gone' }], {})).toEqual({ agent: 'eliza' });
    expect(
      route(
        [
          { match: { channel: 'web' }, agent: 'gone' },
          { rule: 'static', agent: 'helper' },
        ],
        {},
      ),
    ).toEqual({
      agent: 'eliza',
    });
  });
});

describe('rules', () => {
  test('routing - static names one agent for everything', () => {
    expect(route([{ rule: 'static', agent: 'helper' }], { metadata: { agent: 'atlas' } })).toEqual({ agent: 'helper' });
  });

  test.each([
    ['atlas:room', 'Atlas'],
    ['ATLAS', 'Atlas'],
    ['atlas/room', 'eliza'],
    ['discord:atlas', 'discord'],
    ['web:atlas:room', 'Atlas'],
    ['web:atlas', 'Atlas'],
    ['web', 'eliza'],
    ['web:nobody:atlas', 'eliza'],
    ['other:atlas', 'eliza'],
    ['web:at%6Cas', 'eliza'],
  ])('routing - namespacePrefix takes %s to %s', (namespace, agent) => {
    expect(route([{ rule: 'namespacePrefix' }], { namespace })).toEqual({ agent });
  });

  test('routing - namespacePrefix reads escaped segments', () => {
    const router = compileRoutes([{ rule: 'namespacePrefix' }]);
    const agents = agentNames(new Set(['a:b', '100%']));
    const targets = { agents, defaultAgent: '100%' };
    expect(router(inbound({ namespace: 'a%3Ab:x' }), targets)).toEqual({ agent: 'a:b' });
    expect(router(inbound({ namespace: '100%25' }), targets)).toEqual({ agent: '100%' });
  });

  test('routing - the first rule that finds an agent decides', () => {
    const rules: RouteRule[] = [
      { rule: 'namespacePrefix' },
      { rule: 'metadataKey', key: 'bot' },
      { rule: 'static', agent: 'helper' },
    ];
    expect(route(rules, { namespace: 'atlas:x', metadata: { bot: 'eliza' } })).toEqual({ agent: 'Atlas' });
    expect(route(rules, { metadata: { bot: 'Eliza' } })).toEqual({ agent: 'eliza' });
    expect(route(rules, { metadata: { bot: 'nobody' } })).toEqual({ agent: 'helper' });
  });
});

describe('bindings', () => {
  const bound = (...matches: readonly RouteMatch[]): RouteRule[] =>
    matches.map((match, i) => ({ match, agent: ['Atlas', 'helper', 'discord'][i] ?? 'eliza' }));

  test('routing - every condition that is given must hold', () => {
    const rules = bound({
      channel: 'web',
      account: 'a1',
      peer: 'bob',
      namespace: 'web:room:*',
      metadata: { lang: 'de' },
    });
    const all = { account: 'a1', namespace: 'web:room:1', metadata: { peer: 'bob', lang: 'de' } };
    expect(route(rules, all)).toEqual({ agent: 'Atlas' });
    for (const other of [
      { ...all, channel: 'irc' },
      { ...all, account: 'a2' },
      { ...all, namespace: 'web:hall:1' },
      { ...all, metadata: { peer: 'eve', lang: 'de' } },
      { ...all, metadata: { peer: 'bob', lang: 'en' } },
      { ...all, metadata: { peer: 'bob' } },
    ]) {
      expect(route(rules, other)).toEqual({ agent: 'eliza' });
    }
    const { account: _, ...withoutAccount } = all;
    expect(route(rules, withoutAccount)).toEqual({ agent: 'eliza' });
  });

  test('routing - a star stands for anything at the end alone', () => {
    expect(route(bound({ namespace: 'web:*' }), {})).toEqual({ agent: 'Atlas' });
    expect(route(bound({ namespace: 'web:alice*' }), {})).toEqual({ agent: 'Atlas' });
    expect(route(bound({ namespace: 'web:alice:*' }), {})).toEqual({ agent: 'eliza' });
    expect(route(bound({ namespace: 'w*b:alice' }), {})).toEqual({ agent: 'eliza' });
    expect(route(bound({ channel: '*' }), {})).toEqual({ agent: 'Atlas' });
    expect(route(bound({ channel: 'w*' }), {})).toEqual({ agent: 'Atlas' });
    expect(route(bound({ account: '*' }), {})).toEqual({ agent: 'eliza' });
    expect(route(bound({}), {})).toEqual({ agent: 'Atlas' });
  });

  test('routing - bindings go before the other rules, wherever they stand', () => {
    const rules: RouteRule[] = [{ rule: 'static', agent: 'helper' }, ...bound({ channel: 'web' })];
    expect(route(rules, {})).toEqual({ agent: 'Atlas' });
    expect(route(rules, { channel: 'irc' })).toEqual({ agent: 'helper' });
  });

  const message = { account: 'a1', metadata: { peer: 'bob', lang: 'de', tier: 'gold' } };
  test.each([
    ['a longer namespace pattern', { namespace: 'web:*' }, { namespace: 'web:ali*' }],
    ['an exact namespace', { namespace: 'web:alic*' }, { namespace: 'web:alice' }],
    ['a peer over a namespace', { namespace: 'web:alice' }, { peer: 'bob' }],
    ['a peer pattern over a namespace', { namespace: 'web:alice' }, { peer: 'b*' }],
    ['a namespace over metadata', { metadata: { lang: 'de', tier: 'gold' } }, { namespace: 'web:*' }],
    ['metadata over an account', { account: 'a1', channel: 'web' }, { metadata: { lang: 'd*' } }],
    ['more metadata', { metadata: { lang: 'de' } }, { metadata: { lang: 'd*', tier: '*' } }],
    ['exact metadata', { metadata: { lang: 'd*', tier: 'go*' } }, { metadata: { lang: 'de', tier: '*' } }],
    ['an account over a channel', { channel: 'web' }, { account: 'a*' }],
    ['an exact channel', { channel: 'w*' }, { channel: 'web' }],
    ['a channel over nothing', {}, { channel: '*' }],
    ['two conditions over one of them', { channel: 'web' }, { channel: 'web', account: 'a1' }],
  ])('routing - the most specific binding wins: %s', (_, loser, winner) => {
    expect(route(bound(loser, winner), message)).toEqual({ agent: 'helper' });
    expect(route(bound(winner, loser), message)).toEqual({ agent: 'Atlas' });
  });

  test('routing - of two equal bindings the earlier wins', () => {
    expect(route(bound({ channel: 'web' }, { channel: 'web' }), {})).toEqual({ agent: 'Atlas' });
    expect(route(bound({ metadata: { lang: 'de' } }, { metadata: { tier: 'gold' } }), message)).toEqual({
      agent: 'Atlas',
    });
  });
});

describe('names', () => {
  test('routing - an exact name goes before one that differs in case', () => {
    const names = agentNames(new Set(['Echo', 'echo', 'ECHO']));
    expect(['Echo', 'echo', 'ECHO', 'eCHO'].map((n) => names.find(n))).toEqual(['Echo', 'echo', 'ECHO', 'Echo']);
  });

  test('routing - a set of agents is looked through once', () => {
    const agents = new Map([['a', 1]]);
    expect(agentNames(agents)).toBe(agentNames(agents));
    expect(agentNames(new Map(agents))).not.toBe(agentNames(agents));
  });
});
