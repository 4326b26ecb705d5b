import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AgentEvent,
  type AgentState,
  type ConnectionEvent,
  type ConnectionState,
  type DeliveryEvent,
  type DeliveryState,
  NO_USAGE,
  type Reply,
  type SlotEvent,
  type SlotState,
  transitionAgent,
  transitionConnection,
  transitionDelivery,
  transitionSlot,
} from '../../src/protocol/index.ts';
import { runs } from '../support/properties.ts';

const at = fc.nat();
const error = fc.string().map((message) => ({ name: 'Error', message }));
const reply: Reply = { message: { role: 'assistant', content: 'hi' }, usage: NO_USAGE, steps: 0 };

const connectionEvent: fc.Arbitrary<ConnectionEvent> = fc.oneof(
  fc.constant<ConnectionEvent>({ type: 'connect' }),
  fc.record({ type: fc.constant('opened' as const), at }),
  fc.record({ type: fc.constant('lost' as const), retryAt: at, cause: error }),
  fc.record({ type: fc.constant('drain' as const), deadline: at }),
  fc.record({
    type: fc.constant('close' as const),
    reason: fc.constantFrom('stopped' as const, 'ended' as const, 'failed' as const),
  }),
);
const slotEvent: fc.Arbitrary<SlotEvent> = fc.oneof(
  fc.record({ type: fc.constantFrom('ready' as const, 'silent' as const, 'beat' as const), at }),
  fc.record({ type: fc.constantFrom('drain' as const, 'restart' as const) }),
  fc.record({
    type: fc.constant('exit' as const),
    exit: fc.constantFrom('clean' as const, 'crashed' as const, 'killed' as const, 'oom' as const),
  }),
);
const agentEvent: fc.Arbitrary<AgentEvent> = fc.oneof(
  fc.record({
    type: fc.constantFrom(
      'started' as const,
      'quarantine' as const,
      'escalate' as const,
      'drain' as const,
      'stopped' as const,
      'restart' as const,
    ),
  }),
  fc.record({ type: fc.constant('turns' as const), running: fc.nat(3) }),
  fc.record({ type: fc.constant('failed' as const), error }),
  fc.record({ type: fc.constant('backoff' as const), restartAt: at }),
);
const deliveryEvent: fc.Arbitrary<DeliveryEvent> = fc.oneof(
  fc.record({ type: fc.constant('dispatch' as const), slot: fc.nat(4), generation: fc.nat(9), attempt: fc.nat(5) }),
  fc.record({ type: fc.constant('retry' as const), at, attempt: fc.nat(5), cause: error }),
  fc.record({ type: fc.constant('commit' as const), reply: fc.constant(reply) }),
  fc.record({ type: fc.constant('find' as const), reply: fc.constant(reply) }),
  fc.constant<DeliveryEvent>({ type: 'answer' }),
  fc.record({ type: fc.constant('answer' as const), by: fc.string() }),
  fc.record({ type: fc.constant('die' as const), reason: fc.constantFrom('expired' as const, 'cancelled' as const) }),
);

type Rule<S, E> = (before: S, event: E, after: S | undefined) => boolean;

/**
 * Feeds any events to a machine, drops those that do not apply as its owner does, and returns the shortest sequence found
 * after which a step breaks the rule, or changes the state that was there before; undefined when there is none.
 */
function counterexample<S, E>(
  first: S,
  event: fc.Arbitrary<E>,
  transition: (state: S, event: E) => S | undefined,
  holds: Rule<S, E>,
): readonly E[] | undefined {
  const { counterexample: found } = fc.check(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      let state = first;
      return events.every((event) => {
        const before = state;
        const was = JSON.stringify(before);
        const after = transition(before, event);
        state = after ?? before;
        return JSON.stringify(before) === was && holds(before, event, after);
      });
    }),
    { numRuns: runs(500) },
  );
  return found?.[0];
}

/** Every status that the walks of a machine reached: rules over walks that stay at home would prove nothing. */
function reached<S extends { status: string }, E>(
  first: S,
  event: fc.Arbitrary<E>,
  transition: (state: S, event: E) => S | undefined,
): Set<string> {
  const seen = new Set([first.status]);
  counterexample(first, event, transition, (_, __, after) => {
    if (after !== undefined) seen.add(after.status);
    return true;
  });
  return seen;
}

describe('connection', () => {
  const breaks = (rule: Rule<ConnectionState, ConnectionEvent>): unknown =>
    counterexample<ConnectionState, ConnectionEvent>({ status: 'idle' }, connectionEvent, transitionConnection, rule);

  test('connection - every status can be reached', () => {
    expect(
      reached<ConnectionState, ConnectionEvent>({ status: 'idle' }, connectionEvent, transitionConnection),
    ).toEqual(new Set(['idle', 'connecting', 'open', 'waiting', 'draining', 'closed']));
  });

  test('connection - closed is never left', () => {
    expect(breaks((before, _, after) => before.status !== 'closed' || after === undefined)).toBeUndefined();
  });

  test('connection - a draining one never connects again: it can only be closed', () => {
    expect(
      breaks((before, _, after) => before.status !== 'draining' || after === undefined || after.status === 'closed'),
    ).toBeUndefined();
  });

  test('connection - any that is not closed can be drained once, and closed', () => {
    expect(
      breaks((before, event, after) => {
        if (before.status === 'closed') return true;
        if (event.type === 'close') return after?.status === 'closed';
        return event.type !== 'drain' || before.status === 'draining' || after?.status === 'draining';
      }),
    ).toBeUndefined();
  });

  test('connection - open comes from connecting alone, and attempts rise by one until it opens', () => {
    expect(
      breaks((before, _, after) => {
        if (after?.status === 'open') return before.status === 'connecting';
        if (after?.status === 'connecting') {
          return after.attempt === (before.status === 'waiting' ? before.attempt + 1 : 1);
        }
        if (after?.status === 'waiting') return after.attempt === (before.status === 'connecting' ? before.attempt : 0);
        return true;
      }),
    ).toBeUndefined();
  });
});

