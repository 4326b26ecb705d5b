/**
 * Owns the models of an agent in the order in which they are asked: how each is opened, and how long a prompt it takes. It
 * decides no retries.
 */
import type { LanguageModelV4 } from '@ai-sdk/provider';
import type { ContextSpec } from '../../protocol/contract.ts';
import { resolveModel } from '../../protocol/encodings.ts';
import { OrreryError } from '../../protocol/errors.ts';
import { limitsOf } from '../../protocol/models.ts';
import { type ModelAccess, type ProviderName, modelAddress, openModel } from './providers.ts';

/** Share of the window that is filled where counts are estimates: other tokenizers make up to a quarter more of a text. */
const ESTIMATE_SHARE = 0.8;
/** Share of the window that is kept for the answer at most, where nobody says how much. */
const MAX_OUTPUT_SHARE = 1 / 3;
export const DEFAULT_TOOL_RESULT_SHARE = 0.25;

type Env = Readonly<Record<string, string>>;

/** A model with where it is; the base URL of one whose agent is told it by its environment follows from that. */
export interface ChainAccess {
  readonly model: string;
  readonly baseUrl?: string | ((env: Env) => string | undefined);
  readonly apiKey?: string;
}

/** One model of an agent. */
export class ChainModel {
  readonly provider: ProviderName;
  readonly #access: ChainAccess;
  /** Agents that name one module share it, and each has an environment of its own. */
  readonly #opened = new WeakMap<Env, Promise<LanguageModelV4>>();

  /** Throws `ORRERY_CONFIG_INVALID`. */
  constructor(access: ChainAccess) {
    this.#access = access;
    const { baseUrl } = access;
    this.provider = modelAddress(
      typeof baseUrl === 'function' ? { ...access, baseUrl: TOLD_LATER } : { ...access, baseUrl },
    ).provider;
  }

  /** `provider:ID`, as configured. */
  get name(): string {
    return this.#access.model;
  }

  /** Opens the model once for an environment; a failure is forgotten, so that the next call tries again. */
  async open(env: Env): Promise<LanguageModelV4> {
    const known = this.#opened.get(env);
    if (known) return known;
    const opened = this.#open(env);
    this.#opened.set(env, opened);
    try {
      return await opened;
    } catch (error) {
      this.#opened.delete(env);
      throw error;
    }
  }

  async #open(env: Env): Promise<LanguageModelV4> {
    const { model, baseUrl, apiKey } = this.#access;
    const url = typeof baseUrl === 'function' ? baseUrl(env) : baseUrl;
    const access: ModelAccess = {
      model,
      ...(url === undefined ? {} : { baseUrl: url }),
      ...(apiKey === undefined ? {} : { apiKey }),
    };
    return openModel(modelAddress(access), access, env);
  }
}

/** Stands for a base URL that only the environment tells, while the rest is checked. */
const TOLD_LATER = 'http://127.0.0.1/v1';

/** Tokens of the prompt that a model is given at most. */
export function promptBudget(model: string, context: ContextSpec, maxOutputTokens: number | undefined): number {
  const limits = limitsOf(model);
  const { maxTokens } = context;
  // A smaller window than a model's own is a wish; a larger one is trusted to be known better than the table.
  const window = maxTokens ?? limits.contextTokens;
  const output = Math.min(limits.outputTokens, Math.floor(window * MAX_OUTPUT_SHARE));
  const room = Math.max(1, window - (context.reservedForOutput ?? maxOutputTokens ?? output));
  const trusted = maxTokens !== undefined || resolveModel(model).exact;
  return trusted ? room : Math.max(1, Math.floor(room * ESTIMATE_SHARE));
}

/**
 * Makes the models of an agent: the configured one, then those that stand in for it. One that is named alone shares base URL and
 * key with the first model where both are of one provider. Throws `ORRERY_CONFIG_INVALID`.
 */
export function chainOf(first: ChainAccess, fallback: readonly (string | ChainAccess)[] = []): readonly ChainModel[] {
  const head = new ChainModel(first);
  const rest = fallback.map((entry) => {
    if (typeof entry !== 'string') return new ChainModel(entry);
    const isSame = entry.slice(0, entry.indexOf(':')) === head.provider;
    return new ChainModel(isSame ? { ...first, model: entry } : { model: entry });
  });
  return [head, ...rest];
}

/**
 * Orders the models for a turn: the one that its message asks for, then the others as configured. Throws
 * `ORRERY_BAD_REQUEST` for one that the configuration does not name.
 */
export function chainFor(chain: readonly ChainModel[], wanted: string | undefined): readonly ChainModel[] {
  if (wanted === undefined) return chain;
  const chosen = chain.find(({ name }) => name === wanted);
  if (chosen) return [chosen, ...chain.filter((model) => model !== chosen)];
  const names = chain.map(({ name }) => name).join(', ');
  throw new OrreryError('ORRERY_BAD_REQUEST', `Expected \`metadata.model\` to be one of ${names}, got ${wanted}`);
}
