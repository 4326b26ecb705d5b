/** Owns the model of the journal's file: what was accepted under which key and what became of it, whatever was compacted, trimmed, rolled back and opened anew. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import * as fc from 'fast-check';
import { type Admission, dedupeKey } from '../../src/main/delivery/journal.ts';
import { JournalFile } from '../../src/main/delivery/sqlite-journal/file.ts';
import {
  AppendPacker,
  MarkPacker,
  fileKeyOf,
  joinAppends,
} from '../../src/main/delivery/sqlite-journal/packed-work.ts';
import {
  type WorkException,
  deliveryId,
  letterOf,
  pendingOf,
  storedOf,
} from '../../src/main/delivery/sqlite-journal/packed.ts';
import type { DeliveryState, InboundMessage } from '../../src/protocol/index.ts';
import { admission, answered, committed, dead, dispatched } from './journal.ts';

export const RETENTION_MS = 1_000;

/** A message: which key, and which of the bodies and forms that it may have. */
interface Sent {
  readonly key: number;
  readonly body: number;
}

export type FileStep =
  | { readonly do: 'work'; readonly sent: readonly Sent[]; readonly marks: readonly Marked[]; readonly fails: boolean }
  | { readonly do: 'withdraw' | 'again' | 'drop' | 'replay'; readonly which: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'compact' | 'upkeep' | 'probe' | 'kill' | 'restart' | 'stop' };

interface Marked {
  readonly which: number;
  readonly state: number;
}

const sent: fc.Arbitrary<Sent> = fc.record({ key: fc.nat(11), body: fc.nat(5) });
const marked: fc.Arbitrary<Marked> = fc.record({ which: fc.nat(30), state: fc.nat(4) });

export const fileStep: fc.Arbitrary<FileStep> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('work'),
      sent: fc.array(sent, { maxLength: 5 }),
      marks: fc.array(marked, { maxLength: 6 }),
      fails: fc.constantFrom(false, false, false, true),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('withdraw', 'again', 'drop', 'replay'), which: fc.nat(30) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait'), ms: fc.constantFrom(1, 300, RETENTION_MS, 90_000) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('compact', 'upkeep', 'probe', 'kill', 'restart', 'stop') }) },
);

interface Known {
  readonly seq: number;
  readonly id: string;
  readonly key: string;
  readonly inbound: InboundMessage;
  state: DeliveryState;
  attempts: number;
  crashes: number;
  replays: number;
  acceptedAt: number;
  finishedAt: number | undefined;
  place: number;
  /** No newer message has taken its key. */
  hasKey: boolean;
  /** A dead letter that is kept. */
  isLetter: boolean;
}

/** Bodies of every form: plain, with parts, large, with what the file would change, and with more to know of it than its key says. */
function admissionOf({ key, body }: Sent): Admission {
  const id = key === 0 ? '\ud800' : `m${key}`;
  const forms: readonly Partial<InboundMessage>[] = [
    { message: { role: 'user', content: 'hello' } },
    { message: { role: 'user', content: 'hello \u{1f600}' }, metadata: { a: 'b' } },
    { message: { role: 'user', content: 'see', parts: [{ type: 'text', text: 'see' }] }, account: 'bot' },
    { message: { role: 'user', content: 'x'.repeat(17_000) } },
    { message: { role: 'user', content: '\ud800 and \u0000' }, agent: 'echo' },
    { message: { role: 'user', content: '' }, queue: 'collect' },
  ];
  const { account, ...form } = forms[body] ?? {};
  return admission({
    id,
    namespace: `n:${key}`,
    receivedAt: 5,
    ...form,
    ...(key % 2 === 0 ? {} : { account: account ?? 'a' }),
  });
}

export class FileModel {
  readonly known: Known[] = [];
  readonly #path: string;
  #file: JournalFile;
  #opened = 0;
  #now = 10_000;
  #next = 1;

  constructor(path: string) {
    this.#path = path;
    this.#file = this.#open(true);
  }

