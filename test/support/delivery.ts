/** Owns a delivery engine with a slot that answers as a test says: no thread, every interleaving in the test's hand. */
import { pino } from 'pino';
import {
  Account,
  AdmissionControl,
  DeliveryEngine,
  Intake,
  MemoryJournal,
  type Origin,
  OriginBook,
} from '../../src/main/delivery/index.ts';
import type { AdmissionBounds } from '../../src/main/delivery/admission.ts';
import type { EngineOptions } from '../../src/main/delivery/engine.ts';
import type { IntakeOptions } from '../../src/main/delivery/intake.ts';
import type { MemoryLetters } from '../../src/main/delivery/memory-letters.ts';
import type { TurnHost } from '../../src/main/delivery/lanes.ts';
import type { Findings, SlotLoss } from '../../src/main/delivery/loss.ts';
import type { QuarantineHost, Trial, TrialRequest } from '../../src/main/delivery/quarantine.ts';
import { rendezvous } from '../../src/main/pool/placement.ts';
import {
  type Accepted,
  type CancelCause,
  type DeliveryListener,
  type InboundMessage,
  type JoinedMessage,
  NO_USAGE,
  OrreryError,
  type OutboundError,
  type OutboundMessage,
  type QueueMode,
  type Reply,
  type TurnOutcome,
  type TurnRequest,
  toWire,
} from '../../src/protocol/index.ts';
import { inbound } from './channels.ts';

export function replyOf(content: string): Reply {
  return { message: { role: 'assistant', content }, usage: NO_USAGE, steps: 0 };
}

/** A slot whose turns end when a test ends them. */
export class FakeSlot implements TurnHost {
  readonly number: number;
  generation = 1;
  /** Turns that the slot has and that have not ended. */
  readonly running: Map<string, TurnRequest> = new Map();
  /** What was offered to turns and not taken back, by their keys. */
  readonly steered: Map<number, readonly JoinedMessage[]> = new Map();
  readonly cancelled: { readonly id: string; readonly turn: number; readonly cause: CancelCause }[] = [];
  /** While set, calls do not reach the slot. */
  held: Promise<readonly TurnOutcome[]> | undefined;
  /** Every turn that came, in order. */
  readonly begun: TurnRequest[] = [];

  readonly #all: TurnRequest[];

  /** `all` is given every turn that comes, too. */
  constructor(number = 0, all: TurnRequest[] = []) {
    this.number = number;
    this.#all = all;
  }

  get label(): string {
    return `fake-${this.number}`;
  }

  dispatch(turns: readonly TurnRequest[]): Promise<readonly TurnOutcome[]> {
    if (this.held) return this.held;
    for (const turn of turns) {
      this.running.set(turn.id, turn);
      this.begun.push(turn);
      this.#all.push(turn);
    }
    return Promise.resolve([]);
  }

  steer(turn: number, messages: readonly JoinedMessage[]): Promise<void> {
    this.steered.set(turn, [...(this.steered.get(turn) ?? []), ...messages]);
    return Promise.resolve();
  }

  unsteer(turn: number, deliveries: readonly string[]): Promise<readonly string[]> {
    const offered = this.steered.get(turn) ?? [];
    this.steered.set(
      turn,
      offered.filter(({ id }) => !deliveries.includes(id)),
    );
    return Promise.resolve(offered.map(({ id }) => id).filter((id) => deliveries.includes(id)));
  }

  cancel(turns: readonly number[], cause: CancelCause): Promise<void> {
    for (const { turn, id } of this.begun) if (turns.includes(turn)) this.cancelled.push({ id, turn, cause });
    return Promise.resolve();
  }

  /** The running turn with this text. */
  turn(content: string): TurnRequest {
    const found = [...this.running.values()].find((turn) => turn.message.content === content);
    if (!found) throw new Error(`No turn with ${content} is running`);
    return found;
  }
}

/** Sees what a sender sees. */
export class TestOrigin implements Origin {
  readonly book: OriginBook = new OriginBook();
  /** What the sender heard, in order: texts of replies, and codes of errors. */
  readonly heard: string[] = [];
  readonly errors: OutboundError[] = [];
  readonly replies: OutboundMessage[] = [];
  /** The mode of messages that ask for none. */
  mode: QueueMode = 'followup';
  /** The same with the id of the message that was answered. */
  readonly answers: { readonly to: string; readonly text: string }[] = [];
  typingNow = 0;
  /** Behaviours of the next sends; later ones succeed at once. */
  readonly sends: (() => void | Promise<void>)[] = [];

  reply(out: OutboundMessage): void | Promise<void> {
    const hear = (): void => {
      this.#hear(out.target.inReplyTo, out.reply.message.content);
    };
    this.replies.push(out);
    const sent = this.sends.shift()?.();
    return sent ? sent.then(hear) : hear();
  }

