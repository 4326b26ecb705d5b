/**
 * Plays random sessions of a host that does all it promises, over clients whose connections break and whose messages are refused:
 * the chaos run's ledger must find nothing. Then one thing is bent, and it must find that.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { type HistoryLine, Ledger, type ViolationKind } from '../chaos/ledger.ts';
import { type PlannedSession, countedReply, planOf, textOf } from '../chaos/plan.ts';
import { runs } from '../support/properties.ts';

/** What becomes of a send. `taken`: its answer is lost, and it comes again. */
type Fate = 'answered' | 'lost' | 'taken' | 'refused' | 'dead';

const fates = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant<Fate>('answered') },
    { weight: 1, arbitrary: fc.constantFrom<Fate>('lost', 'taken', 'refused', 'dead') },
  ),
  { minLength: 1, maxLength: 200 },
);

/** A host that takes messages in in the order of their sends, and runs their turns in that order. */
class World {
  readonly ledger = new Ledger(() => 0);
  readonly session: PlannedSession;
  readonly history: HistoryLine[] = [];
  readonly #fates: Iterator<Fate>;
  readonly #accepted = new Set<number>();

  constructor(session: PlannedSession, fates: readonly Fate[]) {
    this.session = session;
    this.#fates = fates[Symbol.iterator]();
  }

  /** Sends one message after another, each until it has its outcome. */
  run(): void {
    for (let place = 0; place < this.session.messages.length; place++) {
      while (!this.#send(place));
    }
  }

  /** True when it has its outcome. */
  #send(place: number): boolean {
    const message = this.session.messages[place];
    if (!message) throw new Error(`There is no message at ${place}`);
    const { id } = message;
    this.ledger.sent(this.session, message);
    const { value: fate = 'answered' } = this.#fates.next();
    if (fate === 'refused') {
      this.ledger.refused(id, 'ORRERY_OVERLOADED');
      return false;
    }
    if (fate === 'lost' || fate === 'taken') {
      if (fate === 'taken') this.#accept(place);
      this.ledger.connectionLost(id, 'reset');
      return false;
    }
    if (fate === 'dead' && !this.#accepted.has(place)) {
      this.ledger.died(id, 'ORRERY_AGENT_FAILED');
      return true;
    }
    this.ledger.answered(id, this.#accept(place), `s${this.session.number}`);
    return true;
  }

  /** Runs its turn, once; returns its reply. */
  #accept(place: number): string {
    const message = this.session.messages[place];
    if (!message) throw new Error(`There is no message at ${place}`);
    const at = this.history.findIndex(({ content }) => content === textOf(message));
    const known = this.history[at + 1];
    if (at >= 0 && known) return known.content;
    this.#accepted.add(place);
    const reply = countedReply(this.history.length / 2 + 1, message.id);
    this.history.push({ role: 'user', content: textOf(message) }, { role: 'assistant', content: reply });
    return reply;
  }

  judge(): readonly ViolationKind[] {
    const judged = this.ledger.judge(new Map([[this.session.number, this.history]]));
    return judged.map(({ kind }) => kind);
  }
}

const NO_FAULTS = {
  killThreads: 0,
  killProcess: 0,
  drops: 0,
  stalls: 0,
  modelErrors: 0,
  disks: 0,
  journalThreads: 0,
};

function worldOf(seed: number, length: number, list: readonly Fate[]): World {
  const [session] = planOf({ seed, messages: length, ...NO_FAULTS }).sessions;
  if (!session) throw new Error('The plan has no session');
  const world = new World(session, list);
  world.run();
  return world;
}

const worlds = fc.tuple(fc.nat(), fc.integer({ min: 2, max: 10 }), fates).map((args) => worldOf(...args));

test('chaos ledger - finds nothing wrong with a host that does what it promises', () => {
  fc.assert(
    fc.property(worlds, (world) => {
      expect(world.judge()).toEqual([]);
    }),
  );
});

type Bend = readonly [ViolationKind, (world: World, at: number) => boolean];

/** Each changes one thing, and says whether it could. */
const BENDS: readonly Bend[] = [
  [
    'committed-twice',
    ({ history }, at) => {
      history.push(...history.slice(at, at + 2));
      return true;
    },
  ],
  [
    'not-committed',
    ({ history, ledger }, at) => {
      const reply = history[at + 1]?.content ?? '';
      const id = reply.slice(reply.indexOf(' ') + 1);
      history.splice(at, 2);
      return ledger.outcomeOf(id)?.status === 'answered';
    },
  ],
  [
    'out-of-order',
    ({ history }, at) => {
      if (at + 4 > history.length) return false;
      history.splice(at + 2, 0, ...history.splice(at, 2));
      return true;
    },
  ],
  [
    'stranger',
    ({ history }, at) => {
      history.splice(at, 0, { role: 'user', content: 'answer 0 s77-1' }, { role: 'assistant', content: 'n1 s77-1' });
      return true;
    },
  ],
];

test.each(BENDS)('chaos ledger - finds a session that was bent: %s', (kind, bend) => {
  fc.assert(
    fc.property(worlds, fc.nat(), (world, which) => {
      const turns = world.history.length / 2;
      fc.pre(turns > 0);
      fc.pre(bend(world, (which % turns) * 2));
      expect(world.judge()).toContain(kind);
    }),
  );
});

test('chaos plan - is the same for the same seed, has every message and every fault, and another one for another', () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.integer({ min: 1, max: 3_000 }),
      fc.nat(30),
      fc.nat(30),
      (seed, messages, threads, kills) => {
        const options = { ...NO_FAULTS, seed, messages, killThreads: threads, killProcess: kills, disks: 2 };
        const plan = planOf(options);
        expect(planOf(options)).toEqual(plan);
        const ids = plan.sessions.flatMap((session) => session.messages.map(({ id }) => id));
        expect(new Set(ids).size).toBe(messages);
        const count = (of: string): number => plan.phases.filter(({ fault }) => fault.kind === of).length;
        expect([count('thread'), count('process'), count('disk')]).toEqual([threads, kills, 2]);
        expect(planOf({ ...options, seed: seed + 1, messages: messages + 100 })).not.toEqual(plan);
      },
    ),
    { numRuns: runs(30) },
  );
});