  run(step: FileStep): void {
    switch (step.do) {
      case 'work':
        return this.#work(step.sent, step.marks, step.fails);
      case 'withdraw':
        return this.#withdraw(this.#at(step.which));
      case 'again':
        return this.#again(this.#at(step.which));
      case 'drop':
        return this.#drop(this.#at(step.which));
      case 'replay':
        return this.#replay(this.#at(step.which));
      case 'wait':
        this.#now += step.ms;
        return;
      case 'compact':
        this.#file.compact(this.#now);
        return;
      case 'upkeep':
        while (this.#file.upkeep(this.#now));
        return;
      case 'probe':
        this.#file.probe(this.#now);
        return;
      case 'kill':
        this.#file.close();
        for (const one of this.known) if (one.finishedAt === undefined) one.crashes += 1;
        return this.#reopen(true);
      case 'restart':
        this.#file.close();
        return this.#reopen(false);
      case 'stop':
        this.#file.closeClean();
        return this.#reopen(true);
    }
  }

  close(): void {
    this.#file.close();
  }

  #open(first: boolean): JournalFile {
    this.#opened += first ? 1 : 0;
    const idPrefix = this.#prefix;
    return new JournalFile({ file: this.#path, idPrefix, retentionMs: RETENTION_MS, maxDeadLetters: 100, first });
  }

  get #prefix(): string {
    return `p${this.#opened}`;
  }

  #reopen(first: boolean): void {
    this.#file = this.#open(first);
    this.#next = Math.max(this.#next, this.#file.next);
    this.check();
    assert.deepEqual(this.recovered, this.unfinished);
  }

