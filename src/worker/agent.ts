/** Owns what an agent module imports (`orrery-host/agent`). Nothing of main comes along. */
import type { AgentDefinition } from './definition.ts';

export type { Encoding, Tokenizer } from '../protocol/encodings.ts';
export type { ChatMessage, MessagePart, StoredMessage, Usage, UserMessage } from '../protocol/messages.ts';
export { Namespace } from '../protocol/namespace.ts';
export { CharEstimator, loadTokenizerJson } from './tokenizer/estimate.ts';
export type {
  BaseUrl,
  FallbackModel,
  LightweightOptions,
  ModelAgent,
  ModelAgentOptions,
  ModelContext,
} from './models/index.ts';
export { modelAgent } from './models/lazy.ts';
export type { Compaction, CompactionRequest } from './runtime/compaction.ts';
export type {
  LoopHooks,
  Progress,
  RetryProgress,
  StepEndProgress,
  StepStart,
  ToolCallProgress,
  ToolResultProgress,
} from './runtime/hooks.ts';
export type { RetryPolicy } from './runtime/retry.ts';
export { type ToolRun, toolRun } from './runtime/tool-run.ts';
export type { AgentContext, AgentDefinition, AgentTokens, Turn } from './definition.ts';

/** Returns its argument; gives the definition its type. */
export function defineAgent(definition: AgentDefinition): AgentDefinition {
  return definition;
}
