/**
 * Owns the routing decision: which agent a message goes to. Pure: the rules are compiled once, and a message is looked up
 * without a clock, without a pattern being built and, under the default table, without a list being searched.
 */
import { type ErrorCode, type InboundMessage, Namespace } from '../../protocol/index.ts';
import type { RouteRule } from '../config/types.ts';
import { type Binding, compileBindings } from './bindings.ts';
import type { AgentNames } from './names.ts';

export type RouteRejection = Extract<ErrorCode, 'ORRERY_AGENT_UNKNOWN' | 'ORRERY_UNROUTABLE'>;
export type RouteResult = { readonly agent: string } | { readonly rejected: RouteRejection };

/** The agents that a message may reach at the moment. */
export interface RouteTargets {
  readonly agents: AgentNames;
  readonly defaultAgent: string;
}

export type Router = (inbound: InboundMessage, targets: RouteTargets) => RouteResult;

/** The table when no rule is configured. */
const DEFAULT_RULES: readonly RouteRule[] = [{ rule: 'metadataKey', key: 'agent' }];

type NamedRule = Exclude<RouteRule, { readonly match: unknown }>;

/**
 * Compiles rules into a router. Its decision, in this order:
 *
 * 1. An agent that the message names outright, letter by letter; one that is not there is `ORRERY_AGENT_UNKNOWN`.
 * 2. The most specific binding that matches (see `bindings.ts`).
 * 3. The other rules in their order, the first that finds an agent. `static` always does; `metadataKey` looks its value up
 *    without regard to case, or the channel's name where the key is absent; `namespacePrefix` does so with the first
 *    segment, and with the second where the first is the channel's own name, under which every gateway keeps its callers'.
 * 4. The default agent. An agent that a binding or a `static` rule names and that is not there is replaced by it as well.
 * 5. `ORRERY_UNROUTABLE`, where there is no default agent either.
 */
export function compileRoutes(rules: readonly RouteRule[]): Router {
  const table = rules.length === 0 ? DEFAULT_RULES : rules;
  const findBinding = compileBindings(table.filter((rule): rule is Binding => 'match' in rule));
  const finders = table.filter((rule): rule is NamedRule => 'rule' in rule).map(compileRule);

  return (inbound, targets) => {
    const { agents, defaultAgent } = targets;
    if (inbound.agent !== undefined) {
      return agents.has(inbound.agent) ? { agent: inbound.agent } : { rejected: 'ORRERY_AGENT_UNKNOWN' };
    }
    let found = findBinding(inbound);
    if (found === undefined) {
      for (const find of finders) {
        found = find(inbound, agents);
        if (found !== undefined) break;
      }
    }
    if (found !== undefined && agents.has(found)) return { agent: found };
    return agents.has(defaultAgent) ? { agent: defaultAgent } : { rejected: 'ORRERY_UNROUTABLE' };
  };
}

type Finder = (inbound: InboundMessage, agents: AgentNames) => string | undefined;

function compileRule(rule: NamedRule): Finder {
  switch (rule.rule) {
    case 'static':
      return () => rule.agent;
    case 'metadataKey':
      return (inbound, agents) =>
        agents.find(Object.hasOwn(inbound.metadata, rule.key) ? inbound.metadata[rule.key] : inbound.channel);
    case 'namespacePrefix':
      return byPrefix;
  }
}

function byPrefix(inbound: InboundMessage, agents: AgentNames): string | undefined {
  const { namespace, channel } = inbound;
  const end = segmentEnd(namespace, 0);
  const first = readSegment(namespace.slice(0, end));
  const found = agents.find(first);
  if (found !== undefined || first !== channel || end === namespace.length) return found;
  return agents.find(readSegment(namespace.slice(end + 1, segmentEnd(namespace, end + 1))));
}

/** Segments are read from the written form by hand: a whole `Namespace` for each message would cost more than the decision. */
function segmentEnd(namespace: string, from: number): number {
  const colon = namespace.indexOf(':', from);
  return colon === -1 ? namespace.length : colon;
}

function readSegment(written: string): string {
  return written.includes('%') ? Namespace.parse(written).root : written;
}
