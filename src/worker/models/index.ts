/** Owns nothing: what is taken from this folder. */
export {
  type BaseUrl,
  type FallbackModel,
  type LightweightOptions,
  type ModelAgent,
  type ModelAgentOptions,
  type ModelContext,
  modelAgent,
} from './agent.ts';
