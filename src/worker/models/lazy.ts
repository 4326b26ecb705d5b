/**
 * Owns `modelAgent` as modules import it: the loop behind it is loaded when such an agent starts, so that modules which only
 * want `defineAgent` start as fast as they would without it.
 */
import type { Turn } from '../definition.ts';
import type { ModelAgent, ModelAgentOptions } from './agent.ts';

/**
 * Makes an agent of a model. Its start rejects with `ORRERY_CONFIG_INVALID` for a model, a base URL, a window or a tool that is
 * none, and with `ORRERY_MODEL_KEY_MISSING`; providers' packages are imported then, too.
 */
export function modelAgent(options: ModelAgentOptions): ModelAgent {
  const { model, tokenizer } = options;
  let loaded: ModelAgent | undefined;
  const load = async (): Promise<ModelAgent> => {
    const models = await import('./index.ts');
    return (loaded ??= models.modelAgent(options));
  };
  async function* first(turn: Turn): AsyncGenerator<string, void> {
    yield* (await load()).respond(turn);
  }
  return {
    model,
    ...(tokenizer === undefined ? {} : { tokenizer }),
    start: async (ctx) => (await load()).start?.(ctx),
    respond: (turn) => loaded?.respond(turn) ?? first(turn),
    lightweight: async (turn, o) => (await load()).lightweight(turn, o),
  };
}
