/**
 * Owns what is known of models' sizes: how many tokens a model takes in all and how many of them it may say. Beside the
 * table of encodings; it counts nothing and calls nobody.
 */

export interface ModelLimits {
  /** Tokens of prompt and answer together. */
  readonly contextTokens: number;
  /** Tokens of one answer at most. */
  readonly outputTokens: number;
  /** False for a model that nobody listed: then both are assumed. */
  readonly known: boolean;
}

/**
 * Models by the start of their name, the longest that fits wins: `[context, output]` in tokens. As the providers' pages of
 * models (platform.openai.com/docs/models, docs.anthropic.com/en/docs/about-claude/models) and OpenAI's card of gpt-oss told
 * them in 2025; Claude's answers are as long as the AI SDK's Anthropic provider asks for when it is told nothing. A model whose
 * account has more (a beta of a million tokens) is given it by `context.maxTokens`.
 */
const MODEL_LIMITS: Readonly<Record<string, readonly [context: number, output: number]>> = {
  'gpt-5': [400_000, 128_000],
  'gpt-5-chat': [128_000, 16_384],
  'gpt-4.5': [128_000, 16_384],
  'gpt-4.1': [1_047_576, 32_768],
  'gpt-4o': [128_000, 16_384],
  'chatgpt-4o': [128_000, 16_384],
  'gpt-4-turbo': [128_000, 4_096],
  'gpt-4-1106': [128_000, 4_096],
  'gpt-4-0125': [128_000, 4_096],
  'gpt-4-32k': [32_768, 4_096],
  'gpt-4': [8_192, 4_096],
  'gpt-3.5-turbo': [16_385, 4_096],
  'gpt-35-turbo': [16_385, 4_096],
  'gpt-oss': [131_072, 32_768],
  o1: [200_000, 100_000],
  'o1-preview': [128_000, 32_768],
  'o1-mini': [128_000, 65_536],
  o3: [200_000, 100_000],
  o4: [200_000, 100_000],
  claude: [200_000, 64_000],
  'claude-2.0': [100_000, 4_096],
  'claude-3': [200_000, 4_096],
  'claude-3-5': [200_000, 8_192],
  'claude-3-7': [200_000, 64_000],
  'claude-opus-4': [200_000, 32_000],
  'claude-opus-4-5': [200_000, 64_000],
};

/** What a model that is not listed is taken for: what today's small models served at home have at least. */
export const UNKNOWN_MODEL: ModelLimits = { contextTokens: 32_768, outputTokens: 4_096, known: false };

/** Finds a model's limits; `openai:gpt-4o`, `openai/gpt-4o` and `ft:gpt-4o:...` are read as `gpt-4o`. */
export function limitsOf(model: string): ModelLimits {
  const name = model
    .toLowerCase()
    .replace(/^.*\//, '')
    .replace(/^(?:openai|azure|openai-compatible|anthropic):/, '')
    .replace(/^ft:/, '');
  let best = '';
  for (const family of Object.keys(MODEL_LIMITS)) {
    const fits = name.startsWith(family) && /^(?:$|[-.:@])/.test(name.slice(family.length));
    if (fits && family.length > best.length) best = family;
  }
  const limits = MODEL_LIMITS[best];
  return limits === undefined ? UNKNOWN_MODEL : { contextTokens: limits[0], outputTokens: limits[1], known: true };
}
