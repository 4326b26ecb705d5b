/**
 * Owns one slot: an agent host and what carries it, a pool thread or a child process, over its generations. It launches them,
 * watches their end and their heartbeat, and takes calls there. It decides nothing: who restarts it, and when, is told from
 * outside.
 */
import { setImmediate as nextTick } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import type { Line } from '../../lib/line.ts';
import {
  DELTA_CREDITS,
  OrreryError,
  type SessionsTask,
  SLOT_WORD,
  type SlotEvent,
  type SlotExit,
  type SlotState,
  type TurnKey,
  type TurnOutcome,
  type TurnRequest,
  type WireDeltas,
  type WorkerLog,
  codeOf,
  messageOf,
  packTurns,
  transitionSlot,
  unpackOutcomes,
} from '../../protocol/index.ts';
import type { Carrier, CarrierEnd, Launch } from './carrier.ts';
import { Remote } from './remote.ts';

/** How a slot's generation ended. */
export interface SlotEnd {
  readonly exit: SlotExit;
  /** What its pending calls were rejected with: `ORRERY_WORKER_EXITED`, `_UNRESPONSIVE` or `_OUT_OF_MEMORY`. */
  readonly error: OrreryError;
  /** The number of the agent runtime whose code threw or exited, where the thread could still tell. */
  readonly blamed: number | undefined;
  /** The turns that this code may have belonged to, by their places among those that were begun: mostly one. Undefined for code of no turn. */
  readonly blamedTurns: PlaceRange | undefined;
  /** The code that the thread's own `process.exit` was given. */
  readonly exitCode: number | undefined;
  /** How many turns the thread had begun in this generation: later ones were never seen by an agent. */
  readonly begun: number;
}

export interface PlaceRange {
  readonly from: number;
  readonly to: number;
}

export interface SlotEvents {
  ready(slot: Slot): void;
  exited(slot: Slot, end: SlotEnd): void;
  outcomes(slot: Slot, outcomes: readonly TurnOutcome[]): void;
  delta(slot: Slot, turn: TurnKey, text: string): void;
  changed(slot: Slot): void;
}

export interface SlotOptions {
  readonly label: string;
  readonly number: number;
  readonly isolation: SlotIsolation;
  /** Default false. */
  readonly quarantine?: boolean;
  readonly launch: Launch;
  readonly heartbeatMs: number;
  readonly turnTimeoutMs: number;
  readonly sessions: SessionsTask;
  readonly log: WorkerLog;
  readonly events: SlotEvents;
}

/** Whether a slot is there for whoever comes, or for one agent: on a thread, or in a process. */
export type SlotIsolation = 'shared' | 'dedicated' | 'process';

/** Looks at its counter and answers what is to be done; the pool's monitor owns the clock. */
export interface SlotPulse {
  readonly beat: number;
  readonly running: number;
}

export class Slot {
  readonly label: string;
  readonly number: number;
  readonly isolation: SlotIsolation;
  /** It runs suspects, one at a time, and is there only while there are some. */
  readonly quarantine: boolean;
  readonly #options: SlotOptions;
  #state: SlotState = { status: 'exited', generation: 0, exit: 'clean' };
  #remote: Remote | undefined;
  #carrier: Carrier | undefined;
  #killCause: OrreryError | undefined;
  #lastExit: SlotExit = 'clean';
  #ended: Promise<void> = Promise.resolve();
  /** Agent runtimes placed here. */
  readonly runtimes: Set<string> = new Set();
  /** Restarts since the pool's start. */
  restarts = 0;
  /** Event-loop utilization between the last two looks, 0 to 1. */
  utilization = 0;

  constructor(options: SlotOptions) {
    this.#options = options;
    this.label = options.label;
    this.number = options.number;
    this.isolation = options.isolation;
    this.quarantine = options.quarantine ?? false;
  }

  /** Whether it lives for one agent. */
  get dedicated(): boolean {
    return this.isolation !== 'shared';
  }

  get state(): SlotState {
    return this.#state;
  }

  get generation(): number {
    return this.#state.generation;
  }

