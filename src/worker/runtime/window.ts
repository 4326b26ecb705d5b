/**
 * Owns what of a conversation a model is given: as many of the newest messages as its context window takes. It reads no session
 * and calls no model; the tokens that it counts, it leaves at the lines.
 *
 * What a budget holds, in this order of right: what is pinned (the system prompt, a summary) and what the turn must answer;
 * the newest step of the turn; its older steps; the history, the newest first and without a gap. A tool's call and its result
 * stay together or go together. Where all of it fits, nothing is changed and nothing is counted: as long as its bytes are
 * fewer than the budget's tokens, a text need not be counted to be known to fit.
 */
import type { ModelMessage } from 'ai';
import { OrreryError } from '../../protocol/errors.ts';
import { type Counter, type Line, mostTokens, tokensOf } from './measure.ts';
import { cutToolResults } from './tool-results.ts';

export interface WindowInput {
  /** Tokens of the prompt at most, with the opening of the reply. */
  readonly budget: number;
  /** Share of the budget that one tool's result may take. */
  readonly toolResultShare: number;
  /** What stays at the front: the system prompt. */
  readonly pinned: readonly Line[];
  /** What was said before, oldest first. */
  readonly history: readonly Line[];
  /** Whether the history is a stored session: one that retention cut may begin in the middle. Default false. */
  readonly isSession?: boolean;
  /** The turn's own: the message, then what its steps made. The user's messages in it stay. */
  readonly present: readonly Line[];
  readonly counter: Counter;
}

export interface Fitted {
  readonly messages: readonly ModelMessage[];
  /** Tokens of the prompt; undefined when it fits so plainly that nobody counted. */
  readonly tokens: number | undefined;
  /** How many messages were left out, beginning with the oldest. */
  readonly dropped: number;
  /** Whether some were left out for want of room, and not because they had lost what they belong to. */
  readonly isFull: boolean;
  /** How many messages had a tool's result cut. */
  readonly cut: number;
}

/** Lines that stand or fall together: a message, or one that calls tools with the results. */
interface Unit {
  lines: readonly Line[];
  /** Whether the turn must answer it. */
  readonly fixed: boolean;
}

/**
 * Fits a conversation into its window. Throws `ORRERY_CONTEXT_TOO_LARGE` when what must stay does not fit: the pinned lines, the
 * messages that are to be answered, and of the turn's newest step the calls.
 */
export async function fitWindow(input: WindowInput): Promise<Fitted> {
  const whole = wholePairs(input.history);
  const history = input.isSession === true ? begunByUser(whole) : whole;
  const present = wholePairs(input.present);
  const broken = input.history.length + input.present.length - history.length - present.length;
  if (fitsPlainly(input, history, present)) {
    const messages = [...input.pinned, ...history, ...present].map(({ message }) => message);
    return { messages, tokens: undefined, dropped: broken, isFull: false, cut: 0 };
  }
  return new Fitting(input, broken).fit(unitsOf(history, false), unitsOf(present, true));
}

/** Counts every line, and the opening of the reply. */
export async function promptTokens(lines: readonly Line[], counter: Counter): Promise<number> {
  let total = counter.framing.perReply;
  for (const line of lines) total += await tokensOf(line, counter);
  return total;
}

class Fitting {
  readonly #input: WindowInput;
  readonly #resultTokens: number;
  readonly #broken: number;
  #room: number;
  #dropped: number;
  #cut = 0;

  constructor(input: WindowInput, broken: number) {
    this.#input = input;
    this.#resultTokens = Math.max(1, Math.floor(input.budget * input.toolResultShare));
    this.#room = input.budget - input.counter.framing.perReply;
    this.#broken = broken;
    this.#dropped = broken;
  }

