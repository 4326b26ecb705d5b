import { describe, expect, test } from 'vitest';
import { type Load, MAX_SHED_MS, MIN_SHED_MS, backMs, shed } from '../../src/main/delivery/admission.ts';

const BOUNDS = { maxPending: 1_000, maxJournalLag: 100, maxLoopDelayMs: 500 };
const CALM: Load = { pending: 1_000, appends: 100, loopDelayMs: 500, perSecond: 50 };

describe('admission', () => {
  test('shed - nobody is turned away at the bounds', () => {
    expect(shed(CALM, BOUNDS)).toBeUndefined();
  });

  test.each<[string, Partial<Load>, RegExp, number]>([
    ['too much is unfinished', { pending: 1_001 }, /1001 messages under way, its bound is 1000/, 2_002],
    ['the journal lags', { appends: 101 }, /101 messages wait for the journal, its bound is 100/, MIN_SHED_MS],
    ['the loop is late', { loopDelayMs: 900 }, /loop is 900 ms late, its bound is 500 ms/, 1_800],
  ])('shed - says so, and when to come back, when %s', (_, over, message, retryAfterMs) => {
    const error = shed({ ...CALM, ...over }, BOUNDS);
    expect(error).toMatchObject({ code: 'ORRERY_OVERLOADED', retryAfterMs });
    expect(error?.message).toMatch(message);
  });

  test('shed - the time to come back is about what the backlog takes, within its bounds', () => {
    expect(backMs({ pending: 1_000, perSecond: 0 }, 1)).toBe(MIN_SHED_MS);
    expect(backMs({ pending: 1_000, perSecond: 100 }, 1)).toBe(10_000);
    expect(backMs({ pending: 1_000, perSecond: 100 }, 0.5)).toBe(5_000);
    expect(backMs({ pending: 10, perSecond: 10_000 }, 1)).toBe(MIN_SHED_MS);
    expect(backMs({ pending: 1_000_000, perSecond: 1 }, 1)).toBe(MAX_SHED_MS);
  });
});
