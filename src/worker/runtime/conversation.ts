/**
 * Owns the messages of one turn: what it reads of its session, what it adds, and what of both the model is given. What is added
 * is stored with its tokens, so that no later turn counts it again.
 */
import type { AssistantContent, ModelMessage } from 'ai';
import { mentionOf, nameOf } from '../models/mention.ts';
import { modelMessageOf } from '../sessions/convert.ts';
import type { NewMessage, StoredModelMessage } from '../sessions/store.ts';
import { KEPT_SHARE, SUMMARY_SHARE, isSummary, keptFrom, sinceSummary, summaryMessage } from './compaction.ts';
import type { LoopTurn } from './loop-turn.ts';
import { type Counter, type Line, tokensOf } from './measure.ts';
import { cutToolResults } from './tool-results.ts';
import { type Fitted, fitWindow, promptTokens, wholePairs } from './window.ts';

export interface Fit {
  readonly budget: number;
  readonly toolResultShare: number;
}

/** How much of a session is read at most, with a compaction, to find the last summary: so many times the usual. */
const MAX_READ = 16;
/** Share of what a summary leaves of the room that is kept word for word at most, where the room is small. */
const MOST_OF_REST = 0.75;

/** Makes a summary's text of messages; undefined where there is none. */
export type Summarize = (messages: readonly ModelMessage[]) => Promise<string | undefined>;

export class Conversation {
  readonly #turn: LoopTurn;
  readonly #counter: Counter;
  readonly #system: Line | undefined;
  /** What is always said first: system messages of a caller that brings its whole history. */
  readonly #front: readonly Line[];
  /** What was read of the session, in its order. */
  readonly #read: readonly Line[];
  /** Of it, what no summary covers. */
  #stored: readonly Line[];
  #summary: Line | undefined;
  /** Said since by others than the user, or before the message: goes to the session with the turn. */
  readonly #context: readonly Line[];
  readonly #present: Line[];
  #newSummary: Line | undefined;
  #hasCompacted = false;
  /** The history's lines with images, and what stands for them once the provider has refused them. */
  #named: Map<Line, Line> | undefined;

