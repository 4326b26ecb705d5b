import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { leastLoaded, rendezvous } from '../../src/main/pool/index.ts';
import { HeartbeatJudge, type RestartPolicy, RestartTracker } from '../../src/main/supervision/index.ts';
import { runs } from '../support/properties.ts';

/** What broke a property, with its seed; undefined when nothing did. */
function brokenBy<T>(property: fc.IProperty<T>): string | undefined {
  const found = fc.check(property, { numRuns: runs(300) });
  if (!found.failed) return undefined;
  return `seed ${found.seed}: ${JSON.stringify(found.counterexample)} ${String(found.errorInstance)}`;
}

const LIMITS = { lookMs: 100, silentAfterMs: 300, killAfterMs: 1_000 };

describe('the heartbeat judge', () => {
  test('heartbeat - a counter that moves at every look is never judged silent, however late the looks are', () => {
    expect(
      brokenBy(
        fc.property(fc.array(fc.nat(100_000), { maxLength: 50 }), (gaps) => {
          const judge = new HeartbeatJudge(LIMITS, 0);
          let now = 0;
          return gaps.every((gap, i) => judge.look(i, (now += gap)) === 'fresh');
        }),
      ),
    ).toBeUndefined();
  });

  test('heartbeat - nothing is killed before its silence is long enough, nor at a look that came late', () => {
    expect(
      brokenBy(
        fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 400 }), fc.boolean()), { maxLength: 80 }), (looks) => {
          const judge = new HeartbeatJudge(LIMITS, 0);
          let now = 0;
          let beat = 0;
          let lastBeat = 0;
          return looks.every(([gap, moves], i) => {
            now += gap;
            // The first look sees a counter that it did not know.
            if (moves || i === 0) {
              beat += 1;
              lastBeat = now;
            }
            const judgement = judge.look(beat, now);
            const late = gap > LIMITS.lookMs * 1.5;
            if (judgement === 'kill') return !late && now - lastBeat >= LIMITS.killAfterMs;
            if (judgement === 'silent') return !late && now - lastBeat >= LIMITS.silentAfterMs;
            return true;
          });
        }),
      ),
    ).toBeUndefined();
  });

  test('heartbeat - a silent thread is killed at the first look in time past the bound', () => {
    expect(
      brokenBy(
        fc.property(fc.integer({ min: 1, max: 150 }), (gap) => {
          const judge = new HeartbeatJudge(LIMITS, 0);
          judge.look(1, 0);
          for (let now = gap; ; now += gap) {
            const judgement = judge.look(1, now);
            if (now < LIMITS.killAfterMs && judgement === 'kill') return false;
            if (now >= LIMITS.killAfterMs) return judgement === 'kill';
          }
        }),
      ),
    ).toBeUndefined();
  });

  test('heartbeat - a counter that wraps around is a beat like any other', () => {
    const judge = new HeartbeatJudge(LIMITS, 0);
    judge.look(2 ** 31 - 1, 100);
    expect(judge.look(-(2 ** 31), 200)).toBe('fresh');
    expect(judge.silenceMs(250)).toBe(50);
  });
});

