/**
 * Owns bindings: rules with conditions, of which the most specific one that matches wins.
 *
 * Specificity compares, until two bindings differ: peer, namespace, metadata, account, channel, and last the order in the
 * configuration (the earlier wins). For each condition an exact value beats a pattern, a pattern with more letters before
 * its `*` beats one with fewer, and any condition beats none; for metadata more keys win, then more exact values, then more
 * letters. So a binding that narrows another one always wins over it.
 */
import type { InboundMessage } from '../../protocol/index.ts';
import type { RouteMatch, RouteRule } from '../config/types.ts';

export type Binding = Extract<RouteRule, { readonly match: RouteMatch }>;

/** The metadata key that says who speaks. */
const PEER = 'peer';

/** Orders bindings for the search: the most specific first. Negative when `a` comes before `b`, 0 when they tie. */
export function compareBindings(a: Binding, b: Binding): number {
  const ranksOfA = specificity(a.match);
  const ranksOfB = specificity(b.match);
  for (const [i, rank] of ranksOfA.entries()) {
    const other = ranksOfB[i] ?? 0;
    if (rank !== other) return rank > other ? -1 : 1;
  }
  return 0;
}

/** Tells whether every condition that is given holds. */
export function matches(match: RouteMatch, inbound: InboundMessage): boolean {
  return compileMatch(match)(inbound);
}

/** Compiles bindings into a search for the agent of the most specific one that matches. */
export function compileBindings(bindings: readonly Binding[]): (inbound: InboundMessage) => string | undefined {
  if (bindings.length === 0) return () => undefined;
  const ordered = bindings
    .toSorted(compareBindings) // stable: ties keep the order of the configuration
    .map(({ match, agent }) => ({ channel: match.channel, agent, holds: compileMatch(match) }));
  // A message is compared with the bindings that its channel can match at all.
  const exact = new Set(ordered.map((b) => b.channel).filter((c) => c !== undefined && !isPattern(c)));
  const anywhere = ordered.filter((b) => b.channel === undefined || isPattern(b.channel));
  const byChannel = new Map(
    Array.from(exact, (channel) => [
      channel,
      ordered.filter((b) => b.channel === undefined || isPattern(b.channel) || b.channel === channel),
    ]),
  );
  return (inbound) => (byChannel.get(inbound.channel) ?? anywhere).find((b) => b.holds(inbound))?.agent;
}

type Test = (value: string | undefined) => boolean;

function compileMatch(match: RouteMatch): (inbound: InboundMessage) => boolean {
  const tests: ((inbound: InboundMessage) => boolean)[] = [];
  const { channel, account, peer, namespace, metadata } = match;
  if (channel !== undefined) tests.push(on(channel, (i) => i.channel));
  if (account !== undefined) tests.push(on(account, (i) => i.account));
  if (peer !== undefined) tests.push(on(peer, (i) => own(i, PEER)));
  if (namespace !== undefined) tests.push(on(namespace, (i) => i.namespace));
  for (const [key, pattern] of Object.entries(metadata ?? {})) tests.push(on(pattern, (i) => own(i, key)));
  return (inbound) => tests.every((test) => test(inbound));
}

function on(pattern: string, read: (inbound: InboundMessage) => string | undefined): (i: InboundMessage) => boolean {
  const test = compilePattern(pattern);
  return (inbound) => test(read(inbound));
}

/** `*` at the end stands for anything, also for nothing; a value that is absent matches no pattern. */
function compilePattern(pattern: string): Test {
  if (!isPattern(pattern)) return (value) => value === pattern;
  const prefix = pattern.slice(0, -1);
  return (value) => value !== undefined && value.startsWith(prefix);
}

function isPattern(text: string): boolean {
  return text.endsWith('*');
}

function own(inbound: InboundMessage, key: string): string | undefined {
  return Object.hasOwn(inbound.metadata, key) ? inbound.metadata[key] : undefined;
}

function specificity(match: RouteMatch): readonly number[] {
  const metadata = Object.values(match.metadata ?? {});
  const patterns = metadata.filter(isPattern);
  return [
    rank(match.peer),
    rank(match.namespace),
    metadata.length,
    metadata.length - patterns.length,
    patterns.reduce((letters, pattern) => letters + pattern.length, 0),
    rank(match.account),
    rank(match.channel),
  ];
}

/** 0 for none; then a pattern's letters, its `*` counted; an exact value is beyond every pattern. */
function rank(pattern: string | undefined): number {
  if (pattern === undefined) return 0;
  return isPattern(pattern) ? pattern.length : Infinity;
}