  /**
   * @param readTokens tokens of the session that are read at most
   * @param compacts whether a summary may lie behind these, so that more is read until it is met
   */
  constructor(turn: LoopTurn, counter: Counter, system: Line | undefined, readTokens: number, compacts: boolean) {
    this.#turn = turn;
    this.#counter = counter;
    this.#system = system;
    this.#read = readBack(turn, readTokens, compacts).map(({ message, tokens, encoding }): Line => ({
      message,
      tokens: encoding !== undefined && encoding === counter.encoding ? tokens : undefined,
    }));
    const { summary, lines } = sinceSummary(this.#read);
    this.#summary = summary;
    this.#stored = lines;
    const context = turn.context.map((message): Line => ({ message }));
    const leading = turn.hasSession ? 0 : context.findIndex(({ message }) => message.role !== 'system');
    const split = leading < 0 ? context.length : leading;
    this.#front = context.slice(0, split);
    this.#context = context.slice(split);
    this.#present = turn.messages.map((message) => ({ message: modelMessageOf(message) }));
  }

  /** Tells whether these fit beside what must stay: what is pinned, what is to be answered, the newest step. */
  async hasRoomFor(messages: readonly ModelMessage[], budget: number): Promise<boolean> {
    const newest = this.#present.findLastIndex(({ message }) => message.role === 'assistant');
    const must = this.#present.filter(({ message }, at) => message.role === 'user' || (newest >= 0 && at >= newest));
    const added = messages.map((message): Line => ({ message }));
    return (await promptTokens([...this.#pinned(), ...must, ...added], this.#counter)) <= budget;
  }

  /** Adds what the user said meanwhile. */
  hear(message: ModelMessage): void {
    this.#present.push({ message });
  }

  /** Adds a step: the model's message and the results of its tools, cut to what one of them may take. */
  async addStep(messages: readonly ModelMessage[], { budget, toolResultShare }: Fit): Promise<void> {
    const maxTokens = Math.max(1, Math.floor(budget * toolResultShare));
    const lines: Line[] = [];
    for (const message of messages) lines.push(await cutToolResults({ message }, maxTokens, this.#counter));
    this.#present.push(...wholePairs(lines));
  }

  /** Fits the conversation; with `summarize`, what has no room is summed up first, once in a turn. */
  async fit({ budget, toolResultShare }: Fit, summarize?: Summarize): Promise<Fitted> {
    const fitted = await this.#fit(budget, toolResultShare);
    if (!fitted.isFull || !summarize || this.#hasCompacted) return fitted;
    // Also when it fails: the calls that a provider refuses now would be made before every try.
    this.#hasCompacted = true;
    return (await this.#compact(budget, summarize)) ? this.#fit(budget, toolResultShare) : fitted;
  }

  /**
   * From now on names the images of the history in place of sending them. Returns false where that changes nothing of what
   * was sent.
   */
  nameImages(sent: readonly ModelMessage[]): boolean {
    if (this.#named) return false;
    this.#named = new Map();
    for (const line of [...this.#stored, ...this.#context]) {
      const named = withoutImages(line);
      if (named !== line && sent.includes(line.message)) this.#named.set(line, named);
    }
    return this.#named.size > 0;
  }

  /** Counts the whole conversation. */
  count(): Promise<number> {
    return promptTokens([...this.#pinned(), ...this.#stored, ...this.#context, ...this.#present], this.#counter);
  }

  /** Hands what the turn adds to its session over, with its tokens. */
  async record(): Promise<void> {
    if (!this.#turn.hasSession) return;
    const added: NewMessage[] = [];
    const { encoding } = this.#counter;
    for (const line of [...(this.#newSummary ? [this.#newSummary] : []), ...this.#context, ...this.#present]) {
      const kept = lasting(line);
      added.push(
        encoding === undefined
          ? { message: kept.message }
          : { message: kept.message, tokens: await tokensOf(kept, this.#counter) },
      );
    }
    // The encoding may turn out to be missing while it counts: then these numbers are estimates, and kept by nobody.
    if (encoding !== undefined && this.#counter.encoding === undefined) {
      this.#turn.record(added.map(({ message }) => ({ message })));
    } else this.#turn.record(added, encoding);
  }

  #pinned(): readonly Line[] {
    return [...(this.#system ? [this.#system] : []), ...this.#front, ...(this.#summary ? [this.#summary] : [])];
  }

  #fit(budget: number, toolResultShare: number): Promise<Fitted> {
    const history = this.#context.length === 0 ? this.#stored : [...this.#stored, ...this.#context];
    return fitWindow({
      budget,
      toolResultShare,
      pinned: this.#pinned(),
      history: this.#named ? history.map((line) => this.#named?.get(line) ?? line) : history,
      isSession: this.#turn.hasSession || this.#read.length > 0,
      present: this.#present,
      counter: this.#counter,
    });
  }

  async #compact(budget: number, summarize: Summarize): Promise<boolean> {
    // Of what the other lines leave: half of the whole budget may be more than the room, and then nothing would be gained.
    const others = [...(this.#system ? [this.#system] : []), ...this.#front, ...this.#context, ...this.#present];
    const room = budget - (await promptTokens(others, this.#counter));
    const besideSummary = (room - budget * SUMMARY_SHARE) * MOST_OF_REST;
    const from = await keptFrom(this.#stored, Math.min(room * KEPT_SHARE, besideSummary), this.#counter);
    const covered = this.#stored.slice(0, from);
    if (covered.length === 0) return false;
    const before = this.#summary ? [this.#summary, ...covered] : covered;
    const text = await summarize(before.map(({ message }) => message));
    if (text === undefined || text === '') return false;
    this.#stored = this.#stored.slice(from);
    // The new summary is stored behind all that was read: it says how many of the messages before it it leaves as they are.
    const [first] = this.#stored;
    const keeps = first ? this.#read.length - this.#read.indexOf(first) : 0;
    this.#newSummary = { message: summaryMessage(text, keeps) };
    this.#summary = this.#newSummary;
    return true;
  }
}

/** The line with its images named; itself where it has none that are sent. */
function withoutImages(line: Line): Line {
  const { message } = line;
  if (message.role !== 'user' || typeof message.content === 'string') return line;
  let changed = false;
  const content = message.content.map((part): typeof part => {
    if (part.type === 'text' || mentionOf(part) !== undefined) return part;
    changed = true;
    return { type: 'text', text: nameOf(part) };
  });
  return changed ? { message: { role: 'user', content } } : line;
}

/** Reads a session back; past what was asked for when the last summary lies further back and all since would be lost. */
export function readBack(
  turn: Pick<LoopTurn, 'readSession'>,
  maxTokens: number,
  compacts: boolean,
): readonly StoredModelMessage[] {
  const read = turn.readSession({ maxTokens });
  if (!compacts) return read;
  let more = read;
  for (let times = 2; times <= MAX_READ && !more.some(({ message }) => isSummary(message)); times *= 2) {
    const { length } = more;
    more = turn.readSession({ maxTokens: maxTokens * times });
    if (more.length === length) return read;
  }
  return more.some(({ message }) => isSummary(message)) ? more : read;
}

/**
 * What of a model's message outlives its turn. Thoughts and a provider's references to what it keeps itself (which it forgets in
 * time, and another provider never had) go; calls, results and texts stay.
 */
function lasting(line: Line): Line {
  const { message } = line;
  if (message.role !== 'assistant' || typeof message.content === 'string') return line;
  const content = message.content.flatMap((part): Exclude<AssistantContent, string> => {
    if (part.type === 'reasoning' || part.type === 'reasoning-file') return [];
    if (!('providerOptions' in part)) return [part];
    const { providerOptions: _, ...rest } = part;
    return [rest];
  });
  const isSame = content.length === message.content.length && content.every((part, i) => part === message.content[i]);
  return isSame ? line : { message: { role: 'assistant', content } };
}