  async fit(history: Unit[], present: Unit[]): Promise<Fitted> {
    const { budget, pinned, counter } = this.#input;
    for (const line of pinned) this.#room -= await tokensOf(line, counter);
    for (const { lines } of present.filter(({ fixed }) => fixed)) this.#room -= await this.#tokens(lines);
    if (this.#room < 0) throw tooLarge(budget, budget - this.#room);

    const keptPresent = await this.#newest(present, true);
    const all = keptPresent.length === present.length;
    const keptHistory = all ? await this.#newest(history, false) : this.#dropAll(history);
    const begun = keptHistory.length === history.length ? keptHistory : this.#fromUser(keptHistory);
    const lines = [...pinned, ...begun.flatMap((unit) => unit.lines), ...keptPresent.flatMap((unit) => unit.lines)];
    return {
      messages: lines.map(({ message }) => message),
      tokens: budget - this.#room,
      dropped: this.#dropped,
      isFull: this.#dropped > this.#broken,
      cut: this.#cut,
    };
  }

  /** The units that fit, from the newest back to the first that does not; those that are fixed in any case. */
  async #newest(units: readonly Unit[], must: boolean): Promise<Unit[]> {
    const kept: Unit[] = [];
    let isOpen = true;
    let isFirst = must;
    for (const unit of units.toReversed()) {
      if (unit.fixed) {
        kept.push(unit);
        continue;
      }
      if (isOpen) {
        const fits = isFirst ? await this.#cutInto(unit) : await this.#cutOversized(unit);
        const tokens = await this.#tokens(fits.lines);
        if (tokens <= this.#room) {
          this.#room -= tokens;
          this.#cut += fits.lines.filter((line, i) => line !== unit.lines[i]).length;
          kept.push(fits);
          isFirst = false;
          continue;
        }
        if (isFirst) throw tooLarge(this.#input.budget, this.#input.budget - this.#room + tokens);
        isOpen = false;
      }
      this.#dropped += unit.lines.length;
    }
    return kept.toReversed();
  }

  /** A conversation that begins in the middle begins with the user: providers refuse others. */
  #fromUser(units: readonly Unit[]): readonly Unit[] {
    const first = units.findIndex(({ lines }) => lines[0]?.message.role === 'user');
    const begun = first < 0 ? [] : units.slice(first);
    for (const { lines } of units.slice(0, units.length - begun.length)) {
      this.#dropped += lines.length;
      for (const { tokens = 0 } of lines) this.#room += tokens;
    }
    return begun;
  }

  #dropAll(units: readonly Unit[]): readonly Unit[] {
    for (const { lines } of units) this.#dropped += lines.length;
    return [];
  }

  /** Cuts the results that take more than their share. */
  async #cutOversized(unit: Unit): Promise<Unit> {
    return this.#withCut(unit, this.#resultTokens);
  }

  /** Cuts the newest step's results further where they are many: it must fit, or the loop could not go on. */
  async #cutInto(unit: Unit): Promise<Unit> {
    const first = await this.#cutOversized(unit);
    const tokens = await this.#tokens(first.lines);
    if (tokens <= this.#room) return first;
    const results = first.lines.flatMap(({ message }) => (message.role === 'tool' ? message.content : []));
    let taken = 0;
    for (const line of first.lines)
      if (line.message.role === 'tool') taken += await tokensOf(line, this.#input.counter);
    // What the results may have: all that the calls leave, in equal parts, and a little for what stands around each.
    const left = this.#room - (tokens - taken);
    const each = Math.floor(left / Math.max(1, results.length)) - RESULT_FRAMING;
    return each > 0 ? this.#withCut(first, each) : first;
  }

  async #withCut(unit: Unit, maxTokens: number): Promise<Unit> {
    const { counter } = this.#input;
    const lines: Line[] = [];
    for (const line of unit.lines) {
      const isLong = line.message.role === 'tool' && mostTokens(line, counter) > maxTokens;
      const cut = isLong ? await cutToolResults(line, maxTokens, counter) : line;
      lines.push(cut);
    }
    return { ...unit, lines };
  }

  async #tokens(lines: readonly Line[]): Promise<number> {
    let total = 0;
    for (const line of lines) total += await tokensOf(line, this.#input.counter);
    return total;
  }
}

/** What stands around a result: its message's framing and its own, for one that is the only one of its message. */
const RESULT_FRAMING = 16;

