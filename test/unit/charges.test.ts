/** Decides whom the end of a slot is charged to, and when its agents are divided. */
import { expect, test } from 'vitest';
import type { Findings } from '../../src/main/delivery/index.ts';
import { chargesOf } from '../../src/main/wiring/charges.ts';
import type { Replica } from '../../src/main/wiring/replica.ts';
import { sentenceOf } from '../../src/main/wiring/verdicts.ts';
import type { AgentState } from '../../src/protocol/index.ts';

const NOTHING: Findings = { guilty: undefined, poison: false, suspects: 0 };

function replica(runtime: string, status: 'idle' | 'starting' | 'stopped' = 'idle'): Replica {
  const state: AgentState = { status };
  // Only what the decision reads.
  return { runtime, state } as Replica;
}

const [A, B, C, STARTING, STOPPED] = [
  replica('a'),
  replica('b'),
  replica('c'),
  replica('starting', 'starting'),
  replica('stopped', 'stopped'),
];

test.each<{
  readonly what: string;
  readonly on: readonly Replica[];
  readonly blamed?: Replica;
  readonly findings?: Partial<Findings>;
  readonly again?: boolean;
  readonly guilty?: readonly Replica[];
  readonly divide?: readonly Replica[];
}>([
  { what: 'the one that the thread named, and nobody else', on: [A, B], blamed: B, guilty: [B] },
  {
    what: 'the one that was named, though another turn is suspected',
    on: [A, B],
    blamed: B,
    findings: { suspects: 2 },
    guilty: [B],
  },
  { what: 'the one whose turn was alone', on: [A, B, C], findings: { guilty: 'c', poison: true }, guilty: [C] },
  { what: 'nobody while suspects are tried', on: [A, B], findings: { suspects: 3 } },
  { what: 'the only one that lives there, whoever is tried', on: [A, STOPPED], findings: { suspects: 3 }, guilty: [A] },
  { what: 'the only one that was being started', on: [A, STARTING, B], guilty: [STARTING] },
  { what: 'nobody the first time that no turn was under way', on: [A, B, C] },
  { what: 'nobody the second time, but divides all', on: [A, B, STOPPED, C], again: true, divide: [A, B, C] },
  {
    what: 'nobody, but divides all when suspects came through before',
    on: [A, B, STARTING],
    findings: { suspects: 1 },
    again: true,
    divide: [A, B, STARTING],
  },
])('charges - $what', ({ on, blamed, findings, again = false, guilty = [], divide = [] }) => {
  expect(chargesOf({ replicas: on, blamed, findings: { ...NOTHING, ...findings }, again })).toEqual({ guilty, divide });
});

test('charges - poison after poison quarantines an agent, and beyond the intensity it is given up', () => {
  const sentences = [1, 2, 3, 4].map((poisons) => sentenceOf(poisons, 3));
  expect(sentences).toEqual(['restart', 'quarantine', 'quarantine', 'escalate']);
  expect(sentenceOf(1, 0)).toBe('escalate');
});
