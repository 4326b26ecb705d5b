import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RouteMatch, RouteRule } from '../../src/main/config/types.ts';
import { type Binding, compareBindings, matches } from '../../src/main/routing/bindings.ts';
import { agentNames, compileRoutes } from '../../src/main/routing/index.ts';
import type { InboundMessage } from '../../src/protocol/index.ts';
import { inbound } from '../support/channels.ts';
import { runs } from '../support/properties.ts';

/** Few words, so that rules and messages meet. */
const word: fc.Arbitrary<string> = fc.constantFrom('a', 'ab', 'abc', 'b', 'web', 'peer');
const pattern = fc.oneof(
  word,
  word.map((w) => `${w}*`),
  fc.constant('*'),
);
const path = fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => words.join(':'));
const metadata = fc.dictionary(word, word, { maxKeys: 3, noNullPrototype: true });
const message: fc.Arbitrary<InboundMessage> = fc
  .record(
    { channel: word, account: word, namespace: path, metadata, agent: word },
    { requiredKeys: ['channel', 'namespace', 'metadata'] },
  )
  .map((over) => inbound(over));
const match: fc.Arbitrary<RouteMatch> = fc.record(
  {
    channel: pattern,
    account: pattern,
    peer: pattern,
    namespace: fc.oneof(
      path,
      path.map((p) => `${p}*`),
      pattern,
    ),
    metadata: fc.dictionary(word, pattern, { maxKeys: 2, noNullPrototype: true }),
  },
  { requiredKeys: [] },
);
const binding: fc.Arbitrary<Binding> = fc.record({ match, agent: word });
const rule: fc.Arbitrary<RouteRule> = fc.oneof(
  { weight: 3, arbitrary: binding },
  { weight: 1, arbitrary: fc.record({ rule: fc.constant('metadataKey' as const), key: word }) },
  { weight: 1, arbitrary: fc.constant({ rule: 'namespacePrefix' as const }) },
  { weight: 1, arbitrary: fc.record({ rule: fc.constant('static' as const), agent: word }) },
);
const agents = fc.uniqueArray(word, { minLength: 1 });
const RUNS = { numRuns: runs(500) };

function conditions({ metadata = {}, ...others }: RouteMatch): number {
  return Object.keys(others).length + Object.keys(metadata).length;
}

describe('routing', () => {
  test('routing - goes to an agent that is there, or says why not', () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 6 }), message, agents, word, (rules, m, names, defaultAgent) => {
        const set = new Set(names);
        const result = compileRoutes(rules)(m, { agents: agentNames(set), defaultAgent });
        const rejected = m.agent === undefined ? 'ORRERY_UNROUTABLE' : 'ORRERY_AGENT_UNKNOWN';
        const allowed = 'agent' in result ? set.has(result.agent) : result.rejected === rejected;
        expect(allowed).toBe(true);
        // Nobody is turned away while the default agent is there, but who asked for somebody else.
        expect('agent' in result || !set.has(defaultAgent) || m.agent !== undefined).toBe(true);
      }),
      RUNS,
    );
  });

  test('routing - the binding that wins matches, and none that matches is more specific', () => {
    fc.assert(
      fc.property(fc.array(binding, { minLength: 1, maxLength: 8 }), message, (bindings, m) => {
        const { agent: _, ...anonymous } = m;
        // Every binding names an agent of its own, so that the winner is known by it.
        const own = bindings.map((b, i) => ({ ...b, agent: `agent-${String(i)}` }));
        const targets = { agents: agentNames(new Set(['none', ...own.map((b) => b.agent)])), defaultAgent: 'none' };
        const result = compileRoutes(own)(anonymous, targets);
        const fitting = own.filter((b) => matches(b.match, anonymous));
        const [first] = fitting.toSorted(compareBindings);
        expect(result).toEqual({ agent: first?.agent ?? 'none' });
        expect(fitting.every((b) => first !== undefined && compareBindings(first, b) <= 0)).toBe(true);
      }),
      RUNS,
    );
  });

  test('routing - the order of bindings in the configuration counts between equals alone', () => {
    fc.assert(
      fc.property(binding, binding, message, (a, b, m) => {
        fc.pre(compareBindings(a, b) !== 0);
        const targets = { agents: agentNames(new Set(['A', 'B', 'none'])), defaultAgent: 'none' };
        const rules = [
          { ...a, agent: 'A' },
          { ...b, agent: 'B' },
        ];
        const { agent: _, ...anonymous } = m;
        expect(compileRoutes(rules)(anonymous, targets)).toEqual(compileRoutes(rules.toReversed())(anonymous, targets));
      }),
      RUNS,
    );
  });

  test('routing - a binding that narrows another one wins over it', () => {
    fc.assert(
      fc.property(match, match, (wide, more) => {
        // `more` only adds: what `wide` says stays.
        const narrow = { ...more, ...wide, metadata: { ...more.metadata, ...wide.metadata } };
        const order = compareBindings({ match: narrow, agent: 'n' }, { match: wide, agent: 'w' });
        expect(order).toBe(conditions(narrow) === conditions(wide) ? 0 : -1);
      }),
      RUNS,
    );
  });

  test('routing - specificity is an order', () => {
    fc.assert(
      fc.property(binding, binding, binding, (a, b, c) => {
        expect(compareBindings(a, a)).toBe(0);
        expect(compareBindings(a, b) + compareBindings(b, a)).toBe(0);
        const sorted = [a, b, c].toSorted(compareBindings);
        expect(compareBindings(sorted[0] ?? a, sorted[2] ?? a)).toBeLessThanOrEqual(0);
      }),
      RUNS,
    );
  });
});
