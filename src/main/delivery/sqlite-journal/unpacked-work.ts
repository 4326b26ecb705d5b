/**
 * Owns how packed work is read, by the journal's thread: one message or mark after another, without an object or a text for each.
 */
import { hash } from 'node:crypto';
import { partsOfKey } from '../journal.ts';
import {
  APPEND,
  APPEND_PLACES,
  FORM,
  MARK,
  MARK_PLACES,
  MarkPacker,
  type PackedAppends,
  type PackedMarks,
} from './packed-work.ts';

/** Hexadecimal digits of the hash that stands for a body: two bodies with one of 2^128 values do not happen. */
const BODY_DIGITS = 32;

/** Goes through packed messages; what it tells is of the one that it stands at. Texts are cut out when they are asked for. */
export class Appends {
  readonly #numbers: Float64Array;
  readonly #keys: string;
  readonly #texts: string;
  readonly #large: readonly string[];
  #place = -APPEND_PLACES;
  #keyAt = 0;
  #textAt = 0;
  #largeAt = -2;

  constructor({
    numbers,
    keys,
    texts = '',
    large = [],
  }: Pick<PackedAppends, 'numbers' | 'keys'> & Partial<PackedAppends>) {
    this.#numbers = numbers;
    this.#keys = keys;
    this.#texts = texts;
    this.#large = large;
  }

  next(): boolean {
    if (this.#place >= 0) {
      this.#keyAt += this.#number(APPEND.key);
      this.#textAt += this.#number(APPEND.agent) + this.#number(APPEND.body) + this.#number(APPEND.about);
    }
    this.#place += APPEND_PLACES;
    if (this.#place >= this.#numbers.length) return false;
    if (this.isLarge) this.#largeAt += 2;
    return true;
  }

  get index(): number {
    return this.#place / APPEND_PLACES;
  }

  get seq(): number {
    return this.#number(APPEND.seq);
  }

  /** It shall not stand in the log. */
  void(): void {
    this.#numbers[this.#place] = 0;
  }

  get form(): number {
    return this.#number(APPEND.form);
  }

  get isLarge(): boolean {
    return (this.form & FORM.large) !== 0;
  }

  get key(): string {
    return this.#keys.slice(this.#keyAt, this.#keyAt + this.#number(APPEND.key));
  }

  get agent(): string {
    return this.#texts.slice(this.#textAt, this.#textAt + this.#number(APPEND.agent));
  }

  /** As a row of its own has it. */
  get body(): string {
    const at = this.#textAt + this.#number(APPEND.agent);
    const body = this.isLarge
      ? (this.#large[this.#largeAt] ?? '')
      : this.#texts.slice(at, at + this.#number(APPEND.body));
    return this.form & FORM.plain ? JSON.stringify({ message: { role: 'user', content: body } }) : body;
  }

  get bodyHash(): string {
    if ((this.form & FORM.trimmed) === 0) return hashOf(this.body);
    const at = this.#textAt + this.#number(APPEND.agent);
    return this.#texts.slice(at, at + this.#number(APPEND.body));
  }

  /** As a row of its own has it. */
  get about(): string {
    const at = this.#textAt + this.#number(APPEND.agent) + this.#number(APPEND.body);
    if (!this.isBare)
      return this.isLarge
        ? (this.#large[this.#largeAt + 1] ?? '')
        : this.#texts.slice(at, at + this.#number(APPEND.about));
    const { channel, account, namespace, id } = partsOfKey(this.key);
    const receivedAt = this.#number(APPEND.receivedAt);
    return JSON.stringify({ id, channel, account: account || undefined, namespace, metadata: {}, receivedAt });
  }

  /** It names no agent itself. */
  get isBare(): boolean {
    return (this.form & FORM.bare) !== 0;
  }

  /** The room of its texts in the log's. */
  get texts(): string {
    return this.#texts.slice(
      this.#textAt,
      this.#textAt + this.#number(APPEND.agent) + this.#number(APPEND.body) + this.#number(APPEND.about),
    );
  }

  /** Its body and its about were taken out. */
  get isTrimmed(): boolean {
    return (this.form & FORM.trimmed) !== 0;
  }

  #number(place: number): number {
    return this.#numbers[this.#place + place] ?? 0;
  }
}

/**
 * Takes the texts out of messages that are not kept any more; of those that are known still it leaves the agent, and a hash of the body. Undefined where there are none
 * that have any.
 */
export function trimAppends(
  appends: PackedAppends,
  what: (seq: number) => 'kept' | 'known' | 'gone',
): PackedAppends | undefined {
  const numbers = appends.numbers.slice();
  const messages = new Appends(appends);
  let texts = '';
  let isChanged = false;
  while (messages.next()) {
    const { index, seq, agent, form } = messages;
    const now = what(seq);
    if (now === 'kept' || messages.isTrimmed) {
      texts += messages.texts;
      continue;
    }
    const left = now === 'known' ? [agent, messages.bodyHash] : ['', ''];
    numbers[index * APPEND_PLACES + APPEND.form] = form | FORM.trimmed;
    numbers.set([...left.map(({ length }) => length), 0], index * APPEND_PLACES + APPEND.agent);
    texts += left.join('');
    isChanged = true;
  }
  return isChanged ? { ...appends, numbers, texts } : undefined;
}

/** Goes through packed marks, as {@link Appends}. */
export class Marked {
  readonly #numbers: Float64Array;
  readonly #texts: string;
  #place = -MARK_PLACES;
  #textAt = 0;

  constructor({ numbers, texts }: PackedMarks) {
    this.#numbers = numbers;
    this.#texts = texts;
  }

  next(): boolean {
    if (this.#place >= 0) this.#textAt += Math.max(0, this.#number(MARK.text)) + Math.max(0, this.#number(MARK.rest));
    this.#place += MARK_PLACES;
    return this.#place < this.#numbers.length;
  }

  get seq(): number {
    return this.#number(MARK.seq);
  }

  /** It shall not stand in the log. */
  void(): void {
    this.#numbers[this.#place] = 0;
  }

  get status(): number {
    return this.#number(MARK.status);
  }

  get attempts(): number {
    return this.#number(MARK.attempts);
  }

  /** A reply's text. */
  get text(): string | null {
    const length = this.#number(MARK.text);
    return length < 0 ? null : this.#texts.slice(this.#textAt, this.#textAt + length);
  }

  get rest(): string | null {
    const at = this.#textAt + Math.max(0, this.#number(MARK.text));
    const length = this.#number(MARK.rest);
    return length < 0 ? null : this.#texts.slice(at, at + length);
  }

  #number(place: number): number {
    return this.#numbers[this.#place + place] ?? 0;
  }
}

/** As text: a buffer for each takes three times as long. */
export function hashOf(body: string): string {
  return hash('sha256', body, 'hex').slice(0, BODY_DIGITS);
}

/** Splits the marks whose status `isWanted`, so that each part finds room by itself. */
export function partsOf(
  marks: PackedMarks,
  size: number,
  isWanted: (status: number) => boolean,
): readonly PackedMarks[] {
  const parts: PackedMarks[] = [];
  const marked = new Marked(marks);
  let packer = new MarkPacker();
  let count = 0;
  while (marked.next()) {
    if (!isWanted(marked.status)) continue;
    packer.push(marked.seq, marked.status, marked.attempts, marked.text, marked.rest);
    count += 1;
    if (count % size > 0) continue;
    parts.push(packer.packed());
    packer = new MarkPacker();
  }
  if (count % size > 0) parts.push(packer.packed());
  return parts;
}
