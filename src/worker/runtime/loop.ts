/**
 * Owns one turn of a model agent: step after step until the model has answered. Before a step it takes in what was steered
 * into the turn and fits the conversation into the model's window; then it asks the model, hands its text on as it comes, and
 * adds the answer with the results of the tools that it called.
 *
 * A failed call is made again, or made of another model, only while nothing of its step has been said: what a listener has
 * heard, only delivery takes back. The session hears of the turn at its end alone, so that an abort anywhere leaves it whole.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ToolSet } from 'ai';
import type { ContextSpec } from '../../protocol/contract.ts';
import { OrreryError } from '../../protocol/errors.ts';
import type { UserMessage } from '../../protocol/messages.ts';
import type { Turn } from '../definition.ts';
import { type ChainModel, DEFAULT_TOOL_RESULT_SHARE, chainFor, promptBudget } from '../models/chain.ts';
import { modelError, toldSizes } from '../models/errors.ts';
import { plainStep } from '../models/plain-step.ts';
import { messagesOf, promptOf } from '../models/prompt.ts';
import type { StepCall } from '../models/step.ts';
import { type ToolCalled, toolStep, toolsText } from '../models/tool-step.ts';
import { modelMessageOf } from '../sessions/convert.ts';
import { type Compaction, SUMMARY_SHARE } from './compaction.ts';
import { Conversation, type Fit } from './conversation.ts';
import { type LoopHooks, type Progress, tell } from './hooks.ts';
import type { LoopTurn } from './loop-turn.ts';
import { type Counter, type Line, counterOf } from './measure.ts';
import { type RetryPolicy, moveAfter } from './retry.ts';
import { tieRun } from './tool-run.ts';
import { cutText } from './tool-results.ts';
import { type Fitted, fitWindow } from './window.ts';

export const DEFAULT_MAX_STEPS = 20;
/** The metadata key by which a message asks for one of its agent's models. */
export const MODEL_KEY = 'model';
/** What stands between the texts of two steps, which belong to one reply. */
const BETWEEN_STEPS = '\n\n';
/** How much smaller the prompt becomes when a provider found it too long, where it did not say by how much. */
const SHRINK = 0.6;
/** How far below what a provider told the next prompt stays: its tokens are not ours. */
const BELOW_TOLD = 0.9;

/** Statuses with which a provider refuses what it was sent: an image whose address has expired among it. */
const REFUSED: ReadonlySet<number> = new Set([400, 422]);

/** An agent as the loop runs it. */
export interface LoopAgent {
  readonly chain: readonly ChainModel[];
  readonly system: string | ((turn: Turn) => string | Promise<string>) | undefined;
  readonly temperature: number | undefined;
  readonly maxOutputTokens: number | undefined;
  readonly context: ContextSpec;
  readonly compaction: Compaction | undefined;
  readonly maxSteps: number;
  readonly tools: ToolSet | ((turn: Turn) => ToolSet | Promise<ToolSet>) | undefined;
  readonly hooks: LoopHooks;
  readonly retry: RetryPolicy;
}

/** Runs a turn; what it yields is the reply. */
export async function* runLoop(agent: LoopAgent, turn: LoopTurn): AsyncGenerator<string, void> {
  const run = new LoopRun(agent, turn);
  await run.open();
  while (!run.isOver) {
    let call: StepCall | undefined;
    try {
      call = await run.begin();
      for (let text = await call.next(); text !== undefined; text = await call.next()) yield run.say(text);
      await run.end(call);
    } catch (error) {
      await run.recover(error);
    } finally {
      call?.close();
    }
  }
  await run.conversation.record();
}

/** Counts of what is the same at every turn: an agent's system prompt, its tools. */
const systemLines = new WeakMap<LoopAgent, Line>();
const toolTokens = new WeakMap<ToolSet, number>();