  /** Hands turns to the agent host; returns on receipt, with the outcomes that are ready. */
  async dispatch(turns: readonly TurnRequest[]): Promise<readonly TurnOutcome[]> {
    return unpackOutcomes(await this.remote.dispatch(packTurns(turns, this.#options.turnTimeoutMs)));
  }

  get remote(): Remote {
    if (!this.#remote) throw new OrreryError('ORRERY_SLOT_NOT_READY', `Slot ${this.label} was not started`);
    return this.#remote;
  }

  get pulse(): SlotPulse {
    return {
      beat: this.#carrier?.word(SLOT_WORD.beat) ?? 0,
      running: this.#carrier?.word(SLOT_WORD.running) ?? 0,
    };
  }

  /** Resolves when the present generation has ended. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Begins a new generation. Only an exited slot can begin one. */
  start(): void {
    this.#apply({ type: 'restart' });
    if (this.#state.status !== 'starting') return;
    const { generation } = this.#state;
    const { heartbeatMs, turnTimeoutMs, sessions, log } = this.#options;
    const task = { slot: this.number, generation, heartbeatMs, turnTimeoutMs, sessions, log };
    const carrier = this.#options.launch(task);
    this.#carrier = carrier;
    this.#killCause = undefined;
    this.utilization = 0;
    this.#remote = new Remote(carrier.calls);
    this.#listen(carrier.deltas);
    this.#ended = carrier.ended.then((end) => this.#exit(carrier, end));
    void this.#collect(this.#remote, generation);
  }

  /** Ends the generation. A thread that native code holds cannot be stopped and lives on as a zombie; a process can. */
  kill(cause: OrreryError): void {
    if (this.#state.status === 'exited' || this.#killCause) return;
    this.#killCause = cause;
    this.#carrier?.kill();
  }

  /** Stops every agent within the time, then what carries them; kills it when it does not end by then. */
  async stop(timeoutMs: number): Promise<boolean> {
    if (this.#state.status === 'exited') return true;
    this.#apply({ type: 'drain' });
    // The task's end may come before the answer to this call, and whoever hears of it may start the next generation: that
    // one is neither waited for nor killed here.
    const { generation } = this.#state;
    const ended = this.#ended;
    const timer = setTimeout(() => {
      if (this.#state.generation !== generation) return;
      this.kill(new OrreryError('ORRERY_SHUTDOWN_DEADLINE', `Slot ${this.label} did not stop within ${timeoutMs} ms`));
    }, timeoutMs);
    // A host that dies while it stops has nothing left to stop.
    await this.remote.host.stop(Math.max(0, timeoutMs - STOP_MARGIN_MS)).catch(() => undefined);
    await ended;
    clearTimeout(timer);
    return this.#lastExit === 'clean';
  }

  /** Tells the machine what a look at the heartbeat found. */
  judged(silent: boolean, now: number): void {
    if (silent && this.#state.status === 'ready') this.#apply({ type: 'silent', at: now });
    if (!silent && this.#state.status === 'unresponsive') this.#apply({ type: 'beat', at: now });
  }

  /** Measures the loop utilization since the last call: 2 us, and tells a stuck one from an idle one. */
  measure(): void {
    if (this.#carrier && this.#state.status !== 'exited') this.utilization = this.#carrier.measure();
  }

  /** The thread of the present generation, once it said who it is. */
  get thread(): Worker | undefined {
    return this.#carrier?.thread;
  }

  /** The child process of the present generation, while it lives. */
  get pid(): number | undefined {
    return this.#carrier?.pid;
  }

  /** Keeps one `collect` under way; the first answer of any kind proves that the host is up. */
  async #collect(remote: Remote, generation: number): Promise<void> {
    try {
      // A round trip that does nothing, so that `ready` means ready: the host serves calls.
      await reached(remote);
      if (this.#state.generation !== generation) return;
      this.#apply({ type: 'ready', at: Date.now() });
      if (this.#state.status === 'ready') this.#options.events.ready(this);
      for (;;) {
        const outcomes = unpackOutcomes(await remote.collect());
        if (this.#state.generation !== generation || this.#state.status === 'exited') return;
        if (outcomes.length > 0) this.#options.events.outcomes(this, outcomes);
        else if (this.#state.status === 'draining') return;
      }
    } catch {
      // The channel closed: the end of the resident task tells why.
    }
  }

  #listen(line: Line): void {
    const { events } = this.#options;
    let taken = 0;
    line.on('message', (message) => {
      const pairs = message as WireDeltas;
      for (let i = 0; i < pairs.length; i += 2) events.delta(this, pairs[i] as TurnKey, pairs[i + 1] as string);
      // Credit goes back in halves: one message for many.
      taken += 1;
      if (taken < DELTA_CREDITS / 2) return;
      line.postMessage(taken);
      taken = 0;
    });
  }

  /** Once a generation: lines close before or after its end, and only the end is listened to. */
  async #exit(carrier: Carrier, { exit: seen, cause, exitCode }: CarrierEnd): Promise<void> {
    const exit = this.#killCause ? 'killed' : seen;
    const error = this.#killCause ?? endError(this.label, exit, cause);
    // A thread's end travels on a port of piscina's and may overtake the last outcomes. They are taken in first, and
    // their promises settle, so that no turn that ended is run again.
    this.#remote?.drain();
    await nextTick();
    const blamed = carrier.word(SLOT_WORD.blamed);
    const blamedTurns = { from: carrier.word(SLOT_WORD.blamedFrom), to: carrier.word(SLOT_WORD.blamedTo) };
    this.#lastExit = exit;
    this.#apply({ type: 'exit', exit });
    this.#remote?.close(error);
    carrier.deltas.close();
    this.#options.events.exited(this, {
      exit,
      error,
      blamed: blamed > 0 ? blamed : undefined,
      blamedTurns: blamedTurns.from > 0 ? blamedTurns : undefined,
      exitCode,
      begun: carrier.word(SLOT_WORD.begun),
    });
  }

  #apply(event: SlotEvent): void {
    const next = transitionSlot(this.#state, event);
    if (!next) return;
    this.#state = next;
    this.#options.events.changed(this);
  }
}

/** Time that a host keeps for itself between its agents' stop and the kill. */
const STOP_MARGIN_MS = 250;

/** A thread may take longer to come up than a call may take: it is asked again until it answers, or its channel closes. */
async function reached(remote: Remote): Promise<void> {
  for (;;) {
    try {
      await remote.host.cancel([], 'cancelled');
      return;
    } catch (error) {
      if (codeOf(error) !== 'ORRERY_CALL_DEADLINE') throw error;
    }
  }
}

function endError(label: string, exit: SlotExit, cause: unknown): OrreryError {
  const options = { details: { slot: label }, ...(cause === undefined ? {} : { cause }) };
  if (exit === 'oom') {
    return new OrreryError('ORRERY_WORKER_OUT_OF_MEMORY', `Slot ${label} reached its heap limit`, options);
  }
  const why = cause === undefined ? 'it ended' : messageOf(cause);
  return new OrreryError('ORRERY_WORKER_EXITED', `Slot ${label} ended: ${why}`, options);
}
