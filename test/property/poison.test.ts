/** Plays random mixes of guilty and innocent turns on slots that die, in any order of outcomes, against what each of them must come to. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Look } from '../../src/main/delivery/index.ts';
import { QUEUE_MODES, type QueueMode, type Reply, type TurnRequest } from '../../src/protocol/index.ts';
import { DeliveryUnderTest, type FakeSlot, replyOf, tick } from '../support/delivery.ts';
import { runs } from '../support/properties.ts';

/** What a message's turn does to its slot: nothing, ends it, or ends it once it has committed. */
type Kind = 'innocent' | 'guilty' | 'late';

type Step =
  | { readonly do: 'send'; readonly session: number; readonly kind: Kind; readonly mode: QueueMode }
  | { readonly do: 'reply' | 'explode'; readonly pick: number }
  | { readonly do: 'neighbour'; readonly slot: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      session: fc.nat(4),
      kind: fc.constantFrom<Kind>('innocent', 'innocent', 'innocent', 'innocent', 'guilty', 'late'),
      mode: fc.constantFrom(...QUEUE_MODES),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('reply' as const), pick: fc.nat(1_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('explode' as const), pick: fc.nat(1_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('neighbour' as const), slot: fc.nat(1) }) },
);

class Play {
  readonly #d: DeliveryUnderTest;
  readonly #kinds = new Map<string, Kind>();
  /** What the session store has: the outcomes of these turns were lost. */
  readonly #stored = new Map<string, Reply>();
  readonly #arrived = new Map<string, string[]>();
  #deaths = 0;
  #count = 0;

  constructor(slots: number) {
    const look: Look = (ids) => Promise.resolve(new Map([...this.#stored].filter(([id]) => ids.includes(id))));
    this.#d = new DeliveryUnderTest({ slots, mailboxSize: 1_000, maxAttempts: 1, look });
  }

  /** What broke first; undefined when all held. */
  async run(steps: readonly Step[]): Promise<string | undefined> {
    for (const s of steps) await this.#apply(s);
    for (let round = 0; this.#d.engine.pending > 0; round++) {
      if (round > steps.length * 20) return `${this.#d.engine.pending} are pending for ever`;
      const [turn] = this.#running();
      if (turn) await this.#end(turn);
      else await tick();
    }
    return this.#over();
  }

  async #apply(s: Step): Promise<void> {
    switch (s.do) {
      case 'send': {
        const session = `s${s.session}`;
        const text = `${session}:${this.#count++}`;
        this.#kinds.set(text, s.kind);
        this.#arrived.set(session, [...(this.#arrived.get(session) ?? []), text]);
        await this.#d.send(text, session, { id: text, queue: s.mode });
        return tick();
      }
      case 'neighbour': {
        // Somebody else's code, or nobody's: the turns had not begun.
        const slot = this.#d.slots[s.slot % this.#d.slots.length];
        if (slot) await this.#d.crash(slot, { begun: 0 });
        return;
      }
      case 'reply':
      case 'explode': {
        const turns = this.#running().filter((turn) => this.#ends(turn) === (s.do === 'explode'));
        const turn = turns[s.pick % Math.max(1, turns.length)];
        if (turn) await this.#end(turn);
      }
    }
  }

  /** A turn with a guilty message takes its slot along sooner or later, any other one answers. */
  async #end(turn: TurnRequest): Promise<void> {
    const shared = this.#answeredBy(turn);
    if (!this.#ends(turn)) return this.#d.reply(turn.message.content, undefined, { joined: shared.length > 1 });
    if (!shared.some(({ message }) => this.#kinds.get(message.content) === 'guilty')) {
      for (const { id } of shared) this.#stored.set(id, replyOf(turn.message.content));
    }
    const slot = this.#slotOf(turn);
    this.#deaths += 1;
    const code = 'ORRERY_WORKER_UNRESPONSIVE';
    if (slot === this.#d.quarantine.slot) await this.#d.crashTrial({ code });
    else await this.#d.crash(slot, { code });
  }

  /** One that has committed gets its reply, whatever it would do. */
  #ends(turn: TurnRequest): boolean {
    if (this.#stored.has(turn.id)) return false;
    return this.#answeredBy(turn).some(({ message }) => this.#kinds.get(message.content) !== 'innocent');
  }

  /** As an agent's thread has it: where any of them has committed, the turn is its lead's alone. */
  #answeredBy({ id, message, joined = [] }: TurnRequest): readonly Pick<TurnRequest, 'id' | 'message'>[] {
    const lead = { id, message };
    return [lead, ...joined].some((one) => this.#stored.has(one.id)) ? [lead] : [lead, ...joined];
  }

  #running(): readonly TurnRequest[] {
    return this.#d.all.flatMap((slot) => [...slot.running.values()]);
  }

  #slotOf(turn: TurnRequest): FakeSlot {
    const slot = this.#d.all.find(({ running }) => running.get(turn.id) === turn);
    if (!slot) throw new Error('the turn does not run');
    return slot;
  }

  #over(): string | undefined {
    const { letters, origin, begun, engine } = this.#d;
    const messages = [...this.#kinds];
    const guilty = messages.filter(([, kind]) => kind === 'guilty');
    const ending = messages.filter(([, kind]) => kind !== 'innocent');
    const dead = letters.list().map(({ inbound: { id }, reason }) => `${id} ${reason}`);
    const expected = guilty.map(([text]) => `${text} poison`);
    if (dead.toSorted().join() !== expected.toSorted().join())
      return `dead: ${dead.join()}, guilty: ${expected.join()}`;
    for (const { attempt, id } of begun) if (attempt !== 1) return `${id} is in attempt ${attempt}`;
    for (const [session, texts] of this.#arrived) {
      const heard = origin.answers.map(({ to }) => to).filter((to) => to.startsWith(`${session}:`));
      if (heard.join() !== texts.join()) return `${session} heard ${heard.join()} for ${texts.join()}`;
    }
    // Each guilty one costs its slot one death, and one or two trials.
    if (this.#deaths > ending.length * 3) return `${this.#deaths} deaths for ${ending.length} that end their slot`;
    const { waiting, poison } = engine.quarantine.snapshot();
    if (waiting > 0 || poison > ending.length) return `${waiting} wait, ${poison} were found`;
    if (engine.quarantine.cases > 0) return `${engine.quarantine.cases} cases are left`;
    return engine.sessions === 0 ? undefined : `${engine.sessions} mailboxes are left`;
  }
}

test.each([1, 2])(
  'poison - every guilty message is a dead letter unless it had committed, no innocent one loses an attempt, order holds: %i slots',
  async (slots) => {
    const result = await fc.check(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const broken = await new Play(slots).run(steps);
        if (broken !== undefined) throw new Error(broken);
      }),
      { numRuns: runs(100) },
    );
    expect(
      result.failed,
      `seed ${result.seed}, path ${String(result.counterexamplePath)}: ${JSON.stringify(result.counterexample)} ${String(result.errorInstance)}`,
    ).toBe(false);
  },
);
