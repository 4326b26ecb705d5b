/** Decides about suspects: what the end of a trial shows, and how what an earlier process left is run. */
import { describe, expect, test } from 'vitest';
import { type TrialEnd, judge, planRecovery } from '../../src/main/delivery/suspicion.ts';

const ALONE: TrialEnd = { begun: true, first: true, named: undefined, telling: true, hasAttempts: true };

describe('the end of a trial', () => {
  test.each<{ readonly what: string; readonly end: Partial<TrialEnd>; readonly verdict: string }>([
    { what: 'it began alone on a fresh thread', end: {}, verdict: 'poison' },
    { what: 'it did so with a throw or an exit, and has attempts left', end: { telling: false }, verdict: 'retry' },
    { what: 'it did so and has none left', end: { telling: false, hasAttempts: false }, verdict: 'poison' },
    { what: 'it had not begun', end: { begun: false }, verdict: 'again' },
    { what: 'another turn ran on that thread before', end: { first: false }, verdict: 'again' },
    {
      what: 'another ran before, but the thread named this one',
      end: { first: false, named: true },
      verdict: 'poison',
    },
    { what: 'the thread named another one', end: { named: false }, verdict: 'again' },
  ])('judge - says $verdict when $what', ({ end, verdict }) => {
    expect(judge({ ...ALONE, ...end })).toBe(verdict);
  });
});

describe('what an earlier process left', () => {
  test.each([
    { crashes: 0, dispatched: true, plan: 'normal' },
    { crashes: 1, dispatched: true, plan: 'quarantine-thread' },
    { crashes: 2, dispatched: true, plan: 'quarantine-process' },
    { crashes: 3, dispatched: true, plan: 'poison' },
    { crashes: 9, dispatched: true, plan: 'poison' },
    // It only waited when the process ended.
    { crashes: 1, dispatched: false, plan: 'normal' },
    // The journal may have missed that a slot was given it: it is run where it harms nobody, and not given up.
    { crashes: 2, dispatched: false, plan: 'quarantine-process' },
    { crashes: 9, dispatched: false, plan: 'quarantine-process' },
  ])('recovery - is $plan after $crashes ends of the process, dispatched: $dispatched', ({ plan, ...left }) => {
    expect(planRecovery(left)).toBe(plan);
  });

  test("recovery - the limits are the caller's", () => {
    const limits = { toThread: 2, toProcess: 4, toPoison: 5 };
    const plans = [1, 2, 3, 4, 5].map((crashes) => planRecovery({ crashes, dispatched: true }, limits));
    expect(plans).toEqual(['normal', 'quarantine-thread', 'quarantine-thread', 'quarantine-process', 'poison']);
  });
});