  error(out: OutboundError): void | Promise<void> {
    const hear = (): void => {
      this.errors.push(out);
      this.#hear(out.target.inReplyTo, out.error.code ?? 'error');
    };
    const sent = this.sends.shift()?.();
    return sent ? sent.then(hear) : hear();
  }

  #hear(to: string, text: string): void {
    this.heard.push(text);
    this.answers.push({ to, text });
  }

  /** Messages of which it was told that the next process answers them. */
  readonly leftIds: string[] = [];

  left(out: OutboundError): void {
    this.leftIds.push(out.target.inReplyTo);
  }

  queue(): QueueMode {
    return this.mode;
  }

  typing(): Disposable {
    this.typingNow += 1;
    return {
      [Symbol.dispose]: () => {
        this.typingNow -= 1;
      },
    };
  }
}

/** Gives one fake slot for trials, at once, and writes down what it is told. */
export class FakeQuarantine implements QuarantineHost {
  readonly slot: FakeSlot;
  /** What was told, in order: `guilty a`, `retry a`, `innocent a`, `unexplained 0`. */
  readonly told: string[] = [];
  readonly opened: TrialRequest[] = [];
  /** While set, no agent starts there. */
  closed: OrreryError | undefined;
  /** While set, the slot is still coming up. */
  coming: Promise<void> | undefined;

  constructor(slot: FakeSlot) {
    this.slot = slot;
  }

  open(request: TrialRequest): Promise<Trial> {
    this.opened.push(request);
    if (this.coming) return this.coming.then(() => this.#trial(request));
    return this.#trial(request);
  }

  #trial({ runtime }: TrialRequest): Promise<Trial> {
    if (this.closed) return Promise.reject(this.closed);
    return Promise.resolve({ host: this.slot, runtime: `${runtime}#quarantine` });
  }

  rest(): void {
    if (this.slot.running.size > 0) throw new Error('a trial runs');
  }

  guilty(runtime: string, _: OrreryError, poison: boolean): void {
    this.told.push(`${poison ? 'guilty' : 'retry'} ${runtime}`);
  }

  innocent(runtime: string): void {
    this.told.push(`innocent ${runtime}`);
  }

  unexplained(slot: number): void {
    this.told.push(`unexplained ${slot}`);
  }
}

/** Intake, journal and engine as the supervisor wires them, with an agent `a` of as many runtimes as there are slots. */
export class DeliveryUnderTest {
  readonly account: Account = new Account();
  readonly journal: MemoryJournal;
  readonly engine: DeliveryEngine;
  readonly intake: Intake;
  readonly origin: TestOrigin = new TestOrigin();
  readonly slots: readonly FakeSlot[];
  readonly quarantine: FakeQuarantine;
  /** The slots, and the one of trials. */
  readonly all: readonly FakeSlot[];
  /** Every turn that any of them was given, in order. */
  readonly begun: TurnRequest[] = [];
  now = 0;

  constructor(
    o: Partial<EngineOptions> &
      Partial<AdmissionBounds> &
      Partial<IntakeOptions> & { readonly slots?: number; readonly maxDeadLetters?: number } = {},
  ) {
    const { slots = 1, maxDeadLetters = 100, ...options } = o;
    const { journal } = options;
    this.journal =
      journal instanceof MemoryJournal
        ? journal
        : new MemoryJournal({
            dedupeRetentionMs: 1_000,
            replyRetentionMs: 1_000,
            idPrefix: 't',
            maxDeadLetters,
            now: () => this.now,
          });
    this.engine = new DeliveryEngine({
      journal: this.journal,
      account: this.account,
      log: pino({ enabled: false }),
      maxAttempts: 3,
      turnTimeoutMs: 1_000,
      maxTurnsPerAgent: 256,
      retry: { minMs: 0, maxMs: 0, jitter: 0 },
      maxSends: 3,
      maxHeld: 100,
      maxHeldMs: 60_000,
      pickReplica: rendezvous,
      random: () => 0,
      quarantine: () => this.quarantine,
      ...options,
    });
    this.intake = new Intake({
      engine: this.engine,
      journal: this.journal,
      account: this.account,
      admission: new AdmissionControl({
        maxPending: 10_000,
        maxJournalLag: 1_000,
        maxLoopDelayMs: 1_000,
        finished: () => this.account.answered + this.account.dead,
        appends: () => this.journal.lag.appends,
        ...options,
      }),
      log: pino({ enabled: false }),
      mailboxSize: 64,
      maxMessageBytes: 1_048_576,
      ...options,
    });
    this.intake.open();
    this.slots = Array.from({ length: slots }, (_, i) => new FakeSlot(i, this.begun));
    this.quarantine = new FakeQuarantine(new FakeSlot(99, this.begun));
    this.all = [...this.slots, this.quarantine.slot];
    for (const slot of this.slots) this.engine.roster.add('a', runtimeOf(slot));
    for (const slot of this.slots) this.up(slot);
  }

