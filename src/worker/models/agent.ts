/**
 * Owns what a model agent is: the agent behind a `model:` configuration, and the one that a module makes with `modelAgent`. The
 * two are the same but for what a configuration cannot say: tools, hooks, a compaction of one's own.
 */
import type { ToolSet } from 'ai';
import type { ContextSpec } from '../../protocol/contract.ts';
import type { Tokenizer } from '../../protocol/encodings.ts';
import { OrreryError } from '../../protocol/errors.ts';
import { limitsOf } from '../../protocol/models.ts';
import type { UserMessage } from '../../protocol/messages.ts';
import type { AgentDefinition, Turn } from '../definition.ts';
import { type Compaction, SUMMARY } from '../runtime/compaction.ts';
import type { LoopHooks } from '../runtime/hooks.ts';
import type { LoopTurn } from '../runtime/loop-turn.ts';
import { DEFAULT_MAX_STEPS, type LoopAgent, runLoop } from '../runtime/loop.ts';
import { DEFAULT_RETRY, type RetryPolicy } from '../runtime/retry.ts';
import { modelMessageOf } from '../sessions/convert.ts';
import { type ChainAccess, type ChainModel, chainOf } from './chain.ts';

/** The address of a provider's API, up to and with `/v1`; or what finds it in the variables that the agent lists. */
export type BaseUrl = string | ((env: Readonly<Record<string, string>>) => string | undefined);

/** A model that stands in for another, with its own address and key. */
export interface FallbackModel {
  readonly model: string;
  readonly baseUrl?: BaseUrl;
  readonly apiKey?: string;
}

/** How much of the context window a turn may fill, and what becomes of the rest. */
export interface ModelContext extends Omit<ContextSpec, 'compaction'> {
  /** `summary`: the model sums up what no longer fits. Or a compaction of your own. Default: it is left out of the prompt. */
  readonly compaction?: 'summary' | Compaction;
}

export interface ModelAgentOptions {
  /** `openai:ID`, `openai-compatible:ID` or `anthropic:ID`. */
  readonly model: string;
  /** Required for `openai-compatible`. */
  readonly baseUrl?: BaseUrl;
  /** Default: the variable `OPENAI_API_KEY` or `ANTHROPIC_API_KEY`, where the agent lists it under `env`. */
  readonly apiKey?: string;
  /** The system prompt, or what makes it for a turn. */
  readonly system?: string | ((turn: Turn) => string | Promise<string>);
  readonly temperature?: number;
  /** Tokens of one answer of the model at most. */
  readonly maxOutputTokens?: number;
  readonly context?: ModelContext;
  /** Model calls of one turn at most, at least 1; the last may call no tools. Default 20. */
  readonly maxSteps?: number;
  /** Models that answer, in this order, where the ones before them do not. */
  readonly fallback?: readonly (string | FallbackModel)[];
  /** Tools by their names, made with `tool()` of the package `ai`; each needs an `execute`. Or what gives them to a turn. */
  readonly tools?: ToolSet | ((turn: Turn) => ToolSet | Promise<ToolSet>);
  readonly hooks?: LoopHooks;
  /** How calls are made again within a turn. Default: 3 tries, 0.5 s to 8 s apart. */
  readonly retry?: Partial<RetryPolicy>;
  /** Counts in place of the model's encoding; such counts are not kept, so that every turn counts its history again. */
  readonly tokenizer?: Tokenizer;
}

/** What a call without tools is about. */
export interface LightweightOptions {
  /** In place of the agent's system prompt. */
  readonly system?: string;
  /** In place of the turn's message. */
  readonly message?: string;
  /** Whether the session's history goes along. Default true. */
  readonly history?: boolean;
  readonly temperature?: number;
  readonly maxOutputTokens?: number;
}

export interface ModelAgent extends AgentDefinition {
  readonly model: string;
  respond(turn: Turn): AsyncIterable<string>;
  /**
   * Asks the agent's model once, without tools, and returns its whole answer: for triage, before a turn is worth more. Nothing of
   * it is said or stored; its tokens count to the turn.
   */
  lightweight(turn: Turn, options?: LightweightOptions): Promise<string>;
}

/**
 * Makes an agent of a model. Throws `ORRERY_CONFIG_INVALID` for a model, a base URL or a tool that is none. Providers' packages
 * are imported when the agent starts, and a key that is missing is `ORRERY_MODEL_KEY_MISSING` then; of a fallback it is a
 * warning, and the fallback is skipped.
 */
export function modelAgent(options: ModelAgentOptions): ModelAgent {
  const { model, baseUrl, apiKey, fallback, context = {}, tools, tokenizer } = options;
  const access: ChainAccess = {
    model,
    ...(baseUrl === undefined ? {} : { baseUrl }),
    ...(apiKey === undefined ? {} : { apiKey }),
  };
  const { compaction, ...window } = context;
  const chain = chainOf(access, fallback);
  const agent: LoopAgent = {
    chain,
    system: options.system,
    temperature: options.temperature,
    maxOutputTokens: options.maxOutputTokens,
    context: checkedContext(window, chain, options.maxOutputTokens),
    compaction: compaction === 'summary' ? SUMMARY : compaction,
    maxSteps: atLeastOne('maxSteps', options.maxSteps ?? DEFAULT_MAX_STEPS),
    tools: checkedTools(tools),
    hooks: options.hooks ?? {},
    retry: { ...DEFAULT_RETRY, ...options.retry },
  };
  return {
    model,
    ...(tokenizer === undefined ? {} : { tokenizer }),
    async start(ctx) {
      const [first, ...others] = chain;
      await first?.open(ctx.env);
      // The agent can do without them, and without any of them it would not be better off.
      for (const other of others) {
        await other.open(ctx.env).catch((error: unknown) => {
          ctx.log.warn({ err: error, model: other.name }, 'a model that stands in cannot be opened, and is skipped');
        });
      }
    },
    respond(turn) {
      return runLoop(agent, loopTurnOf(turn));
    },
    async lightweight(turn, o = {}) {
      const once: LoopAgent = {
        ...agent,
        system: o.system ?? agent.system,
        temperature: o.temperature ?? agent.temperature,
        maxOutputTokens: o.maxOutputTokens ?? agent.maxOutputTokens,
        compaction: undefined,
        maxSteps: 1,
        tools: undefined,
        hooks: {},
      };
      let text = '';
      for await (const piece of runLoop(once, asideOf(loopTurnOf(turn), o))) text += piece;
      return text;
    },
  };
}