function fitsPlainly({ budget, toolResultShare, pinned, counter }: WindowInput, ...rest: readonly Line[][]): boolean {
  const resultTokens = budget * toolResultShare;
  let most = counter.framing.perReply;
  for (const lines of [pinned, ...rest]) {
    for (const line of lines) {
      const tokens = mostTokens(line, counter);
      most += tokens;
      if (most > budget || (line.message.role === 'tool' && tokens > resultTokens)) return false;
    }
  }
  return true;
}

/** Leaves out answers to messages that are gone: providers refuse a conversation that begins with the assistant. */
function begunByUser(lines: readonly Line[]): Line[] {
  const first = lines.findIndex(({ message }) => message.role === 'user');
  const end = first < 0 ? lines.length : first;
  return lines.filter(({ message }, at) => at >= end || message.role === 'system');
}

/** Groups lines: a message that calls tools goes with the results behind it. */
function unitsOf(lines: readonly Line[], isPresent: boolean): Unit[] {
  const units: Unit[] = [];
  for (const line of lines) {
    const last = units.at(-1);
    if (line.message.role === 'tool' && last && !last.fixed) last.lines = [...last.lines, line];
    else units.push({ lines: [line], fixed: isPresent && line.message.role === 'user' });
  }
  return units;
}

/**
 * Leaves out calls without a result and results without a call, which providers refuse: a session may have been cut between
 * the two. The results of a message's calls are those in the tools' messages right behind it, since ids are used again.
 */
export function wholePairs(lines: readonly Line[]): Line[] {
  const whole: Line[] = [];
  for (let at = 0; at < lines.length;) {
    const line = lines[at]!;
    let end = at + 1;
    while (lines[end]?.message.role === 'tool') end += 1;
    const { role } = line.message;
    if (role !== 'assistant' && role !== 'tool') whole.push(line);
    else if (role === 'assistant') whole.push(...wholeStep(line, lines.slice(at + 1, end)));
    // A tool's message that no assistant's goes before has lost its calls.
    at = role === 'assistant' || role === 'tool' ? end : at + 1;
  }
  return whole;
}

function wholeStep(line: Line, results: readonly Line[]): readonly Line[] {
  const called = callsOf(line);
  if (called.length === 0) return [line];
  const answered = new Set(results.flatMap(({ message }) => resultsOf(message)));
  const pairs = new Set(called.filter((id) => answered.has(id)));
  const kept = results.flatMap((result) => only(result, pairs) ?? []);
  const step = only(line, pairs);
  return step ? [step, ...kept] : kept;
}

/** The calls of a message that our side answers; a provider's own tools have their results beside the call. */
function callsOf({ message }: Line): readonly string[] {
  if (message.role !== 'assistant' || typeof message.content === 'string') return [];
  return message.content.flatMap((part) =>
    part.type === 'tool-call' && part.providerExecuted !== true ? [part.toolCallId] : [],
  );
}

function resultsOf(message: ModelMessage): readonly string[] {
  if (message.role !== 'tool') return [];
  return message.content.flatMap((part) => (part.type === 'tool-result' ? [part.toolCallId] : []));
}

/** The line with the calls or results of these ids and no others: itself, a shorter one, or nothing. */
function only(line: Line, ids: ReadonlySet<string>): Line | undefined {
  const { message } = line;
  if (message.role === 'tool') {
    const content = message.content.filter((part) => part.type === 'tool-result' && ids.has(part.toolCallId));
    if (content.length === message.content.length) return line;
    return content.length === 0 ? undefined : { message: { ...message, content } };
  }
  if (message.role !== 'assistant' || typeof message.content === 'string') return line;
  const content = message.content.filter(
    (part) => part.type !== 'tool-call' || part.providerExecuted === true || ids.has(part.toolCallId),
  );
  if (content.length === message.content.length) return line;
  // Thoughts that led to calls are refused without them.
  return content.some(({ type }) => type !== 'reasoning') ? { message: { ...message, content } } : undefined;
}

function tooLarge(budget: number, tokens: number): OrreryError {
  return new OrreryError(
    'ORRERY_CONTEXT_TOO_LARGE',
    `What must be sent has ${tokens} tokens, and the model's window takes ${budget} of a prompt`,
    { details: { tokens, budget } },
  );
}
