import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OrreryError, type TurnRequest } from '../../src/protocol/index.ts';
import { DeliveryUnderTest, runtimeOf, tick } from '../support/delivery.ts';
import { runs } from '../support/properties.ts';

type Step =
  | { readonly do: 'send'; readonly session: number }
  | { readonly do: 'reply' | 'retryable' | 'final' | 'cancel'; readonly pick: number }
  | { readonly do: 'crash'; readonly slot: number; readonly begun: number; readonly intended: boolean };

const pick = fc.nat(1_000);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('send' as const), session: fc.nat(3) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('reply' as const), pick }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('retryable' as const, 'final' as const, 'cancel' as const), pick }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('crash' as const),
      slot: fc.nat(2),
      begun: fc.nat(4),
      intended: fc.boolean(),
    }),
  },
);

/** What the run saw break first; undefined when all held. */
async function play(steps: readonly Step[], slots: number, maxTurnsPerAgent: number): Promise<string | undefined> {
  const d = new DeliveryUnderTest({ slots, maxTurnsPerAgent, mailboxSize: 8 });
  /** Accepted texts of each session, in order of arrival; a text is `session:number`. */
  const arrived = new Map<string, string[]>();
  const ids = new Map<string, string>();
  const cancelled = new Set<string>();
  let count = 0;

  for (const s of steps) {
    await apply(s);
    const broken = look();
    if (broken !== undefined) return `after ${JSON.stringify(s)}: ${broken}`;
  }
  // In the end all of it is answered.
  for (let round = 0; d.engine.pending > 0; round++) {
    if (round > steps.length * 4) return `${d.engine.pending} are pending for ever`;
    for (const turn of running()) await d.reply(turn.message.content);
    if (running().length === 0) await tick();
    const broken = look();
    if (broken !== undefined) return `at the end: ${broken}`;
  }
  return end();

  function running(): readonly TurnRequest[] {
    return d.all.flatMap((slot) => [...slot.running.values()]);
  }

  async function apply(s: Step): Promise<void> {
    switch (s.do) {
      case 'send': {
        const session = `s${s.session}`;
        const text = `${session}:${count++}`;
        const accepted = await d.send(text, session, { id: text }).catch(() => undefined);
        if (!accepted) return; // its mailbox is full
        ids.set(text, accepted.id);
        arrived.set(session, [...(arrived.get(session) ?? []), text]);
        break;
      }
      case 'crash': {
        const slot = d.all[s.slot % d.all.length];
        if (slot === d.quarantine.slot) await d.crashTrial({ begun: s.begun, intended: s.intended });
        else if (slot) await d.crash(slot, { begun: s.begun, intended: s.intended });
        break;
      }
      case 'cancel': {
        const text = [...ids.keys()][s.pick % Math.max(1, ids.size)];
        if (text === undefined) return;
        if (d.engine.cancel(ids.get(text) ?? '')) cancelled.add(text);
        await tick();
        break;
      }
      case 'reply':
      case 'retryable':
      case 'final': {
        const turns = running();
        const turn = turns[s.pick % Math.max(1, turns.length)];
        if (!turn) return;
        const { content } = turn.message;
        if (s.do === 'reply') await d.reply(content);
        else
          await d.fail(
            content,
            new OrreryError(s.do === 'final' ? 'ORRERY_AGENT_FAILED' : 'ORRERY_MODEL_UNAVAILABLE', s.do),
          );
      }
    }
  }

  function look(): string | undefined {
    const sessions = running().map((turn) => turn.session);
    if (new Set(sessions).size !== sessions.length) return `two turns of one session run: ${sessions.join(' ')}`;
    for (const slot of d.slots) {
      const mine = [...slot.running.values()].filter((turn) => turn.runtime === runtimeOf(slot)).length;
      if (mine > maxTurnsPerAgent) return `${mine} turns run on ${slot.label}`;
      if (d.engine.roster.running(runtimeOf(slot)) !== slot.running.size) return `the roster miscounts ${slot.label}`;
    }
    const m = d.account.snapshot();
    if (m.received !== m.rejected + m.inIntake + m.accepted) return `received: ${JSON.stringify(m)}`;
    if (m.accepted !== m.answered + m.dead + m.pending) return `accepted: ${JSON.stringify(m)}`;
    if (m.pending !== d.engine.pending) return `pending: ${m.pending}, there are ${d.engine.pending}`;
    return undefined;
  }

  function end(): string | undefined {
    const { begun } = d;
    for (const [session, texts] of arrived) {
      // Each is heard of exactly once, and what was not cancelled in the order in which it came.
      const answers = d.origin.answers.filter(({ to }) => to.startsWith(`${session}:`)).map(({ to }) => to);
      if (answers.length !== texts.length) return `${session} heard ${answers.length} of ${texts.length}`;
      const inOrder = (list: readonly string[]): string => list.filter((text) => !cancelled.has(text)).join(' ');
      if (inOrder(answers) !== inOrder(texts)) return `${session} heard ${inOrder(answers)} for ${inOrder(texts)}`;
      const first = [...new Set(begun.map((turn) => turn.message.content))].filter((text) => texts.includes(text));
      if (d.slots.length === 1 && inOrder(first) !== inOrder(texts)) return `${session} began ${inOrder(first)}`;
    }
    for (const turn of begun) if (turn.attempt > 3) return `attempt ${turn.attempt}`;
    return d.engine.sessions === 0 ? undefined : `${d.engine.sessions} mailboxes are left`;
  }
}

describe('delivery under any interleaving of messages, outcomes, retries, slot deaths and cancels', () => {
  test.each([
    { slots: 1, maxTurns: 256 },
    { slots: 1, maxTurns: 2 },
    { slots: 2, maxTurns: 256 },
  ])(
    'delivery - order, one turn a session, one answer a message, books that balance: $slots slots, $maxTurns turns',
    async ({ slots, maxTurns }) => {
      const result = await fc.check(
        fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
          const broken = await play(steps, slots, maxTurns);
          if (broken !== undefined) throw new Error(broken);
        }),
        { numRuns: runs(50) },
      );
      expect(
        result.failed,
        `seed ${result.seed}, path ${String(result.counterexamplePath)}: ${JSON.stringify(result.counterexample)} ${String(result.errorInstance)}`,
      ).toBe(false);
    },
  );
});
