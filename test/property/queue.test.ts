/**
 * Plays random interleavings of messages of all queue modes with whatever a slot may do, against a model of the agent host that has a
 * durable session store: commits outlive the slot that made them, and an outcome may be lost on its way.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dedupeKey } from '../../src/main/delivery/journal.ts';
import {
  type DeliveryId,
  OrreryError,
  QUEUE_MODES,
  type QueueMode,
  type TurnOutcome,
  type TurnRequest,
  toWire,
} from '../../src/protocol/index.ts';
import { inbound } from '../support/channels.ts';
import { DeliveryUnderTest, type FakeSlot, replyOf, runtimeOf, tick } from '../support/delivery.ts';
import { runs } from '../support/properties.ts';

type Step =
  | { readonly do: 'send'; readonly session: number; readonly mode: QueueMode; readonly context: boolean }
  | { readonly do: 'take' | 'reply' | 'heed' | 'retryable' | 'final' | 'cancel'; readonly pick: number }
  | { readonly do: 'lose'; readonly pick: number; readonly intended: boolean }
  | { readonly do: 'crash'; readonly slot: number; readonly begun: number; readonly intended: boolean };

const pick = fc.nat(1_000);

function on<T extends Step['do']>(...acts: readonly T[]): fc.Arbitrary<{ do: T; pick: number }> {
  return fc.record({ do: fc.constantFrom(...acts), pick });
}

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      session: fc.nat(1),
      mode: fc.constantFrom(...QUEUE_MODES),
      context: fc.nat(9).map((n) => n === 0),
    }),
  },
  { weight: 6, arbitrary: on('reply', 'heed', 'take') },
  { weight: 2, arbitrary: on('retryable', 'final', 'cancel') },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const), pick, intended: fc.boolean() }) },
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

interface Committed {
  readonly lead: DeliveryId;
  readonly text: string;
}

const MAILBOX_SIZE = 8;

class Play {
  readonly #d: DeliveryUnderTest;
  /** Accepted texts of each session, in order of arrival; a text is `session:number`, and the message's id. */
  readonly #arrived = new Map<string, string[]>();
  readonly #ids = new Map<string, DeliveryId>();
  readonly #cancelled = new Set<string>();
  /** What the session store has: every delivery once. */
  readonly #commits = new Map<DeliveryId, Committed>();
  /** What running turns took of what was offered to them. */
  readonly #taken = new Map<TurnRequest, DeliveryId[]>();
  /** Who was named by outcomes that reached main: they must hear a reply. */
  readonly #named = new Set<DeliveryId>();
  /** Messages with a context, and those of mode `steer`. */
  readonly #alone = new Set<DeliveryId>();
  readonly #steering = new Set<DeliveryId>();
  /** Attempts that count, by delivery. */
  readonly #failures = new Map<DeliveryId, number>();
  #twice: string | undefined;
  #count = 0;

  constructor(slots: number, maxTurnsPerAgent: number) {
    this.#d = new DeliveryUnderTest({ slots, maxTurnsPerAgent, mailboxSize: MAILBOX_SIZE });
    for (const slot of this.#d.all) {
      const offer = slot.steer.bind(slot);
      slot.steer = (turn, messages) => {
        const settled = messages.findIndex(({ id }) => this.#commits.has(id));
        return offer(turn, settled < 0 ? messages : messages.slice(0, settled));
      };
    }
  }

  /** What the run saw break first; undefined when all held. */
  async run(steps: readonly Step[]): Promise<string | undefined> {
    for (const s of steps) {
      await this.#apply(s);
      const broken = this.#look();
      if (broken !== undefined) return `after ${JSON.stringify(s)}: ${broken}`;
    }
    for (let round = 0; this.#d.engine.pending > 0; round++) {
      if (round > steps.length * 4) return `${this.#d.engine.pending} are pending for ever`;
      for (const turn of this.#running()) await this.#end(turn, this.#heeded(turn) ?? this.#commit(turn));
      if (this.#running().length === 0) await tick();
      const broken = this.#look();
      if (broken !== undefined) return `at the end: ${broken}`;
    }
    await this.#d.engine.idle();
    return this.#over();
  }

  #running(): readonly TurnRequest[] {
    return this.#d.all.flatMap((slot) => [...slot.running.values()]);
  }

  async #apply(s: Step): Promise<void> {
    if (s.do === 'send') return this.#send(s);
    if (s.do === 'crash') return this.#crash(this.#d.all[s.slot % this.#d.all.length], s.intended, s.begun);
    if (s.do === 'cancel') return this.#cancel(s.pick);
    const turns = this.#running();
    const turn = turns[s.pick % Math.max(1, turns.length)];
    if (!turn) return;
    switch (s.do) {
      case 'take':
        this.#take(turn);
        return;
      case 'reply':
        return this.#end(turn, this.#commit(turn));
      case 'heed': {
        const outcome = this.#heeded(turn);
        return outcome && this.#end(turn, outcome);
      }
      case 'retryable':
        // The first thing that the agent host does is to look for a commit.
        if (this.#commits.has(turn.id)) return this.#end(turn, this.#commit(turn));
        this.#charge(turn);
        return this.#end(turn, failure(turn, 'ORRERY_MODEL_UNAVAILABLE'));
      case 'final':
        if (this.#commits.has(turn.id)) return this.#end(turn, this.#commit(turn));
        return this.#end(turn, failure(turn, 'ORRERY_AGENT_FAILED'));
      case 'lose': {
        // It committed, and its thread died before main heard of it.
        const slot = this.#slotOf(turn);
        this.#commit(turn);
        return this.#crash(slot, s.intended, Infinity);
      }
    }
  }

  async #send({ session, mode, context }: Extract<Step, { do: 'send' }>): Promise<void> {
    const name = `s${session}`;
    const text = `${name}:${this.#count++}`;
    const own = context ? { context: { mode: 'append', messages: [] } as const } : {};
    const accepted = await this.#d.send(text, name, { id: text, queue: mode, ...own }).catch(() => undefined);
    if (!accepted) return; // its mailbox is full
    this.#ids.set(text, accepted.id);
    if (context) this.#alone.add(accepted.id);
    if (mode === 'steer') this.#steering.add(accepted.id);
    this.#arrived.set(name, [...(this.#arrived.get(name) ?? []), text]);
  }

  async #crash(slot: FakeSlot | undefined, intended: boolean, begun: number): Promise<void> {
    if (!slot) return;
    slot.cancelled.length = 0;
    if (slot === this.#d.quarantine.slot) {
      // It was alone there, so that the end may be judged an attempt.
      for (const turn of slot.running.values()) this.#charge(turn);
      await this.#d.crashTrial({ begun, intended });
    } else await this.#d.crash(slot, { begun, intended });
  }

  #charge({ id, joined = [] }: TurnRequest): void {
    for (const one of [id, ...joined.map((other) => other.id)]) {
      this.#failures.set(one, (this.#failures.get(one) ?? 0) + 1);
    }
  }

  async #cancel(at: number): Promise<void> {
    const heard = new Set(this.#d.origin.answers.map(({ to }) => to));
    const open = [...this.#ids.keys()].filter((text) => !heard.has(text));
    const text = open[at % Math.max(1, open.length)];
    if (text === undefined) return;
    if (this.#d.engine.cancel(this.#ids.get(text) ?? '')) this.#cancelled.add(text);
    await tick();
  }

  /** The loop takes what was offered: from then on it cannot be taken back. */
  #take(turn: TurnRequest): void {
    const { steered } = this.#slotOf(turn);
    const offered = steered.get(turn.turn) ?? [];
    steered.delete(turn.turn);
    this.#taken.set(turn, [...(this.#taken.get(turn) ?? []), ...offered.map(({ id }) => id)]);
  }

  /** Ends a turn as the agent host does: a delivery that has a commit gets that one's reply. */
  #commit(turn: TurnRequest): TurnOutcome {
    const key = turn.turn;
    const stored = this.#commits.get(turn.id);
    if (stored) return { turn: key, reply: replyOf(stored.text) };
    const { joined = [] } = turn;
    const settled = joined.some(({ id }) => this.#commits.has(id));
    const answers = [...(settled ? [] : joined.map(({ id }) => id)), ...(this.#taken.get(turn) ?? [])];
    const text = `re ${turn.message.content}`;
    for (const id of [turn.id, ...answers]) {
      if (this.#commits.has(id)) this.#twice ??= `${id} was committed twice`;
      this.#commits.set(id, { lead: turn.id, text });
    }
    const reply = replyOf(text);
    return answers.length === 0 ? { turn: key, reply } : { turn: key, reply, answers };
  }

  /** The end of a turn that was told to end; undefined for any other. */
  #heeded(turn: TurnRequest): TurnOutcome | undefined {
    const told = this.#slotOf(turn).cancelled.find(({ id, turn: key }) => id === turn.id && key === turn.turn);
    if (!told) return undefined;
    const codes = {
      cancelled: 'ORRERY_CANCELLED',
      shutdown: 'ORRERY_INTERRUPTED',
      superseded: 'ORRERY_SUPERSEDED',
    } as const;
    return failure(turn, codes[told.cause]);
  }

  async #end(turn: TurnRequest, outcome: TurnOutcome): Promise<void> {
    const slot = this.#slotOf(turn);
    slot.running.delete(turn.id);
    if ('reply' in outcome) for (const id of [turn.id, ...(outcome.answers ?? [])]) this.#named.add(id);
    this.#d.engine.outcomesOf(slot.number, [outcome]);
    await tick();
  }

  #slotOf(turn: TurnRequest): FakeSlot {
    const slot = this.#d.all.find(({ running }) => running.get(turn.id) === turn);
    if (!slot) throw new Error('the turn does not run');
    return slot;
  }

  #look(): string | undefined {
    if (this.#twice !== undefined) return this.#twice;
    const sessions = this.#running().map((turn) => turn.session);
    if (new Set(sessions).size !== sessions.length) return `two turns of one session run: ${sessions.join(' ')}`;
    for (const slot of this.#d.all) {
      if (slot !== this.#d.quarantine.slot && this.#d.engine.roster.running(runtimeOf(slot)) !== slot.running.size)
        return `the roster miscounts ${slot.label}`;
      for (const turn of slot.running.values()) {
        const broken = this.#misfit(turn, slot);
        if (broken !== undefined) return broken;
      }
    }
    const m = this.#d.account.snapshot();
    if (m.received !== m.rejected + m.inIntake + m.accepted) return `received: ${JSON.stringify(m)}`;
    if (m.accepted !== m.answered + m.dead + m.pending) return `accepted: ${JSON.stringify(m)}`;
    if (m.pending !== this.#d.engine.pending) return `pending: ${m.pending}, there are ${this.#d.engine.pending}`;
    for (const [session, texts] of this.#arrived) {
      const open = texts.length - this.#heard(session).length;
      // One that was committed leaves its mailbox before it is heard of by a tick at most, and a tick has passed.
      if (open > MAILBOX_SIZE) return `${session} has ${open} under way`;
    }
    return undefined;
  }

  /** What is wrong with those who share a turn. */
  #misfit({ id, turn, joined = [] }: TurnRequest, { steered }: FakeSlot): string | undefined {
    const offered = (steered.get(turn) ?? []).map((message) => message.id);
    const shared = [...joined.map((message) => message.id), ...offered];
    if (shared.length > 0 && [id, ...shared].some((one) => this.#alone.has(one))) return `${id} shares a turn`;
    if (offered.some((one) => !this.#steering.has(one))) return `${offered.join(' ')} were offered`;
    return new Set(shared).size === shared.length ? undefined : `${shared.join(' ')} share a turn twice`;
  }

  #heard(session: string): readonly { readonly to: string; readonly text: string }[] {
    return this.#d.origin.answers.filter(({ to }) => to.startsWith(`${session}:`));
  }

  async #over(): Promise<string | undefined> {
    for (const [session, texts] of this.#arrived) {
      // Each is heard of exactly once, and what was not cancelled in the order in which it came.
      const heard = this.#heard(session);
      if (heard.length !== texts.length) return `${session} heard ${heard.length} of ${texts.length}`;
      const inOrder = (list: readonly string[]): string => list.filter((text) => !this.#cancelled.has(text)).join(' ');
      const answers = inOrder(heard.map(({ to }) => to));
      if (answers !== inOrder(texts)) return `${session} heard ${answers} for ${inOrder(texts)}`;
      for (const { to, text } of heard) {
        const broken = await this.#agrees(session, to, text);
        if (broken !== undefined) return broken;
      }
    }
    for (const { attempt } of this.#d.begun) if (attempt > 3) return `attempt ${attempt}`;
    for (const { id, reason, attempts } of this.#d.letters.list()) {
      const made = this.#failures.get(id) ?? 0;
      if (attempts > 3 || (reason === 'exhausted' && made < 3))
        return `${id} is ${reason} after ${made} of ${attempts}`;
    }
    return this.#d.engine.sessions === 0 ? undefined : `${this.#d.engine.sessions} mailboxes are left`;
  }

  /** What its sender heard is what the session store has of it, and what the journal keeps under its id. */
  async #agrees(session: string, text: string, heard: string): Promise<string | undefined> {
    const id = this.#ids.get(text) ?? '';
    const commit = this.#commits.get(id);
    const stored = await this.#d.journal.find(dedupeKey(inbound({ id: text, namespace: `memory:${session}` })));
    if (heard.startsWith('ORRERY_') && this.#named.has(id)) return `${text} was answered and heard ${heard}`;
    if (heard.startsWith('ORRERY_')) return stored?.state.status === 'dead' ? undefined : `${text} is not dead`;
    if (commit?.text !== heard) return `${text} heard ${heard}, committed was ${String(commit?.text)}`;
    if (stored?.state.status !== 'answered') return `${text} is ${String(stored?.state.status)}`;
    if (stored.state.reply.message.content !== heard) return `${text} is kept as ${stored.state.reply.message.content}`;
    const { by } = stored.state;
    return by === undefined || by === commit.lead ? undefined : `${text} is said to be answered by ${by}`;
  }
}

function failure(turn: TurnRequest, code: ConstructorParameters<typeof OrreryError>[0]): TurnOutcome {
  return { turn: turn.turn, error: toWire(new OrreryError(code, 'as the test says')), streamed: false };
}

describe('delivery under any interleaving of the queue modes', () => {
  test.each([
    { slots: 1, maxTurns: 256 },
    { slots: 1, maxTurns: 1 },
    { slots: 2, maxTurns: 256 },
  ])(
    'queue - one turn a session, one commit and one answer a message, order, balance: $slots slots, $maxTurns turns',
    async ({ slots, maxTurns }) => {
      const result = await fc.check(
        fc.asyncProperty(fc.array(step, { maxLength: 50 }), async (steps) => {
          const broken = await new Play(slots, maxTurns).run(steps);
          if (broken !== undefined) throw new Error(broken);
        }),
        { numRuns: runs(150) },
      );
      expect(
        result.failed,
        `seed ${result.seed}, path ${String(result.counterexamplePath)}: ${JSON.stringify(result.counterexample)} ${String(result.errorInstance)}`,
      ).toBe(false);
    },
  );
});