  get letters(): MemoryLetters {
    return this.journal.letters;
  }

  get slot(): FakeSlot {
    const [slot] = this.slots;
    if (!slot) throw new Error('there is no slot');
    return slot;
  }

  up(slot: FakeSlot): void {
    this.engine.roster.up(runtimeOf(slot), this.engine.slotUp(slot));
  }

  /** The slot's generation ends, and a new one begins; `begun` of its turns had begun. */
  async crash(slot: FakeSlot, o: Crash = {}): Promise<Findings> {
    const runtime = runtimeOf(slot);
    this.#end(slot);
    this.engine.roster.waiting(runtime);
    const findings = this.engine.slotDown(slot.number, lossOf(o, runtime));
    slot.generation += 1;
    this.up(slot);
    await tick();
    return findings;
  }

  /** The slot of the trial that runs ends. */
  async crashTrial(o: Crash = {}): Promise<void> {
    const { slot } = this.quarantine;
    this.#end(slot);
    slot.generation += 1;
    this.engine.trialDown(slot.number, lossOf(o, 'a'));
    await tick();
  }

  send(
    content: string,
    session = 'alice',
    over: Partial<InboundMessage> = {},
    listener?: DeliveryListener,
  ): Promise<Accepted> {
    const message = inbound({ namespace: `memory:${session}`, message: { role: 'user', content }, ...over });
    return this.intake.accept(message, () => 'a', this.origin, listener);
  }

  /**
   * Ends a running turn with a reply: its text, unless another is given. It answers those that were joined, unless told otherwise, and so many of
   * those that were steered into it.
   */
  async reply(
    content: string,
    text: string = content,
    o: { readonly steered?: number; readonly joined?: boolean } = {},
  ): Promise<void> {
    await this.#settle(content, ({ turn, joined = [] }, { steered }) => {
      const taken = (steered.get(turn) ?? []).slice(0, o.steered ?? 0);
      const answers = [...(o.joined === false ? [] : joined), ...taken].map(({ id }) => id);
      const reply = replyOf(text);
      return answers.length === 0 ? { turn, reply } : { turn, reply, answers };
    });
  }

  async fail(content: string, error: unknown, streamed = false): Promise<void> {
    await this.#settle(content, ({ turn }) => ({ turn, error: toWire(error), streamed }));
  }

  #end(slot: FakeSlot): void {
    slot.running.clear();
    slot.steered.clear();
  }

  async #settle(content: string, outcome: (turn: TurnRequest, slot: FakeSlot) => TurnOutcome): Promise<void> {
    for (const slot of this.all) {
      const turn = [...slot.running.values()].find((t) => t.message.content === content);
      if (!turn) continue;
      slot.running.delete(turn.id);
      this.engine.outcomesOf(slot.number, [outcome(turn, slot)]);
      await tick();
      return;
    }
    throw new Error(`No turn with ${content} is running`);
  }
}

/** How a slot ends in a test. */
export interface Crash {
  /** Default: all of them. */
  readonly begun?: number;
  readonly intended?: boolean;
  /** The slot is one agent's own. Default: it is shared. */
  readonly own?: boolean;
  /** The slot's agent did it. */
  readonly blamed?: boolean;
  readonly blamedTurn?: number;
  /** The last of several that it may have been. */
  readonly blamedTo?: number;
  /** Whose code it was; default: that of the slot's own runtime, if any is blamed. */
  readonly blamedRuntime?: string;
  readonly code?: 'ORRERY_WORKER_EXITED' | 'ORRERY_WORKER_UNRESPONSIVE';
}

function lossOf(o: Crash, runtime: string): SlotLoss {
  return {
    error: new OrreryError(o.code ?? 'ORRERY_WORKER_EXITED', 'crashed'),
    blamed: o.blamedRuntime ?? (o.blamed === true || o.blamedTurn !== undefined ? runtime : undefined),
    blamedTurns: o.blamedTurn === undefined ? undefined : { from: o.blamedTurn, to: o.blamedTo ?? o.blamedTurn },
    begun: o.begun ?? Infinity,
    own: o.own ?? false,
    intended: o.intended ?? false,
  };
}

export function runtimeOf(slot: FakeSlot): string {
  return slot.number === 0 ? 'a' : `a#${slot.number + 1}`;
}

/** Lets microtasks, immediates and timers of no delay run. */
export async function tick(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await new Promise((resolve) => {
      setTimeout(resolve, 0);
    });
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}
