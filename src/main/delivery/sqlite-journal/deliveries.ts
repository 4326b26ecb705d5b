/**
 * Owns where a delivery lies, in the log or in a row of its own, and what a key that comes again is answered. All that changes happens inside of
 * the file's transactions.
 */
import type { DeliveryId, InboundMessage } from '../../../protocol/index.ts';
import { dedupeKey } from '../journal.ts';
import { KeyTable } from './key-table.ts';
import { type LogEntry, MessageLog } from './message-log.ts';
import { type PackedAppends, type PackedMarks, fileKeyOf } from './packed-work.ts';
import {
  type JournalSetup,
  type KnownDelivery,
  type WorkException,
  type WorkRequest,
  deliveryId,
  pendingOf,
  seqOf,
} from './packed.ts';
import { LEFT, STATUS } from './schema.ts';
import type { Row, Statements } from './statements.ts';
import type { TakenAway } from './taken-away.ts';
import { type Tally, type Totals, newTally } from './totals.ts';
import { Appends, Marked, hashOf } from './unpacked-work.ts';

/** Rows and characters of a page of unfinished deliveries. */
const PAGE_ROWS = 256;
const PAGE_CHARS = 1024 * 1024;
/** The columns of such a row that may be long: state, body, reply, about. */
const TEXTS = [5, 6, 12, 13] as const;
/** The column of its key. */
const KEY = 2;

export class Deliveries {
  readonly #setup: JournalSetup;
  readonly #sql: Statements;
  readonly #taken: TakenAway;
  readonly #log: MessageLog;
  readonly #keys = new KeyTable();
  /** Deliveries in the log whose keys the transaction under way has freed: their rows say nothing of that. */
  readonly #freed = new Set<number>();
  /** No unfinished row had an earlier place when it was opened. */
  #firstPlace = Infinity;
  #key = '';
  /** Not one for each message. */
  readonly #holds = (seq: number): boolean => {
    if (!this.#log.has(seq)) return this.#sql.known.get(seq, this.#key) !== undefined;
    return !this.#freed.has(seq) && this.#log.holds(seq, this.#key);
  };

  constructor(sql: Statements, setup: JournalSetup, taken: TakenAway) {
    this.#sql = sql;
    this.#setup = setup;
    this.#taken = taken;
    this.#log = new MessageLog(sql, setup);
  }