describe('slot', () => {
  const starting: SlotState = { status: 'starting', generation: 1 };
  const breaks = (rule: Rule<SlotState, SlotEvent>): unknown =>
    counterexample<SlotState, SlotEvent>(starting, slotEvent, transitionSlot, rule);

  test('slot - every status can be reached', () => {
    expect(reached<SlotState, SlotEvent>(starting, slotEvent, transitionSlot)).toEqual(
      new Set(['starting', 'ready', 'unresponsive', 'draining', 'exited']),
    );
  });

  test('slot - the generation only rises, by one, and only with a restart of an exited slot', () => {
    expect(
      breaks((before, event, after) => {
        const restarted = event.type === 'restart' && before.status === 'exited';
        return after === undefined || after.generation === before.generation + (restarted ? 1 : 0);
      }),
    ).toBeUndefined();
  });

  test('slot - an exited one is left by a restart alone: a second exit or a late beat changes nothing', () => {
    expect(
      breaks((before, event, after) => {
        const restart = event.type === 'restart';
        return restart === (before.status === 'exited')
          ? !restart || after !== undefined
          : after === undefined || (!restart && before.status !== 'exited');
      }),
    ).toBeUndefined();
  });

  test('slot - one that is draining is never ready again in its generation', () => {
    expect(
      breaks((before, _, after) => before.status !== 'draining' || after === undefined || after.status === 'exited'),
    ).toBeUndefined();
  });
});

describe('agent', () => {
  const starting: AgentState = { status: 'starting' };
  const breaks = (rule: Rule<AgentState, AgentEvent>): unknown =>
    counterexample<AgentState, AgentEvent>(starting, agentEvent, transitionAgent, rule);

  test('agent - every status can be reached', () => {
    expect(reached<AgentState, AgentEvent>(starting, agentEvent, transitionAgent)).toEqual(
      new Set(['starting', 'idle', 'busy', 'draining', 'stopped', 'failed', 'backoff', 'quarantined', 'escalated']),
    );
  });

  test('agent - stopped and escalated are left by a restart alone', () => {
    expect(
      breaks((before, event, after) => {
        const ended = before.status === 'stopped' || before.status === 'escalated';
        return !ended || event.type === 'restart' || after === undefined;
      }),
    ).toBeUndefined();
  });

  test('agent - backoff, quarantine and escalation follow a failure and carry its error', () => {
    expect(
      breaks((before, _, after) => {
        if (after?.status !== 'backoff' && after?.status !== 'quarantined' && after?.status !== 'escalated')
          return true;
        return (before.status === 'failed' || before.status === 'quarantined') && before.error === after.error;
      }),
    ).toBeUndefined();
  });

  test('agent - it is busy with turns alone, and counting turns never starts a stopped one', () => {
    expect(
      breaks((before, event, after) => {
        if (event.type !== 'turns' || after === undefined) return true;
        const running = before.status === 'idle' || before.status === 'busy';
        return running && after.status === (event.running > 0 ? 'busy' : 'idle');
      }),
    ).toBeUndefined();
  });
});

describe('delivery', () => {
  const accepted: DeliveryState = { status: 'accepted' };
  const breaks = (rule: Rule<DeliveryState, DeliveryEvent>): unknown =>
    counterexample<DeliveryState, DeliveryEvent>(accepted, deliveryEvent, transitionDelivery, rule);

  test('delivery - every status can be reached', () => {
    expect(reached<DeliveryState, DeliveryEvent>(accepted, deliveryEvent, transitionDelivery)).toEqual(
      new Set(['accepted', 'dispatched', 'retrying', 'committed', 'answered', 'dead']),
    );
  });

  test('delivery - answered and dead are never left', () => {
    expect(
      breaks((before, _, after) => (before.status !== 'answered' && before.status !== 'dead') || after === undefined),
    ).toBeUndefined();
  });

  test('delivery - one that committed is never run again', () => {
    expect(
      breaks(
        (before, _, after) =>
          before.status !== 'committed' ||
          after === undefined ||
          after.status === 'answered' ||
          after.status === 'dead',
      ),
    ).toBeUndefined();
  });

  test('delivery - it is answered with exactly the reply that committed', () => {
    expect(
      breaks(
        (before, _, after) =>
          after?.status !== 'answered' || (before.status === 'committed' && before.reply === after.reply),
      ),
    ).toBeUndefined();
  });

  test('delivery - a commit or a retry needs a dispatch before it', () => {
    expect(
      breaks(
        (before, event, after) =>
          (event.type !== 'commit' && event.type !== 'retry') || !after || before.status === 'dispatched',
      ),
    ).toBeUndefined();
  });
});

describe('the walks themselves', () => {
  test('states - a rule that does not hold is found, with the shortest way to break it', () => {
    const found = counterexample<DeliveryState, DeliveryEvent>(
      { status: 'accepted' },
      deliveryEvent,
      transitionDelivery,
      (_, __, after) => after?.status !== 'committed',
    );
    // By a dispatch and its commit, or found from the start.
    expect([['dispatch', 'commit'], ['find']]).toContainEqual(found?.map((e) => e.type));
  });
});