class LoopRun {
  readonly #agent: LoopAgent;
  readonly #turn: LoopTurn;
  readonly #chain: readonly ChainModel[];
  readonly #counter: Counter;
  #conversation: Conversation | undefined;
  #tools: ToolSet | undefined;
  /** Tokens that the definitions of the tools take. */
  #toolTokens = 0;
  /** Place of the model that is asked, in the chain. */
  #at = 0;
  /** Budget that a provider's refusal led to, of the present model. */
  #shrunkTo = Infinity;
  #hasShrunk = false;
  #fitted: Fitted | undefined;
  #step = 1;
  #tries = 0;
  #said = '';
  #saidInStep = false;
  isOver = false;

  constructor(agent: LoopAgent, turn: LoopTurn) {
    this.#agent = agent;
    this.#turn = turn;
    this.#chain = chainFor(agent.chain, turn.metadata[MODEL_KEY]);
    this.#counter = counterOf(turn.tokens, this.#model.name, () => {
      turn.log.warn('the vocabulary is missing: tokens are estimated');
    });
  }

  get conversation(): Conversation {
    if (this.#conversation) return this.#conversation;
    throw new OrreryError('ORRERY_INTERNAL', 'The turn was not opened');
  }

  get #model(): ChainModel {
    return this.#chain[this.#at]!;
  }

  /** Gets what the agent's own code gives to a turn, and reads the session. */
  async open(): Promise<void> {
    const { system, tools, compaction } = this.#agent;
    const text = typeof system === 'function' ? await system(this.#turn) : system;
    this.#tools = typeof tools === 'function' ? await tools(this.#turn) : tools;
    if (this.#tools && Object.keys(this.#tools).length === 0) this.#tools = undefined;
    if (this.#tools) this.#toolTokens = await this.#countTools(this.#tools);
    // A summary lies as far back as the window reaches, and the messages that it covers for the next one lie before it.
    const readTokens = this.#fit.budget * (compaction ? 2 : 1);
    this.#conversation = new Conversation(
      this.#turn,
      this.#counter,
      this.#systemLine(text),
      readTokens,
      compaction !== undefined,
    );
  }

  /** Begins the next step. */
  async begin(): Promise<StepCall> {
    const { conversation } = this;
    if (this.#turn.steered.length > 0) await this.#hear();
    const model = this.#model;
    const opened = await model.open(this.#turn.env);
    const summarize = this.#agent.compaction ? this.#summarizer(this.#agent.compaction) : undefined;
    const fitted = await conversation.fit(this.#fit, summarize);
    this.#fitted = fitted;
    const { tokens, dropped, messages } = fitted;
    this.#tries += 1;
    tell(this.#agent.hooks.onStepStart, {
      ...this.#progress(),
      dropped,
      ...(tokens === undefined ? {} : { promptTokens: tokens }),
    });
    const { temperature, maxOutputTokens } = this.#agent;
    const { signal, streamed } = this.#turn;
    if (!this.#tools) {
      const options = {
        prompt: promptOf(model.provider, messages),
        abortSignal: signal,
        ...(temperature === undefined ? {} : { temperature }),
        ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
      };
      return plainStep(model.name, opened, options, streamed);
    }
    return toolStep({
      name: model.name,
      model: opened,
      messages: messagesOf(model.provider, messages),
      tools: this.#tools,
      // At the last step the model is to say something.
      toolChoice: this.#step < this.#agent.maxSteps ? 'auto' : 'none',
      signal,
      temperature,
      maxOutputTokens,
      streamed,
      onExecute: (options, call) => tieRun(options, { key: this.#keyOf(call), turn: this.#turn, signal }),
      onCall: ({ toolName, input, ...call }) =>
        tell(this.#agent.hooks.onToolCall, { ...this.#progress(), key: this.#keyOf(call), toolName, input }),
      onResult: ({ index, toolName, input, ...result }) => {
        const outcome = 'error' in result ? { error: result.error } : { output: result.output };
        const call = { key: this.#keyOf({ index }), toolName, input };
        tell(this.#agent.hooks.onToolResult, { ...this.#progress(), ...call, ...outcome });
      },
    });
  }

  /** Takes a piece of text; returns what is handed on. */
  say(text: string): string {
    const isNew = !this.#saidInStep && this.#said !== '' && !this.#said.endsWith('\n');
    const said = isNew ? `${BETWEEN_STEPS}${text}` : text;
    this.#said += said;
    this.#saidInStep = true;
    if (this.#agent.hooks.onText) tell(this.#agent.hooks.onText, { ...this.#progress(), text: said });
    return said;
  }

  async end(call: StepCall): Promise<void> {
    const { messages, usage, finishReason, goesOn } = await call.end();
    // What an aborted tool returned is nothing to go on with.
    this.#turn.signal.throwIfAborted();
    this.#turn.report(usage, 1);
    await this.conversation.addStep(messages, this.#fit);
    tell(this.#agent.hooks.onStepEnd, { ...this.#progress(), usage, finishReason });
    this.isOver = !goesOn || this.#step >= this.#agent.maxSteps;
    if (this.isOver && goesOn && this.#said === '') throw this.#endless();
    this.#step += 1;
    this.#tries = 0;
    this.#hasShrunk = false;
    this.#saidInStep = false;
  }

  /** Sets the next call up after a failed one, waiting where it must; throws what ends the attempt. */
  async recover(thrown: unknown): Promise<void> {
    // An abort is the host's own doing: it knows the cause, and the provider's account of it says nothing.
    this.#turn.signal.throwIfAborted();
    const error = modelError(this.#model.name, thrown);
    if (this.#saidInStep || this.isOver) throw error;
    if (error.code === 'ORRERY_CONTEXT_TOO_LARGE' && error !== thrown && !this.#hasShrunk) {
      this.#hasShrunk = true;
      this.#shrunkTo = await this.#smaller(error);
      this.#turn.log.info({ err: error, budget: this.#shrunkTo }, 'the prompt was too long for the model');
      return;
    }
    if (REFUSED.has(Number(error.details?.['status'])) && this.conversation.nameImages(this.#fitted?.messages ?? [])) {
      this.#turn.log.info({ err: error }, 'images of the history are named only: one may be there no longer');
      return;
    }
    const other = await this.#findOther();
    const hasOther = other.at !== undefined;
    const { remainingMs } = this.#turn;
    const move = moveAfter({ error, tries: this.#tries, hasOther, remainingMs }, this.#agent.retry, Math.random());
    if (move.kind === 'fail') throw other.error === undefined ? error : withCause(error, other.error);
    const progress = { ...this.#progress(), error, tries: this.#tries };
    if (move.kind === 'other' && other.at !== undefined) {
      this.#at = other.at;
      this.#tries = 0;
      this.#shrunkTo = Infinity;
      this.#hasShrunk = false;
      this.#turn.log.warn({ err: error, model: this.#model.name }, 'another model is asked');
      tell(this.#agent.hooks.onRetry, { ...progress, next: this.#model.name, delayMs: 0 });
      return;
    }
    const delayMs = move.kind === 'retry' ? move.delayMs : 0;
    tell(this.#agent.hooks.onRetry, { ...progress, next: this.#model.name, delayMs });
    await sleep(delayMs, undefined, { signal: this.#turn.signal }).catch(() => this.#turn.signal.throwIfAborted());
  }

  /** Takes in what was steered into the turn, as far as it fits: a message that does not would end the turn after its tools ran. */
  async #hear(): Promise<void> {
    const fitting: UserMessage[] = [];
    for (const message of this.#turn.steered) {
      const all = [...fitting, message].map(modelMessageOf);
      if (!(await this.conversation.hasRoomFor(all, this.#fit.budget))) break;
      fitting.push(message);
    }
    for (const message of this.#turn.takeSteered(fitting)) this.conversation.hear(modelMessageOf(message));
  }

  /** The next model that can be opened; where there is none, why the last one could not. */
  async #findOther(): Promise<{ readonly at?: number; readonly error?: unknown }> {
    let failure: unknown;
    for (let at = this.#at + 1; at < this.#chain.length; at++) {
      try {
        await this.#chain[at]!.open(this.#turn.env);
        return { at };
      } catch (error) {
        failure = error;
      }
    }
    return { error: failure };
  }

  get #fit(): Fit {
    const { context, maxOutputTokens } = this.#agent;
    const budget =
      Math.min(promptBudget(this.#model.name, context, maxOutputTokens), this.#shrunkTo) - this.#toolTokens;
    return {
      budget: Math.max(1, budget),
      toolResultShare: context.toolResultShare ?? DEFAULT_TOOL_RESULT_SHARE,
    };
  }

  #progress(): Progress {
    return { turn: this.#turn, step: this.#step, model: this.#model.name, textSoFar: this.#said };
  }

  #keyOf({ index }: Pick<ToolCalled, 'index'>): string {
    return `${this.#turn.id}:${this.#step}:${index}`;
  }

  #systemLine(text: string | undefined): Line | undefined {
    if (text === undefined || text === '') return undefined;
    const known = systemLines.get(this.#agent);
    if (known?.message.content === text) return known;
    const line: Line = { message: { role: 'system', content: text } };
    systemLines.set(this.#agent, line);
    return line;
  }

  async #countTools(tools: ToolSet): Promise<number> {
    const known = toolTokens.get(tools);
    if (known !== undefined) return known;
    const tokens = await this.#counter.count(await toolsText(tools));
    toolTokens.set(tools, tokens);
    return tokens;
  }

  /** What the next prompt may have, after a provider found the last one too long. */
  async #smaller(error: OrreryError): Promise<number> {
    const counted = this.#fitted?.tokens ?? (await this.conversation.count());
    const sizes = toldSizes(error.message);
    const share = sizes ? Math.min(SHRINK + (1 - SHRINK) / 2, (sizes.limit / sizes.used) * BELOW_TOLD) : SHRINK;
    return Math.max(1, Math.floor((counted + this.#toolTokens) * share));
  }

  #endless(): OrreryError {
    const { maxSteps } = this.#agent;
    return new OrreryError(
      'ORRERY_MODEL_ENDLESS',
      `${this.#model.name} had said nothing after ${maxSteps} steps, and still called tools`,
      { details: { model: this.#model.name, maxSteps } },
    );
  }

  /** Sums up by the agent's compaction; without a summary the messages are left out, as if there was none. */
  #summarizer(compaction: Compaction): (messages: Parameters<Compaction['compact']>[0]) => Promise<string | undefined> {
    const maxTokens = Math.max(1, Math.floor(this.#fit.budget * SUMMARY_SHARE));
    return async (messages) => {
      try {
        const text = await compaction.compact(messages, {
          turn: this.#turn,
          maxTokens,
          ask: (said, question) => this.#ask(said, question, maxTokens),
        });
        return text === undefined ? undefined : await cutText(text, maxTokens, this.#counter);
      } catch (error) {
        this.#turn.signal.throwIfAborted();
        this.#turn.log.warn({ err: error }, 'the conversation was not summed up');
        return undefined;
      }
    };
  }

  /** Asks the present model something about messages, without tools. */
  async #ask(
    messages: Parameters<Compaction['compact']>[0],
    { system, user }: { readonly system: string; readonly user: string },
    maxOutputTokens: number,
  ): Promise<string> {
    const model = this.#model;
    const { messages: fitted } = await fitWindow({
      ...this.#fit,
      pinned: [{ message: { role: 'system', content: system } }],
      history: messages.map((message) => ({ message })),
      isSession: true,
      present: [{ message: { role: 'user', content: user } }],
      counter: this.#counter,
    });
    const options = {
      prompt: promptOf(model.provider, fitted),
      abortSignal: this.#turn.signal,
      maxOutputTokens,
    };
    const call = await plainStep(model.name, await model.open(this.#turn.env), options, false);
    const text = (await call.next()) ?? '';
    this.#turn.report((await call.end()).usage, 1);
    return text;
  }
}

/** A model's failure, with why no other one could be asked. */
function withCause({ code, message, hint, details, retryAfterMs }: OrreryError, cause: unknown): OrreryError {
  return new OrreryError(code, message, {
    cause,
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
