/**
 * Owns what the clients, the model server and the networks of a run saw, outside of the supervisor's process, and judges it at
 * the end. It reads no clock and does no input or output: what it is told is all that it knows.
 */
import { type PlannedMessage, type PlannedSession, readText } from './plan.ts';
import { type CalledMessage, type HeardMessage, type Send, judgeCalls, judgeSession } from './judgement.ts';

export type ViolationKind =
  | 'lost'
  | 'out-of-order'
  | 'committed-twice'
  | 'misrouted'
  | 'not-committed'
  | 'stranger'
  | 'wrong-reply'
  | 'two-outcomes'
  | 'model-called-again'
  | 'duplicate-under-key'
  | 'counters'
  | 'process-ended'
  | 'left-over';

export interface Violation {
  readonly kind: ViolationKind;
  readonly what: string;
  /** The message, where it is about one. */
  readonly id?: string;
}

export type Outcome =
  | { readonly status: 'answered'; readonly text: string }
  | { readonly status: 'dead'; readonly code: string };

/** A line of a session as it was read back. */
export interface HistoryLine {
  readonly role: string;
  readonly content: string;
}

interface Entry extends HeardMessage, CalledMessage {
  readonly message: PlannedMessage;
  readonly session: PlannedSession;
  outcome: Outcome | undefined;
  readonly sends: Send[];
  calls: number;
  completed: number;
  callsAfterAnswer: number;
  excusesAtSend: number;
  excuses: number;
  /** Kills of the process before its outcome was heard. */
  process: number;
  readonly story: string[];
}

export interface LedgerFigures {
  readonly messages: number;
  readonly answered: number;
  readonly dead: number;
  readonly deadBy: Readonly<Record<string, number>>;
  readonly sends: number;
  readonly refusals: number;
  readonly refusedBy: Readonly<Record<string, number>>;
  readonly connectionsLost: number;
  readonly askedInFlight: number;
  /** Replies that reached a network without keys once more. */
  readonly duplicatesSent: number;
  /** Replies that a network with keys was given once more, and knew by their key. */
  readonly duplicatesKnown: number;
  /** Dead ones that asked for nothing bad: a fault's victims. */
  readonly victims: number;
  /** Dead ones whose turn stands in its session: it was committed, and its answer did not get out. */
  readonly deadAndCommitted: number;
  /** Messages whose death was told, and decided anew because the process was killed before it was written. */
  readonly revived: number;
  readonly modelCalls: number;
  /** Deliveries by how many calls of theirs the model answered in full. */
  readonly callsPerDelivery: Readonly<Record<string, number>>;
}

export class Ledger {
  readonly #entries = new Map<string, Entry>();
  readonly #sessions = new Map<number, PlannedSession>();
  readonly #now: () => number;
  readonly #violations: Violation[] = [];
  readonly #refusedBy: Record<string, number> = {};
  #sends = 0;
  #refusals = 0;
  #lostConnections = 0;
  #inFlight = 0;
  #duplicatesSent = 0;
  #duplicatesKnown = 0;
  #settled = 0;
  #excusesBegun = 0;
  #excusesEnded = 0;
  #processes = 0;
  #revived = 0;
  #refusing = false;
  /** Sessions that may have had a message refused without its client hearing that. */
  readonly #loose = new Set<number>();
  #deadAndCommitted = 0;

  /** `now`: milliseconds since the run began, for the stories. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Messages that have an outcome. */
  get settled(): number {
    return this.#settled;
  }

  /** Messages that were sent and have no outcome. */
  get outstanding(): number {
    return this.#entries.size - this.#settled;
  }

  get violations(): readonly Violation[] {
    return this.#violations;
  }

  outcomeOf(id: string): Outcome | undefined {
    return this.#entries.get(id)?.outcome;
  }

  storyOf(id: string): readonly string[] {
    return this.#entries.get(id)?.story ?? [];
  }

  /** Notes a fact about a message that changes nothing here. */
  note(id: string, what: string): void {
    this.#entries.get(id)?.story.push(`${this.#now()} ms: ${what}`);
  }

  // What clients tell