  /** One walk over all that is there. Returns the last sequence number. */
  load(totals: Totals): number {
    for (const [seq, key, status, replays, position, finishedAt] of this.#sql.rows.each()) {
      if (key !== null) this.#keys.add(key as string, seq as number);
      totals.addRow(status as number, replays as number);
      if (finishedAt === null) this.#firstPlace = Math.min(this.#firstPlace, position as number);
    }
    const last = this.#log.load((seq, key) => {
      const other = this.#find(key);
      // A row of its own says itself that it has the key: one of a later start, or a dead letter that was put back.
      if (other !== 0 && !this.#log.has(other)) return;
      if (other !== 0) this.#keys.remove(key, other);
      this.#keys.add(key, seq);
    });
    totals.add({ ...newTally(), ...this.#log.counts() });
    const [first = Infinity] = this.#log.unfinished();
    this.#firstPlace = Math.min(this.#firstPlace, first);
    return Math.max(last, Number(this.#sql.last.get()?.[0] ?? 0));
  }

  /** Inside of a transaction, as all that follows until its end. */
  work({ at, appends, marks, withdrawn }: WorkRequest, tally: Tally): readonly WorkException[] {
    this.#log.begin(at, appends, marks);
    for (const seq of withdrawn) this.#withdraw(seq, tally);
    this.#mark(marks, at, tally);
    return this.#append(appends, at, tally);
  }

  /** Work that brings nothing. Without a time it is that of the newest before. */
  begin(at?: number): void {
    this.#log.begin(at);
  }

  /** Gives all that is unfinished rows of their own: whoever recovers or looks into the file finds it there. */
  moveUnfinished(): void {
    for (const seq of this.#log.unfinished()) {
      const entry = this.#log.entry(seq);
      if (!entry) continue;
      this.#move(entry);
      this.#log.leave(seq, LEFT.moved);
    }
  }

  /** Forgets no more than `limit` deliveries of the log and those beside the last; returns whether there may be more to forget. */
  forget(at: number, limit: number): boolean {
    for (let count = 0; count < limit;) {
      const gone = this.#log.forget(at, (entry) => this.#move(entry));
      if (!gone) return false;
      for (const [seq, key] of gone) this.#taken.deleted({ seq, key, status: STATUS.answered, replays: 0 });
      count += Math.max(1, gone.length);
    }
    return true;
  }

  /** Takes texts out of the log that are needed no more; see {@link MessageLog.trim}. */
  trim(limit: number, all: boolean): boolean {
    return this.#log.trim(limit, all);
  }

  /** Puts a dead letter back, which takes its key again unless another message has that now. Undefined where there is no such letter. */
  replay(id: DeliveryId, position: number, at: number): Row | undefined {
    const seq = seqOf(id) || 0;
    const row = this.#sql.replay.get(seq, id, position, at);
    if (!row || row[KEY] !== null) return row;
    const key = fileKeyOf(dedupeKey(pendingOf(row).inbound));
    const holder = this.#find(key);
    if (holder !== 0 && !this.#expire(holder, key, at)) return row;
    this.#sql.takeKey.run(seq, key);
    this.#keys.add(key, seq);
    return row;
  }

  /** Looks anew for what may be forgotten. */
  rewind(): void {
    this.#log.rewind();
  }

  /** The last act of a transaction before its commit. */
  write(): void {
    this.#log.write();
  }

  committed(): void {
    this.#freed.clear();
    this.#log.committed();
  }

  rolledBack(): void {
    this.#freed.clear();
    this.#log.rolledBack();
  }

  /** What was freed by a transaction that is committed. */
  forgetKey(key: string, seq: number): void {
    this.#keys.remove(key, seq);
  }

  /** Returns which messages are there already, and what is known of them. */
  look(appends: PackedAppends, at: number): readonly WorkException[] {
    const known: WorkException[] = [];
    const messages = new Appends(appends);
    while (messages.next()) {
      const { key, index } = messages;
      if (this.find(key, at)) known.push([index, this.#known(this.#find(key), messages)]);
    }
    return known;
  }

  find(key: string, at: number): Row | undefined {
    const seq = this.#find(key);
    if (seq === 0) return undefined;
    const since = at - this.#setup.retentionMs;
    const entry = this.#log.entry(seq);
    if (!entry) return this.#sql.find.get(seq, since);
    const { id, agent, status, attempts, state, body, acceptedAt, finishedAt, reply, about } = entry;
    if (finishedAt !== null && finishedAt <= since) return undefined;
    const [bodyText, aboutText] = finishedAt === null ? [body, about] : [null, null];
    return [id, agent, key, status, attempts, state, bodyText, acceptedAt, 0, 0, null, seq, reply, aboutText];
  }

  /** A page of what was accepted and is not finished, from after one place up to another. */
  unfinished(after: number, until: number): readonly Row[] {
    const rows: Row[] = [];
    let chars = 0;
    for (const row of this.#sql.unfinished.each(Math.max(after, this.#firstPlace - 1), until)) {
      rows.push(row);
      for (const text of TEXTS) chars += String(row[text] ?? '').length;
      if (rows.length === PAGE_ROWS || chars >= PAGE_CHARS) break;
    }
    return rows;
  }

  /** 0 for none. */
  #find(key: string): number {
    this.#key = key;
    return this.#keys.find(key, this.#holds);
  }

  #append(appends: PackedAppends, at: number, tally: Tally): readonly WorkException[] {
    const exceptions: WorkException[] = [];
    const messages = new Appends(appends);
    while (messages.next()) {
      const { seq, key } = messages;
      const holder = this.#find(key);
      if (holder !== 0 && !this.#expire(holder, key, at)) {
        // Its own: the thread that wrote it ended before it told.
        if (holder !== seq) exceptions.push([messages.index, this.#known(holder, messages)]);
        messages.void();
        continue;
      }
      this.#keys.add(key, seq);
      if (messages.isLarge) {
        tally.accepted += this.#appendRow(messages, at);
        messages.void();
      } else {
        tally.accepted += 1;
        this.#log.append(seq);
      }
    }
    return exceptions;
  }

  #appendRow({ seq, key, agent, body, about }: Appends, at: number): number {
    return this.#sql.append.run(seq, at, deliveryId(this.#setup.idPrefix, seq), key, hashOf(body), agent, body, about);
  }

  /** What is told of the delivery that holds a message's key; null when it is of another message. */
  #known(seq: number, { key, bodyHash, about, isBare, agent }: Appends): KnownDelivery | null {
    const entry = this.#log.entry(seq);
    const row = entry ? undefined : this.#sql.known.get(seq, key);
    if ((entry?.bodyHash ?? row?.[6]) !== bodyHash) return null;
    const known = entry ?? rowOf(row ?? []);
    if (agent !== known.agent && !isBare && agentOf(about) !== undefined) return null;
    const { id, agent: of, status, state, reply } = known;
    return { id, agent: of, status, state, reply };
  }

  /** Gives the key of a delivery free that is past its retention, and has not been forgotten yet. */
  #expire(seq: number, key: string, at: number): boolean {
    const since = at - this.#setup.retentionMs;
    const entry = this.#log.entry(seq);
    if (entry) {
      if (entry.finishedAt === null || entry.finishedAt > since) return false;
      this.#freed.add(seq);
      this.#taken.freed(key, seq);
      return true;
    }
    const [, , , status, finishedAt, diedAt, , , , replays] = this.#sql.known.get(seq, key) ?? [];
    if (typeof finishedAt !== 'number' || finishedAt > since) return false;
    if (diedAt === null) {
      this.#sql.delete.run(seq);
      this.#taken.deleted({ seq, key, status: status as number, replays: replays as number });
    } else {
      this.#sql.freeKey.run(seq);
      this.#taken.freed(key, seq);
    }
    return true;
  }

  #withdraw(seq: number, tally: Tally): void {
    const entry = this.#log.entry(seq);
    if (entry && entry.status !== STATUS.accepted) return;
    if (entry) this.#log.leave(seq, LEFT.withdrawn);
    const key = entry?.key ?? this.#sql.withdraw.get(seq)?.[0];
    if (typeof key !== 'string') return;
    tally.accepted -= 1;
    this.#taken.freed(key, seq);
  }

  #mark(packed: PackedMarks, at: number, tally: Tally): void {
    const marks = new Marked(packed);
    while (marks.next()) {
      const { seq, status } = marks;
      if (this.#log.isUnfinished(seq)) {
        if (status === STATUS.dead) this.#bury(marks, at);
        else this.#log.mark(seq, status);
        if (status === STATUS.answered) tally.answered += 1;
        if (status === STATUS.dead) tally.dead += 1;
        continue;
      }
      if (!this.#log.has(seq)) this.#markRow(marks, at, tally);
      marks.void();
      this.#log.cut();
    }
  }

  #markRow({ seq, status, attempts, text, rest }: Marked, at: number, tally: Tally): void {
    if (status === STATUS.answered) tally.answered += this.#sql.answer.run(seq, attempts, rest, text, at);
    else if (status === STATUS.dead) tally.dead += this.#sql.die.run(seq, attempts, rest, at);
    else this.#sql.step.run(seq, status, attempts, rest, text);
  }

  /** Makes a row of its own for what died in the log; the mark that tells so stands there. */
  #bury({ seq, attempts, rest }: Marked, at: number): void {
    const entry = this.#log.entry(seq);
    if (!entry) return;
    this.#move({ ...entry, status: STATUS.dead, attempts, state: rest, reply: null, finishedAt: at }, at);
    this.#log.leave(seq);
  }

  /** Makes a row of its own of what leaves the log. */
  #move(entry: LogEntry, diedAt: number | null = null): void {
    const { seq, id, key, agent, body, bodyHash, about, acceptedAt, finishedAt, status, attempts, state, reply } =
      entry;
    // The text of what is answered is needed no more.
    const texts = status === STATUS.answered ? [null, null] : [body, about];
    // It was past its retention when a newer message came with its key, and is not any more: the clock went back.
    const holder = this.#find(key);
    const kept = holder === 0 || holder === seq ? key : null;
    const of = [status, attempts, acceptedAt, finishedAt, diedAt, id, kept, bodyHash, agent, state, reply];
    this.#sql.move.run(seq, ...of, ...texts);
  }
}

function rowOf([, id, agent, status, , , , state, reply]: Row): KnownDelivery {
  return { id, agent, status, state, reply } as KnownDelivery;
}

/** The agent that the message itself asks for. */
function agentOf(about: string): string | undefined {
  return (JSON.parse(about) as InboundMessage).agent;
}