const policy: fc.Arbitrary<RestartPolicy> = fc.record({
  restart: fc.constant('permanent' as const),
  maxRestarts: fc.nat(6),
  periodMs: fc.integer({ min: 1, max: 1_000 }),
  resetAfterMs: fc.integer({ min: 1, max: 1_000 }),
  backoff: fc.record({
    minMs: fc.integer({ min: 1, max: 50 }),
    maxMs: fc.integer({ min: 50, max: 400 }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
});
const gaps = fc.array(fc.nat(700), { maxLength: 40 });
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('the restart tracker', () => {
  test('restart - never more restarts in a period than allowed, and never fewer than it could', () => {
    expect(
      brokenBy(
        fc.property(policy, gaps, random, (p, times, r) => {
          const tracker = new RestartTracker(p);
          const restarts: number[] = [];
          let now = 0;
          return times.every((gap) => {
            now += gap;
            const recent = restarts.filter((at) => now - at < p.periodMs).length;
            const decision = tracker.ended('abnormal', now, r);
            if (decision.type === 'restart') restarts.push(now);
            return (
              decision.type === (recent < p.maxRestarts ? 'restart' : 'escalate') && tracker.total === restarts.length
            );
          });
        }),
      ),
    ).toBeUndefined();
  });

  test('restart - the first after health is immediate, later ones wait at most the maximum', () => {
    expect(
      brokenBy(
        fc.property(policy, gaps, random, (p, times, r) => {
          const tracker = new RestartTracker({ ...p, maxRestarts: 1_000 });
          let now = 0;
          return times.every((gap, i) => {
            now += gap;
            const decision = tracker.ended('abnormal', now, r);
            if (decision.type !== 'restart') return false;
            const healthy = i === 0 || gap >= p.resetAfterMs;
            const bounded = decision.delayMs >= 0 && decision.delayMs <= p.backoff.maxMs;
            return bounded && (!healthy || decision.delayMs === 0);
          });
        }),
      ),
    ).toBeUndefined();
  });

  test.each([
    { restart: 'permanent', end: 'normal', type: 'restart' },
    { restart: 'permanent', end: 'abnormal', type: 'restart' },
    { restart: 'transient', end: 'normal', type: 'stop' },
    { restart: 'transient', end: 'abnormal', type: 'restart' },
    { restart: 'temporary', end: 'normal', type: 'stop' },
    { restart: 'temporary', end: 'abnormal', type: 'stop' },
  ] as const)('restart - $restart after a $end end: $type', ({ restart, end, type }) => {
    const backoff = { minMs: 1, maxMs: 2, jitter: 0 };
    const tracker = new RestartTracker({ restart, maxRestarts: 5, periodMs: 100, resetAfterMs: 100, backoff });
    expect(tracker.ended(end, 0, 0).type).toBe(type);
  });

  test('restart - a restart by hand forgets what was counted', () => {
    const backoff = { minMs: 1, maxMs: 2, jitter: 0 };
    const tracker = new RestartTracker({
      restart: 'permanent',
      maxRestarts: 1,
      periodMs: 100,
      resetAfterMs: 100,
      backoff,
    });
    expect([1, 2].map((now) => tracker.ended('abnormal', now, 0).type)).toEqual(['restart', 'escalate']);
    tracker.reset();
    expect(tracker.ended('abnormal', 3, 0)).toEqual({ type: 'restart', delayMs: 0 });
  });
});

describe('placement', () => {
  const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 8 });
  const sessions = fc.uniqueArray(fc.string(), { maxLength: 40 });

  test('placement - losing a replica moves its sessions and no others; the order of replicas does not matter', () => {
    expect(
      brokenBy(
        fc.property(names, sessions, fc.nat(7), (replicas, keys, n) => {
          const lost = replicas[n % replicas.length] ?? '';
          const left = replicas.filter((replica) => replica !== lost);
          return keys.every((key) => {
            const before = rendezvous(key, replicas);
            const after = rendezvous(key, left);
            const same = rendezvous(key, replicas.toReversed()) === before;
            return same && (before === lost ? left.length === 0 || left.includes(after ?? '') : after === before);
          });
        }),
      ),
    ).toBeUndefined();
  });

  test('placement - a replica that comes takes sessions from the others, and moves none between them', () => {
    expect(
      brokenBy(
        fc.property(names, sessions, (replicas, keys) =>
          keys.every((key) => {
            const after = rendezvous(key, [...replicas, 'the new one']);
            return after === 'the new one' || after === rendezvous(key, replicas);
          }),
        ),
      ),
    ).toBeUndefined();
  });

  test.each([2, 3, 5, 16])('placement - sessions with names alike are spread evenly over %i replicas', (count) => {
    const replicas = Array.from({ length: count }, (_, i) => (i === 0 ? 'atlas' : `atlas#${i + 1}`));
    const total = 4_000;
    const loads = new Map<string, number>();
    for (let i = 0; i < total; i++) {
      const replica = rendezvous(`atlas\nweb:user-${i}`, replicas) ?? '';
      loads.set(replica, (loads.get(replica) ?? 0) + 1);
    }
    // Six standard deviations of a fair draw.
    const fair = total / count;
    const slack = 6 * Math.sqrt(fair * (1 - 1 / count));
    expect([...loads.values()].filter((load) => Math.abs(load - fair) > slack)).toEqual([]);
    expect(loads.size).toBe(count);
  });

  test('placement - the least loaded slot is taken: not saturated, then fewest agents, then fewest turns', () => {
    const load = fc.record({ agents: fc.nat(3), running: fc.nat(3), utilization: fc.constantFrom(0, 0.5, 0.99, 1) });
    const rank = (l: { agents: number; running: number; utilization: number }): number =>
      Number(l.utilization > 0.98) * 100 + l.agents * 10 + l.running;
    expect(
      brokenBy(
        fc.property(fc.array(load, { maxLength: 8 }), (loads) => {
          const chosen = loads[leastLoaded(loads)];
          if (!chosen) return loads.length === 0;
          return loads.every((other) => rank(chosen) <= rank(other));
        }),
      ),
    ).toBeUndefined();
    expect(leastLoaded([])).toBe(-1);
  });
});