  /** `connection`: what a session sends over one of them arrives in order. */
  sent(session: PlannedSession, message: PlannedMessage, connection = 0): void {
    this.#sends += 1;
    let entry = this.#entries.get(message.id);
    if (!entry) {
      entry = entryOf(session, message);
      entry.excusesAtSend = this.#excusesEnded;
      this.#entries.set(message.id, entry);
      this.#sessions.set(session.number, session);
    }
    entry.sends.push({ at: this.#sends, connection, refused: false });
    if (this.#refusing) this.#loose.add(session.number);
    this.note(message.id, `sent by ${session.way} (connection ${connection}) to ${session.agent}, send ${this.#sends}`);
  }

  /** Nothing of it was kept by its last send. */
  refused(id: string, code: string): void {
    this.#refusals += 1;
    this.#refusedBy[code] = (this.#refusedBy[code] ?? 0) + 1;
    this.note(id, `refused: ${code}`);
    const entry = this.#entries.get(id);
    const last = entry?.sends.at(-1);
    if (!entry || !last) return;
    last.refused = true;
    // Another one's refusal may have got lost with its connection.
    this.#loose.add(entry.session.number);
  }

  /** The connection ended before an answer: the message may have been accepted or not. */
  connectionLost(id: string, why: string): void {
    this.#lostConnections += 1;
    this.note(id, `connection lost: ${why}`);
  }

  inFlight(id: string): void {
    this.#inFlight += 1;
    this.note(id, 'still being answered');
  }

  /** An answer as its client read it: `text` under `id`, in the session that it names. */
  answered(id: string, text: string, namespace: string | undefined): void {
    const entry = this.#entries.get(id);
    if (!entry) return this.#violate('misrouted', `an answer came for ${id}, which was never sent: ${text}`);
    this.note(id, `answered: ${text}`);
    const about = idIn(text);
    if (about !== id)
      this.#violate('misrouted', `${id} was answered with what belongs to ${about ?? 'nobody'}: ${text}`, id);
    const own = namespaceOf(entry.session);
    if (namespace !== undefined && namespace !== own) {
      this.#violate('misrouted', `${id} of ${own} was answered in ${namespace}`, id);
    }
    this.#settle(entry, { status: 'answered', text });
  }

  died(id: string, code: string): void {
    const entry = this.#entries.get(id);
    if (!entry) return this.#violate('misrouted', `an error came for ${id}, which was never sent: ${code}`);
    this.note(id, `dead: ${code}`);
    this.#settle(entry, { status: 'dead', code });
  }

  /** A network got an answer to a message that it had an answer to; `known`: by its key, so that nobody sees it twice. */
  repeated(id: string, known: boolean): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.note(id, known ? 'sent again under its key' : 'sent again');
    if (known) this.#duplicatesKnown += 1;
    else if (entry.session.way === 'keyless') this.#duplicatesSent += 1;
    else this.#violate('duplicate-under-key', `${id} was answered twice by ${entry.session.way}`, id);
  }

  /** The pieces that were streamed were not the answer. */
  garbled(id: string, pieces: string, answer: string): void {
    this.#violate('wrong-reply', `${id} was answered with "${answer}", and in pieces with "${pieces}"`, id);
  }

  // What the model server tells

  modelCalled(id: string): void {
    const entry = this.#entries.get(id);
    if (!entry) return this.#violate('misrouted', `the model was called for ${id}, which was never sent`);
    entry.calls += 1;
    this.note(id, `model call ${entry.calls}`);
    if (entry.outcome?.status === 'answered') entry.callsAfterAnswer += 1;
  }

  /** The model answered a call in full. */
  modelAnswered(id: string): void {
    const entry = this.#entries.get(id);
    if (entry) entry.completed += 1;
  }

  // What the faults tell

  /** A fault begins that may make turns run again: so many times each at most. */
  excuseBegins(times = 1): void {
    this.#excusesBegun += times;
  }

  excuseEnds(times = 1): void {
    this.#excusesEnded += times;
  }

  /** The process was killed: what it had told and not written is decided anew. */
  processKilled(): void {
    this.#processes += 1;
  }

  /** While messages may be refused, a refusal may get lost with its connection. */
  refusing(begins: boolean): void {
    this.#refusing = begins;
    if (!begins) return;
    for (const { outcome, session } of this.#entries.values()) if (!outcome) this.#loose.add(session.number);
  }

  /** A death was told, the process killed before it was written, and the next one answered: nobody heard that. It must have been told in a process that was killed. */
  decidedAnew(id: string): void {
    const entry = this.#entries.get(id);
    if (entry && entry.process < this.#processes) this.#revived += 1;
    else this.#violate('two-outcomes', `${id} was dead, and its process went on and answered it`, id);
  }

  // The judgement

  /** Compares two counts that must agree. */
  expectEqual(what: string, left: number, right: number): void {
    if (left !== right) this.#violate('counters', `${what}: ${left} and ${right}`);
  }

  leftOver(what: string): void {
    this.#violate('left-over', what);
  }

  /** The process did not live, start or stop as it should. */
  processEnded(what: string): void {
    this.#violate('process-ended', what);
  }

  /** Judges every message and session; `histories` holds what was read back of each session that is kept, by its number. */
  judge(histories: ReadonlyMap<number, readonly HistoryLine[]>): readonly Violation[] {
    for (const { message, outcome } of this.#entries.values()) {
      if (!outcome) this.#violate('lost', `${message.id} has neither an answer nor an error`, message.id);
    }
    for (const session of this.#sessions.values()) {
      const heard = session.messages.flatMap(({ id }) => this.#entries.get(id) ?? []);
      const history = session.kept ? (histories.get(session.number) ?? []) : [];
      this.#violations.push(...judgeSession(session, heard, history, this.#loose.has(session.number)));
      for (const { role, content } of history) {
        if (role !== 'user') continue;
        if (this.outcomeOf(readText(content)?.id ?? '')?.status === 'dead') this.#deadAndCommitted += 1;
      }
    }
    for (const entry of this.#entries.values()) this.#violations.push(...judgeCalls(entry));
    return this.#violations;
  }

  figures(): LedgerFigures {
    const entries = [...this.#entries.values()];
    const deadBy: Record<string, number> = {};
    const callsPerDelivery: Record<string, number> = {};
    for (const { outcome, session, completed } of entries) {
      if (outcome?.status === 'dead') deadBy[outcome.code] = (deadBy[outcome.code] ?? 0) + 1;
      if (session.agent === 'model') callsPerDelivery[completed] = (callsPerDelivery[completed] ?? 0) + 1;
    }
    return {
      messages: entries.length,
      answered: entries.filter(({ outcome }) => outcome?.status === 'answered').length,
      dead: entries.filter(({ outcome }) => outcome?.status === 'dead').length,
      deadBy,
      sends: this.#sends,
      refusals: this.#refusals,
      refusedBy: { ...this.#refusedBy },
      connectionsLost: this.#lostConnections,
      askedInFlight: this.#inFlight,
      duplicatesSent: this.#duplicatesSent,
      duplicatesKnown: this.#duplicatesKnown,
      victims: entries.filter(({ outcome, message }) => outcome?.status === 'dead' && message.act !== 'fail').length,
      deadAndCommitted: this.#deadAndCommitted,
      revived: this.#revived,
      modelCalls: entries.reduce((sum, { calls }) => sum + calls, 0),
      callsPerDelivery,
    };
  }

  #settle(entry: Entry, outcome: Outcome): void {
    const known = entry.outcome;
    if (!known) {
      entry.outcome = outcome;
      entry.excuses = this.#excusesBegun - entry.excusesAtSend;
      entry.process = this.#processes;
      this.#settled += 1;
      return;
    }
    if (known.status === outcome.status && wordOf(known) === wordOf(outcome)) return;
    if (known.status === 'dead' && entry.process !== this.#processes) {
      // Steps after acceptance are written behind: a process that is killed may take a death with it that was told.
      entry.outcome = outcome;
      entry.process = this.#processes;
      this.#revived += 1;
      return;
    }
    this.#violate('two-outcomes', `${entry.message.id} was ${shown(known)}, then ${shown(outcome)}`, entry.message.id);
  }

  #violate(kind: ViolationKind, what: string, id?: string): void {
    this.#violations.push(id === undefined ? { kind, what } : { kind, what, id });
  }
}

/** The namespace of a session, below its channel's. */
export function namespaceOf({ number }: Pick<PlannedSession, 'number'>): string {
  return `s${number}`;
}

function entryOf(session: PlannedSession, message: PlannedMessage): Entry {
  return {
    session,
    message,
    outcome: undefined,
    sends: [],
    calls: 0,
    completed: 0,
    callsAfterAnswer: 0,
    excusesAtSend: 0,
    excuses: 0,
    process: 0,
    story: [],
  };
}

/** Every agent's reply ends with the message's id. */
function idIn(text: string): string | undefined {
  return readText(text)?.id ?? /^n\d+ (s\d+-\d+)$/.exec(text)?.[1];
}

function wordOf(outcome: Outcome): string {
  return outcome.status === 'answered' ? outcome.text : outcome.code;
}

function shown(outcome: Outcome): string {
  return `${outcome.status} (${wordOf(outcome)})`;
}