  /** Who holds a key: the one that took it last, as long as that is unfinished or not past its retention. */
  #holder(key: string): Known | undefined {
    const holder = this.known.find((one) => one.key === key && one.hasKey);
    if (!holder || holder.finishedAt === undefined) return holder;
    return this.#now - holder.finishedAt < RETENTION_MS ? holder : undefined;
  }

  #work(messages: readonly Sent[], marks: readonly Marked[], fails: boolean): void {
    const batch = messages.map(admissionOf);
    const packer = new AppendPacker();
    const seqs = batch.map((one) => {
      packer.add(this.#next, one);
      return (this.#next += 1) - 1;
    });
    const steps = new MarkPacker();
    const changes = marks.flatMap(({ which, state }) => {
      const one = this.#at(which);
      if (!one) return [];
      const attempts = one.attempts + 1;
      const states = [
        dispatched(attempts),
        committed(`c${one.id}`),
        answered(`a${one.id}`),
        dead(one.id),
        answered('\ud800'),
      ];
      const to = states[state] ?? dispatched();
      steps.add(one.seq, to, attempts);
      return [{ one, to, attempts }];
    });
    const request = { at: this.#now, appends: joinAppends([packer]), marks: steps.packed(), withdrawn: [] };
    if (fails) return this.#fail(() => this.#file.work(request));
    const exceptions = this.#file.work(request);
    for (const { one, to, attempts } of changes) this.#step(one, to, attempts);
    this.#accept(batch, seqs, exceptions);
  }

  #take(one: Known): void {
    for (const other of this.known) if (other.key === one.key) other.hasKey = false;
    one.hasKey = true;
  }

  #step(one: Known, to: DeliveryState, attempts: number): void {
    if (one.finishedAt !== undefined) return;
    one.state = to;
    one.attempts = attempts;
    if (to.status !== 'answered' && to.status !== 'dead') return;
    one.finishedAt = this.#now;
    one.isLetter = to.status === 'dead';
  }

  #accept(batch: readonly Admission[], seqs: readonly number[], exceptions: readonly WorkException[]): void {
    const told = new Map(exceptions);
    for (const [i, { inbound }] of batch.entries()) {
      const key = dedupeKey(inbound);
      const holder = this.#holder(key);
      if (holder) {
        const isSame = JSON.stringify(holder.inbound.message) === JSON.stringify(inbound.message);
        const answer = told.get(i);
        if (!isSame) assert.equal(answer, null);
        else assert.partialDeepStrictEqual(answer, { id: holder.id, agent: 'echo' });
        continue;
      }
      assert.equal(told.has(i), false);
      const seq = seqs[i] ?? 0;
      const at = { acceptedAt: this.#now, finishedAt: undefined, place: seq };
      const counts = { attempts: 0, crashes: 0, replays: 0, isLetter: false, hasKey: true };
      const id = deliveryId(this.#prefix, seq);
      const one: Known = { seq, id, key, inbound, state: { status: 'accepted' }, ...counts, ...at };
      this.#take(one);
      this.known.push(one);
    }
  }

  /** Work that the file refuses, as a full disk would: nothing of it is there, and nothing is forgotten. */
  #fail(work: () => unknown): void {
    const writes = ['INSERT ON log', 'INSERT ON deliveries', 'UPDATE ON deliveries', 'DELETE ON log', 'UPDATE ON meta'];
    const names = writes.map((write) => write.replaceAll(' ', '_'));
    for (const [i, write] of writes.entries()) {
      this.#outside(`CREATE TRIGGER ${names[i] ?? ''} BEFORE ${write} BEGIN SELECT RAISE(ABORT, 'no'); END`);
    }
    try {
      work();
    } catch (error) {
      assert.match(String(error), /no/);
    }
    for (const name of names) this.#outside(`DROP TRIGGER ${name}`);
    this.check();
  }

  #outside(sql: string): void {
    const database = new DatabaseSync(this.#path);
    database.exec(sql);
    database.close();
  }

  /** An append that was refused without knowing whether it was kept. */
  #withdraw(one: Known | undefined): void {
    if (!one) return;
    const none = { at: this.#now, appends: joinAppends([]), marks: new MarkPacker().packed() };
    this.#file.work({ ...none, withdrawn: [one.seq] });
    if (one.state.status === 'accepted' && one.replays === 0) this.known.splice(this.known.indexOf(one), 1);
  }

  /** The thread that wrote a message ended before it told: its own number comes again. */
  #again(one: Known | undefined): void {
    if (!one || this.#holder(one.key) !== one || !one.id.startsWith(`${this.#prefix}-`)) return;
    const packer = new AppendPacker();
    packer.add(one.seq, { inbound: one.inbound, agent: 'echo' });
    const work = { at: this.#now, appends: joinAppends([packer]), marks: new MarkPacker().packed(), withdrawn: [] };
    assert.deepEqual(this.#file.work(work), []);
  }

  #drop(one: Known | undefined): void {
    if (!one) return;
    assert.equal(this.#file.drop(one.id), one.isLetter);
    one.isLetter = false;
  }

  #replay(one: Known | undefined): void {
    if (!one) return;
    const place = (this.#next += 1) - 1;
    const row = this.#file.replay(one.id, place, this.#now);
    assert.equal(row !== undefined, one.isLetter);
    if (!one.isLetter) return;
    if (!this.#holder(one.key)) this.#take(one);
    Object.assign(one, { state: { status: 'accepted' }, attempts: 0, crashes: 0, acceptedAt: this.#now, place });
    Object.assign(one, { replays: one.replays + 1, finishedAt: undefined, isLetter: false });
  }

  #at(which: number): Known | undefined {
    return this.known[which % Math.max(1, this.known.length)];
  }

  check(): void {
    const isHeld = (one: Known): boolean => this.#holder(one.key) === one;
    for (const one of this.known.filter(isHeld)) {
      const row = this.#file.find(fileKeyOf(one.key), this.#now);
      assert.ok(row, `${one.id} is found`);
      const { id, state, attempts, namespace } = storedOf(row);
      assert.deepEqual(
        { id, state, attempts, namespace },
        { id: one.id, state: one.state, attempts: one.attempts, namespace: one.inbound.namespace },
      );
    }
    const letters = this.#file.letters(1_000).map(letterOf);
    const kept = this.known.filter(({ isLetter }) => isLetter);
    const byId = ({ id, inbound }: Pick<Known, 'id' | 'inbound'>): readonly [string, object] => [id, plain(inbound)];
    assert.deepEqual(Object.fromEntries(letters.map(byId)), Object.fromEntries(kept.map(byId)));
    const [accepted = 0, replayed = 0, answers = 0, died = 0, pending = 0] = this.#file.totals();
    assert.equal(pending, this.known.filter(({ finishedAt }) => finishedAt === undefined).length);
    assert.equal(accepted, this.known.length);
    assert.equal(answers, this.known.filter(({ state }) => state.status === 'answered').length);
    assert.equal(accepted + replayed, answers + died + pending);
  }

  /** What this start recovers, in order. */
  get recovered(): readonly object[] {
    return this.#file.unfinished(0, Number.MAX_SAFE_INTEGER).map((row) => essentials(pendingOf(row)));
  }

  get unfinished(): readonly object[] {
    const open = this.known.filter(({ finishedAt }) => finishedAt === undefined);
    return open.toSorted((a, b) => a.place - b.place).map(essentials);
  }
}

type Essential = 'id' | 'inbound' | 'state' | 'attempts' | 'crashes' | 'replays' | 'acceptedAt';

function essentials({ id, inbound, state, attempts, crashes, replays, acceptedAt }: Pick<Known, Essential>): object {
  return { id, inbound: plain(inbound), state, attempts, crashes, replays, acceptedAt };
}

/** As the file gives it back: without what is undefined. */
function plain(inbound: InboundMessage): InboundMessage {
  return JSON.parse(JSON.stringify(inbound)) as InboundMessage;
}