/** A turn that another one makes on the side: it hears no steering, streams nothing and leaves nothing behind. */
function asideOf(turn: LoopTurn, { message, history = true }: LightweightOptions): LoopTurn {
  const said: UserMessage = message === undefined ? turn.message : { role: 'user', content: message };
  return withTurn(turn, {
    message: said,
    messages: message === undefined ? turn.messages : [said],
    streamed: false,
    hasSession: false,
    context: history ? turn.context : [],
    readSession: (options) => (history ? turn.readSession(options) : []),
    record: () => undefined,
    takeSteered: () => [],
    steered: [],
  });
}

/** The host's own turns bring what a loop needs; of any other one the history is taken, and nothing is recorded. */
function loopTurnOf(turn: Turn): LoopTurn {
  if (isLoopTurn(turn)) return turn;
  return withTurn(turn, {
    message: turn.message,
    messages: [turn.message],
    streamed: turn.streamed,
    hasSession: false,
    context: turn.history.map(modelMessageOf),
    readSession: () => [],
    record: () => undefined,
    takeSteered: () => [],
    steered: [],
  });
}

function isLoopTurn(turn: Turn): turn is LoopTurn {
  return 'readSession' in turn && 'takeSteered' in turn && 'record' in turn;
}

type Own = Pick<
  LoopTurn,
  'message' | 'messages' | 'streamed' | 'hasSession' | 'context' | 'readSession' | 'record' | 'takeSteered' | 'steered'
>;

/** A turn's fields are made when they are read: they are not copied, but asked for. */
function withTurn(turn: Turn, own: Own): LoopTurn {
  return {
    ...own,
    search: (query, o) => turn.search(query, o),
    get id() {
      return turn.id;
    },
    get attempt() {
      return turn.attempt;
    },
    get namespace() {
      return turn.namespace;
    },
    get history() {
      return turn.history;
    },
    get metadata() {
      return turn.metadata;
    },
    get signal() {
      return turn.signal;
    },
    get name() {
      return turn.name;
    },
    get runtime() {
      return turn.runtime;
    },
    get env() {
      return turn.env;
    },
    get log() {
      return turn.log;
    },
    get tokens() {
      return turn.tokens;
    },
    get remainingMs() {
      return isLoopTurn(turn) ? turn.remainingMs : Infinity;
    },
    report: (usage, steps) => turn.report(usage, steps),
  };
}

function checkedTools(tools: ModelAgentOptions['tools']): LoopAgent['tools'] {
  if (tools === undefined) return undefined;
  if (typeof tools === 'function') return async (turn) => checkedSet(await tools(turn));
  return checkedSet(tools);
}

/** A call that nobody answers would leave half a pair in the session. */
function checkedSet(tools: ToolSet): ToolSet {
  for (const [name, tool] of Object.entries(tools)) {
    if (tool.type !== 'provider' && tool.execute === undefined) {
      throw invalid(`Expected the tool ${name} to have \`execute\``);
    }
    if (tool.needsApproval !== undefined && tool.needsApproval !== false) {
      throw invalid(`The tool ${name} needs approval, which is not built yet`);
    }
  }
  return tools;
}

function checkedContext(
  context: ContextSpec,
  chain: readonly ChainModel[],
  maxOutputTokens: number | undefined,
): ContextSpec {
  const { maxTokens, reservedForOutput, toolResultShare } = context;
  if (maxTokens !== undefined) atLeastOne('context.maxTokens', maxTokens);
  if (reservedForOutput !== undefined && !(Number.isInteger(reservedForOutput) && reservedForOutput >= 0)) {
    throw invalid(`Expected \`context.reservedForOutput\` to be a whole number, got ${reservedForOutput}`);
  }
  const reserved = reservedForOutput ?? maxOutputTokens ?? 0;
  const key = reservedForOutput === undefined ? 'maxOutputTokens' : 'context.reservedForOutput';
  // Else every turn would fail, the smallest message being longer than what is left.
  for (const { name } of chain) {
    const window = maxTokens ?? limitsOf(name).contextTokens;
    if (reserved < window) continue;
    const whose = maxTokens === undefined ? `the window of ${name}` : '`context.maxTokens`';
    throw invalid(`Expected \`${key}\` to be less than ${whose} (${window} tokens), got ${reserved}`);
  }
  if (toolResultShare !== undefined && !(toolResultShare > 0 && toolResultShare <= 1)) {
    throw invalid(`Expected \`context.toolResultShare\` to be above 0 and at most 1, got ${toolResultShare}`);
  }
  return context;
}

function atLeastOne(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw invalid(`Expected \`${name}\` to be a whole number of at least 1, got ${value}`);
}

function invalid(message: string): OrreryError {
  return new OrreryError('ORRERY_CONFIG_INVALID', message);
}
