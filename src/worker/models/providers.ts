/** Owns which providers there are, where their keys come from, and how a provider's package is opened. */
import type { LanguageModelV4 } from '@ai-sdk/provider';
import type { ModelSpec } from '../../protocol/contract.ts';
import { OrreryError } from '../../protocol/errors.ts';

/** Which variable of the agent's own `env` holds a provider's key, and where the provider listens by itself. */
const PROVIDERS = {
  openai: { key: 'OPENAI_API_KEY', baseUrl: 'https://api.openai.com/v1' },
  anthropic: { key: 'ANTHROPIC_API_KEY', baseUrl: 'https://api.anthropic.com/v1' },
  'openai-compatible': { key: undefined, baseUrl: undefined },
} as const;

export type ProviderName = keyof typeof PROVIDERS;

/** A model as the configuration names it, taken apart. */
export interface ModelAddress {
  readonly provider: ProviderName;
  /** The provider's own name of the model. */
  readonly id: string;
  /** The whole, as configured: `openai:gpt-5`. */
  readonly model: string;
  readonly baseUrl: string;
}

/** A model with where it is and what opens it. */
export type ModelAccess = Pick<ModelSpec, 'model' | 'baseUrl' | 'apiKey'>;

/** Reads a model's name and base URL. Throws `ORRERY_CONFIG_INVALID`. */
export function modelAddress(spec: { readonly model: string; readonly baseUrl?: string | undefined }): ModelAddress {
  const colon = spec.model.indexOf(':');
  const provider = spec.model.slice(0, colon);
  const id = spec.model.slice(colon + 1);
  if (!isProviderName(provider) || id === '') {
    const names = Object.keys(PROVIDERS).map((name) => `${name}:ID`);
    throw invalid(`Expected \`model\` to be one of ${names.join(', ')}, got ${JSON.stringify(spec.model)}`);
  }
  const baseUrl = spec.baseUrl ?? PROVIDERS[provider].baseUrl;
  if (baseUrl === undefined) throw invalid(`${spec.model}: Expected a \`baseUrl\`, such as http://127.0.0.1:11434/v1`);
  if (!/^https?:$/.test(URL.parse(baseUrl)?.protocol ?? '')) {
    throw invalid(`${spec.model}: Expected \`baseUrl\` to be an http or https URL, got ${JSON.stringify(baseUrl)}`);
  }
  return { provider, id, model: spec.model, baseUrl };
}

/**
 * Imports a provider's package and opens the model. The key comes from the specification or from the agent's `env`, never
 * from the thread's environment: so every setting that a package would otherwise look up there is given. Connections are
 * kept alive and shared by all models of a thread (its global fetch).
 */
export async function openModel(
  address: ModelAddress,
  spec: ModelAccess,
  env: Readonly<Record<string, string>>,
): Promise<LanguageModelV4> {
  const { id, baseUrl: baseURL } = address;
  switch (address.provider) {
    case 'openai': {
      const apiKey = keyOf(address, spec, env);
      const { createOpenAI } = await import('@ai-sdk/openai');
      return createOpenAI({ apiKey, baseURL })(id);
    }
    case 'anthropic': {
      const apiKey = keyOf(address, spec, env);
      const { createAnthropic } = await import('@ai-sdk/anthropic');
      return createAnthropic({ apiKey, baseURL })(id);
    }
    case 'openai-compatible': {
      const { apiKey } = spec;
      const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible');
      const key = apiKey === undefined || apiKey === '' ? {} : { apiKey };
      return createOpenAICompatible({ name: 'compatible', baseURL, includeUsage: true, ...key })(id);
    }
  }
}

function keyOf(address: ModelAddress, spec: ModelAccess, env: Readonly<Record<string, string>>): string {
  const variable = PROVIDERS[address.provider].key;
  const key = spec.apiKey ?? (variable === undefined ? undefined : env[variable]);
  if (key !== undefined && key !== '') return key;
  throw new OrreryError('ORRERY_MODEL_KEY_MISSING', `${address.model}: there is no key`, {
    hint: `List \`${variable ?? ''}\` under the agent's \`env\` and set it, or set \`apiKey\`.`,
    details: { model: address.model, variable: variable ?? '' },
  });
}

function isProviderName(value: string): value is ProviderName {
  return Object.hasOwn(PROVIDERS, value);
}

function invalid(message: string): OrreryError {
  return new OrreryError('ORRERY_CONFIG_INVALID', message);
}
